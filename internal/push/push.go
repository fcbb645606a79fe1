// Package push holds what an event does to the pushes of a stream. It is pure.
//
// A push is unknown, live or ended, and ended is final: it stays in the list as a tombstone, so that a start which arrives
// after its own interruption, or again, starts nothing. An event touches its own push only. Sequences are compared as text,
// for equality: they do not grow with time.
package push

import (
	"cmp"
	"errors"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

const (
	// TombstoneLife is how long an ended push is remembered at least, where MaxTombstones allows. CSS gives a callback up
	// after some 16 minutes (12 retries, a minute apart, each up to 20 s).
	TombstoneLife = time.Hour
	// MaxTombstones bounds the ended pushes; beyond it the one that was recorded first goes first.
	MaxTombstones = 128
	// MaxLive bounds the live pushes. CSS lets two pushers hold a name; more are pushes whose interruption was lost.
	MaxLive = 64
)

// ErrTooManyLive means that a start cannot be recorded, because MaxLive pushes of the stream are live and none is dropped.
var ErrTooManyLive = errors.New("too many live pushes on one stream")

// Outcome is what an event did.
type Outcome int

const (
	// Started means: the push is live now.
	Started Outcome = iota + 1
	// Ended means: the push was live and is ended now.
	Ended
	// EndedUnseen means: the push is ended, and its start was never seen.
	EndedUnseen
	// Duplicate means: the event had been recorded before. Nothing changed.
	Duplicate
	// Stale means: the start of a push that has ended. Nothing changed.
	Stale
)

// String is the outcome as metrics and logs name it.
func (o Outcome) String() string {
	switch o {
	case Started:
		return "started"
	case Ended:
		return "ended"
	case EndedUnseen:
		return "ended-unseen"
	case Duplicate:
		return "duplicate"
	case Stale:
		return "stale"
	default:
		return "unknown"
	}
}

// Changed says whether there is anything to write.
func (o Outcome) Changed() bool { return o == Started || o == Ended || o == EndedUnseen }

// Apply returns the pushes after the event. It leaves its argument as it is, and returns it when nothing changed.
func Apply(pushes []v1alpha1.Push, event provider.Event, now time.Time) ([]v1alpha1.Push, Outcome, error) {
	known := slices.IndexFunc(pushes, func(p v1alpha1.Push) bool { return p.Sequence == event.Sequence })
	var next v1alpha1.Push
	var outcome Outcome
	switch started := event.Kind == provider.Started; {
	case known < 0 && started:
		if len(Live(pushes)) >= MaxLive {
			return pushes, 0, ErrTooManyLive
		}
		// The start that was missing: nothing needs to stand in for it any more.
		pushes = replaced(pushes, event.Time)
		next, outcome = begin(event), Started
	case known < 0:
		pushes = dropStandIn(pushes, event.Time, event.Reason)
		next, outcome = end(v1alpha1.Push{Sequence: event.Sequence}, event), EndedUnseen
	case started && !IsLive(pushes[known]):
		return pushes, Stale, nil
	case !started && GivenUp(pushes[known]) && len(dropStandIn(pushes, event.Time, event.Reason)) < len(pushes):
		// It was on air all the same, and something stood in for it.
		pushes = dropStandIn(pushes, event.Time, event.Reason)
		known = slices.IndexFunc(pushes, func(p v1alpha1.Push) bool { return p.Sequence == event.Sequence })
		next, outcome = end(pushes[known], event), Ended
	case started || !IsLive(pushes[known]):
		return pushes, Duplicate, nil
	default:
		next, outcome = end(pushes[known], event), Ended
	}
	next.RecordedTime = new(metav1.NewTime(now))
	after := slices.Clone(pushes)
	if known < 0 {
		after = append(after, next)
	} else {
		after[known] = next
	}
	return tidy(after, now, event.Sequence), outcome, nil
}

// tidy drops tombstones that are not needed any more, but for the one that was told of just now, and sorts, in place.
func tidy(pushes []v1alpha1.Push, now time.Time, told string) []v1alpha1.Push {
	// Most events find one push or two, of which none is old. Functions of slices take pushes by value, for which the goroutine's stack is grown.
	if hasExcess(pushes, now) {
		pushes = dropTombstones(pushes, now, told)
	}
	if len(pushes) > 1 {
		slices.SortStableFunc(pushes, inOrder)
	}
	return pushes
}

// hasExcess says whether there are tombstones to drop.
func hasExcess(pushes []v1alpha1.Push, now time.Time) bool {
	tombstones := 0
	for i := range pushes {
		p := &pushes[i]
		if p.EndTime == nil {
			continue
		}
		if tombstones++; tombstones > MaxTombstones || now.Sub(recorded(p)) > TombstoneLife {
			return true
		}
	}
	return false
}

func begin(event provider.Event) v1alpha1.Push {
	return describe(v1alpha1.Push{Sequence: event.Sequence, StartTime: new(metav1.NewTime(event.Time))}, event)
}

func end(p v1alpha1.Push, event provider.Event) v1alpha1.Push {
	p = describe(p, event)
	p.EndTime = new(metav1.NewTime(event.Time))
	p.DurationMilliseconds = event.Duration
	p.ErrorCode, p.Reason, p.Message = new(event.ErrorCode), event.Reason, event.Message
	if p.StartTime == nil && event.Duration != nil {
		// Whole seconds, as all times of the callbacks are. Less the whole seconds of the duration is what the start itself says:
		// in CSS's own sample event_time is 1703731606 less 128 s for a push_duration of 128581.
		p.StartTime = new(metav1.NewTime(event.Time.Add(-time.Duration(*event.Duration/1000) * time.Second)))
	}
	return p
}

// describe fills in what the event knows and keeps what it does not.
func describe(p v1alpha1.Push, event provider.Event) v1alpha1.Push {
	p.ClientIP = cmp.Or(event.ClientIP, p.ClientIP)
	p.Node = cmp.Or(event.Node, p.Node)
	p.Region = cmp.Or(event.Region, p.Region)
	p.Width = cmp.Or(event.Width, p.Width)
	p.Height = cmp.Or(event.Height, p.Height)
	return p
}

// IsLive says whether the push is on air.
func IsLive(p v1alpha1.Push) bool { return p.EndTime == nil }

// Live is the live set: the pushes on air, in the order in which they started.
func Live(pushes []v1alpha1.Push) []v1alpha1.Push {
	return slices.DeleteFunc(slices.Clone(pushes), func(p v1alpha1.Push) bool { return !IsLive(p) })
}

// LastEnded is the push that ended last, nil when none has.
func LastEnded(pushes []v1alpha1.Push) *v1alpha1.Push {
	var last *v1alpha1.Push
	for i, p := range pushes {
		if !IsLive(p) && (last == nil || !p.EndTime.Before(last.EndTime)) {
			last = &pushes[i]
		}
	}
	return last
}

// dropTombstones removes tombstones past their life, and beyond MaxTombstones those that were recorded first, but the one that was
// told of just now: who told of it gets a 200. It goes by the operator's clock: an interruption that arrives an hour late is old by
// the provider's, and its start may still be on its way.
func dropTombstones(pushes []v1alpha1.Push, now time.Time, told string) []v1alpha1.Push {
	kept := slices.DeleteFunc(pushes, func(p v1alpha1.Push) bool {
		return !IsLive(p) && now.Sub(recorded(&p)) > TombstoneLife
	})
	tombstones := slices.DeleteFunc(slices.Clone(kept), IsLive)
	excess := len(tombstones) - MaxTombstones
	if excess <= 0 {
		return kept
	}
	slices.SortStableFunc(tombstones, func(a, b v1alpha1.Push) int {
		// Whoever knocks at a stream that is taken must not wash out what is known of it.
		return cmp.Or(compareBool(a.Sequence == told, b.Sequence == told), compareBool(b.Reason == v1alpha1.PushReasonRefused, a.Reason == v1alpha1.PushReasonRefused), recorded(&a).Compare(recorded(&b)), a.EndTime.Compare(b.EndTime.Time), cmp.Compare(a.Sequence, b.Sequence))
	})
	dropped := make(map[string]bool, excess)
	for _, p := range tombstones[:excess] {
		dropped[p.Sequence] = true
	}
	return slices.DeleteFunc(kept, func(p v1alpha1.Push) bool { return dropped[p.Sequence] })
}

func recorded(p *v1alpha1.Push) time.Time {
	if p.RecordedTime == nil {
		return p.EndTime.Time
	}
	return p.RecordedTime.Time
}

// LastRecorded is when the last change of any of the pushes was recorded, by the clock of who recorded it; zero where none tells. What shows it was written
// then, or later.
func LastRecorded(pushes []v1alpha1.Push) time.Time {
	var last time.Time
	for _, p := range pushes {
		if p.RecordedTime != nil && p.RecordedTime.After(last) {
			last = p.RecordedTime.Time
		}
	}
	return last
}

// inOrder sorts by start, so that the list does not depend on the order of arrival; sequences break ties, as text.
func inOrder(a, b v1alpha1.Push) int {
	return cmp.Or(beginning(a).Compare(beginning(b)), cmp.Compare(a.Sequence, b.Sequence))
}

func beginning(p v1alpha1.Push) time.Time {
	switch {
	case p.StartTime != nil:
		return p.StartTime.Time
	case p.EndTime != nil:
		return p.EndTime.Time
	default:
		return time.Time{}
	}
}
