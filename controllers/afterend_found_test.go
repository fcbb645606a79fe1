package controllers

import (
	"context"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// A Job that somebody deletes when it has ended may be gone before a pass sees it end.
func TestAnAfterEndJobThatIsGoneAlreadyIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.uploadsNext()
	b.settle("show")
	first := b.jobsOf("upload")[0]
	if b.afterEnd("show").JobName != first.Name {
		t.Fatalf("status = %+v, want the name of the Job", b.afterEnd("show"))
	}
	b.complete(&first)
	b.delete(&first)
	b.settle("show")
	if again := b.jobsOf("upload"); len(again) != 0 {
		t.Errorf("it was made a second time: %+v", b.afterEnd("show"))
	}
}

// The watch of Jobs is behind, as after a change of leader: what the AfterEnd Job reads may still be written.
func TestAnAfterEndJobWaitsForAJobThatTheCacheDoesNotShow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(uploads)
	b.restart(noJobs(interceptor.Funcs{}))
	b.live("show", "A")
	b.over("show", "A")
	if state := b.stream("show").Status.State; state != v1alpha1.LiveStreamIdle {
		t.Fatalf("state = %s, want Idle", state)
	}
	if jobs := b.jobsOf("upload"); len(jobs) != 0 {
		t.Error("it runs though the recorder was not seen to end")
	}
	if len(b.running()) != 0 {
		t.Error("the recorder was not stopped")
	}
}

// Found by make chaos: the cache had the LiveStream as it was before the last pass, and not yet the Job that this made. The pass began with a
// status that knew of none, went on with the API server's own, and told that the Job was gone.
func TestAnAfterEndJobThatOnlyTheAPIServerKnowsIsNotTakenForGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.uploadsNext()
	past := b.stream("show")
	b.settle("show")
	b.restart(noJobs(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, name client.ObjectKey, object client.Object, opts ...client.GetOption) error {
		if stream, is := object.(*v1alpha1.LiveStream); is {
			past.DeepCopyInto(stream)
			return nil
		}
		return c.Get(ctx, name, object, opts...)
	}}))
	b.reconcile("show")
	if got := b.afterEnd("show"); got.State != v1alpha1.WorkloadPending || len(b.jobsOf("upload")) != 1 {
		t.Errorf("with %d Jobs the status says %+v, want one that is Pending", len(b.jobsOf("upload")), got)
	}
}
