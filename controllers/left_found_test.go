package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Found by reading: they were asked for one by one, which took longer than a decision lasts, so that no Job was made.
func TestManyJobsThatTheCacheDoesNotShowAreFoundInTimeAtASlowAPIServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(func(s *v1alpha1.LiveStream) {
		for i := range 8 {
			another := *s.Spec.Workloads[0].DeepCopy()
			another.Name = fmt.Sprint("another-", i)
			s.Spec.Workloads = append(s.Spec.Workloads, another)
		}
	})
	b.live("show", "A")
	of := b.stream("show").Status.Broadcast.ID
	b.restart(noJobs(interceptor.Funcs{}))
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.reconcile("show")
	b.pass(time.Minute)
	b.reconcile("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	b.record("show", b.starts("B"))
	const slow = time.Second * 3 / 4
	b.reconciler.Live = interceptor.NewClient(env.Client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, name client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if _, is := object.(*batchv1.Job); is {
				b.pass(slow)
			}
			return c.Get(ctx, name, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, is := list.(*batchv1.JobList); is {
				b.pass(slow)
			}
			return c.List(ctx, list, opts...)
		},
	})
	b.reconcile("show")
	running := b.running()
	for _, job := range running {
		if job.Labels[v1alpha1.LabelBroadcast] == of {
			t.Errorf("%s of the broadcast before was not told to end", job.Name)
		}
	}
	if len(running) != 9 {
		t.Errorf("%d Jobs run, want the 9 of the second broadcast", len(running))
	}
}
