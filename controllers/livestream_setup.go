package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// ownerIndex finds the Jobs and Pods of a LiveStream by its name, within its namespace.
const ownerIndex = "livestream"

const (
	// A pass waits for the API server nearly all its time, so there are far more than there are cores.
	concurrentStreams = 32
	// What fails is tried again after 0.1 s, 0.2 s, ... 30 s: a workload must not wait long for an API server that is back.
	firstRetry   = 100 * time.Millisecond
	longestRetry = 30 * time.Second
)

// SetupWithManager registers the reconciler and the indexes that only it uses.
func (r *LiveStreamReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := indexByStream(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("livestream").
		For(&v1alpha1.LiveStream{}).
		Watches(&batchv1.Job{}, handler.EnqueueRequestsFromMapFunc(streamOf), builder.WithPredicates(keptChanged)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(streamOf), builder.WithPredicates(keptChanged)).
		Watches(&v1alpha1.LiveStream{}, r.followed()).
		Watches(&v1alpha1.LiveStream{}, handler.EnqueueRequestsFromMapFunc(r.streamsLikeIt), builder.WithPredicates(cameOrWent)).
		Watches(&v1alpha1.PushDomain{}, r.afterOthers(r.streamsOfHost), builder.WithPredicates(specChanged)).
		Watches(&v1alpha1.PushDomain{}, handler.EnqueueRequestsFromMapFunc(r.streamsUnclaimed), builder.WithPredicates(unclaimedChanged)).
		WatchesRawSource(source.Channel(r.Again, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrentStreams,
			// Followers keep their caches warm, so that a new leader goes on at once.
			EnableWarmup: new(true),
			RateLimiter:  workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry),
		}).
		Complete(r)
}

func indexByStream(ctx context.Context, indexer client.FieldIndexer) error {
	byLabel := func(o client.Object) []string {
		if name := o.GetLabels()[v1alpha1.LabelLiveStream]; name != "" {
			return []string{name}
		}
		return nil
	}
	for _, object := range []client.Object{&batchv1.Job{}, &corev1.Pod{}} {
		if err := indexer.IndexField(ctx, object, ownerIndex, byLabel); err != nil {
			return fmt.Errorf("indexing %T by LiveStream: %w", object, err)
		}
	}
	return nil
}

// afterOthers brings requests that may be many, after all that events bring. Push domains that were there when the operator started
// bring none: all LiveStreams come by themselves then.
func (*LiveStreamReconciler) afterOthers(requests func(context.Context, client.Object) []reconcile.Request) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	add := func(ctx context.Context, object client.Object, to queue) {
		later, canWait := to.(priorityqueue.PriorityQueue[reconcile.Request])
		for _, request := range requests(ctx, object) {
			if canWait {
				later.AddWithOpts(priorityqueue.AddOpts{Priority: new(handler.LowPriority)}, request)
			} else {
				to.Add(request)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, to queue) {
			if !e.IsInInitialList {
				add(ctx, e.Object, to)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, to queue) {
			if madeAnew(e) {
				add(ctx, e.ObjectOld, to)
			}
			add(ctx, e.ObjectNew, to)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, to queue) { add(ctx, e.Object, to) },
	}
}

// madeAnew says whether the object was deleted, and another one took its name, while the watch had a gap: that comes as an update.
func madeAnew(e event.UpdateEvent) bool { return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() }

// specChanged passes all but changes of metadata and status.
var specChanged = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: madeAnew})

// cameOrWent passes creations and deletions, which begin with an update where a finalizer holds them up: another LiveStream of the same stream
// takes over then, or lets go. All come by themselves when the operator starts.
var cameOrWent = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return madeAnew(e) || e.ObjectOld.GetDeletionTimestamp() == nil && e.ObjectNew.GetDeletionTimestamp() != nil
	},
	GenericFunc: func(event.GenericEvent) bool { return false },
}

