package push

import (
	"cmp"
	"slices"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

const (
	// MaxUnclaimed bounds the pushes of a push domain that no LiveStream claims.
	MaxUnclaimed = 128
	// ClaimGrace is how long what a callback told keeps its place, whatever else there is. Its LiveStream may be there: the receiver had not
	// seen it yet, and who claims may be away. It is longer than caches lag, and than a change of leader takes.
	ClaimGrace = 5 * time.Minute
	// freshEnds is how many ends that were told within ClaimGrace keep their places.
	freshEnds = 32
)

// Stream names a stream within a push domain.
type Stream struct{ App, Name string }

// StreamOf is the stream of an unclaimed push.
func StreamOf(p v1alpha1.UnclaimedPush) Stream { return Stream{p.AppName, p.StreamName} }

// OfStream are the pushes of one stream.
func OfStream(unclaimed []v1alpha1.UnclaimedPush, stream Stream) []v1alpha1.Push {
	var pushes []v1alpha1.Push
	for _, p := range unclaimed {
		if StreamOf(p) == stream {
			pushes = append(pushes, p.Push)
		}
	}
	return pushes
}

// ApplyUnclaimed is Apply for a stream that no LiveStream claims. What is dropped to stay within MaxUnclaimed is ended pushes first,
// but for some that were told within ClaimGrace, then live ones, those that were recorded first before others. Where the policy makes LiveStreams,
// live ones that were told within ClaimGrace stay, and the push of the event is dropped.
func ApplyUnclaimed(unclaimed []v1alpha1.UnclaimedPush, policy v1alpha1.UnknownStreams, event provider.Event, now time.Time) ([]v1alpha1.UnclaimedPush, Outcome, error) {
	stream := Stream{event.App, event.Stream}
	pushes, outcome, err := Apply(OfStream(unclaimed, stream), event, now)
	if err != nil || !outcome.Changed() {
		return unclaimed, outcome, err
	}
	return TidyUnclaimed(worthMost(replace(unclaimed, stream, pushes), policy, event, now), now), outcome, nil
}

// Release adds the pushes of a LiveStream that was deleted, so that another one of its stream can claim them. Stand-ins are left
// out: whoever added them sees the stream again.
func Release(unclaimed []v1alpha1.UnclaimedPush, stream Stream, pushes []v1alpha1.Push, now time.Time) []v1alpha1.UnclaimedPush {
	known := OfStream(unclaimed, stream)
	after, changed := Claim(known, WithoutStandIns(pushes), now)
	if !changed {
		return unclaimed
	}
	wasThere := func(p v1alpha1.Push) bool {
		return slices.ContainsFunc(known, func(q v1alpha1.Push) bool { return q.Sequence == p.Sequence })
	}
	var there []v1alpha1.Push
	for _, p := range after {
		if wasThere(p) {
			there = append(there, p)
		}
	}
	unclaimed = replace(unclaimed, stream, there)
	// Callbacks told these a LiveStream, and it may not come again: they take no place of what waits for one. Ended ones leave half of the
	// places free.
	for _, p := range after {
		if wasThere(p) {
			continue
		}
		if len(unclaimed) >= MaxUnclaimed && IsLive(p) {
			unclaimed = dropLeast(unclaimed, now)
		}
		if len(unclaimed) < MaxUnclaimed && IsLive(p) || len(unclaimed) < MaxUnclaimed/2 {
			unclaimed = append(unclaimed, v1alpha1.UnclaimedPush{AppName: stream.App, StreamName: stream.Name, Push: p})
		}
	}
	return TidyUnclaimed(unclaimed, now)
}

// dropLeast makes room by what is worth least, unless that was told within ClaimGrace.
func dropLeast(unclaimed []v1alpha1.UnclaimedPush, now time.Time) []v1alpha1.UnclaimedPush {
	sorted := byWorth(unclaimed, v1alpha1.UnknownStreams{}, provider.Event{}, now)
	if last := len(sorted) - 1; last >= 0 && !isFresh(sorted[last], now) {
		return sorted[:last]
	}
	return unclaimed
}

// isFresh is false for what a clock told that was far ahead: it would keep its place until then.
func isFresh(p v1alpha1.UnclaimedPush, now time.Time) bool {
	return now.Sub(heard(p.Push)).Abs() <= ClaimGrace
}

// worthMost leaves out what is too many.
func worthMost(unclaimed []v1alpha1.UnclaimedPush, policy v1alpha1.UnknownStreams, told provider.Event, now time.Time) []v1alpha1.UnclaimedPush {
	if len(unclaimed) <= MaxUnclaimed {
		return unclaimed
	}
	return byWorth(unclaimed, policy, told, now)[:MaxUnclaimed]
}

// byWorth returns what is worth most first. What was told within ClaimGrace keeps its place, those that were told first before others: one that
// finds none comes again. That is freshEnds ends, and live pushes where the policy makes LiveStreams of them. Then come live pushes, the latest
// first: a start may be forgotten. The ends of long ago come last. What the event told of was told last, whatever the clock of who told another.
func byWorth(unclaimed []v1alpha1.UnclaimedPush, policy v1alpha1.UnknownStreams, told provider.Event, now time.Time) []v1alpha1.UnclaimedPush {
	var fresh, live, old []v1alpha1.UnclaimedPush
	for _, p := range unclaimed {
		switch {
		case isFresh(p, now) && (policy.Creates() || !IsLive(p.Push)):
			fresh = append(fresh, p)
		case IsLive(p.Push):
			live = append(live, p)
		default:
			old = append(old, p)
		}
	}
	isTold := func(p v1alpha1.UnclaimedPush) bool {
		return p.Sequence == told.Sequence && StreamOf(p) == Stream{told.App, told.Stream}
	}
	slices.SortStableFunc(fresh, func(a, b v1alpha1.UnclaimedPush) int {
		return cmp.Or(compareBool(isTold(a), isTold(b)), heard(a.Push).Compare(heard(b.Push)), compareStreams(a, b))
	})
	latestFirst := func(a, b v1alpha1.UnclaimedPush) int {
		return cmp.Or(heard(b.Push).Compare(heard(a.Push)), compareStreams(a, b))
	}
	slices.SortStableFunc(live, latestFirst)
	slices.SortStableFunc(old, latestFirst)
	var first, more []v1alpha1.UnclaimedPush
	ends := 0
	for _, p := range fresh {
		if !IsLive(p.Push) {
			ends++
		}
		if IsLive(p.Push) || ends <= freshEnds {
			first = append(first, p)
		} else {
			more = append(more, p)
		}
	}
	return slices.Concat(first, live, more, old)
}

// WithoutStandIns are the pushes that a callback told of.
func WithoutStandIns(pushes []v1alpha1.Push) []v1alpha1.Push {
	return slices.DeleteFunc(slices.Clone(pushes), func(p v1alpha1.Push) bool { return IsStandIn(p.Sequence) })
}

// Told are the pushes that are as callbacks told them since the given time, by the operator's clock: what stands in for one is left out, and
// what the operator gave up itself.
func Told(pushes []v1alpha1.Push, since time.Time) []v1alpha1.Push {
	return slices.DeleteFunc(WithoutStandIns(pushes), func(p v1alpha1.Push) bool { return GivenUp(p) || heard(p).Before(since) })
}

// Tombstones are the pushes that have ended.
func Tombstones(pushes []v1alpha1.Push) []v1alpha1.Push {
	return slices.DeleteFunc(slices.Clone(pushes), IsLive)
}

func replace(unclaimed []v1alpha1.UnclaimedPush, stream Stream, pushes []v1alpha1.Push) []v1alpha1.UnclaimedPush {
	after := slices.DeleteFunc(slices.Clone(unclaimed), func(p v1alpha1.UnclaimedPush) bool { return StreamOf(p) == stream })
	for _, p := range pushes {
		after = append(after, v1alpha1.UnclaimedPush{AppName: stream.App, StreamName: stream.Name, Push: p})
	}
	return after
}

// TidyUnclaimed drops tombstones past their life, and sorts; in place.
func TidyUnclaimed(unclaimed []v1alpha1.UnclaimedPush, now time.Time) []v1alpha1.UnclaimedPush {
	unclaimed = slices.DeleteFunc(unclaimed, func(p v1alpha1.UnclaimedPush) bool {
		return !IsLive(p.Push) && now.Sub(recorded(&p.Push)) > TombstoneLife
	})
	slices.SortStableFunc(unclaimed, compareStreams)
	return unclaimed
}

func compareStreams(a, b v1alpha1.UnclaimedPush) int {
	return cmp.Or(cmp.Compare(a.AppName, b.AppName), cmp.Compare(a.StreamName, b.StreamName), inOrder(a.Push, b.Push))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// Claim adds to the pushes of a LiveStream what was recorded of its stream while no LiveStream claimed it, and says whether
// that changed anything. Ended is final here too, on either side.
func Claim(pushes []v1alpha1.Push, unclaimed []v1alpha1.Push, now time.Time) (after []v1alpha1.Push, changed bool) {
	after, added, ended := claim(pushes, unclaimed, now)
	if !added && !ended {
		return pushes, false
	}
	after = tidy(after, now, "")
	// A tombstone that was added may be the first to go again.
	if !ended && slices.EqualFunc(after, pushes, func(p, q v1alpha1.Push) bool { return p.Sequence == q.Sequence }) {
		return pushes, false
	}
	return after, true
}

// claim says whether it added pushes, and whether it ended any that was there.
func claim(pushes []v1alpha1.Push, unclaimed []v1alpha1.Push, now time.Time) (after []v1alpha1.Push, added, ended bool) {
	after = slices.Clone(pushes)
	for _, p := range unclaimed {
		known := slices.IndexFunc(after, func(q v1alpha1.Push) bool { return q.Sequence == p.Sequence })
		switch {
		case known >= 0 && (IsLive(p) || !IsLive(after[known])):
		case known >= 0:
			after[known], ended = endedAs(after[known], p), true
		case !IsLive(p) && now.Sub(recorded(&p)) > TombstoneLife, IsLive(p) && len(Live(after)) >= MaxLive:
		default:
			switch {
			case !IsLive(p):
				after = dropStandIn(after, p.EndTime.Time, p.Reason)
			case !IsStandIn(p.Sequence):
				after = replaced(after, beginning(p))
			}
			after, added = append(after, p), true
		}
	}
	return after, added, ended
}

// endedAs is a live push that ended as the other record of it says, with what only the first one knows.
func endedAs(p, ended v1alpha1.Push) v1alpha1.Push {
	if p.StartTime != nil {
		ended.StartTime = p.StartTime
	}
	ended.ClientIP, ended.Node = cmp.Or(ended.ClientIP, p.ClientIP), cmp.Or(ended.Node, p.Node)
	ended.Region, ended.Source = cmp.Or(ended.Region, p.Region), cmp.Or(ended.Source, p.Source)
	ended.Width, ended.Height = cmp.Or(ended.Width, p.Width), cmp.Or(ended.Height, p.Height)
	return ended
}

// Claimed says whether a LiveStream with the given pushes knows all that the unclaimed push tells. It does not know a tombstone that finds
// no room in it.
func Claimed(pushes []v1alpha1.Push, p v1alpha1.Push, now time.Time) bool {
	_, added, ended := claim(pushes, []v1alpha1.Push{p}, now)
	return !added && !ended
}
