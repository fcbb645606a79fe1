package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/notices"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
	"github.com/livestream-operator/livestream-operator/internal/statuspatch"
	"github.com/livestream-operator/livestream-operator/internal/versions"
)

// +kubebuilder:rbac:groups=livestream-operator.io,resources=livestreams,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=livestream-operator.io,resources=livestreams/status,verbs=patch
// +kubebuilder:rbac:groups=livestream-operator.io,resources=livestreams/finalizers,verbs=update
// +kubebuilder:rbac:groups=livestream-operator.io,resources=pushdomains,verbs=list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// LiveStreamReconciler runs the workloads of LiveStreams while they are on air.
type LiveStreamReconciler struct {
	// Client reads from the cache.
	client.Client
	// Live reads from the API server itself.
	Live    client.Reader
	Secrets *secrets.Reader
	Scaler  *Scaler
	Truth   Truth
	Tell    *notices.Teller
	// Elected is closed once this replica leads.
	Elected <-chan struct{}
	// Written knows what this process wrote a moment ago, the receiver's writes among it.
	Written *versions.Written
	Clock   clock.PassiveClock
	// Again brings LiveStreams of which something changed that no watch tells: their scale target, or what CSS says.
	Again <-chan event.GenericEvent
	// Progress knows how workers get on; nil where nobody asks them.
	Progress *ProgressPoller
	// Restarts has Jobs that ended at once made again in turns; nil where they wait for nothing.
	Restarts *Restarts
	// WorkerImage records and transcodes.
	WorkerImage string

	interruptions interruptions
	refused       versions.Refused
	podless       podlessTroubles
}

// versionPatience is how long a version may be on its way through the cache.
const versionPatience = time.Second

// Reconcile observes, repairs, plans, starts, reports and stops, in that order. Jobs are stopped only after the status that ends
// their broadcast was accepted, which it is only if nothing happened since it was decided. Those of broadcasts that had ended
// before are stopped first.
func (r *LiveStreamReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	stream, shown, err := r.look(ctx, req.NamespacedName)
	if stream == nil || err != nil {
		return ctrl.Result{}, err
	}
	if !stream.DeletionTimestamp.IsZero() {
		return r.leave(ctx, stream, shown)
	}
	observed, p, again, err := r.decide(ctx, stream)
	if apierrors.IsConflict(err) {
		return r.overtaken(req.NamespacedName, shown), nil
	}
	if err != nil || observed.Stream == nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if p.Delete {
		return ctrl.Result{}, r.deleteIdle(ctx, observed.Stream)
	}
	if len(p.Start) > 0 {
		// The last pass could not end them. Until they are told to, the next broadcast does not start: two recorders on one show are
		// worse than one that comes later.
		if err := r.stop(ctx, observed.Stream, p.Left(observed.Stream.Status)); err != nil {
			r.Restarts.giveBack(req.NamespacedName, observed.turns)
			return ctrl.Result{}, err
		}
	}
	started := r.start(ctx, observed, p)
	switch {
	case started.leaving:
		return ctrl.Result{}, nil
	case started.outdated:
		r.Restarts.giveBack(req.NamespacedName, observed.turns-len(started.made))
		return ctrl.Result{}, errOutdated
	}
	status := plan.Report(observed.Observed, p, started.made, started.failures)
	if err := r.report(ctx, observed.Stream, status); err != nil {
		r.Restarts.giveBack(req.NamespacedName, observed.turns-len(started.made))
		if apierrors.IsConflict(err) {
			return r.overtaken(req.NamespacedName, shown), nil
		}
		return ctrl.Result{}, errors.Join(started.err, client.IgnoreNotFound(err))
	}
	wait := started.orSooner(sooner(p.LookAgain, again))
	return ctrl.Result{RequeueAfter: wait}, errors.Join(started.err, r.stop(ctx, observed.Stream, p.Stop))
}

