package controllers

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

// Found by reading: the share of a LiveStream whose spec was edited to another target stayed where the leader was lost at that moment: the next one had
// never looked at the target, and nothing named it.
func TestANewLeaderGivesBackWhatWasDroppedAMomentAgo(t *testing.T) {
	t.Parallel()
	elsewhere := plan.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "elsewhere"}
	for _, tc := range []struct {
		name string
		// after is how long after the edit the follower leads.
		after time.Duration
		// unreachable is how often the API server does not answer then.
		unreachable int
		want        int32
	}{
		{"at once", 0, 0, 0},
		{"within a minute", dropLife, 0, 0},
		{"and the API server is away for long", dropLife, 2, 0},
		{"later, when the last leader has done so and somebody else may scale it", dropLife + time.Second, 0, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 3, 2))
			b.settle("show")
			b.wantReplicas("idle", 2)
			before := b.stream("show")
			edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.Workloads[0].Scale.Name = elsewhere.Name })
			b.restart(env.Client)
			follower := &ScaleReconciler{Scaler: b.scaler}
			queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[TargetKey]())
			defer queue.ShutDown()
			follower.named(follower.targetsOfStream).Update(t.Context(), event.UpdateEvent{ObjectOld: before, ObjectNew: b.stream("show")}, queue)
			if queue.Len() != 2 {
				t.Errorf("%d targets are looked at, want both", queue.Len())
			}
			b.pass(tc.after)
			answers := b.scaler.Client
			for range tc.unreachable {
				b.scaler.Client = liveReader{interceptor.NewClient(env.Client, interceptor.Funcs{SubResourceGet: func(context.Context, client.Client, string, client.Object, client.Object, ...client.SubResourceGetOption) error {
					return context.DeadlineExceeded
				}})}
				if _, err := b.scaler.Settle(t.Context(), TargetKey{b.namespace, packagerRef}); err == nil {
					t.Error("it was settled without the API server")
				}
				b.pass(longestRetry)
			}
			b.scaler.Client = answers
			b.wantReplicas("by the new leader", tc.want)
			if n := len(b.scaler.seen) + len(b.scaler.drops); n != 0 {
				t.Errorf("%d targets are remembered, want none", n)
			}
		})
	}
}

func TestANewLeaderGivesBackWhatATemplateDroppedAMomentAgo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	domain := newDomain()
	domain.Spec.Template.Spec.Workloads = scaled("template", packagerRef, 3, 2).Spec.Workloads
	heir := newStream("heir")
	heir.Spec.Workloads = nil
	b.create(newSecret(), domain, newDeployment(0), heir)
	b.settle("heir")
	b.wantReplicas("idle", 2)
	before := b.domain()
	edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) { d.Spec.Template.Spec.Workloads[0].Scale.Name = "elsewhere" })
	b.restart(env.Client)
	follower := &ScaleReconciler{Scaler: b.scaler}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[TargetKey]())
	defer queue.ShutDown()
	follower.named(targetsOfTemplate).Update(t.Context(), event.UpdateEvent{ObjectOld: before, ObjectNew: b.domain()}, queue)
	b.wantReplicas("by the new leader", 0)
}
