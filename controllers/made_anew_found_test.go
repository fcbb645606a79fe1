package controllers

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
)

// brought are the names that the handler brings for the update.
func (b *bench) brought(to handler.EventHandler, e event.UpdateEvent) []string {
	b.t.Helper()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
	defer queue.ShutDown()
	to.Update(b.t.Context(), e, queue)
	var names []string
	for queue.Len() > 0 {
		request, _ := queue.Get()
		names = append(names, request.Name)
		queue.Done(request)
	}
	return names
}

// Found by reading: kubectl replace --force while a watch was cut. The informer lists anew, and tells an update of one object to another.
func TestALiveStreamThatWasMadeAnewInAWatchGapBringsTheOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newStream("a-first"), newStream("b-second"))
	before := b.stream("a-first")
	b.delete(newStream("a-first"))
	b.create(newStream("a-first"))
	gap := event.UpdateEvent{ObjectOld: before, ObjectNew: b.stream("a-first")}
	if !cameOrWent.Update(gap) {
		t.Error("the others are not told")
	}
	if diff := gocmp.Diff([]string{"b-second"}, b.brought(handler.EnqueueRequestsFromMapFunc(b.reconciler.streamsLikeIt), gap)); diff != "" {
		t.Errorf("LiveStreams that it brings (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"shows"}, b.brought(handler.Funcs{UpdateFunc: b.domains.streamChanged}, gap)); diff != "" {
		t.Errorf("PushDomains that it brings (-want +got):\n%s", diff)
	}
	b.reconciler.interruptions.note(before.UID, b.clock.Now())
	b.brought(b.reconciler.followed(), gap)
	if len(b.reconciler.interruptions.seen) > 0 {
		t.Error("the interruption of the one that is gone is remembered")
	}
}

func TestAPushDomainThatWasMadeAnewInAWatchGapBringsItsStreams(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	too, elsewhere, another := newDomain(), newStream("elsewhere"), newDomain()
	too.Name, elsewhere.Spec.PushDomainRef.Name = "shows-too", "shows-too"
	another.Spec.Domain = "push.another.example.com"
	b.create(newSecret(), newDomain(), too, newStream("show"), elsewhere)
	before := b.domain()
	b.delete(newDomain())
	b.create(another)
	gap := event.UpdateEvent{ObjectOld: before, ObjectNew: b.domain()}
	if !specChanged.Update(gap) {
		t.Error("neither it nor its streams are looked at")
	}
	// One of its streams may have been a duplicate of elsewhere.
	got := b.brought(b.reconciler.afterOthers(b.reconciler.streamsOfHost), gap)
	if diff := gocmp.Diff([]string{"elsewhere", "show"}, got, cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
		t.Errorf("LiveStreams that it brings (-want +got):\n%s", diff)
	}
	same := event.UpdateEvent{ObjectOld: gap.ObjectNew, ObjectNew: b.domain()}
	if specChanged.Update(same) {
		t.Error("a change of its status alone brings all its streams")
	}
}
