package trim

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

var showTime = time.Date(2026, 1, 2, 20, 0, 0, 0, time.Local)

// stream is one of many, idle after a broadcast, as the API server has it.
func stream(i int, image string) *v1alpha1.LiveStream {
	s := &v1alpha1.LiveStream{}
	s.APIVersion, s.Kind = v1alpha1.GroupVersion.String(), "LiveStream"
	s.Name, s.Namespace, s.UID, s.ResourceVersion, s.Generation = fmt.Sprintf("show-%06d", i), "studio", types.UID(fmt.Sprintf("6f1c7a52-8f0b-4a53-9a0e-%012d", i)), fmt.Sprint(1_000_000+i), 1
	s.Labels, s.Annotations = map[string]string{"team": "sports"}, map[string]string{lastApplied: `{"apiVersion":"livestream-operator.io/v1alpha1","kind":"LiveStream"}`}
	s.CreationTimestamp = metav1.NewTime(showTime)
	manager := func(name, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: name, Operation: "Update", APIVersion: s.APIVersion, Time: new(metav1.NewTime(showTime)), FieldsType: "FieldsV1", Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	s.ManagedFields = []metav1.ManagedFieldsEntry{
		manager("kubectl", "", `{"f:metadata":{"f:labels":{".":{},"f:team":{}}},"f:spec":{".":{},"f:appName":{},"f:pushDomainRef":{".":{},"f:name":{}},"f:streamName":{},"f:workloads":{".":{},"k:{\"name\":\"record\"}":{".":{},"f:job":{".":{},"f:spec":{".":{},"f:template":{".":{},"f:spec":{".":{},"f:containers":{}}}}},"f:name":{}}}}}`),
		manager("manager", "status", `{"f:status":{".":{},"f:conditions":{".":{},"k:{\"type\":\"Live\"}":{".":{},"f:lastTransitionTime":{},"f:message":{},"f:observedGeneration":{},"f:reason":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Ready\"}":{".":{},"f:lastTransitionTime":{},"f:message":{},"f:observedGeneration":{},"f:reason":{},"f:status":{},"f:type":{}},"k:{\"type\":\"WorkloadsReady\"}":{".":{},"f:lastTransitionTime":{},"f:message":{},"f:observedGeneration":{},"f:reason":{},"f:status":{},"f:type":{}}},"f:domain":{},"f:observedGeneration":{},"f:since":{},"f:state":{},"f:workloadSummary":{}}}`),
	}
	s.Spec = v1alpha1.LiveStreamSpec{PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: fmt.Sprintf("stream_%06d", i)}
	if image != "" {
		w := v1alpha1.Workload{Name: "record", Job: &batchv1.JobTemplateSpec{}}
		w.Job.Spec.Template.Spec.Containers = []corev1.Container{{Name: "x", Image: image, Args: []string{"-i", "$(LIVESTREAM_PLAYBACK_URL)", "-c", "copy", "/recordings/$(LIVESTREAM_BROADCAST).mkv"},
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}}}
		s.Spec.Workloads = []v1alpha1.Workload{w}
	}
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(showTime)}
	}
	s.Status = v1alpha1.LiveStreamStatus{
		ObservedGeneration: 1, State: v1alpha1.LiveStreamIdle, Since: new(metav1.NewMicroTime(showTime)), Domain: "push.example.com", WorkloadSummary: "0/1",
		Conditions: []metav1.Condition{
			condition("Ready", "True", "Reconciled", "waiting for a push"), condition("Live", "False", "NoPush", "no push is live"), condition("WorkloadsReady", "True", "Idle", "nothing has to run"),
		},
	}
	return s
}

// decoded is the object as a client decodes it: nothing of it is shared.
func decoded[T any](tb testing.TB, object *T) *T {
	tb.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		tb.Fatal(err)
	}
	into := new(T)
	if err := json.Unmarshal(text, into); err != nil {
		tb.Fatal(err)
	}
	return into
}

func trimmed[T any](tb testing.TB, trim func(any) (any, error), object *T) *T {
	tb.Helper()
	got, err := trim(object)
	if err != nil {
		tb.Fatal(err)
	}
	return got.(*T)
}

func TestStreamKeepsAllButWhoManagesItsFields(t *testing.T) {
	t.Parallel()
	trim := Streams()
	for i, image := range []string{"", "ffmpeg", "ffmpeg", "another", "ffmpeg"} {
		want := decoded(t, stream(i, image))
		want.ManagedFields, want.Annotations = nil, nil
		if diff := gocmp.Diff(want, trimmed(t, trim, decoded(t, stream(i, image)))); diff != "" {
			t.Errorf("stream %d with %q (-want +got):\n%s", i, image, diff)
		}
	}
}