// look is the LiveStream as the cache shows it, and which version that is; nil where there is none. Where a write on top of that version was refused,
// the LiveStream is the API server's: the watch may stand still.
func (r *LiveStreamReconciler) look(ctx context.Context, name types.NamespacedName) (stream *v1alpha1.LiveStream, shown string, err error) {
	stream = &v1alpha1.LiveStream{}
	if err := r.Get(ctx, name, stream); apierrors.IsNotFound(err) {
		r.refused.Forget(name)
		r.Restarts.forget(name)
		return nil, "", nil
	} else if err != nil {
		return nil, "", err
	}
	if shown = stream.ResourceVersion; !r.refused.Has(name, shown) {
		return stream, shown, nil
	}
	latest := &v1alpha1.LiveStream{}
	if err := r.Live.Get(ctx, name, latest); err != nil {
		return nil, "", client.IgnoreNotFound(wrapped(err, "reading LiveStream after a refused write"))
	}
	switch {
	case latest.UID != stream.UID:
		// The cache brings it.
		return nil, "", nil
	case latest.ResourceVersion == shown:
		// It was refused for something else.
		r.refused.Forget(name)
	}
	return latest, shown, nil
}

// overtaken is for a pass that did not know a version which is on its way through the cache. That brings the next pass, unless the watch stands
// still, or there is none: an API server may refuse a write for another's, and then not take that.
func (r *LiveStreamReconciler) overtaken(name types.NamespacedName, shown string) ctrl.Result {
	r.refused.Note(name, shown)
	return ctrl.Result{RequeueAfter: versionPatience}
}

// sooner is the shorter of two waits, where 0 is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// decide plans from the cache, and where that says that Jobs have to start or stop, or a broadcast has to yield, once more from
// the API server itself: a cache that lags behind, for one after a change of leader, must not start what has ended or stop what is
// on air. The observed Stream is nil when the LiveStream is gone.
func (r *LiveStreamReconciler) decide(ctx context.Context, stream *v1alpha1.LiveStream) (view, plan.Plan, time.Duration, error) {
	observed, err := r.observe(ctx, stream)
	if err != nil {
		return view{}, plan.Plan{}, 0, err
	}
	if err := r.holdTargets(ctx, &observed); err != nil {
		return view{}, plan.Plan{}, 0, err
	}
	if err := r.setFree(ctx, &observed); err != nil {
		return view{}, plan.Plan{}, 0, err
	}
	again, err := r.repair(ctx, &observed)
	if err != nil {
		return view{}, plan.Plan{}, 0, err
	}
	p := plan.Compute(observed.Observed)
	if !p.GivenUp.IsZero() {
		wait, err := r.askBeforeEnd(ctx, &observed, p.GivenUp)
		if err != nil {
			return view{}, plan.Plan{}, 0, err
		}
		again = sooner(again, wait)
		p = plan.Compute(observed.Observed)
	}
	name := client.ObjectKeyFromObject(stream)
	observed.turns = p.Again.Jobs
	if observed.HoldAgain = r.Restarts.holds(name, p.Again); observed.HoldAgain {
		observed.turns = 0
		p = plan.Compute(observed.Observed)
	}
	if len(p.Start)+len(p.Stop) == 0 && !p.Delete && !observed.yields(p) {
		return observed, p, again, nil
	}
	p, gone, err := r.planConfirmed(ctx, &observed, p)
	if gone || err != nil {
		if err != nil {
			r.Restarts.giveBack(name, observed.turns)
		}
		return view{}, plan.Plan{}, 0, err
	}
	return observed, p, again, nil
}

// planAnew plans from the confirmed LiveStream, once all else is confirmed that the plan rests on.
func (r *LiveStreamReconciler) planAnew(ctx context.Context, v *view) (plan.Plan, error) {
	if err := r.confirmOthers(ctx, v); err != nil {
		return plan.Plan{}, err
	}
	if err := r.handOver(ctx, v); err != nil {
		return plan.Plan{}, err
	}
	p := plan.Compute(v.Observed)
	if err := errors.Join(r.findAfterEnd(ctx, v), r.findLeft(ctx, v, p), r.findRunning(ctx, v, p)); err != nil {
		return plan.Plan{}, err
	}
	return plan.Compute(v.Observed), nil
}

