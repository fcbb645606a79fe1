package controllers

import (
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// heldUp deletes a LiveStream that a finalizer holds. It returns it before and after.
func (b *bench) heldUp(name string) (before, deleted *v1alpha1.LiveStream) {
	b.t.Helper()
	before = b.stream(name)
	b.delete(newStream(name))
	deleted = b.stream(name)
	deleted.DeletionTimestamp = new(metav1.NewTime(b.clock.Now()))
	return before, deleted
}

// seesDeletion is what the watch tells the reconciler of the PushDomain when the deletion begins, and startsAfter when the operator starts then.
func (b *bench) seesDeletion(before, deleted *v1alpha1.LiveStream) {
	b.t.Helper()
	if diff := gocmp.Diff([]string{"shows"}, b.brought(handler.Funcs{UpdateFunc: b.domains.streamChanged}, event.UpdateEvent{ObjectOld: before, ObjectNew: deleted})); diff != "" {
		b.t.Errorf("PushDomains that are looked at (-want +got):\n%s", diff)
	}
}

func (b *bench) startsAfter(_, deleted *v1alpha1.LiveStream) {
	b.t.Helper()
	b.restart(env.Client)
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
	defer queue.ShutDown()
	b.domains.streamCame(b.t.Context(), event.CreateEvent{Object: deleted, IsInInitialList: true}, queue)
}

// goes lets the deletion end.
func (b *bench) goes(deleted *v1alpha1.LiveStream) {
	b.t.Helper()
	edit(b, deleted.Name, &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Finalizers = nil })
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
	defer queue.ShutDown()
	b.domains.streamWent(b.t.Context(), event.DeleteEvent{Object: deleted}, queue)
	b.reconcileDomain()
}

func (b *bench) unclaimedLive() int {
	b.t.Helper()
	return len(slices.DeleteFunc(b.domain().Status.UnclaimedPushes, func(p v1alpha1.UnclaimedPush) bool { return !push.IsLive(p.Push) }))
}

// Found by reading: a LiveStream has let its stream go once it is being deleted, and its pushes were released when it was gone.
func TestALiveStreamMadeWhileTheDeletionOfTheOldOneIsHeldUpClaimsItsPushes(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(b *bench, before, deleted *v1alpha1.LiveStream){
		"the operator sees it begin":        (*bench).seesDeletion,
		"the operator starts when it began": (*bench).startsAfter,
		"a receiver that did not know of it wrote yet": func(b *bench, before, deleted *v1alpha1.LiveStream) {
			early := deleted.DeepCopy()
			early.Status.Pushes = slices.DeleteFunc(early.Status.Pushes, func(p v1alpha1.Push) bool { return p.Sequence == "A" })
			b.seesDeletion(before, early)
			b.seesDeletion(early, deleted)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show(func(s *v1alpha1.LiveStream) { s.Finalizers = []string{theirs} })
			b.live("show", "A")
			b.record("show", b.starts("B"))
			b.record("show", b.ends("B", 1, v1alpha1.PushReasonClientStopped))
			before, deleted := b.heldUp("show")
			tell(b, before, deleted)
			b.reconcileDomain()
			b.reconcile("show")
			// What was released is in etcd by now.
			b.pass(releaseLife + time.Second)
			b.create(newStream("next"))
			b.settle("next")
			b.wantState("next", v1alpha1.LiveStreamLive)
			if running := b.running(); len(running) != 1 || running[0].Labels[v1alpha1.LabelLiveStream] != "next" {
				t.Errorf("%d Jobs run, want that of next alone", len(running))
			}
			// The late start of a push that ended before the deletion.
			b.record("next", b.starts("B"))
			b.over("next", "A")
			b.goes(deleted)
			b.settle("next")
			b.wantState("next", v1alpha1.LiveStreamIdle)
			if n := b.unclaimedLive(); n > 0 || len(b.running()) > 0 {
				t.Errorf("%d live pushes are unclaimed, %d Jobs run", n, len(b.running()))
			}
		})
	}
}

// Found by reading: the next LiveStream keeps the end of a push for an hour at least, and the last state of the old one shows it live for ever.
func TestAPushThatEndedWhileADeletionWasHeldUpStartsNothing(t *testing.T) {
	t.Parallel()
	for name, restarts := range map[string]bool{"": false, "and the operator was started anew": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			first := newStream("a-first")
			first.Finalizers = []string{theirs}
			b.create(newSecret(), newDomain(), first, newStream("b-second"))
			for _, name := range []string{"a-first", "b-second"} {
				b.settle(name)
				b.live(name, "A")
			}
			before, deleted := b.heldUp("a-first")
			b.seesDeletion(before, deleted)
			b.reconcileDomain()
			b.reconcile("a-first")
			b.settle("b-second")
			b.over("b-second", "A")
			b.pass(2 * push.TombstoneLife)
			b.live("b-second", "B")
			b.over("b-second", "B")
			b.collect()
			if known := b.stream("b-second").Status.Pushes; slices.ContainsFunc(known, func(p v1alpha1.Push) bool { return p.Sequence == "A" }) {
				t.Fatalf("it remembers A yet: %+v", known)
			}
			if restarts {
				b.startsAfter(before, deleted)
				b.reconcileDomain()
			}
			b.goes(deleted)
			b.settle("b-second")
			b.wantState("b-second", v1alpha1.LiveStreamIdle)
			if n := b.unclaimedLive(); n > 0 || len(b.running()) > 0 {
				t.Errorf("%d live pushes are unclaimed, %d Jobs run", n, len(b.running()))
			}
		})
	}
}