func TestStreamOfUnknownStreamsKeepsWhatTellsThatItWasTakenOver(t *testing.T) {
	t.Parallel()
	s := stream(1, "")
	s.Annotations[v1alpha1.AnnotationMadeAs] = "digest"
	if got := trimmed(t, Streams(), s); len(got.Annotations) != 2 {
		t.Errorf("its annotations are %v", got.Annotations)
	}
}

// client-go trims each object of a list that it watches twice, and that comes while LiveStreams that share its maps are read.
func TestWhatIsTrimmedAgainWritesNoMapThatIsShared(t *testing.T) {
	t.Parallel()
	trim := Streams()
	annotated := func(i int) *v1alpha1.LiveStream {
		s := stream(i, "")
		s.Annotations["contact"] = "on call"
		return trimmed(t, trim, decoded(t, s))
	}
	known, again := annotated(1), annotated(2)
	if reflect.ValueOf(known.Annotations).Pointer() != reflect.ValueOf(again.Annotations).Pointer() {
		t.Fatal("equal annotations are kept twice")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20_000 {
			if _, err := trim(again); err != nil {
				t.Error(err)
			}
		}
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
			if known.Annotations["contact"] != "on call" {
				t.Error("the annotation is lost")
			}
		}
	}
}

func TestStreamsShareWhatIsEqual(t *testing.T) {
	t.Parallel()
	trim := Streams()
	a, b, other := trimmed(t, trim, decoded(t, stream(1, "ffmpeg"))), trimmed(t, trim, decoded(t, stream(2, "ffmpeg"))), trimmed(t, trim, decoded(t, stream(3, "another")))
	if a.Spec.Workloads[0].Job != b.Spec.Workloads[0].Job {
		t.Error("equal Jobs are kept twice")
	}
	if a.Spec.Workloads[0].Job == other.Spec.Workloads[0].Job || other.Spec.Workloads[0].Job.Spec.Template.Spec.Containers[0].Image != "another" {
		t.Error("different Jobs are taken for one")
	}
	if reflect.ValueOf(a.Labels).Pointer() != reflect.ValueOf(b.Labels).Pointer() {
		t.Error("equal labels are kept twice")
	}
	if unsafe.StringData(a.Status.Conditions[0].Message) != unsafe.StringData(b.Status.Conditions[0].Message) {
		t.Error("equal messages are kept twice")
	}
}

func TestJobsThatDifferInAValueShareTheirOtherParts(t *testing.T) {
	t.Parallel()
	trim := Streams()
	a, b := trimmed(t, trim, decoded(t, recorder(1))), trimmed(t, trim, decoded(t, recorder(2)))
	if diff := gocmp.Diff(recorder(2).Spec, b.Spec); diff != "" {
		t.Fatalf("it is changed (-want +got):\n%s", diff)
	}
	pods := [2]*corev1.PodTemplateSpec{&a.Spec.Workloads[0].Job.Spec.Template, &b.Spec.Workloads[0].Job.Spec.Template}
	for what, part := range map[string]func(*corev1.PodTemplateSpec) any{
		"labels":    func(p *corev1.PodTemplateSpec) any { return p.Labels },
		"volumes":   func(p *corev1.PodTemplateSpec) any { return p.Spec.Volumes },
		"arguments": func(p *corev1.PodTemplateSpec) any { return p.Spec.Containers[0].Args },
		"mounts":    func(p *corev1.PodTemplateSpec) any { return p.Spec.Containers[0].VolumeMounts },
		"limits":    func(p *corev1.PodTemplateSpec) any { return p.Spec.Containers[0].Resources.Limits },
		"requests":  func(p *corev1.PodTemplateSpec) any { return p.Spec.Containers[0].Resources.Requests },
	} {
		if reflect.ValueOf(part(pods[0])).Pointer() != reflect.ValueOf(part(pods[1])).Pointer() {
			t.Errorf("equal %s are kept twice", what)
		}
	}
	if archives := [2]string{pods[0].Spec.Containers[0].Env[2].Value, pods[1].Spec.Containers[0].Env[2].Value}; archives != [2]string{"archive/show-000001", "archive/show-000002"} {
		t.Errorf("the values of their own are %q", archives)
	}
}

