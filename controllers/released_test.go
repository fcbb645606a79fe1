package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// deleteShow deletes the LiveStream, and lets the reconciler of the PushDomain see that as its watch would.
func (b *bench) deleteShow(lastStateKnown bool) {
	b.t.Helper()
	b.deleteSeen("show", lastStateKnown)
}

func (b *bench) deleteSeen(name string, lastStateKnown bool) {
	b.t.Helper()
	gone := b.stream(name)
	b.delete(&v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Name: name}})
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
	defer queue.ShutDown()
	b.domains.streamWent(b.t.Context(), event.DeleteEvent{Object: gone, DeleteStateUnknown: !lastStateKnown}, queue)
	if queue.Len() != 1 {
		b.t.Errorf("%d push domains are looked at, want 1", queue.Len())
	}
}

func TestALiveStreamMadeAnewClaimsThePushesOfTheDeletedOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.record("show", b.starts("B"))
	b.record("show", b.ends("B", 1, v1alpha1.PushReasonClientStopped))
	b.deleteShow(true)
	b.reconcileDomain()
	if got := len(b.domain().Status.UnclaimedPushes); got != 2 {
		t.Fatalf("%d unclaimed pushes, want 2: %+v", got, b.domain().Status.UnclaimedPushes)
	}
	b.create(newStream("show"))
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamLive)
	b.record("show", b.starts("B"))
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle("show")
	b.pass(tidyEvery)
	b.reconcileDomain()
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	if got := b.domain().Status.UnclaimedPushes; len(got) != 0 {
		t.Errorf("claimed pushes are still listed: %+v", got)
	}
}

func TestPushesOfADeletedLiveStreamAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		known bool
		wait  time.Duration
		other bool
	}{
		"when its last state is not known":                 {known: false},
		"when the leader of that time has written them":    {known: true, wait: releaseLife + time.Second},
		"when another LiveStream of the stream knows them": {known: true, other: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show()
			b.record("show", b.starts("A"))
			if row.other {
				b.create(newStream("other"))
				b.record("other", b.starts("A"))
			}
			b.reconcileDomain()
			b.deleteShow(row.known)
			b.pass(row.wait)
			b.reconcileDomain()
			if got := b.domain().Status.UnclaimedPushes; len(got) != 0 {
				t.Errorf("unclaimed pushes = %+v, want none", got)
			}
		})
	}
}
