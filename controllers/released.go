package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

const (
	// releaseLife is how long the pushes of a deleted LiveStream wait to be written to its PushDomain. Followers note them too, for
	// the case that the leader is lost before it writes; what is older, it has written.
	releaseLife = time.Minute
	// leaveLife is how long after a deletion began a push is taken for live that was so then. Who knows of its end keeps that for as long,
	// whatever else there is.
	leaveLife = push.ClaimGrace
	// awaitNext is how long unknownStreams makes no LiveStream for a stream whose own was deleted: it may be on its way again, as from kubectl
	// replace --force, and would be the younger of the two.
	awaitNext = 30 * time.Second
)

// released are the pushes of LiveStreams that are being deleted, or were: CSS does not repeat the start of a push for a LiveStream that is
// made anew. What goes while no replica runs is not seen.
type released struct {
	mu      sync.Mutex
	streams map[types.NamespacedName][]release
}

type release struct {
	// host is the push domain that they came from: a PushDomain may be made anew for another one.
	host   string
	stream push.Stream
	pushes []v1alpha1.Push
	at     time.Time
	// awaited says that the next LiveStream of the stream may come: unknownStreams did not make this one.
	awaited bool
}

// note keeps the pushes for the PushDomain of that name.
func (r *released) note(domain types.NamespacedName, gone release) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams == nil {
		r.streams = map[types.NamespacedName][]release{}
	}
	for name := range r.streams {
		if r.streams[name] = fresh(r.streams[name], gone.at); len(r.streams[name]) == 0 {
			delete(r.streams, name)
		}
	}
	r.streams[domain] = append(r.streams[domain], gone)
}

// with are the unclaimed pushes of the PushDomain and what was released lately. To add it twice changes nothing.
func (r *released) with(domain *v1alpha1.PushDomain, now time.Time) []v1alpha1.UnclaimedPush {
	r.mu.Lock()
	defer r.mu.Unlock()
	unclaimed := domain.Status.UnclaimedPushes
	for _, gone := range fresh(r.streams[types.NamespacedName{Namespace: domain.Namespace, Name: domain.Name}], now) {
		if len(gone.pushes) > 0 && gone.host == index.Host(domain.Spec.Domain) {
			unclaimed = push.Release(unclaimed, gone.stream, gone.pushes, now)
		}
	}
	return unclaimed
}

// awaited are the streams whose next LiveStream may be on its way, and for how much longer.
func (r *released) awaited(domain *v1alpha1.PushDomain, now time.Time) map[push.Stream]time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	awaited := map[push.Stream]time.Duration{}
	for _, gone := range r.streams[types.NamespacedName{Namespace: domain.Namespace, Name: domain.Name}] {
		if left := awaitNext - now.Sub(gone.at); gone.awaited && left > 0 {
			awaited[gone.stream] = left
		}
	}
	return awaited
}

// fresh leaves out what is past its life. They are in the order of time.
func fresh(releases []release, now time.Time) []release {
	for len(releases) > 0 && now.Sub(releases[0].at) > releaseLife {
		releases = releases[1:]
	}
	return releases
}

func (r *PushDomainReconciler) streamCame(_ context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	stream, ok := e.Object.(*v1alpha1.LiveStream)
	if !ok {
		return
	}
	if !stream.DeletionTimestamp.IsZero() {
		r.release(stream, r.left(stream))
	}
	queue.Add(reconcile.Request{NamespacedName: domainOf(stream)})
}

// streamChanged releases the pushes when the deletion begins: the next LiveStream of the stream does not wait for its end, which something may
// hold up. A receiver that did not know of it may write yet.
func (r *PushDomainReconciler) streamChanged(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	before, isStream := e.ObjectOld.(*v1alpha1.LiveStream)
	after, too := e.ObjectNew.(*v1alpha1.LiveStream)
	switch {
	case !isStream || !too:
	case madeAnew(e):
		r.streamWent(ctx, event.DeleteEvent{Object: before, DeleteStateUnknown: true}, queue)
		r.streamCame(ctx, event.CreateEvent{Object: after}, queue)
	case !after.DeletionTimestamp.IsZero() && (before.DeletionTimestamp.IsZero() || !samePushes(before.Status.Pushes, after.Status.Pushes)):
		r.release(after, r.left(after))
		queue.Add(reconcile.Request{NamespacedName: domainOf(after)})
	}
}

func (r *PushDomainReconciler) streamWent(_ context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	stream, ok := e.Object.(*v1alpha1.LiveStream)
	if !ok {
		return
	}
	pushes := stream.Status.Pushes
	if e.DeleteStateUnknown || !stream.DeletionTimestamp.IsZero() {
		// A last state that is not known may show a push live that has ended. So may one that was held up: what was live was released when the
		// deletion began, and the next LiveStream may have forgotten the end by now.
		pushes = push.Tombstones(pushes)
	}
	r.release(stream, pushes)
	queue.Add(reconcile.Request{NamespacedName: domainOf(stream)})
}

// left are the pushes that a LiveStream which is being deleted leaves to the next one.
func (r *PushDomainReconciler) left(stream *v1alpha1.LiveStream) []v1alpha1.Push {
	if r.Clock.Since(stream.DeletionTimestamp.Time) > leaveLife {
		return push.Tombstones(stream.Status.Pushes)
	}
	return stream.Status.Pushes
}

func (r *PushDomainReconciler) release(stream *v1alpha1.LiveStream, pushes []v1alpha1.Push) {
	gone := release{
		host: index.Host(stream.Status.Domain), stream: push.Stream{App: stream.Spec.AppName, Name: stream.Spec.StreamName}, pushes: pushes, at: r.Clock.Now(),
		// A copy of one that was made has its annotation too.
		awaited: stream.Annotations[v1alpha1.AnnotationMadeAs] == "" ||
			stream.Name != workload.StreamName(stream.Spec.PushDomainRef.Name, stream.Spec.AppName, stream.Spec.StreamName),
	}
	if len(pushes) > 0 || gone.awaited {
		r.released.note(domainOf(stream), gone)
	}
}

func domainOf(stream *v1alpha1.LiveStream) types.NamespacedName {
	return types.NamespacedName{Namespace: stream.Namespace, Name: stream.Spec.PushDomainRef.Name}
}