// What differs anywhere must not become another's, whatever else is alike.
func TestWhatDiffersIsNotShared(t *testing.T) {
	t.Parallel()
	for what, differ := range map[string]func(*batchv1.JobTemplateSpec, *corev1.PodSpec, *corev1.Container){
		"nothing": func(*batchv1.JobTemplateSpec, *corev1.PodSpec, *corev1.Container) {},
		"a label": func(j *batchv1.JobTemplateSpec, _ *corev1.PodSpec, _ *corev1.Container) { j.Labels["team"] = "sports" },
		"a label of the pod": func(j *batchv1.JobTemplateSpec, _ *corev1.PodSpec, _ *corev1.Container) {
			j.Spec.Template.Labels["x"] = "y"
		},
		"a volume":        func(_ *batchv1.JobTemplateSpec, p *corev1.PodSpec, _ *corev1.Container) { p.Volumes[1].Name = "x" },
		"a volume less":   func(_ *batchv1.JobTemplateSpec, p *corev1.PodSpec, _ *corev1.Container) { p.Volumes = p.Volumes[:1] },
		"no volumes":      func(_ *batchv1.JobTemplateSpec, p *corev1.PodSpec, _ *corev1.Container) { p.Volumes = nil },
		"empty arguments": func(_ *batchv1.JobTemplateSpec, _ *corev1.PodSpec, c *corev1.Container) { c.Args = []string{} },
		"an argument":     func(_ *batchv1.JobTemplateSpec, _ *corev1.PodSpec, c *corev1.Container) { c.Args[0] = "x" },
		"a limit": func(_ *batchv1.JobTemplateSpec, _ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Limits[corev1.ResourceCPU] = resource.MustParse("1")
		},
		"another container": func(_ *batchv1.JobTemplateSpec, p *corev1.PodSpec, c *corev1.Container) {
			p.Containers = append(p.Containers, *c)
		},
		"an init container": func(_ *batchv1.JobTemplateSpec, p *corev1.PodSpec, c *corev1.Container) {
			p.InitContainers = append(p.InitContainers, *c)
		},
		"who it runs as": func(_ *batchv1.JobTemplateSpec, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(1))}
		},
		"how long it may end": func(_ *batchv1.JobTemplateSpec, p *corev1.PodSpec, _ *corev1.Container) {
			p.TerminationGracePeriodSeconds = new(int64(7))
		},
	} {
		trim := Streams()
		var want, got []*v1alpha1.LiveStream
		for i := range 6 {
			s := recorder(i)
			// Every two of them have one value.
			s.Spec.LiveStreamSettings = recorder(i / 2).Spec.LiveStreamSettings
			s.ManagedFields, s.Annotations = nil, nil
			if i%2 == 1 {
				job := s.Spec.Workloads[0].Job
				differ(job, &job.Spec.Template.Spec, &job.Spec.Template.Spec.Containers[0])
			}
			want, got = append(want, s), append(got, trimmed(t, trim, s.DeepCopy()))
		}
		// And once more, as client-go does: those that came before must not change.
		for i := range got {
			trimmed(t, trim, got[i])
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s (-want +got):\n%s", what, gocmp.Diff(want, got))
		}
	}
}

// Jobs that a cache already has may be trimmed again, and share their parts with what is read at the time.
func TestSharingLeavesTheJobAsItIs(t *testing.T) {
	t.Parallel()
	known, of := recorder(1).Spec.LiveStreamSettings, recorder(2).Spec.LiveStreamSettings
	before := of.Workloads[0]
	job := *before.Job
	container := job.Spec.Template.Spec.Containers[0]
	got := withPartsOf([]v1alpha1.LiveStreamSettings{known}, of)
	if got.Workloads[0].Job == before.Job || of.Workloads[0].Job != before.Job {
		t.Error("the workload was written")
	}
	now := before.Job.Spec.Template.Spec
	if reflect.ValueOf(now.Volumes).Pointer() != reflect.ValueOf(job.Spec.Template.Spec.Volumes).Pointer() ||
		reflect.ValueOf(now.Containers[0].Args).Pointer() != reflect.ValueOf(container.Args).Pointer() {
		t.Error("the Job was written")
	}
}

// Whoever makes each LiveStream different must not fill the memory with what is kept once.
func TestWhatIsKeptOnceIsBounded(t *testing.T) {
	t.Parallel()
	words, many := &texts{}, &settings{}
	for i := range 3 * mostTexts {
		words.once(fmt.Sprint(i))
	}
	for i := range 3 * mostSettings {
		s := stream(i, fmt.Sprint(i)).Spec.LiveStreamSettings
		for range 2 * mostAlike {
			s.HistoryLimit++
			many.once(s)
		}
	}
	for i := range 3 * mostMaps {
		words.words(map[string]string{"a": fmt.Sprint(i)})
	}
	if len(words.maps) > mostMaps {
		t.Errorf("%d maps are kept", len(words.maps))
	}
	kept := 0
	for _, alike := range many.known {
		kept += len(alike)
	}
	if len(words.known) > mostTexts || kept > mostSettings {
		t.Errorf("%d texts and %d settings are kept", len(words.known), kept)
	}
}

