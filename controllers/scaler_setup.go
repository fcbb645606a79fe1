package controllers

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

const concurrentTargets = 8

// ScaleReconciler settles scale targets whenever a share in them changes.
type ScaleReconciler struct {
	Scaler *Scaler
	// Changed gets the LiveStreams whose target is not as it was.
	Changed chan<- event.GenericEvent
}

// Reconcile settles one target.
func (r *ScaleReconciler) Reconcile(ctx context.Context, key TargetKey) (ctrl.Result, error) {
	result, err := r.Scaler.Settle(ctx, key)
	if result.changed {
		for i := range result.sharers {
			select {
			case r.Changed <- event.GenericEvent{Object: &result.sharers[i]}:
			case <-ctx.Done():
				return ctrl.Result{}, ctx.Err()
			}
		}
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: result.waitFor()}, nil
}

// SetupWithManager registers the reconciler and its index.
func (r *ScaleReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	byTarget := func(object client.Object) []string {
		stream, ok := object.(*v1alpha1.LiveStream)
		if !ok {
			return nil
		}
		var keys []string
		for _, ref := range plan.TargetsOf(stream, stream.Spec.LiveStreamSettings) {
			keys = append(keys, ref.Key())
		}
		return keys
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.LiveStream{}, targetIndex, byTarget); err != nil {
		return fmt.Errorf("indexing LiveStreams by scale target: %w", err)
	}
	return builder.TypedControllerManagedBy[TargetKey](mgr).
		Named("scale").
		Watches(&v1alpha1.LiveStream{}, r.named(r.targetsOfStream, r.heldByStream)).
		Watches(&v1alpha1.PushDomain{}, r.named(targetsOfTemplate, heldByTemplate)).
		WithOptions(controller.TypedOptions[TargetKey]{
			EnableWarmup: new(true), MaxConcurrentReconciles: concurrentTargets,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[TargetKey](firstRetry, longestRetry),
		}).
		Complete(reconcile.TypedFunc[TargetKey](r.Reconcile))
}

type targetsOf = handler.TypedMapFunc[client.Object, TargetKey]

// named brings the targets that an object names, or named before. Of these, held are those in which it has a share.
func (r *ScaleReconciler) named(targets, held targetsOf) handler.TypedEventHandler[client.Object, TargetKey] {
	return named{handler.TypedEnqueueRequestsFromMapFunc(targets), targets, held, r.Scaler}
}

type named struct {
	handler.TypedEventHandler[client.Object, TargetKey]
	targets, held targetsOf
	scaler        *Scaler
}

// Update notes first what is held and not named any more, also by followers: the leader may be lost before it gives that back.
func (n named) Update(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[TargetKey]) {
	if held := n.held(ctx, e.ObjectOld); len(held) > 0 {
		after := n.targets(ctx, e.ObjectNew)
		n.scaler.dropped(slices.DeleteFunc(held, func(key TargetKey) bool { return slices.Contains(after, key) }))
	}
	n.TypedEventHandler.Update(ctx, e, queue)
}

func (r *ScaleReconciler) targetsOfStream(ctx context.Context, object client.Object) []TargetKey {
	stream, ok := object.(*v1alpha1.LiveStream)
	if !ok {
		return nil
	}
	return keysOf(stream.Namespace, plan.TargetsOf(stream, r.cached(ctx, stream)))
}

func (r *ScaleReconciler) heldByStream(ctx context.Context, object client.Object) []TargetKey {
	stream, ok := object.(*v1alpha1.LiveStream)
	if !ok {
		return nil
	}
	return held(stream, r.cached(ctx, stream))
}

// cached are the settings with what the cache has of the PushDomain.
func (r *ScaleReconciler) cached(ctx context.Context, stream *v1alpha1.LiveStream) v1alpha1.LiveStreamSettings {
	settings, err := r.Scaler.settings(ctx, stream)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not read the PushDomain of the cache")
	}
	return settings
}

func targetsOfTemplate(_ context.Context, object client.Object) []TargetKey {
	domain, ok := object.(*v1alpha1.PushDomain)
	if !ok {
		return nil
	}
	return keysOf(domain.Namespace, plan.TargetsOf(&v1alpha1.LiveStream{}, domain.Spec.Template.Spec))
}

