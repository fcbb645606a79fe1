package controllers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// recorded is a LiveStream that is recorded, and does nothing else.
func recorded(s *v1alpha1.LiveStream) {
	s.Spec.Workloads = nil
	s.Spec.Recording.Storage = v1alpha1.RecordingStorage{
		Prefix: "studio", S3: v1alpha1.S3Storage{Endpoint: "http://minio:9000", Bucket: "recordings", CredentialsSecretRef: v1alpha1.SecretReference{Name: "bucket"}},
	}
}

func bucketSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bucket"}, StringData: map[string]string{"accessKeyID": "id", "secretAccessKey": "key"}}
}

// podOf is the Pod of the Job, as it is now.
func (b *bench) podOf(job *batchv1.Job) *corev1.Pod {
	b.t.Helper()
	var pods corev1.PodList
	if err := env.Client.List(b.t.Context(), &pods, client.InNamespace(b.namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		b.t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		b.t.Fatalf("Job %s has %d Pods", job.Name, len(pods.Items))
	}
	return &pods.Items[0]
}

// ends plays the worker that ended with the result, and the Job controller.
func (b *bench) recorderEnds(job *batchv1.Job, result *recording.Result) {
	b.t.Helper()
	pod := b.podOf(job)
	before := pod.DeepCopy()
	ended := &corev1.ContainerStateTerminated{ExitCode: 1, StartedAt: metav1.NewTime(showTime), FinishedAt: metav1.NewTime(b.clock.Now())}
	pod.Status.Phase = corev1.PodFailed
	if result != nil {
		text, err := json.Marshal(result)
		if err != nil {
			b.t.Fatal(err)
		}
		ended.Message = string(text)
		if result.Ready || result.Nothing {
			ended.ExitCode, pod.Status.Phase = 0, corev1.PodSucceeded
		}
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "worker", State: corev1.ContainerState{Terminated: ended}}}
	pod.Status.Conditions = nil
	if err := env.Client.Status().Patch(b.t.Context(), pod, client.MergeFrom(before)); err != nil {
		b.t.Fatal(err)
	}
	if ended.ExitCode == 0 {
		b.complete(job)
		return
	}
	b.fail(job)
}

// fail plays the Job controller of a Job whose Pod failed.
func (b *bench) fail(job *batchv1.Job) {
	b.t.Helper()
	before := job.DeepCopy()
	now := metav1.NewTime(b.clock.Now())
	job.Status.Failed = 1
	if job.Status.StartTime == nil {
		job.Status.StartTime = &now
	}
	for _, kind := range []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed} {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now, Reason: "BackoffLimitExceeded"})
	}
	if err := env.Client.Status().Patch(b.t.Context(), job, client.MergeFrom(before)); err != nil {
		b.t.Fatal(err)
	}
}

var done = recording.Result{Ready: true, URI: "s3://recordings/studio/live/test/x/recording.mp4", SHA256: strings.Repeat("ab", 32), SizeBytes: 1 << 20, DurationMilliseconds: 61_500, Parts: 31, Gaps: 1, GapMilliseconds: 4_200}

func TestARecorderIsToldAndFinishesByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded)
	b.live("show", "A")
	job := b.onlyJob()
	config, err := workload.ConfigOf(job)
	if err != nil || config.Job != 1 || config.Stream != "test" || config.Storage.Bucket != "recordings" || config.Finish {
		t.Errorf("config = %+v, error %v", config, err)
	}
	b.podReady(job)
	b.settle("show")
	wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionRecordingReady, metav1.ConditionFalse, v1alpha1.ReasonOnAir)
	b.over("show", "A")
	status := b.wantState("show", v1alpha1.LiveStreamIdle)
	if job = b.onlyJob(); job.DeletionTimestamp != nil {
		t.Fatal("the recorder's Job was deleted")
	}
	if told := b.podOf(job).Annotations[recording.StopAnnotation]; told != b.clock.Now().UTC().Format(time.RFC3339) {
		t.Errorf("its Pod was told at %q", told)
	}
	if status.Workloads[0].State != v1alpha1.WorkloadStopping {
		t.Errorf("workload = %+v, want Stopping", status.Workloads[0])
	}
	wantCondition(t, status.Conditions, v1alpha1.ConditionRecordingReady, metav1.ConditionFalse, v1alpha1.ReasonFinishing)
	b.pass(3 * time.Second)
	b.recorderEnds(job, &done)
	b.settle("show")
	status = b.stream("show").Status
	c := wantCondition(t, status.Conditions, v1alpha1.ConditionRecordingReady, metav1.ConditionTrue, v1alpha1.ReasonRecorded)
	if c.Message != done.URI {
		t.Errorf("message = %q", c.Message)
	}
	r := status.History[0].Recordings[0]
	if r.URI != done.URI || *r.DurationSeconds != 61 || *r.SizeBytes != 1<<20 || r.SHA256 != done.SHA256 || *r.Gaps != 1 || *r.GapSeconds != 4 || r.ReadyTime == nil {
		t.Errorf("recording = %+v", r)
	}
	if status.Workloads[0].State != v1alpha1.WorkloadCompleted {
		t.Errorf("workload = %+v, want Completed", status.Workloads[0])
	}
}

func TestWhatRunsAfterTheBroadcastIsToldWhereTheRecordingIs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(func(s *v1alpha1.LiveStream) {
		uploads(s)
		w := s.Spec.Workloads[1]
		recorded(s)
		s.Spec.Workloads = []v1alpha1.Workload{w}
	})
	b.live("show", "A")
	job := b.jobsOf("record")[0]
	b.podReady(&job)
	b.over("show", "A")
	if jobs := b.jobsOf("upload"); len(jobs) != 0 {
		t.Fatal("it does not wait for the recording")
	}
	b.recorderEnds(&job, &done)
	b.settle("show")
	uri := ""
	for _, v := range b.jobsOf("upload")[0].Spec.Template.Spec.Containers[0].Env {
		if v.Name == "LIVESTREAM_RECORDING_URI" {
			uri = v.Value
		}
	}
	if uri != done.URI {
		t.Errorf("LIVESTREAM_RECORDING_URI = %q, want %q", uri, done.URI)
	}
}

// A node that goes takes the Pod with it: each second until the next one is lost.
func TestARecorderThatIsLostIsFollowedAtOnceByTheNextPart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded)
	b.live("show", "A")
	job := b.onlyJob()
	b.podReady(job)
	b.settle("show")
	b.pass(20 * time.Second)
	b.recorderEnds(job, &recording.Result{Message: "ended before the broadcast"})
	edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.Recording.Format = v1alpha1.RecordingFormatHLS })
	b.settle("show")
	jobs := b.jobsOf("record")
	if len(jobs) != 2 {
		t.Fatalf("%d Jobs, want the second part", len(jobs))
	}
	for i := range jobs {
		config, err := workload.ConfigOf(&jobs[i])
		if err != nil {
			t.Fatal(err)
		}
		if config.Format != recording.FMP4 {
			t.Errorf("part %d records %s: an edit reached the broadcast", config.Job, config.Format)
		}
	}
}

func TestARecordingThatItsRecorderCannotFinishIsFinishedByAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded)
	b.live("show", "A")
	job := b.onlyJob()
	b.podReady(job)
	b.settle("show")
	b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	b.settle("show")
	b.pass(20 * time.Second)
	// In the window nothing is started.
	b.recorderEnds(job, nil)
	b.settle("show")
	if len(b.jobs()) != 1 {
		t.Fatalf("%d Jobs in the window", len(b.jobs()))
	}
	b.pass(40 * time.Second)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	var finishing batchv1.Job
	for _, j := range b.jobsOf("record") {
		if j.Labels[v1alpha1.LabelRun] == v1alpha1.RunFinish {
			finishing = j
		}
	}
	config, err := workload.ConfigOf(&finishing)
	if err != nil || !config.Finish || config.Job != 2 || config.Started.IsZero() {
		t.Fatalf("config = %+v, error %v; Jobs %d", config, err, len(b.jobs()))
	}
	b.podReady(&finishing)
	b.recorderEnds(&finishing, &done)
	b.settle("show")
	wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionRecordingReady, metav1.ConditionTrue, v1alpha1.ReasonRecorded)
}

