package controllers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// uploads adds a workload that runs after the broadcast.
func uploads(s *v1alpha1.LiveStream) {
	upload := *s.Spec.Workloads[0].DeepCopy()
	upload.Name, upload.Run = "upload", v1alpha1.WorkloadRunAfterEnd
	s.Spec.Workloads = append(s.Spec.Workloads, upload)
}

// uploadsNext has a show end whose recording is to be uploaded: the recorder is gone, and the next pass makes the upload.
func (b *bench) uploadsNext() {
	b.t.Helper()
	b.show(uploads)
	b.live("show", "A")
	b.over("show", "A")
	b.collect()
}

// jobsOf are the Jobs of a workload.
func (b *bench) jobsOf(name string) []batchv1.Job {
	b.t.Helper()
	var jobs batchv1.JobList
	if err := env.Client.List(b.t.Context(), &jobs, client.InNamespace(b.namespace), client.MatchingLabels{v1alpha1.LabelWorkload: name}); err != nil {
		b.t.Fatal(err)
	}
	return jobs.Items
}

func (b *bench) afterEnd(name string) v1alpha1.AfterEndStatus {
	b.t.Helper()
	history := b.stream(name).Status.History
	if len(history) == 0 || len(history[0].AfterEnd) != 1 {
		b.t.Fatalf("history = %+v, want a broadcast with one workload after it", history)
	}
	return history[0].AfterEnd[0]
}

func TestAnAfterEndJobRunsOnceWhenTheOthersHaveEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(uploads)
	b.live("show", "A")
	status := b.stream("show").Status
	if status.WorkloadSummary != "0/1" || status.Workloads[1].State != v1alpha1.WorkloadScheduled || len(b.jobsOf("upload")) != 0 {
		t.Errorf("while live: %s, workloads = %+v", status.WorkloadSummary, status.Workloads)
	}
	b.pass(time.Minute)
	b.over("show", "A")
	if jobs := b.jobsOf("upload"); len(jobs) != 0 {
		t.Fatal("it runs while the recorder still ends")
	}
	stopping := wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionWorkloadsReady, metav1.ConditionFalse, v1alpha1.ReasonStopping)
	if !strings.Contains(stopping.Message, "upload") || !strings.Contains(stopping.Message, "record") {
		t.Errorf("WorkloadsReady says %q", stopping.Message)
	}
	b.collect()
	b.settle("show")
	jobs := b.jobsOf("upload")
	if len(jobs) != 1 {
		t.Fatalf("%d Jobs after the end, want 1", len(jobs))
	}
	env := map[string]string{}
	for _, e := range jobs[0].Spec.Template.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	record := b.stream("show").Status.History[0]
	for name, want := range map[string]string{
		"LIVESTREAM_ENDED_AT": "2026-01-02T20:01:00Z", "LIVESTREAM_END_REASON": "ClientStopped", "LIVESTREAM_DURATION_SECONDS": "60",
		"LIVESTREAM_STARTED_AT": "2026-01-02T20:00:00Z", "LIVESTREAM_BROADCAST": record.ID, "LIVESTREAM_SEQUENCE": "A", "LIVESTREAM_DOMAIN": host,
		"LIVESTREAM_NAME": "show", "LIVESTREAM_STREAM": "test", "LIVESTREAM_APP": "live",
	} {
		if env[name] != want {
			t.Errorf("%s = %q, want %q", name, env[name], want)
		}
	}
	if jobs[0].Labels[v1alpha1.LabelRun] != "AfterEnd" || b.afterEnd("show").JobName != jobs[0].Name {
		t.Errorf("labels = %v, status = %+v", jobs[0].Labels, b.afterEnd("show"))
	}
	b.podReady(&jobs[0])
	b.settle("show")
	if got := b.afterEnd("show").State; got != v1alpha1.WorkloadRunning {
		t.Errorf("state = %s, want Running", got)
	}
	b.complete(&jobs[0])
	b.settle("show")
	want := v1alpha1.AfterEndStatus{Name: "upload", State: v1alpha1.WorkloadCompleted, JobName: jobs[0].Name, Message: "the Job completed"}
	if diff := gocmp.Diff(want, b.afterEnd("show")); diff != "" {
		t.Errorf("status mismatch (-want +got):\n%s", diff)
	}
	wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionWorkloadsReady, metav1.ConditionTrue, v1alpha1.ReasonIdle)
	b.delete(&jobs[0])
	b.settle("show")
	b.pass(time.Hour)
	b.settle("show")
	if again := b.jobsOf("upload"); len(again) != 0 {
		t.Error("it was made again after its Job was cleaned up")
	}
}

