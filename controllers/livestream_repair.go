package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/online"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

const (
	// askAgain is how soon CSS is asked again about a stream when it did not answer.
	askAgain = time.Minute
	// askWhenBusy is how soon at the latest where it was not asked, for others waited already.
	askWhenBusy = 5 * time.Second
	// holdOpen is how long past its window a broadcast is kept open while CSS does not answer, or was not asked.
	holdOpen = time.Minute
)

// Truth is what CSS itself says is on air.
type Truth interface {
	// View is what the last complete list of the push domain said about the stream.
	View(domain types.UID, stream push.Stream) online.View
	// OnAir asks about the stream itself.
	OnAir(ctx context.Context, domain *v1alpha1.PushDomain, stream push.Stream) (bool, error)
}

// later spreads those that were not asked about: all at once, most would find the others in their way again.
func later() time.Duration { return wait.Jitter(askWhenBusy/5, 4) }

// repair brings status.pushes in line with what is known from elsewhere than the stream's own callbacks: pushes that came before
// the LiveStream, what CSS says is on air, and the longest that a push may last. Like the receiver it writes with the
// resourceVersion, and pushes alone. It returns how soon to try again, 0 for never.
func (r *LiveStreamReconciler) repair(ctx context.Context, v *view) (time.Duration, error) {
	stream := v.Stream
	name := push.Stream{App: stream.Spec.AppName, Name: stream.Spec.StreamName}
	pushes, changed := r.ofThisHost(v)
	for _, holder := range v.holders {
		after, told := push.Claim(pushes, v.toldBy(holder), v.Now)
		pushes, changed = after, changed || told
	}
	for _, domain := range v.alike {
		after, told := push.Claim(pushes, push.OfStream(domain.Status.UnclaimedPushes, name), v.Now)
		pushes, changed = after, changed || told
	}
	asking := v.asking()
	if asking != nil {
		if start, lost := online.LostStart(pushes, r.Truth.View(asking.UID, name), v.Now); lost {
			after, added := push.StandIn(pushes, start, v.Now)
			pushes, changed = after, changed || added
		}
	}
	again := time.Duration(0)
	if after, wait := r.endLost(ctx, v, asking, name, pushes); after != nil {
		pushes, changed = after, true
	} else {
		again = wait
	}
	if !changed {
		return again, nil
	}
	return again, r.repaired(ctx, v, pushes)
}

func (r *LiveStreamReconciler) repaired(ctx context.Context, v *view, pushes []v1alpha1.Push) error {
	next, err := r.writePushes(ctx, v.Stream, pushes)
	if err != nil {
		return fmt.Errorf("writing repaired pushes: %w", err)
	}
	ctrl.LoggerFrom(ctx).Info("Repaired pushes", "live", len(push.Live(pushes)), "was", len(push.Live(v.Stream.Status.Pushes)))
	v.Stream = next
	return nil
}

// askBeforeEnd asks CSS, where it can be asked, about a stream whose window is over: the start of the push that came back may be
// late, or lost. On air, the broadcast goes on with a push that stands in for it. Without an answer it is held open for a
// while. It returns how soon to ask again, 0 for never.
func (r *LiveStreamReconciler) askBeforeEnd(ctx context.Context, v *view, givenUp time.Time) (time.Duration, error) {
	asking := v.asking()
	if asking == nil || online.JustEnded(v.Stream.Status.Pushes, v.Now) {
		return 0, nil
	}
	onAir, err := r.Truth.OnAir(ctx, asking, push.Stream{App: v.Stream.Spec.AppName, Name: v.Stream.Spec.StreamName})
	if err != nil {
		left, again := givenUp.Add(holdOpen).Sub(v.Now), holdOpen/4
		if errors.Is(err, errBusy) {
			again = later()
		}
		ctrl.LoggerFrom(ctx).Info("Could not ask CSS whether the stream came back", "reason", err.Error(), "heldOpen", max(left, 0).String())
		v.HoldOpen = left > 0
		return min(max(left, 0), again), nil
	}
	if !onAir {
		return 0, nil
	}
	pushes, _ := push.StandIn(v.Stream.Status.Pushes, v.Now.Truncate(time.Second), v.Now)
	return 0, r.repaired(ctx, v, pushes)
}

// ofThisHost are the pushes, ended where the PushDomain was made anew for another domain: those are of another stream, and no
// interruption of theirs is accepted any more.
func (*LiveStreamReconciler) ofThisHost(v *view) ([]v1alpha1.Push, bool) {
	pushes, before := v.Stream.Status.Pushes, v.Stream.Status.Domain
	live := push.Live(pushes)
	if v.Domain == "" || before == "" || len(live) == 0 || index.Host(before) == index.Host(v.Domain) {
		return pushes, false
	}
	sequences := make([]string, 0, len(live))
	for _, p := range live {
		// What was recorded since is of the new one.
		if p.RecordedTime == nil || p.RecordedTime.Before(&v.domain.CreationTimestamp) {
			sequences = append(sequences, p.Sequence)
		}
	}
	if len(sequences) == 0 {
		return pushes, false
	}
	return push.End(pushes, sequences, v1alpha1.PushReasonNotOnline, fmt.Sprintf("the PushDomain is one of %s now, it was one of %s", v.Domain, before), v.Now), true
}

// asking is the PushDomain through which CSS can be asked, nil when there is none.
func (v *view) asking() *v1alpha1.PushDomain {
	for _, domain := range v.alike {
		if domain.Spec.API.Configured() {
			return domain
		}
	}
	return nil
}

// endLost returns the pushes without those whose interruption was lost, or heard of anew; nil when nothing changed, and then how
// soon to ask again.
func (r *LiveStreamReconciler) endLost(ctx context.Context, v *view, asking *v1alpha1.PushDomain, name push.Stream, pushes []v1alpha1.Push) ([]v1alpha1.Push, time.Duration) {
	if v.domain == nil {
		// How long a push may last may be inherited from what is gone. The broadcast ends without it, too.
		return nil, 0
	}
	longest := v.Settings.MaxDuration()
	overdue, _ := push.Overdue(pushes, longest, v.Now)
	if asking == nil {
		if len(overdue) == 0 {
			return nil, 0
		}
		return push.End(pushes, overdue, v1alpha1.PushReasonMaxDurationReached, fmt.Sprintf("nothing was heard of it for %s", longest), v.Now), 0
	}
	doubted := online.Doubted(pushes, r.Truth.View(asking.UID, name), v.Now)
	if len(doubted)+len(overdue) == 0 {
		return nil, 0
	}
	onAir, err := r.Truth.OnAir(ctx, asking, name)
	switch {
	case err != nil:
		patience, again := longest+online.Patience, askAgain
		if errors.Is(err, errBusy) {
			// CSS may well answer: after a restart many are overdue at once.
			patience, again = patience+online.Patience, later()
		}
		given, _ := push.Overdue(pushes, patience, v.Now)
		if len(given) == 0 {
			ctrl.LoggerFrom(ctx).Info("Could not ask CSS about the stream; it counts as on air", "reason", err.Error())
			return nil, again
		}
		return push.End(pushes, given, v1alpha1.PushReasonMaxDurationReached, fmt.Sprintf("nothing was heard of it for %s, and CSS could not be asked", patience), v.Now), 0
	case !onAir:
		// All of them: CSS speaks of the stream, not of one push.
		return push.End(pushes, append(doubted, overdue...), v1alpha1.PushReasonNotOnline, "CSS says that the stream is not on air", v.Now), 0
	case len(overdue) > 0:
		return push.Confirm(pushes, v.Now), 0
	default:
		return nil, askAgain
	}
}