func TestJobsAndPodsTellTheSameWithoutWhatTheyRun(t *testing.T) {
	t.Parallel()
	job := func(mutate func(*batchv1.Job)) batchv1.Job {
		s := stream(1, "ffmpeg")
		broadcast := workload.Broadcast{ID: "b1", StartTime: showTime, Push: v1alpha1.Push{Sequence: "1"}}
		j := workload.Job(s, s.Spec.Workloads[0], broadcast, 1)
		j.UID, j.CreationTimestamp = "job-1", metav1.NewTime(showTime)
		j.Labels[v1alpha1.LabelStop], j.ManagedFields = v1alpha1.StopBySignal, s.ManagedFields
		mutate(j)
		return *j
	}
	pod := func(j batchv1.Job, mutate func(*corev1.Pod)) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: j.Name + "-x", Namespace: j.Namespace, UID: "pod-1", Labels: j.Labels, CreationTimestamp: metav1.NewTime(showTime),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(&j, batchv1.SchemeGroupVersion.WithKind("Job"))},
		}, Spec: j.Spec.Template.Spec}
		mutate(&p)
		return p
	}
	result, err := json.Marshal(recording.Result{Ready: true, URI: "pvc://a/b"})
	if err != nil {
		t.Fatal(err)
	}
	at := metav1.NewTime(showTime)
	for name, tc := range map[string]struct {
		job func(*batchv1.Job)
		pod func(*corev1.Pod)
	}{
		"ready": {func(*batchv1.Job) {}, func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at}}
		}},
		"told to finish": {func(*batchv1.Job) {}, func(p *corev1.Pod) {
			p.Annotations = map[string]string{recording.StopAnnotation: showTime.Format(time.RFC3339)}
		}},
		"done": {func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: at}}
		}, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodSucceeded
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "x", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: string(result), StartedAt: at}}}}
		}},
		"without its image": {func(*batchv1.Job) {}, func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "x", Image: "nowhere", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}}}
		}},
		"crashing": {func(*batchv1.Job) {}, func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "i", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Message: "why"}}}}
		}},
		"without a node": {func(*batchv1.Job) {}, func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "none fits"}}
		}},
		"on its way to be ready": {func(*batchv1.Job) {}, func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: at}, {Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
			}
		}},
		"on a node that is lost": {func(j *batchv1.Job) { j.Labels[v1alpha1.LabelStop] = "" }, func(p *corev1.Pod) {
			p.Status.Phase, p.DeletionTimestamp = corev1.PodRunning, &at
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: at}}
		}},
		"evicted": {func(*batchv1.Job) {}, func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "no room"
		}},
		"being deleted": {func(j *batchv1.Job) { j.DeletionTimestamp = &at }, func(p *corev1.Pod) { p.DeletionTimestamp = &at }},
		"to finish":     {func(j *batchv1.Job) { j.Labels[v1alpha1.LabelRun] = v1alpha1.RunFinish }, func(*corev1.Pod) {}},
	} {
		j := job(tc.job)
		p := pod(j, tc.pod)
		want := workload.Runs([]batchv1.Job{j}, []corev1.Pod{p})
		lean, leanPod := trimmed(t, Job, decoded(t, &j)), trimmed(t, Pod, decoded(t, &p))
		if len(want) != 1 || !reflect.DeepEqual(lean.Spec, batchv1.JobSpec{}) || !reflect.DeepEqual(leanPod.Spec, corev1.PodSpec{}) || lean.ManagedFields != nil {
			t.Fatalf("%s: %d Runs of %+v and %+v", name, len(want), lean, leanPod)
		}
		if diff := gocmp.Diff(want, workload.Runs([]batchv1.Job{*lean}, []corev1.Pod{*leanPod})); diff != "" {
			t.Errorf("%s (-whole +trimmed):\n%s", name, diff)
		}
		if !metav1.IsControlledBy(lean, stream(1, "")) || leanPod.Labels[v1alpha1.LabelLiveStream] != "show-000001" || lean.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
			t.Errorf("%s: whose they are is lost: %+v %+v", name, lean.ObjectMeta, leanPod.ObjectMeta)
		}
	}
}
