package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

func TestAnIdleStreamIsReadyAndNotLive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	status := b.stream("show").Status
	if status.State != v1alpha1.LiveStreamIdle || status.WorkloadSummary != "0/1" || status.ObservedGeneration != 1 {
		t.Errorf("status = %+v", status)
	}
	if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) || !meta.IsStatusConditionFalse(status.Conditions, v1alpha1.ConditionLive) {
		t.Errorf("conditions = %+v, want Ready=True, Live=False", status.Conditions)
	}
	if meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionStalled) != nil || meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReconciling) != nil {
		t.Errorf("conditions = %+v, want neither Stalled nor Reconciling", status.Conditions)
	}
}

func TestAPushRunsItsJobAndASecondPassWritesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.reconcile("show")
	job := b.onlyJob()
	if *job.Spec.Parallelism != 1 || *job.Spec.PodReplacementPolicy != batchv1.Failed {
		t.Errorf("job spec = %+v", job.Spec)
	}
	var url string
	for _, e := range job.Spec.Template.Spec.Containers[0].Env {
		if e.Name == "LIVESTREAM_PLAYBACK_URL" {
			url = e.Value
		}
	}
	if !strings.HasPrefix(url, "https://play.example.com/live/test.flv?txSecret=") || !strings.Contains(url, "&txTime=") {
		t.Errorf("LIVESTREAM_PLAYBACK_URL = %q, want a signed FLV URL", url)
	}
	b.podReady(job)
	b.reconcile("show")
	stream := b.stream("show")
	if w := stream.Status.Workloads; len(w) != 1 || w[0].State != v1alpha1.WorkloadRunning || w[0].JobName != job.Name {
		t.Errorf("workloads = %+v", w)
	}
	if stream.Status.Client != "119.29.94.245" || stream.Status.Resolution != "1280x720" || stream.Status.WorkloadSummary != "1/1" {
		t.Errorf("status = %+v", stream.Status)
	}
	b.pass(time.Minute)
	b.reconcile("show")
	if again := b.stream("show"); again.ResourceVersion != stream.ResourceVersion {
		t.Errorf("a pass at rest wrote the status:\n%s", gocmp.Diff(stream.Status, again.Status))
	}
	if again := b.onlyJob(); again.UID != job.UID || again.Generation != job.Generation {
		t.Error("a pass at rest changed the Job")
	}
}

func TestABroadcastEndsAfterTheWindowWithOneHistoryEntry(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.reconcile("show")
	job := b.onlyJob()
	pod := b.podReady(job)
	b.pass(30 * time.Second)
	b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	if again := b.reconcile("show"); again.RequeueAfter != time.Minute {
		t.Errorf("looks again after %s, want the window of 1m0s", again.RequeueAfter)
	}
	if s := b.stream("show").Status; s.State != v1alpha1.LiveStreamInterrupted || b.onlyJob().DeletionTimestamp != nil {
		t.Errorf("state = %s, want Interrupted with the Job left alone", s.State)
	}
	b.pass(59 * time.Second)
	b.reconcile("show")
	if b.onlyJob().DeletionTimestamp != nil {
		t.Error("the Job ended a second before the window did")
	}
	b.pass(time.Second)
	b.reconcile("show")
	if b.onlyJob().DeletionTimestamp == nil {
		t.Error("the Job was not ended at the end of the window")
	}
	s := b.stream("show").Status
	if s.State != v1alpha1.LiveStreamIdle || s.OnAir() || s.LastError != "NetworkError (errcode 12)" || s.Workloads[0].State != v1alpha1.WorkloadStopping {
		t.Errorf("status = %+v", s)
	}
	want := []v1alpha1.BroadcastRecord{{
		ID: job.Labels[v1alpha1.LabelBroadcast], StartTime: new(metav1.NewTime(showTime)), EndTime: new(metav1.NewTime(showTime.Add(30 * time.Second))),
		DurationSeconds: new(int64(30)), Pushes: 1, Interruptions: new(int32(0)), EndReason: "NetworkError", Sequence: "A",
	}}
	if diff := gocmp.Diff(want, s.History); diff != "" {
		t.Errorf("history mismatch (-want +got):\n%s", diff)
	}
	pod.Status.Phase = corev1.PodFailed
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "ffmpeg", State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Message: "frame 1\nflushing\n"},
	}}}
	if err := env.Client.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	b.reconcile("show")
	if w := b.stream("show").Status.Workloads[0]; w.State != v1alpha1.WorkloadStopped || w.Message != "ended after the broadcast with exit code 137: flushing" {
		t.Errorf("workload = %+v, want Stopped with exit code and last words", w)
	}
}