func TestAnAfterEndJobGoesOnInTheNextBroadcast(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.uploadsNext()
	b.settle("show")
	first := b.jobsOf("upload")
	b.live("show", "B")
	b.settle("show")
	if again := b.jobsOf("upload"); len(again) != 1 || again[0].DeletionTimestamp != nil || again[0].UID != first[0].UID {
		t.Errorf("Jobs = %+v, want the first one left alone", again)
	}
	b.over("show", "B")
	b.collect()
	b.settle("show")
	if again := b.jobsOf("upload"); len(again) != 2 || len(b.running()) != 2 {
		t.Errorf("%d Jobs, want one for each broadcast", len(again))
	}
}

func TestAnAfterEndJobWaitsWhileTheStreamIsSuspended(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(uploads)
	b.live("show", "A")
	b.over("show", "A")
	suspend := func(state v1alpha1.LiveStreamActivity) {
		edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.State = state })
		b.settle("show")
	}
	suspend(v1alpha1.LiveStreamSuspended)
	b.collect()
	b.pass(time.Hour)
	b.settle("show")
	if status := b.afterEnd("show"); len(b.jobsOf("upload")) != 0 || status.State != v1alpha1.WorkloadScheduled || !strings.Contains(status.Message, "Active again") {
		t.Errorf("%d Jobs while suspended, status = %+v", len(b.jobsOf("upload")), status)
	}
	suspend(v1alpha1.LiveStreamActive)
	if jobs := b.jobsOf("upload"); len(jobs) != 1 {
		t.Errorf("%d Jobs when active again, want 1", len(jobs))
	}
}

func TestASuspensionEndsTheBroadcastAndItsAfterEndRunsLater(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(uploads)
	b.live("show", "A")
	edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.State = v1alpha1.LiveStreamSuspended })
	b.settle("show")
	if record := b.stream("show").Status.History[0]; record.EndReason != v1alpha1.BroadcastEndSuspended || len(b.running()) != 0 {
		t.Errorf("%d Jobs run, history = %+v", len(b.running()), record)
	}
	b.collect()
	b.settle("show")
	edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.State = v1alpha1.LiveStreamActive })
	b.settle("show")
	// The push is still on air: another broadcast, and the end of the one before.
	if len(b.jobsOf("upload")) != 1 || len(b.jobsOf("record")) != 1 {
		t.Errorf("%d uploads, %d recorders, want 1 each", len(b.jobsOf("upload")), len(b.jobsOf("record")))
	}
	b.wantState("show", v1alpha1.LiveStreamLive)
}

// withoutStatus reconciles with an API server that takes the Job and not the status, as if the operator died between the two.
func (b *bench) withoutStatus(name string) {
	b.t.Helper()
	b.restart(interceptor.NewClient(env.Client, interceptor.Funcs{
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			return errors.New("the operator died")
		},
	}))
	if _, err := b.reconciler.Reconcile(b.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: name}}); err == nil {
		b.t.Fatal("the status was not lost")
	}
	b.restart(env.Client)
}

func TestACrashBetweenJobAndStatusMakesNoSecondJob(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(uploads)
	b.record("show", b.starts("A"))
	b.withoutStatus("show")
	if got := b.stream("show").Status; got.OnAir() || len(b.jobs()) != 1 {
		t.Fatalf("%d Jobs, status = %+v", len(b.jobs()), got)
	}
	b.pass(10 * time.Second)
	b.settle("show")
	job := b.onlyJob()
	if status := b.stream("show").Status; status.Broadcast.ID != job.Labels[v1alpha1.LabelBroadcast] {
		t.Errorf("broadcast = %+v, want that of the Job", status.Broadcast)
	}
	b.over("show", "A")
	b.collect()
	b.withoutStatus("show")
	if jobs := b.jobsOf("upload"); len(jobs) != 1 {
		t.Fatalf("%d Jobs after the end, want 1", len(jobs))
	}
	b.settle("show")
	if jobs := b.jobsOf("upload"); len(jobs) != 1 || b.afterEnd("show").JobName != jobs[0].Name {
		t.Errorf("%d Jobs after the end, status = %+v", len(jobs), b.afterEnd("show"))
	}
}

// The push was interrupted for good while the operator was away after making the Job.
func TestAJobWhoseBroadcastWasNeverWrittenIsEndedWithIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.withoutStatus("show")
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamInterrupted)
	b.pass(5 * time.Second)
	b.settle("show")
	if status := b.wantState("show", v1alpha1.LiveStreamIdle); len(status.History) != 1 || len(b.running()) != 0 {
		t.Errorf("%d Jobs run, history = %+v", len(b.running()), status.History)
	}
}

func TestAPushThatComesBackInTheWindowRunsNothingAfterTheEndYet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(uploads)
	b.live("show", "A")
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle("show")
	b.pass(4 * time.Second)
	b.live("show", "B")
	b.pass(time.Hour)
	b.settle("show")
	if jobs := b.jobsOf("upload"); len(jobs) != 0 || len(b.stream("show").Status.History) != 0 {
		t.Errorf("%d Jobs, history = %+v", len(jobs), b.stream("show").Status.History)
	}
}
