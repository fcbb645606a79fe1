package controllers

import (
	"context"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "studio", Name: name}}
}

// A change of a push domain, or a start of the operator, brings all its streams. An event of one of them must not wait for that.
func TestEventsOfStreamsComeBeforeAllStreamsOfAPushDomain(t *testing.T) {
	t.Parallel()
	queue := priorityqueue.New[reconcile.Request]("test")
	defer queue.ShutDown()
	all := func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request("a"), request("b"), request("c")}
	}
	domains := (&LiveStreamReconciler{}).afterOthers(all)
	domains.Update(t.Context(), event.UpdateEvent{ObjectOld: newDomain(), ObjectNew: newDomain()}, queue)
	streams := &handler.EnqueueRequestForObject{}
	fresh := func(name, before, after string) {
		stream := newStream(name)
		stream.Namespace, stream.ResourceVersion = "studio", before
		next := stream.DeepCopy()
		next.ResourceVersion = after
		streams.Update(t.Context(), event.UpdateEvent{ObjectOld: stream, ObjectNew: next}, queue)
	}
	start := newStream("there at the start")
	start.Namespace = "studio"
	streams.Create(t.Context(), event.CreateEvent{Object: start, IsInInitialList: true}, queue)
	fresh("resync", "1", "1")
	fresh("c", "1", "2")
	if got, priority, _ := queue.GetWithPriority(); got != request("c") || priority != 0 {
		t.Errorf("first comes %s with priority %d, want c with 0", got, priority)
	}
	for range 4 {
		if got, priority, _ := queue.GetWithPriority(); priority != handler.LowPriority {
			t.Errorf("%s has priority %d, want %d", got, priority, handler.LowPriority)
		}
	}
}

func TestPushDomainsThatWereThereAtTheStartBringNoStreams(t *testing.T) {
	t.Parallel()
	queue := priorityqueue.New[reconcile.Request]("test")
	defer queue.ShutDown()
	domains := (&LiveStreamReconciler{}).afterOthers(func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{request("a")} })
	domains.Create(t.Context(), event.CreateEvent{Object: &v1alpha1.PushDomain{}, IsInInitialList: true}, queue)
	if n := queue.Len(); n > 0 {
		t.Errorf("%d requests come", n)
	}
	domains.Create(t.Context(), event.CreateEvent{Object: &v1alpha1.PushDomain{}}, queue)
	if got, _ := queue.Get(); got != request("a") {
		t.Errorf("one that is new brings %s", got)
	}
}