func TestThePushThatComesBackInTheWindowKeepsItsJob(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.reconcile("show")
	job := b.onlyJob()
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.reconcile("show")
	b.pass(4 * time.Second)
	b.record("show", b.starts("B"))
	b.reconcile("show")
	s := b.stream("show").Status
	if b.onlyJob().UID != job.UID || s.State != v1alpha1.LiveStreamLive || s.Broadcast.Pushes != 2 || *s.Broadcast.Interruptions != 1 {
		t.Errorf("status = %+v, want the same Job in a broadcast of 2 pushes", s)
	}
	var reasons []string
	for len(b.events.Events) > 0 {
		reasons = append(reasons, strings.Fields(<-b.events.Events)[1])
	}
	if diff := gocmp.Diff([]string{"StreamLive", "StreamInterrupted", "StreamResumed"}, reasons); diff != "" {
		t.Errorf("events mismatch (-want +got):\n%s", diff)
	}
}

// A cache that lags must neither start what has ended nor stop what is on air.
func TestAStaleViewStartsAndStopsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	live := b.stream("show")
	b.pass(recordedWithin)
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.reconciler.Client = staleReader{liveReader{env.Client}, live}
	b.reconcile("show")
	if jobs := b.jobs(); len(jobs) != 0 {
		t.Fatalf("a stale view of a live push started %d Jobs", len(jobs))
	}
	b.reconciler.Client = liveReader{env.Client}
	b.pass(time.Hour)
	b.reconcile("show")
	idle := b.stream("show")
	b.record("show", b.starts("B"))
	b.reconcile("show")
	b.reconciler.Client = staleReader{liveReader{env.Client}, idle}
	b.reconcile("show")
	if job := b.onlyJob(); job.DeletionTimestamp != nil {
		t.Error("a stale view of an idle stream stopped the Job that is on air")
	}
}

func TestADecisionThatWasOvertakenIsNotReported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	before := b.stream("show")
	b.record("show", b.starts("A"))
	err := b.reconciler.report(t.Context(), before, func() v1alpha1.LiveStreamStatus {
		s := *before.Status.DeepCopy()
		s.State = v1alpha1.LiveStreamUnknown
		return s
	}())
	if err == nil || !strings.Contains(err.Error(), "the object has been modified") {
		t.Errorf("report() = %v, want a conflict", err)
	}
	if pushes := b.stream("show").Status.Pushes; len(pushes) != 1 {
		t.Errorf("pushes = %+v, want the event kept", pushes)
	}
}

func TestUserMistakesSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		set       func(b *bench)
		reason    string
		message   string
		abnormal  string
		wantError bool
	}{
		{
			name:   "a missing PushDomain is named",
			set:    func(b *bench) { b.create(newStream("show")) },
			reason: v1alpha1.ReasonPushDomainNotFound, message: `PushDomain "shows" does not exist`, abnormal: v1alpha1.ConditionStalled,
		},
		{
			name: "a second LiveStream of the same stream is told who has it",
			set: func(b *bench) {
				b.create(newSecret(), newDomain(), newStream("a-first"))
				b.create(newStream("show"))
			},
			reason: v1alpha1.ReasonDuplicateStream, message: `LiveStream "a-first" is older`, abnormal: v1alpha1.ConditionStalled,
		},
		{
			name: "a missing playback key keeps Jobs from starting without a URL",
			set: func(b *bench) {
				secret := newSecret()
				delete(secret.StringData, "playbackKey")
				b.create(secret, newDomain(), newStream("show"))
				b.record("show", b.starts("A"))
			},
			reason: v1alpha1.ReasonPlaybackKeyUnavailable, message: `has no entry "playbackKey"`, abnormal: v1alpha1.ConditionReconciling,
		},
		{
			name: "a Job template that the API server refuses is shown with its words",
			set: func(b *bench) {
				stream := newStream("show")
				stream.Spec.Workloads[0].Job.Spec.Template.Spec.Containers[0].Image = ""
				b.create(newSecret(), newDomain(), stream)
				b.record("show", b.starts("A"))
			},
			reason: v1alpha1.ReasonWorkloadRejected, message: "containers[0].image: Required value", abnormal: v1alpha1.ConditionStalled,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			tc.set(b)
			b.reconcile("show")
			conditions := b.stream("show").Status.Conditions
			ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
			if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != tc.reason || !strings.Contains(ready.Message, tc.message) {
				t.Errorf("Ready = %+v, want False, %s, %q", ready, tc.reason, tc.message)
			}
			if !meta.IsStatusConditionTrue(conditions, tc.abnormal) {
				t.Errorf("conditions = %+v, want %s=True", conditions, tc.abnormal)
			}
			if jobs := b.jobs(); len(jobs) != 0 {
				t.Errorf("%d Jobs were made", len(jobs))
			}
		})
	}
}

func TestAMistakeThatIsMendedIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newStream("show"))
	b.reconcile("show")
	b.create(newSecret(), newDomain())
	b.reconcile("show")
	conditions := b.stream("show").Status.Conditions
	if !meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReady) || meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled) != nil {
		t.Errorf("conditions = %+v, want Ready=True without Stalled", conditions)
	}
}

// takesTheNextName makes a Job that is not the LiveStream's, under the name of the part that follows the Job.
func (b *bench) takesTheNextName(job *batchv1.Job) *batchv1.Job {
	b.t.Helper()
	stream := b.stream(job.Labels[v1alpha1.LabelLiveStream])
	name := workload.JobName(stream.Name, stream.UID, job.Labels[v1alpha1.LabelWorkload], job.Labels[v1alpha1.LabelBroadcast], 2)
	theirs := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: job.Spec.Template.Spec}}}
	b.create(theirs)
	return theirs
}

func TestANameThatIsTakenIsNotTakenOver(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.reconcile("show")
	ours := b.onlyJob()
	b.takesTheNextName(ours)
	if err := env.Client.Delete(t.Context(), ours, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	b.reconcile("show")
	ready := meta.FindStatusCondition(b.stream("show").Status.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonWorkloadRejected || !strings.Contains(ready.Message, "is not this LiveStream's") {
		t.Errorf("Ready = %+v, want the taken name", ready)
	}
}

func TestADeletedStreamIsLeftToItsOwnerReferences(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(func(s *v1alpha1.LiveStream) { s.Finalizers = []string{"example.com/wait"} })
	b.record("show", b.starts("A"))
	b.reconcile("show")
	job := b.onlyJob()
	if owner := metav1.GetControllerOf(job); owner == nil || owner.UID != b.stream("show").UID {
		t.Errorf("owner = %+v, want the LiveStream", owner)
	}
	stream := b.stream("show")
	if err := env.Client.Delete(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	before := b.stream("show")
	b.reconcile("show")
	if after := b.stream("show"); after.ResourceVersion != before.ResourceVersion || slices.Contains(after.Finalizers, "livestream-operator.io/finalizer") {
		t.Error("a LiveStream that is being deleted was written")
	}
	before.Finalizers = nil
	if err := env.Client.Update(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if result := b.reconcile("show"); result != (ctrl.Result{}) {
		t.Errorf("reconciling a LiveStream that is gone = %+v", result)
	}
}