// leave ends what a LiveStream that is being deleted runs, and lets its scale targets go. Its Jobs would go with it by their owner references, but
// only once nothing holds it up any more, and the next LiveStream of the stream does not wait for that.
func (r *LiveStreamReconciler) leave(ctx context.Context, stream *v1alpha1.LiveStream, shown string) (ctrl.Result, error) {
	name := client.ObjectKeyFromObject(stream)
	r.Restarts.forget(name)
	p, err := r.planLeave(ctx, stream)
	if err == nil {
		err = r.stop(ctx, stream, p.Stop)
	}
	again := p.LookAgain
	overtaken, held := r.letGo(ctx, stream)
	if overtaken {
		again = sooner(again, r.overtaken(name, shown).RequeueAfter)
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(err, held)
}

func (r *LiveStreamReconciler) planLeave(ctx context.Context, stream *v1alpha1.LiveStream) (plan.Plan, error) {
	if controllerutil.ContainsFinalizer(stream, metav1.FinalizerOrphanDependents) {
		// Who deletes it wants its Jobs to stay, and the garbage collector sees to that.
		return plan.Plan{}, nil
	}
	settings, err := r.Scaler.settings(ctx, stream)
	if err != nil {
		return plan.Plan{}, wrapped(err, "reading the PushDomain")
	}
	runs, _, err := r.observeRuns(ctx, stream)
	return plan.Leave(plan.Observed{Now: r.Clock.Now(), Stream: stream, Settings: settings, Runs: runs}), err
}

// deleteIdle deletes a LiveStream that unknownStreams made, unless anything happened to it since.
func (r *LiveStreamReconciler) deleteIdle(ctx context.Context, stream *v1alpha1.LiveStream) error {
	err := r.Delete(ctx, stream, client.Preconditions{UID: &stream.UID, ResourceVersion: &stream.ResourceVersion}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err == nil {
		ctrl.LoggerFrom(ctx).Info("Deleted LiveStream that was idle for long", "PushDomain", stream.Spec.PushDomainRef.Name)
	}
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(wrapped(err, "deleting an idle LiveStream"))
}

// report writes the status if it says anything new, and tells users what changed once it is written.
func (r *LiveStreamReconciler) report(ctx context.Context, stream *v1alpha1.LiveStream, status v1alpha1.LiveStreamStatus) error {
	if plan.Same(&stream.Status, &status) {
		return nil
	}
	next, err := r.write(ctx, stream, &status)
	if err != nil {
		return wrapped(err, "writing the status")
	}
	if stream.Status.State != status.State {
		ctrl.LoggerFrom(ctx).Info("State changed", "from", stream.Status.State, "to", status.State)
	}
	countEnded(stream.Status.Workloads, status.Workloads)
	r.Tell.Changed(next, stream.Status, status)
	return nil
}

// write returns the LiveStream as it was written.
func (r *LiveStreamReconciler) write(ctx context.Context, stream *v1alpha1.LiveStream, status *v1alpha1.LiveStreamStatus) (*v1alpha1.LiveStream, error) {
	begun := r.Clock.Now()
	next, err := statuspatch.Write(ctx, r, stream, status)
	r.Restarts.noteWrite(begun, err)
	if err == nil {
		r.Written.Note(next.UID, next.ResourceVersion, begun)
	}
	return next, err
}

// writePushes writes the pushes alone.
func (r *LiveStreamReconciler) writePushes(ctx context.Context, stream *v1alpha1.LiveStream, pushes []v1alpha1.Push) (*v1alpha1.LiveStream, error) {
	status := stream.Status
	status.Pushes = pushes
	return r.write(ctx, stream, &status)
}

func wrapped(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
