package controllers

import (
	"context"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// A Job that somebody deletes when it has ended may be gone before a pass sees it end.
func TestAnAfterEndJobThatIsGoneAlreadyIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(uploads)
	b.live("show", "A")
	b.over("show", "A")
	b.collect()
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
	b.restart(interceptor.NewClient(env.Client, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if _, jobs := list.(*batchv1.JobList); jobs {
			return nil
		}
		return c.List(ctx, list, opts...)
	}}))
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
