package push

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

// show is the provider's time, recording the operator's: seven years later, so that nothing can mix the two up.
var (
	show      = time.Date(2018, 12, 18, 6, 0, 0, 0, time.UTC)
	recording = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

func at(seconds int) time.Time { return show.Add(time.Duration(seconds) * time.Second) }

func started(sequence string, seconds int) provider.Event {
	return provider.Event{
		Kind: provider.Started, Domain: "push.example.com", App: "live", Stream: "show", Sequence: sequence, Time: at(seconds),
		ClientIP: "1.1.1.1", Node: "2.2.2.2", Region: v1alpha1.RegionMainlandChina,
	}
}

func interrupted(sequence string, seconds int) provider.Event {
	return provider.Event{
		Kind: provider.Interrupted, Domain: "push.example.com", App: "live", Stream: "show", Sequence: sequence, Time: at(seconds),
		Node: "3.3.3.3", Width: 1920, Height: 1080, ErrorCode: 12, Reason: v1alpha1.PushReasonNetworkError, Message: "network",
	}
}

func lasting(e provider.Event, milliseconds int64) provider.Event {
	e.Duration = &milliseconds
	return e
}

func live(sequence string, seconds int, recorded time.Time) v1alpha1.Push {
	return v1alpha1.Push{
		Sequence: sequence, StartTime: new(metav1.NewTime(at(seconds))), RecordedTime: new(metav1.NewTime(recorded)),
		ClientIP: "1.1.1.1", Node: "2.2.2.2", Region: v1alpha1.RegionMainlandChina,
	}
}

func ended(p v1alpha1.Push, seconds int, recorded time.Time) v1alpha1.Push {
	p.EndTime, p.RecordedTime = new(metav1.NewTime(at(seconds))), new(metav1.NewTime(recorded))
	p.Node, p.Width, p.Height = "3.3.3.3", 1920, 1080
	p.ErrorCode, p.Reason, p.Message = new(int32(12)), v1alpha1.PushReasonNetworkError, "network"
	return p
}

func tombstone(sequence string, seconds int, recorded time.Time) v1alpha1.Push {
	return ended(v1alpha1.Push{Sequence: sequence}, seconds, recorded)
}

func TestApply(t *testing.T) {
	t.Parallel()
	before := recording.Add(-10 * time.Minute)
	type pushes = []v1alpha1.Push
	withDuration := func(p v1alpha1.Push, milliseconds int64) v1alpha1.Push {
		p.DurationMilliseconds = &milliseconds
		return p
	}
	withStart := func(p v1alpha1.Push, seconds int) v1alpha1.Push {
		p.StartTime = new(metav1.NewTime(at(seconds)))
		return p
	}
	for _, row := range []struct {
		name    string
		pushes  pushes
		event   provider.Event
		want    pushes
		outcome Outcome
	}{
		{"a start makes its push live", nil, started("A", 0), pushes{live("A", 0, recording)}, Started},
		{"a start beside a live push makes a second one live", pushes{live("A", 0, before)}, started("B", 5), pushes{live("A", 0, before), live("B", 5, recording)}, Started},
		{"a start that began earlier stands earlier", pushes{live("A", 5, before)}, started("B", 0), pushes{live("B", 0, recording), live("A", 5, before)}, Started},
		{"starts of one second stand by their text", pushes{live("B", 0, before)}, started("A", 0), pushes{live("A", 0, recording), live("B", 0, before)}, Started},
		{"a repeated start changes nothing", pushes{live("A", 0, before)}, started("A", 0), pushes{live("A", 0, before)}, Duplicate},
		{"a repeated start with another time changes nothing", pushes{live("A", 0, before)}, started("A", 9), pushes{live("A", 0, before)}, Duplicate},
		{"an interruption ends its push and keeps what it does not know better", pushes{live("A", 0, before)}, interrupted("A", 60), pushes{ended(live("A", 0, before), 60, recording)}, Ended},
		{"an interruption keeps the start that was seen, whatever its duration says", pushes{live("A", 0, before)}, lasting(interrupted("A", 60), 10_000), pushes{withDuration(ended(live("A", 0, before), 60, recording), 10_000)}, Ended},
		{"an interruption ends its own push only", pushes{live("A", 0, before), live("B", 5, before)}, interrupted("A", 60), pushes{ended(live("A", 0, before), 60, recording), live("B", 5, before)}, Ended},
		{"an interruption of the second push leaves the first", pushes{live("A", 0, before), live("B", 5, before)}, interrupted("B", 60), pushes{live("A", 0, before), ended(live("B", 5, before), 60, recording)}, Ended},
		{"a repeated interruption changes nothing", pushes{ended(live("A", 0, before), 60, before)}, interrupted("A", 60), pushes{ended(live("A", 0, before), 60, before)}, Duplicate},
		{"a repeated interruption that says something else changes nothing", pushes{ended(live("A", 0, before), 60, before)}, lasting(interrupted("A", 99), 1), pushes{ended(live("A", 0, before), 60, before)}, Duplicate},
		{"a start of an ended push starts nothing", pushes{ended(live("A", 0, before), 60, before)}, started("A", 0), pushes{ended(live("A", 0, before), 60, before)}, Stale},
		{"a start of an ended push starts nothing, even if it claims to be later", pushes{ended(live("A", 0, before), 60, before)}, started("A", 3600), pushes{ended(live("A", 0, before), 60, before)}, Stale},
		{"an interruption before its start leaves a tombstone", nil, interrupted("A", 60), pushes{tombstone("A", 60, recording)}, EndedUnseen},
		{"an interruption before its start leaves other pushes live", pushes{live("B", 0, before)}, interrupted("A", 60), pushes{live("B", 0, before), tombstone("A", 60, recording)}, EndedUnseen},
		{"the late start of a tombstone starts nothing", pushes{tombstone("A", 60, before)}, started("A", 0), pushes{tombstone("A", 60, before)}, Stale},
		{"the start of an unseen push is the end less the whole seconds of its duration", nil, lasting(interrupted("A", 128), 128_581), pushes{withDuration(withStart(tombstone("A", 128, recording), 0), 128_581)}, EndedUnseen},
		{"the start of a long unseen push is no second off", nil, lasting(interrupted("A", 7200), 7_199_999), pushes{withDuration(withStart(tombstone("A", 7200, recording), 1), 7_199_999)}, EndedUnseen},
		{"a duration of zero starts and ends at once", nil, lasting(interrupted("A", 60), 0), pushes{withDuration(withStart(tombstone("A", 60, recording), 60), 0)}, EndedUnseen},
		{"sequences that look alike are others", pushes{live("1", 0, before)}, interrupted("01", 60), pushes{live("1", 0, before), tombstone("01", 60, recording)}, EndedUnseen},
		{"a tombstone recorded an hour ago is kept", pushes{tombstone("A", 0, recording.Add(-time.Hour))}, started("B", 5), pushes{tombstone("A", 0, recording.Add(-time.Hour)), live("B", 5, recording)}, Started},
		{"a tombstone recorded more than an hour ago is dropped", pushes{tombstone("A", 0, recording.Add(-time.Hour-time.Second))}, started("B", 5), pushes{live("B", 5, recording)}, Started},
		{"a live push of long ago is kept", pushes{live("A", 0, recording.Add(-48*time.Hour))}, started("B", 5), pushes{live("A", 0, recording.Add(-48*time.Hour)), live("B", 5, recording)}, Started},
		{"a push that was live for long is kept as a tombstone", pushes{live("A", 0, recording.Add(-48*time.Hour))}, interrupted("A", 60), pushes{ended(live("A", 0, before), 60, recording)}, Ended},
		{"what changes nothing drops nothing", pushes{tombstone("A", 0, recording.Add(-48*time.Hour))}, interrupted("A", 0), pushes{tombstone("A", 0, recording.Add(-48*time.Hour))}, Duplicate},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			// Room behind the slice would let an append write into it.
			given := append(make(pushes, 0, len(row.pushes)+8), row.pushes...)
			untouched := deepCopies(given[:cap(given)])
			got, outcome, err := Apply(given, row.event, recording)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
			if outcome != row.outcome {
				t.Errorf("outcome %s, want %s", outcome, row.outcome)
			}
			if changed := row.outcome != Duplicate && row.outcome != Stale; outcome.Changed() != changed {
				t.Errorf("%s.Changed() = %v", outcome, outcome.Changed())
			}
			if diff := gocmp.Diff(untouched, given[:cap(given)]); diff != "" {
				t.Errorf("the argument was changed: %s", diff)
			}
		})
	}
}

