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
			if n := b.follows(before, b.stream("show")); n != 2 {
				t.Errorf("%d targets are looked at, want both", n)
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
	b.follows(before, b.domain())
	b.wantReplicas("by the new leader", 0)
}

// Found by reading: it scaled it to 0, though no share had been in it.
func TestANewLeaderLeavesAloneWhatAPersonScaledWhereNoShareWasHeld(t *testing.T) {
	t.Parallel()
	toElsewhere := func(workloads []v1alpha1.Workload) { workloads[0].Scale.Name = "elsewhere" }
	t.Run("a LiveStream named it", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 3, 0))
		b.settle("show")
		before := b.stream("show")
		edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { toElsewhere(s.Spec.Workloads) })
		b.setReplicas(3)
		b.restart(env.Client)
		b.follows(before, b.stream("show"))
		b.wantReplicas("by the new leader", 3)
	})
	t.Run("a template named it", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		domain := newDomain()
		domain.Spec.Template.Spec.Workloads = scaled("template", packagerRef, 3, 0).Spec.Workloads
		b.create(newSecret(), domain, newDeployment(3))
		before := b.domain()
		edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) { toElsewhere(d.Spec.Template.Spec.Workloads) })
		b.restart(env.Client)
		b.follows(before, b.domain())
		b.wantReplicas("by the new leader", 3)
	})
}

// follows lets the process see an update as one that does not lead does, and counts the targets that are to be looked at.
func (b *bench) follows(before, after client.Object) int {
	follower := &ScaleReconciler{Scaler: b.scaler}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[TargetKey]())
	defer queue.ShutDown()
	seen := follower.named(follower.targetsOfStream, follower.heldByStream)
	if _, is := after.(*v1alpha1.PushDomain); is {
		seen = follower.named(targetsOfTemplate, heldByTemplate)
	}
	seen.Update(b.t.Context(), event.UpdateEvent{ObjectOld: before, ObjectNew: after}, queue)
	return queue.Len()
}
