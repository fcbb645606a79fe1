package controllers

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/trim"
)

// updateBringsAPass changes the object, and says whether the update of what the cache keeps of it brings a pass.
func updateBringsAPass[T client.Object](t *testing.T, keep func(any) (any, error), object T, change func(T)) bool {
	t.Helper()
	kept := func(version string) client.Object {
		object.SetResourceVersion(version)
		kept, err := keep(object.DeepCopyObject())
		if err != nil {
			t.Fatal(err)
		}
		return kept.(client.Object)
	}
	before := kept("1")
	change(object)
	return keptChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: kept("2")})
}

func TestUpdatesOfJobsThatNoPassReadsBringNone(t *testing.T) {
	t.Parallel()
	at := metav1.NewTime(showTime)
	for name, tc := range map[string]struct {
		change func(*batchv1.Job)
		want   bool
	}{
		"its Pod was made":           {func(j *batchv1.Job) { j.Status.StartTime, j.Status.Active = &at, 1 }, false},
		"its Pod is ready":           {func(j *batchv1.Job) { j.Status.Ready = new(int32(1)) }, false},
		"somebody put a label on it": {func(j *batchv1.Job) { j.Labels["somebody's"] = "own" }, false},
		"it failed": {func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
		}, true},
		"it is being deleted":     {func(j *batchv1.Job) { j.DeletionTimestamp = &at }, true},
		"a label of ours is gone": {func(j *batchv1.Job) { delete(j.Labels, v1alpha1.LabelPart) }, true},
		"it is another one":       {func(j *batchv1.Job) { j.UID = "other" }, true},
		"it has another owner":    {func(j *batchv1.Job) { j.OwnerReferences = []metav1.OwnerReference{{Kind: "LiveStream", Name: "other"}} }, true},
	} {
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "show-record", UID: "job", Labels: map[string]string{v1alpha1.LabelLiveStream: "show", v1alpha1.LabelPart: "1"}}}
		if got := updateBringsAPass(t, trim.Job, job, tc.change); got != tc.want {
			t.Errorf("%s: a pass = %t, want %t", name, got, tc.want)
		}
	}
}

func TestUpdatesOfPodsThatNoPassReadsBringNone(t *testing.T) {
	t.Parallel()
	at := metav1.NewTime(showTime)
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus, reason ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: strings.Join(reason, ""), LastTransitionTime: at})
		}
	}
	for name, tc := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"it has a node":         {func(p *corev1.Pod) { p.Spec.NodeName = "a"; condition(corev1.PodScheduled, corev1.ConditionTrue)(p) }, false},
		"its volumes are there": {condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue), false},
		"it is not ready yet":   {condition(corev1.PodReady, corev1.ConditionFalse, "ContainersNotReady"), false},
		"its node is lost":      {condition(corev1.PodReady, corev1.ConditionFalse), true},
		"it is ready":           {condition(corev1.PodReady, corev1.ConditionTrue), true},
		"no node takes it":      {condition(corev1.PodScheduled, corev1.ConditionFalse), true},
		"it can be asked":       {func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.1" }, true},
		"it runs":               {func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }, true},
		"a container waits": {func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "x", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}}}
		}, true},
		"it is another stream's": {func(p *corev1.Pod) { p.Labels[v1alpha1.LabelLiveStream] = "other" }, true},
		"it is told to stop":     {func(p *corev1.Pod) { p.Annotations = map[string]string{recording.StopAnnotation: "now"} }, true},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "show-record-x", UID: "pod", Labels: map[string]string{v1alpha1.LabelLiveStream: "show"}}}
		if got := updateBringsAPass(t, trim.Pod, pod, tc.change); got != tc.want {
			t.Errorf("%s: a pass = %t, want %t", name, got, tc.want)
		}
	}
}

// A pass that went wrong for a cause that no watch tells is made good by it.
func TestWhatTheCacheBringsAgainBringsAPass(t *testing.T) {
	t.Parallel()
	for _, object := range []client.Object{&batchv1.Job{}, &corev1.Pod{}} {
		object.SetResourceVersion("1")
		if !keptChanged.Update(event.UpdateEvent{ObjectOld: object, ObjectNew: object}) {
			t.Errorf("%T that is brought again brings no pass", object)
		}
		if e := (event.CreateEvent{Object: object}); !keptChanged.Create(e) {
			t.Errorf("%T that is made brings no pass", object)
		}
		if e := (event.DeleteEvent{Object: object}); !keptChanged.Delete(e) {
			t.Errorf("%T that is gone brings no pass", object)
		}
	}
}

func TestAJobWithoutItsLabelIsItsOwners(t *testing.T) {
	t.Parallel()
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "studio", Name: "show-record"}}
	owner := metav1.OwnerReference{Kind: "LiveStream", Name: "show", Controller: new(true)}
	for _, tc := range []struct {
		name   string
		labels map[string]string
		owners []metav1.OwnerReference
		want   []reconcile.Request
	}{
		{"labelled", map[string]string{v1alpha1.LabelLiveStream: "show"}, nil, []reconcile.Request{request("show")}},
		{"owned", nil, []metav1.OwnerReference{owner}, []reconcile.Request{request("show")}},
		{"somebody else's", nil, []metav1.OwnerReference{{Kind: "CronJob", Name: "show", Controller: new(true)}}, nil},
		{"nobody's", nil, nil, nil},
	} {
		job.Labels, job.OwnerReferences = tc.labels, tc.owners
		if diff := gocmp.Diff(tc.want, streamOf(t.Context(), job)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}