func deepCopies(pushes []v1alpha1.Push) []v1alpha1.Push {
	copies := make([]v1alpha1.Push, len(pushes))
	for i := range pushes {
		pushes[i].DeepCopyInto(&copies[i])
	}
	return copies
}

func TestTombstoneOutlivesEveryRetry(t *testing.T) {
	t.Parallel()
	pushes := apply(t, nil, interrupted("A", 60), recording)
	for _, later := range []time.Duration{time.Minute, 16 * time.Minute, time.Hour} {
		// Anything that is written may drop tombstones.
		pushes = apply(t, pushes, started(fmt.Sprint(later), 0), recording.Add(later))
		_, outcome, err := Apply(pushes, started("A", 0), recording.Add(later))
		if err != nil || outcome != Stale {
			t.Errorf("%s after the interruption its late start is %s (%v), want stale", later, outcome, err)
		}
	}
}

func TestTombstoneWithoutRecordedTimeGoesByItsEnd(t *testing.T) {
	t.Parallel()
	pushes := []v1alpha1.Push{{Sequence: "A", EndTime: new(metav1.NewTime(recording.Add(-time.Hour - time.Second)))}, {Sequence: "B", EndTime: new(metav1.NewTime(recording))}}
	got := apply(t, pushes, started("C", 0), recording)
	if diff := gocmp.Diff([]string{"C", "B"}, sequences(got)); diff != "" {
		t.Error(diff)
	}
}