func TestARecordingThatCannotBeStoredSaysWhereItIs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded)
	b.live("show", "A")
	job := b.onlyJob()
	b.podReady(job)
	b.over("show", "A")
	b.pass(time.Hour)
	b.recorderEnds(job, &recording.Result{URI: "file:///var/spool/livestream/recording.mp4", Message: "storing the last parts: connection refused", DurationMilliseconds: 60_000})
	b.settle("show")
	c := wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionRecordingReady, metav1.ConditionFalse, v1alpha1.ReasonRecordingFailed)
	if want := "storing the last parts: connection refused; what there is is kept in file:///var/spool/livestream/recording.mp4"; c.Message != want {
		t.Errorf("message = %q, want %q", c.Message, want)
	}
	if jobs := b.jobs(); len(jobs) != 1 {
		t.Errorf("%d Jobs, want no other", len(jobs))
	}
}

func TestWithoutPlaybackARecordingSaysWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	domain, stream := newDomain(), newStream("show")
	domain.Spec.Playback = v1alpha1.Playback{}
	recorded(stream)
	b.create(newSecret(), domain, stream)
	b.live("show", "A")
	c := wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWorkloadRejected)
	if c.Message != `workload "record": the stream is pulled from the playback domain; set spec.playback of the PushDomain` {
		t.Errorf("message = %q", c.Message)
	}
	if len(b.jobs()) != 0 {
		t.Error("a Job was made")
	}
}

func TestARecorderWithoutMediaSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded)
	b.live("show", "A")
	job := b.onlyJob()
	pod := b.podReady(job)
	b.settle("show")
	before := pod.DeepCopy()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady", LastTransitionTime: metav1.NewTime(b.clock.Now())}}
	if err := env.Client.Status().Patch(t.Context(), pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	// The API server's clock made the Job.
	b.clock.SetTime(job.CreationTimestamp.Add(20 * time.Second))
	b.settle("show")
	w := b.stream("show").Status.Workloads[0]
	if w.State != v1alpha1.WorkloadPending || w.Message != "the worker runs, and no media comes from the playback domain" {
		t.Errorf("workload = %+v", w)
	}
}

// podPending plays the Job controller, and the scheduler that finds no node.
func (b *bench) podPending(job *batchv1.Job, why string) *corev1.Pod {
	b.t.Helper()
	pod := b.podReady(job)
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: why,
	}}}
	if err := env.Client.Status().Update(b.t.Context(), pod); err != nil {
		b.t.Fatal(err)
	}
	return pod
}

// finishing is the one Job that runs, and finishes a recording.
func (b *bench) finishing() *batchv1.Job {
	b.t.Helper()
	running := b.running()
	if len(running) != 1 || running[0].Labels[v1alpha1.LabelRun] != v1alpha1.RunFinish {
		b.t.Fatalf("Jobs run %+v, want one that finishes the recording", running)
	}
	return &running[0]
}

func TestARecordingWhosePodCannotRunSaysWhy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded)
	b.live("show", "A")
	job := b.onlyJob()
	b.podReady(job)
	b.settle("show")
	b.over("show", "A")
	b.recorderEnds(job, nil)
	b.settle("show")
	b.podPending(b.finishing(), `persistentvolumeclaim "spool" not found`)
	b.settle("show")
	c := meta.FindStatusCondition(b.stream("show").Status.Conditions, v1alpha1.ConditionRecordingReady)
	if c == nil || c.Reason != v1alpha1.ReasonFinishing || !strings.Contains(c.Message, `persistentvolumeclaim "spool" not found`) {
		t.Errorf("condition = %+v", c)
	}
}