// streamOf is the LiveStream of a Job or Pod, as ownerIndex finds them. A Job whose label somebody took away is its owner's.
func streamOf(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[v1alpha1.LabelLiveStream]
	if owner := metav1.GetControllerOfNoCopy(object); name == "" && owner != nil && owner.Kind == "LiveStream" {
		name = owner.Name
	}
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

// keptChanged passes updates that change what the cache keeps of a Job or Pod, and those that the cache brings again without any change. Of those
// between a Job and its ready Pod most change what no pass reads.
var keptChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	if e.ObjectOld.GetResourceVersion() == e.ObjectNew.GetResourceVersion() {
		return true
	}
	before, is := e.ObjectOld.DeepCopyObject().(client.Object)
	if !is {
		return true
	}
	before.SetResourceVersion(e.ObjectNew.GetResourceVersion())
	return !equality.Semantic.DeepEqual(before, e.ObjectNew)
}}

// unclaimedChanged passes changes of the pushes that no LiveStream claims.
var unclaimedChanged = predicate.Funcs{
	CreateFunc:  func(event.CreateEvent) bool { return false },
	DeleteFunc:  func(event.DeleteEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, isDomain := e.ObjectOld.(*v1alpha1.PushDomain)
		after, too := e.ObjectNew.(*v1alpha1.PushDomain)
		return isDomain && too && !equality.Semantic.DeepEqual(before.Status.UnclaimedPushes, after.Status.UnclaimedPushes)
	},
}

// streamsLikeIt are the LiveStreams that may take over from one that was deleted, or let go for one that was made.
func (r *LiveStreamReconciler) streamsLikeIt(ctx context.Context, object client.Object) []reconcile.Request {
	stream, ok := object.(*v1alpha1.LiveStream)
	if !ok {
		return nil
	}
	domain, err := r.pushDomain(ctx, stream)
	if err != nil || domain == nil {
		return nil
	}
	return slices.DeleteFunc(r.holders(ctx, domain, push.Stream{App: stream.Spec.AppName, Name: stream.Spec.StreamName}), func(request reconcile.Request) bool {
		return request.Name == stream.Name
	})
}

// streamsUnclaimed are the LiveStreams whose pushes a push domain lists as unclaimed.
func (r *LiveStreamReconciler) streamsUnclaimed(ctx context.Context, object client.Object) []reconcile.Request {
	domain, ok := object.(*v1alpha1.PushDomain)
	if !ok {
		return nil
	}
	var requests []reconcile.Request
	asked := map[push.Stream]bool{}
	for _, p := range domain.Status.UnclaimedPushes {
		if stream := push.StreamOf(p); !asked[stream] {
			asked[stream] = true
			requests = append(requests, r.holders(ctx, domain, stream)...)
		}
	}
	return requests
}

func (r *LiveStreamReconciler) holders(ctx context.Context, domain *v1alpha1.PushDomain, stream push.Stream) []reconcile.Request {
	holders, err := index.Holders(ctx, r.Client, domain.Namespace, domain.Spec.Domain, stream.App, stream.Name)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list LiveStreams of the cache")
		return nil
	}
	return requestsFor(holders)
}

// streamsOfHost are those of all PushDomains of the same host: they may hold each other's streams.
func (r *LiveStreamReconciler) streamsOfHost(ctx context.Context, object client.Object) []reconcile.Request {
	domain, ok := object.(*v1alpha1.PushDomain)
	if !ok {
		return nil
	}
	requests := r.requests(ctx, domain)
	alike, err := index.PushDomains(ctx, r.Client, domain.Namespace, domain.Spec.Domain)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list PushDomains of the cache")
		return requests
	}
	for _, other := range alike {
		if other.Name != domain.Name {
			requests = append(requests, r.requests(ctx, other)...)
		}
	}
	return requests
}

func (r *LiveStreamReconciler) requests(ctx context.Context, domain *v1alpha1.PushDomain) []reconcile.Request {
	streams, err := index.Find[v1alpha1.LiveStream](ctx, r.Client, &v1alpha1.LiveStreamList{}, domain.Namespace, index.ByPushDomain, domain.Name)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list LiveStreams of the cache")
		return nil
	}
	return requestsFor(streams)
}

func requestsFor(streams []*v1alpha1.LiveStream) []reconcile.Request {
	requests := make([]reconcile.Request, 0, len(streams))
	for _, stream := range streams {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(stream)})
	}
	return requests
}