func TestAnEndIsNeverForgottenByTheWriteThatTakesIt(t *testing.T) {
	refused := interrupted("told", 0)
	refused.Reason = v1alpha1.PushReasonRefused
	var full []v1alpha1.Push
	for i := range MaxTombstones {
		full = append(full, tombstone(fmt.Sprint(i), i, recording.Add(time.Duration(i)*time.Second)))
	}
	knocked := slices.Clone(full)
	knocked[5].Reason = v1alpha1.PushReasonRefused
	for _, tc := range []struct {
		name   string
		pushes []v1alpha1.Push
		event  provider.Event
		now    time.Time
		// gone is what makes room.
		gone string
	}{
		{"a refused push", full, refused, recording.Add(time.Hour), "0"},
		{"a refused push, as there were others", knocked, refused, recording.Add(time.Hour), "5"},
		{"one by a clock that is behind", full, interrupted("told", 0), recording.Add(-time.Minute), "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, outcome, err := Apply(tc.pushes, tc.event, tc.now)
			if err != nil || outcome != EndedUnseen || len(got) != MaxTombstones {
				t.Fatalf("Apply() = %d pushes, %s, %v", len(got), outcome, err)
			}
			has := func(sequence string) bool {
				return slices.ContainsFunc(got, func(p v1alpha1.Push) bool { return p.Sequence == sequence })
			}
			if !has("told") || has(tc.gone) {
				t.Errorf("the end is kept: %t, %s is kept: %t", has("told"), tc.gone, has(tc.gone))
			}
			if _, outcome, err := Apply(got, started("told", 0), tc.now); err != nil || outcome != Stale {
				t.Errorf("its late start is %s, %v, want stale", outcome, err)
			}
		})
	}
}

func TestTombstonesAreBounded(t *testing.T) {
	t.Parallel()
	pushes := []v1alpha1.Push{live("live", 0, recording.Add(-24*time.Hour))}
	for i := range MaxTombstones {
		// The later an interruption is recorded, the earlier it happened.
		pushes = append(pushes, tombstone(fmt.Sprintf("%03d", i), 10_000-i, recording.Add(time.Duration(i)*time.Second)))
	}
	now := recording.Add(time.Duration(MaxTombstones) * time.Second)
	got := apply(t, pushes, interrupted("new", 0), now)
	if len(got) != 1+MaxTombstones {
		t.Errorf("%d pushes are kept, want the live one and %d tombstones", len(got), MaxTombstones)
	}
	kept := sequences(got)
	for sequence, want := range map[string]bool{"live": true, "new": true, "000": false, "001": true, "127": true} {
		if slices.Contains(kept, sequence) != want {
			t.Errorf("push %q is kept: %v, want %v", sequence, !want, want)
		}
	}
	if again := apply(t, got, started("second", 0), now); len(again) != 2+MaxTombstones {
		t.Errorf("%d pushes are kept after a start, want two live ones and %d tombstones", len(again), MaxTombstones)
	}
}