// heldByTemplate are those in which an idle heir has a share. What one on air has a share in, its status names.
func heldByTemplate(_ context.Context, object client.Object) []TargetKey {
	domain, ok := object.(*v1alpha1.PushDomain)
	if !ok {
		return nil
	}
	heir := &v1alpha1.LiveStream{}
	heir.Namespace = domain.Namespace
	return held(heir, domain.Spec.Template.Spec)
}

func held(stream *v1alpha1.LiveStream, settings v1alpha1.LiveStreamSettings) []TargetKey {
	refs := plan.TargetsOf(stream, settings)
	return keysOf(stream.Namespace, slices.DeleteFunc(refs, func(ref plan.TargetRef) bool { return plan.Share(stream, settings, ref) == 0 }))
}

func keysOf(namespace string, refs []plan.TargetRef) []TargetKey {
	keys := make([]TargetKey, 0, len(refs))
	for _, ref := range refs {
		keys = append(keys, TargetKey{namespace, ref})
	}
	return keys
}

// settings are the stream's own, with what it inherits.
func (s *Scaler) settings(ctx context.Context, stream *v1alpha1.LiveStream) (v1alpha1.LiveStreamSettings, error) {
	domain := &v1alpha1.PushDomain{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: stream.Namespace, Name: stream.Spec.PushDomainRef.Name}, domain)
	return stream.Spec.Inherit(domain.Spec.Template.Spec), client.IgnoreNotFound(err)
}

// holdTargets puts the finalizer on a LiveStream that scales something, before it does: only then is its share given back
// however it is deleted.
func (r *LiveStreamReconciler) holdTargets(ctx context.Context, v *view) error {
	if len(plan.TargetsOf(v.Stream, v.Settings)) == 0 || controllerutil.ContainsFinalizer(v.Stream, v1alpha1.FinalizerScale) {
		return nil
	}
	next := v.Stream.DeepCopy()
	controllerutil.AddFinalizer(next, v1alpha1.FinalizerScale)
	if err := r.Patch(ctx, next, client.MergeFromWithOptions(v.Stream, client.MergeFromWithOptimisticLock{})); err != nil {
		return wrapped(err, "adding the finalizer for its scale target")
	}
	v.Stream = next
	return nil
}

// letGo gives back the shares of a LiveStream that is being deleted, and takes the finalizer off. A target that is not there,
// or that the operator may not scale, holds nothing up. It says whether the LiveStream changed meanwhile, or another one has its name.
func (r *LiveStreamReconciler) letGo(ctx context.Context, stream *v1alpha1.LiveStream) (overtaken bool, err error) {
	if !controllerutil.ContainsFinalizer(stream, v1alpha1.FinalizerScale) {
		return false, nil
	}
	settings, err := r.Scaler.settings(ctx, stream)
	if err != nil {
		return false, wrapped(err, "reading the PushDomain")
	}
	var kept []plan.Notice
	for _, ref := range plan.TargetsOf(stream, settings) {
		target, err := r.Scaler.GiveBack(ctx, TargetKey{stream.Namespace, ref})
		if err != nil {
			return false, err
		}
		if target.keeps {
			ctrl.LoggerFrom(ctx).Info("Left share in scale target", "target", ref.String(), "problem", target.Problem)
			kept = append(kept, plan.Notice{
				Warning: true, Reason: v1alpha1.ReasonTargetUnavailable, Action: "GiveBack", Note: fmt.Sprintf("%s was not scaled down for this LiveStream, which is being deleted: %s", ref, target.Problem),
			})
		}
	}
	next := stream.DeepCopy()
	controllerutil.RemoveFinalizer(next, v1alpha1.FinalizerScale)
	err = r.Patch(ctx, next, client.MergeFromWithOptions(stream, client.MergeFromWithOptimisticLock{}))
	switch {
	case apierrors.IsConflict(err):
		return true, nil
	case client.IgnoreNotFound(err) != nil:
		return false, wrapped(err, "taking the finalizer off")
	}
	r.Tell.Send(stream, kept)
	return false, nil
}
