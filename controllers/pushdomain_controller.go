package controllers

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/callbackpath"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
	"github.com/livestream-operator/livestream-operator/internal/versions"
)

// +kubebuilder:rbac:groups=livestream-operator.io,resources=pushdomains/status,verbs=patch

const (
	// countEvery is how often status.liveStreams may be written.
	countEvery = time.Minute
	// keysEvery is how often the keys are looked at when nothing was wrong with them: Secrets are not watched.
	keysEvery         = 30 * time.Second
	concurrentDomains = 16
	// conflictRetry is how soon a status is written again that somebody else wrote meanwhile.
	conflictRetry = 100 * time.Millisecond
)

// DomainTruth is what CSS itself says about a push domain.
type DomainTruth interface {
	// Unknown lists streams on air that may have no LiveStream.
	Unknown(domain *v1alpha1.PushDomain) []push.Stream
	// Health says whether CSS answers.
	Health(domain types.UID) Health
}

// PushDomainReconciler tells users whether a push domain can receive callbacks, and where, and makes LiveStreams for unknown
// streams.
type PushDomainReconciler struct {
	client.Client
	// Live reads from the API server itself.
	Live    client.Reader
	Streams Streams
	Secrets *secrets.Reader
	Truth   DomainTruth
	Setup   *CallbackSetup
	Clock   clock.PassiveClock
	// Again brings PushDomains of which something changed that no watch tells: what CSS says.
	Again <-chan event.GenericEvent

	mu      sync.Mutex
	counted map[types.UID]time.Time
	tidy    map[types.UID]time.Time

	released released
	refused  versions.Refused
}

// Reconcile reads the keys, makes LiveStreams where the policy says so, and writes the status.
func (r *PushDomainReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	domain, shown, err := r.look(ctx, req.NamespacedName)
	if domain == nil || err != nil || !domain.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, err
	}
	reason, keyErr := r.checkKeys(ctx, domain)
	if keyErr != nil && reason == "" {
		return ctrl.Result{}, keyErr
	}
	next := domain.DeepCopy()
	next.Status.ObservedGeneration = domain.Generation
	again := keysEvery
	if reason != "" {
		again = secretRetry
	}
	counting, err := r.count(next)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.setPath(ctx, next); err != nil {
		return ctrl.Result{}, err
	}
	tidying, adoptErr := r.adopt(ctx, next)
	r.setAPIConditions(ctx, next)
	setDomainConditions(next, reason, keyErr, metav1.NewTime(r.Clock.Now().Truncate(time.Second)))
	again = sooner(again, sooner(counting, tidying))
	if equality.Semantic.DeepEqual(domain.Status, next.Status) {
		return ctrl.Result{RequeueAfter: again}, adoptErr
	}
	err = r.Status().Patch(ctx, next, client.MergeFromWithOptions(domain, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) {
		// The version that this pass did not know brings the next one only if it changed more than the status.
		r.refused.Note(req.NamespacedName, shown)
		return ctrl.Result{RequeueAfter: conflictRetry}, adoptErr
	}
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(wrapped(err, "writing the status"))
	}
	return ctrl.Result{RequeueAfter: again}, adoptErr
}

// look is the PushDomain as the cache shows it, and which version that is; nil where there is none. As with LiveStreams it is the API server's where a
// write on top of that version was refused.
func (r *PushDomainReconciler) look(ctx context.Context, name types.NamespacedName) (domain *v1alpha1.PushDomain, shown string, err error) {
	domain = &v1alpha1.PushDomain{}
	if err := r.Get(ctx, name, domain); apierrors.IsNotFound(err) {
		r.refused.Forget(name)
		return nil, "", nil
	} else if err != nil {
		return nil, "", err
	}
	if shown = domain.ResourceVersion; !r.refused.Has(name, shown) {
		return domain, shown, nil
	}
	latest, err := livePushDomain(ctx, r.Live, name)
	if err != nil || latest == nil || latest.UID != domain.UID {
		return nil, "", err
	}
	return latest, shown, nil
}

// setPath leaves the path as it was while its token cannot be read.
func (r *PushDomainReconciler) setPath(ctx context.Context, domain *v1alpha1.PushDomain) error {
	token := ""
	if domain.Spec.Callback.SecretPath() {
		var err error
		if token, err = r.Secrets.Get(ctx, domain.Namespace, domain.Spec.Callback.PathTokenSecretRef); errors.Is(err, secrets.ErrUnavailable) {
			return nil
		} else if err != nil {
			return err
		}
	}
	domain.Status.CallbackPath = callbackpath.Of(domain, token)
	return nil
}

// setAPIConditions says whether CSS can be asked, and sends its callbacks here.
func (r *PushDomainReconciler) setAPIConditions(ctx context.Context, domain *v1alpha1.PushDomain) {
	conditions := &domain.Status.Conditions
	health := r.Truth.Health(domain.UID)
	switch {
	case !domain.Spec.API.Configured():
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionAPIAvailable)
	case health != Health{}:
		c := metav1.Condition{Type: v1alpha1.ConditionAPIAvailable, Status: metav1.ConditionFalse, Reason: health.Reason, Message: health.Message, ObservedGeneration: domain.Generation, LastTransitionTime: metav1.NewTime(r.Clock.Now().Truncate(time.Second))}
		if health.Reason == v1alpha1.ReasonListed {
			c.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(conditions, c)
	}
	if !domain.Spec.API.CallbackSetup.Wanted() {
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionCallbackSetUp)
		return
	}
	if c, looked := r.Setup.Look(ctx, domain); looked {
		c.ObservedGeneration, c.LastTransitionTime = domain.Generation, metav1.NewTime(r.Clock.Now().Truncate(time.Second))
		meta.SetStatusCondition(conditions, c)
	}
}