func TestLivePushesAreBounded(t *testing.T) {
	t.Parallel()
	var pushes []v1alpha1.Push
	for i := range MaxLive {
		pushes = apply(t, pushes, started(fmt.Sprint(i), i), recording.Add(time.Duration(i)*time.Hour))
	}
	if n := len(Live(pushes)); n != MaxLive {
		t.Fatalf("%d pushes are live, want %d: live ones are never dropped", n, MaxLive)
	}
	for _, row := range []struct {
		name    string
		event   provider.Event
		err     error
		outcome Outcome
	}{
		{"one more start is refused", started("more", 0), ErrTooManyLive, 0},
		{"a repeated start of a live push is still a duplicate", started("0", 0), nil, Duplicate},
		{"an interruption of a live push still ends it", interrupted("0", 0), nil, Ended},
		{"an interruption of an unseen push still leaves a tombstone", interrupted("more", 0), nil, EndedUnseen},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, outcome, err := Apply(pushes, row.event, recording)
			if !errors.Is(err, row.err) || outcome != row.outcome {
				t.Errorf("Apply: %v, %v; want %v, %v", outcome, err, row.outcome, row.err)
			}
			if row.err != nil {
				if diff := gocmp.Diff(pushes, got); diff != "" {
					t.Errorf("a refused event changed the pushes: %s", diff)
				}
			}
		})
	}
	freed := apply(t, pushes, interrupted("0", 0), recording)
	if _, outcome, err := Apply(freed, started("more", 0), recording); err != nil || outcome != Started {
		t.Errorf("after an interruption there is room again, but: %v, %v", outcome, err)
	}
}

func TestLiveSetAndLastEnded(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		pushes []v1alpha1.Push
		live   []string
		last   string
	}{
		{"no pushes", nil, []string{}, ""},
		{"a live push alone has no last end", []v1alpha1.Push{live("A", 0, recording)}, []string{"A"}, ""},
		{"the last end is the latest by the provider's clock", []v1alpha1.Push{tombstone("A", 90, recording), tombstone("B", 30, recording), live("C", 40, recording)}, []string{"C"}, "A"},
		{"of ends in one second the one that started later is the last", []v1alpha1.Push{tombstone("A", 90, recording), tombstone("B", 90, recording)}, []string{}, "B"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if diff := gocmp.Diff(row.live, sequences(Live(row.pushes))); diff != "" {
				t.Error(diff)
			}
			last := ""
			if p := LastEnded(row.pushes); p != nil {
				last = p.Sequence
			}
			if last != row.last {
				t.Errorf("LastEnded is %q, want %q", last, row.last)
			}
		})
	}
}

func TestOutcomeNames(t *testing.T) {
	t.Parallel()
	want := []string{"unknown", "started", "ended", "ended-unseen", "duplicate", "stale", "unknown"}
	for i, name := range want {
		if got := Outcome(i).String(); got != name {
			t.Errorf("Outcome(%d) is %q, want %q", i, got, name)
		}
	}
}

func apply(t *testing.T, pushes []v1alpha1.Push, event provider.Event, now time.Time) []v1alpha1.Push {
	t.Helper()
	got, _, err := Apply(pushes, event, now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func sequences(pushes []v1alpha1.Push) []string {
	names := make([]string, 0, len(pushes))
	for _, p := range pushes {
		names = append(names, p.Sequence)
	}
	return names
}

func TestLastRecordedIsOfWhicheverPushChangedLast(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		pushes []v1alpha1.Push
		want   time.Time
	}{
		{"no push", nil, time.Time{}},
		{"a push of which nobody told when", []v1alpha1.Push{{Sequence: "A"}}, time.Time{}},
		{"a live one after one that has ended", []v1alpha1.Push{tombstone("A", -60, recording.Add(-time.Minute)), live("B", 0, recording)}, recording},
		{"one that ended after another began", []v1alpha1.Push{live("A", 0, recording.Add(-time.Minute)), tombstone("B", -60, recording)}, recording},
		{"whatever their order", []v1alpha1.Push{live("A", 0, recording), {Sequence: "B"}, live("C", 0, recording.Add(-time.Second))}, recording},
	} {
		if got := LastRecorded(row.pushes); !got.Equal(row.want) {
			t.Errorf("%s: LastRecorded() = %s, want %s", row.name, got, row.want)
		}
	}
}
