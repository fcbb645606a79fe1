package controllers

import (
	"context"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/statuspatch"
	"github.com/livestream-operator/livestream-operator/internal/versions"
)

// recordedWithin is how old the newest recordedTime of a LiveStream may be for it to count as the latest. It is cut to the second: a version is trusted for
// 0.25 s to 1.25 s after it was written, where the clocks agree.
const recordedWithin = versions.Within + time.Second/4

// planConfirmed has what the plan rests on confirmed, and plans anew. It says whether the stream is gone.
func (r *LiveStreamReconciler) planConfirmed(ctx context.Context, v *view, p plan.Plan) (_ plan.Plan, gone bool, err error) {
	if r.toldJustNow(v, p) {
		if p, err = r.planAnew(ctx, v); err != nil || startsOnly(v, p) {
			return p, false, err
		}
	}
	if gone, err = r.confirm(ctx, v); gone || err != nil {
		return plan.Plan{}, gone, err
	}
	p, err = r.planAnew(ctx, v)
	return p, false, err
}

// toldJustNow says whether Jobs may start without another read: whoever recorded a push of the LiveStream told when, and that was a moment before the pass
// began. What ends something is always read for, and so is what this process knows a later version of.
func (r *LiveStreamReconciler) toldJustNow(v *view, p plan.Plan) bool {
	if !startsOnly(v, p) || r.Written.Later(v.Stream) {
		return false
	}
	// By another's clock. A process that is stopped meanwhile does not take what it saw before for new.
	age := v.Now.Sub(push.LastRecorded(v.Stream.Status.Pushes))
	if age < 0 || age >= recordedWithin {
		return false
	}
	v.confirmed = v.Now.Add(-recordedWithin)
	return true
}

// startsOnly says whether the plan does nothing but start Jobs of the broadcast that is on air.
func startsOnly(v *view, p plan.Plan) bool {
	ended := func(s plan.Start) bool { return s.Ended != nil }
	return len(p.Stop) == 0 && !p.Delete && !v.yields(p) && !slices.ContainsFunc(p.Start, ended)
}

// confirm has the LiveStream as the API server has it, unless this process wrote that very version within the last second: then the API server's answer
// was as good as a read. It says whether the stream is gone.
func (r *LiveStreamReconciler) confirm(ctx context.Context, v *view) (gone bool, err error) {
	v.confirmed = r.Clock.Now()
	if r.Written.Has(v.Stream) {
		v.confirmed = v.confirmed.Add(-versions.Within)
		return false, nil
	}
	latest, err := r.latest(ctx, v.Stream)
	if latest == nil || err != nil {
		return true, wrapped(err, "confirming LiveStream")
	}
	if latest == v.Stream {
		return false, nil
	}
	v.Stream = latest
	return false, r.observeSettings(ctx, v)
}

// latest is the LiveStream as the API server has it, nil where that is gone or going. One that has not changed is not sent again.
func (r *LiveStreamReconciler) latest(ctx context.Context, known *v1alpha1.LiveStream) (*v1alpha1.LiveStream, error) {
	asked := func(object client.Object) (there bool, err error) {
		err = r.Live.Get(ctx, client.ObjectKeyFromObject(known), object)
		return err == nil && object.GetUID() == known.UID && object.GetDeletionTimestamp().IsZero(), client.IgnoreNotFound(err)
	}
	version := statuspatch.Metadata()
	if there, err := asked(version); !there {
		return nil, err
	}
	if version.ResourceVersion == known.ResourceVersion {
		return known, nil
	}
	latest := &v1alpha1.LiveStream{}
	if there, err := asked(latest); !there {
		return nil, err
	}
	return latest, nil
}