// checkKeys returns the reason of Ready=False and what is wrong, or no reason and the API server's error.
func (r *PushDomainReconciler) checkKeys(ctx context.Context, domain *v1alpha1.PushDomain) (string, error) {
	for _, ref := range domain.Spec.Callback.KeySecretRefs {
		if _, err := r.Secrets.Refresh(ctx, domain.Namespace, ref); err != nil {
			return unavailable(err, v1alpha1.ReasonCallbackKeyUnavailable)
		}
	}
	if playback := domain.Spec.Playback; playback.Signed() {
		if _, err := r.Secrets.Refresh(ctx, domain.Namespace, playback.KeySecretRef); err != nil {
			return unavailable(err, v1alpha1.ReasonPlaybackKeyUnavailable)
		}
	}
	if callback := domain.Spec.Callback; callback.SecretPath() {
		if _, err := r.Secrets.Refresh(ctx, domain.Namespace, callback.PathTokenSecretRef); err != nil {
			return unavailable(err, v1alpha1.ReasonPathTokenUnavailable)
		}
	}
	if api := domain.Spec.API; api.Configured() {
		for _, key := range []string{"secretId", "secretKey"} {
			if _, err := r.Secrets.Refresh(ctx, domain.Namespace, v1alpha1.SecretKeyReference{Name: api.CredentialsSecretRef.Name, Key: key}); err != nil {
				return unavailable(err, v1alpha1.ReasonCredentialsUnavailable)
			}
		}
	}
	return "", nil
}

func unavailable(err error, reason string) (string, error) {
	if errors.Is(err, secrets.ErrUnavailable) {
		return reason, err
	}
	return "", err
}

// count sets liveStreams, and says how long to wait where it was written too recently; 0 where there is nothing to wait for.
func (r *PushDomainReconciler) count(domain *v1alpha1.PushDomain) (time.Duration, error) {
	streams, err := r.Streams.Count(domain.Namespace, domain.Name)
	if err != nil {
		return 0, err
	}
	count := int32(streams) //nolint:gosec // far below 2^31
	if old := domain.Status.LiveStreams; old != nil && *old == count {
		return 0, nil
	}
	first := domain.Status.LiveStreams == nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if wait := countEvery - r.Clock.Since(r.counted[domain.UID]); wait > 0 && !first {
		return wait, nil
	}
	domain.Status.LiveStreams = &count
	if r.counted == nil {
		r.counted = map[types.UID]time.Time{}
	}
	for uid, at := range r.counted {
		if r.Clock.Since(at) > countEvery {
			delete(r.counted, uid)
		}
	}
	if !first {
		r.counted[domain.UID] = r.Clock.Now()
	}
	return 0, nil
}

// setDomainConditions leaves Verified alone once the receiver has written it, but for a change of the authentication.
func setDomainConditions(domain *v1alpha1.PushDomain, reason string, keyErr error, now metav1.Time) {
	set := func(c metav1.Condition) {
		c.ObservedGeneration, c.LastTransitionTime = domain.Generation, now
		meta.SetStatusCondition(&domain.Status.Conditions, c)
	}
	if reason == "" {
		set(metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReconciled, Message: "callbacks are received"})
		meta.RemoveStatusCondition(&domain.Status.Conditions, v1alpha1.ConditionStalled)
	} else {
		set(metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: keyErr.Error()})
		set(metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason, Message: keyErr.Error()})
	}
	verified := meta.FindStatusCondition(domain.Status.Conditions, v1alpha1.ConditionVerified)
	disabled := verified != nil && verified.Reason == v1alpha1.ReasonAuthenticationDisabled
	switch {
	case !domain.Spec.Callback.ChecksSignatures() && !disabled:
		set(metav1.Condition{Type: v1alpha1.ConditionVerified, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonAuthenticationDisabled,
			Message: "spec.callback.authentication is None: anyone who can reach the path can start and stop workloads"})
	case domain.Spec.Callback.ChecksSignatures() && (verified == nil || disabled):
		set(metav1.Condition{Type: v1alpha1.ConditionVerified, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNoCallback, Message: "no callback has arrived yet"})
	}
}

// SetupWithManager registers the reconciler.
func (r *PushDomainReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("pushdomain").
		For(&v1alpha1.PushDomain{}, builder.WithPredicates(predicate.Or(specChanged, unclaimedChanged))).
		WatchesRawSource(source.Channel(r.Again, &handler.EnqueueRequestForObject{})).
		Watches(&v1alpha1.LiveStream{}, handler.Funcs{CreateFunc: r.streamCame, UpdateFunc: r.streamChanged, DeleteFunc: r.streamWent}).
		// CSS may take long to answer for one of them.
		WithOptions(controller.Options{
			EnableWarmup: new(true), MaxConcurrentReconciles: concurrentDomains,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](firstRetry, longestRetry),
		}).
		Complete(r)
}
