// Package online decides what CSS's list of online streams says about the pushes of a stream: a start or a stop whose
// callback was lost. It is pure.
//
// The vendor's rule is kept: a stream is online if anything says so. So a push that a callback started is doubted only when a
// complete list leaves its stream out, and ended only when CSS says of that one stream that it is not online either. An answer
// that failed says nothing.
//
// Source: https://cloud.tencent.com/document/product/267/20472 (list) and https://cloud.tencent.com/document/product/267/20470
// (advice on telling whether a stream is online).
package online

import (
	"slices"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

const (
	// Late is how long a start may be listed before its callback counts as lost: most arrive within seconds.
	Late = time.Minute
	// Settled is how long a push has to be recorded before a list that leaves it out raises doubt: the list lags.
	Settled = time.Minute
	// Lag is how soon after its end CSS may still call a stream active.
	Lag = 20 * time.Second
	// Fresh is how long a list tells anything: CSS that does not answer for longer leaves us without one.
	Fresh = 3 * time.Minute
	// Patience is how long past its maxDurationSeconds a push stays live while CSS cannot be asked.
	Patience = 30 * time.Minute
)

// View is what the last complete list of a push domain said about one stream.
type View struct {
	// ListedAt is when the list was asked for, by the operator's clock; zero when there was none.
	ListedAt time.Time
	// Online says whether the stream was in it.
	Online bool
	// Published are the times at which its pushes began, by CSS's clock; may be empty.
	Published []time.Time
}

// fresh says whether the list is not too old to tell anything.
func (v View) fresh(now time.Time) bool { return !v.ListedAt.IsZero() && now.Sub(v.ListedAt) <= Fresh }

// LostStart is when a push began that is on air and that no callback told of; false when there is none.
func LostStart(pushes []v1alpha1.Push, view View, now time.Time) (time.Time, bool) {
	if !view.fresh(now) || !view.Online || len(push.Live(pushes)) > 0 {
		return time.Time{}, false
	}
	published := view.Published
	if len(published) == 0 {
		// Without a time it cannot be told from a push that ended while the list was stale.
		if slices.ContainsFunc(pushes, func(p v1alpha1.Push) bool { return view.ListedAt.Sub(ended(p)) < 2*Late }) {
			return time.Time{}, false
		}
		// It began before that, and so its own start will be older.
		return view.ListedAt.Truncate(time.Second), true
	}
	for _, at := range published {
		if view.ListedAt.Sub(at) < Late {
			continue
		}
		switch isIt := func(p v1alpha1.Push) bool { return began(p, at) }; {
		case !slices.ContainsFunc(pushes, isIt):
			return at, true
		case !slices.ContainsFunc(pushes, func(p v1alpha1.Push) bool {
			return isIt(p) && !push.GivenUp(p) || view.ListedAt.Sub(ended(p)) < Late
		}):
			// Ended is final for the push, not for the stream: that it is listed a minute later proves the operator wrong.
			return view.ListedAt.Truncate(time.Second), true
		}
	}
	return time.Time{}, false
}

// ended is when the operator learnt that the push ended.
func ended(p v1alpha1.Push) time.Time {
	if p.RecordedTime == nil {
		return p.EndTime.Time
	}
	return p.RecordedTime.Time
}

// began says whether the push may be the one that was published at the given time. One whose start is not known may have begun
// at any time before its end.
func began(p v1alpha1.Push, at time.Time) bool {
	if p.StartTime == nil {
		return !at.After(p.EndTime.Time)
	}
	return at.Sub(p.StartTime.Time).Abs() <= push.SameStart
}

// JustEnded says whether a push ended so lately that CSS may not know it yet. One that was refused had never been on air.
func JustEnded(pushes []v1alpha1.Push, now time.Time) bool {
	return slices.ContainsFunc(pushes, func(p v1alpha1.Push) bool {
		return !push.IsLive(p) && p.Reason != v1alpha1.PushReasonRefused && now.Sub(ended(p)) < Lag
	})
}

// Doubted are the live pushes that the list should have and does not: CSS has to be asked about the stream itself.
func Doubted(pushes []v1alpha1.Push, view View, now time.Time) []string {
	if !view.fresh(now) || view.Online {
		return nil
	}
	var doubted []string
	for _, p := range push.Live(pushes) {
		if p.RecordedTime != nil && view.ListedAt.Sub(p.RecordedTime.Time) >= Settled {
			doubted = append(doubted, p.Sequence)
		}
	}
	return doubted
}
