package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// exceedsQuota plays the Job controller of a Job that gets no Pod.
func (b *bench) exceedsQuota(job *batchv1.Job) {
	b.t.Helper()
	b.create(&corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "quota-" + job.Name}, InvolvedObject: corev1.ObjectReference{Kind: "Job", Namespace: b.namespace, Name: job.Name, UID: job.UID},
		Reason: "FailedCreate", Message: `Error creating: pods "x" is forbidden: exceeded quota: few`,
	})
}

// beforeEvents does something before Events are listed, which an error of it prevents.
func (b *bench) beforeEvents(do func(context.Context) error) {
	b.reconciler.Live = interceptor.NewClient(env.Client, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, objects client.ObjectList, opts ...client.ListOption) error {
		if _, is := objects.(*corev1.EventList); is {
			if err := do(ctx); err != nil {
				return err
			}
		}
		return c.List(ctx, objects, opts...)
	}})
}

// Found by reading: Events are for a message only, and may be kept apart from everything else.
func TestEventsThatCannotBeListedHoldNoStopUp(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]func(context.Context) error{
		"refused":        func(context.Context) error { return apierrors.NewServiceUnavailable("away") },
		"never answered": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.clock.SetTime(time.Now())
			b.show()
			b.live("show", "A")
			job := b.onlyJob()
			b.exceedsQuota(job)
			b.pass(time.Minute)
			b.settle("show")
			before := b.stream("show").Status.Workloads[0]
			if !strings.Contains(before.Message, "exceeded quota") {
				t.Fatalf("workload = %+v, want its quota told", before)
			}
			b.beforeEvents(list)
			b.pass(time.Minute)
			b.reconcile("show")
			if after := b.stream("show").Status.Workloads[0]; after.Message != before.Message {
				t.Errorf("its message is %q now, it was %q", after.Message, before.Message)
			}
			b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
			b.reconcile("show")
			b.pass(5 * time.Second)
			b.reconcile("show")
			b.wantState("show", v1alpha1.LiveStreamIdle)
			if len(b.running()) != 0 {
				t.Error("the Job was not stopped")
			}
		})
	}
}
