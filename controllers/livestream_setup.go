package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
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
	for _, object := range []client.Object{&batchv1.Job{}, &corev1.Pod{}} {
		byLabel := func(o client.Object) []string {
			if name := o.GetLabels()[v1alpha1.LabelLiveStream]; name != "" {
				return []string{name}
			}
			return nil
		}
		if err := mgr.GetFieldIndexer().IndexField(ctx, object, ownerIndex, byLabel); err != nil {
			return fmt.Errorf("indexing %T by LiveStream: %w", object, err)
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("livestream").
		For(&v1alpha1.LiveStream{}).
		Owns(&batchv1.Job{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(streamOfPod)).
		Watches(&v1alpha1.LiveStream{}, handler.EnqueueRequestsFromMapFunc(r.streamsLikeIt), builder.WithPredicates(onlyDeleted)).
		Watches(&v1alpha1.PushDomain{}, handler.EnqueueRequestsFromMapFunc(r.streamsOfDomain), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrentStreams,
			// Followers keep their caches warm, so that a new leader goes on at once.
			EnableWarmup: new(true),
			RateLimiter:  workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry),
		}).
		Complete(r)
}

// onlyDeleted passes deletions: the next LiveStream of the same stream takes over then.
var onlyDeleted = predicate.Funcs{
	CreateFunc:  func(event.CreateEvent) bool { return false },
	UpdateFunc:  func(event.UpdateEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

func streamOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[v1alpha1.LabelLiveStream]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}

func (r *LiveStreamReconciler) streamsLikeIt(ctx context.Context, object client.Object) []reconcile.Request {
	stream, ok := object.(*v1alpha1.LiveStream)
	if !ok {
		return nil
	}
	return r.requests(ctx, stream.Namespace, client.MatchingFields{index.ByStream: index.KeyOf(stream)})
}

func (r *LiveStreamReconciler) streamsOfDomain(ctx context.Context, domain client.Object) []reconcile.Request {
	return r.requests(ctx, domain.GetNamespace(), client.MatchingFields{index.ByPushDomain: domain.GetName()})
}

func (r *LiveStreamReconciler) requests(ctx context.Context, namespace string, which client.MatchingFields) []reconcile.Request {
	var streams v1alpha1.LiveStreamList
	if err := r.List(ctx, &streams, client.InNamespace(namespace), which); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list LiveStreams of the cache")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(streams.Items))
	for i := range streams.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&streams.Items[i])})
	}
	return requests
}
