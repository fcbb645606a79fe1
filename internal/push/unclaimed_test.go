package push

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

var ignores, creates = v1alpha1.UnknownStreams{}, v1alpha1.UnknownStreams{Policy: v1alpha1.UnknownStreamCreate}

func unclaimed(stream string, p v1alpha1.Push) v1alpha1.UnclaimedPush {
	return v1alpha1.UnclaimedPush{AppName: "live", StreamName: stream, Push: p}
}

func of(stream string, e provider.Event) provider.Event {
	e.Stream = stream
	return e
}

func names(all []v1alpha1.UnclaimedPush) []string {
	list := make([]string, 0, len(all))
	for _, p := range all {
		list = append(list, p.StreamName+"/"+p.Sequence)
	}
	return list
}

func TestApplyUnclaimed(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Minute)
	type pushes = []v1alpha1.UnclaimedPush
	for _, row := range []struct {
		name    string
		given   pushes
		event   provider.Event
		want    pushes
		outcome Outcome
	}{
		{"a start is kept with its stream", nil, of("b", started("A", 0)), pushes{unclaimed("b", live("A", 0, recording))}, Started},
		{"streams stand by their names", pushes{unclaimed("c", live("A", 0, before))}, of("b", started("B", 9)), pushes{unclaimed("b", live("B", 9, recording)), unclaimed("c", live("A", 0, before))}, Started},
		{"a stop ends its push and stays as a tombstone", pushes{unclaimed("b", live("A", 0, before))}, of("b", interrupted("A", 60)), pushes{unclaimed("b", ended(live("A", 0, before), 60, recording))}, Ended},
		{"a stop of the same sequence on another stream ends nothing of this one", pushes{unclaimed("b", live("A", 0, before))}, of("c", interrupted("A", 60)), pushes{unclaimed("b", live("A", 0, before)), unclaimed("c", tombstone("A", 60, recording))}, EndedUnseen},
		{"a repeated start changes nothing", pushes{unclaimed("b", live("A", 0, before))}, of("b", started("A", 0)), pushes{unclaimed("b", live("A", 0, before))}, Duplicate},
		{"the late start of an ended push starts nothing", pushes{unclaimed("b", tombstone("A", 0, before))}, of("b", started("A", 0)), pushes{unclaimed("b", tombstone("A", 0, before))}, Stale},
		{"tombstones of other streams past their life go", pushes{unclaimed("a", tombstone("A", 0, recording.Add(-2*time.Hour))), unclaimed("b", live("A", 0, before))}, of("c", started("A", 0)), pushes{unclaimed("b", live("A", 0, before)), unclaimed("c", live("A", 0, recording))}, Started},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := append(make(pushes, 0, len(row.given)+8), row.given...)
			untouched := slices.Clone(given[:cap(given)])
			got, outcome, err := ApplyUnclaimed(given, ignores, row.event, recording)
			if diff := gocmp.Diff(row.want, got); diff != "" || outcome != row.outcome || err != nil {
				t.Errorf("outcome %s, want %s, error %v %s", outcome, row.outcome, err, diff)
			}
			if diff := gocmp.Diff(untouched, given[:cap(given)]); diff != "" {
				t.Errorf("the argument was changed: %s", diff)
			}
		})
	}
}

func TestAnUnclaimedStreamTakesNoMorePushesThanAnyOther(t *testing.T) {
	t.Parallel()
	var all []v1alpha1.UnclaimedPush
	for i := range MaxLive {
		all = append(all, unclaimed("b", live(fmt.Sprint(i), i, recording)))
	}
	got, _, err := ApplyUnclaimed(all, ignores, of("b", started("more", 0)), recording)
	if !errors.Is(err, ErrTooManyLive) || len(got) != MaxLive {
		t.Errorf("%d pushes, error %v, want %v", len(got), err, ErrTooManyLive)
	}
	if got, _, err := ApplyUnclaimed(all, ignores, of("c", started("more", 0)), recording); err != nil || len(got) != MaxLive+1 {
		t.Errorf("another stream: %d pushes, error %v", len(got), err)
	}
}

func TestOfTooManyPushesThoseGoThatAreWorthLeast(t *testing.T) {
	t.Parallel()
	var all []v1alpha1.UnclaimedPush
	for i := range MaxUnclaimed {
		// The later, the longer ago.
		all = append(all, unclaimed(fmt.Sprintf("live-%03d", i), live("A", 0, recording.Add(-time.Duration(i)*time.Minute))))
	}
	for i := range 10 {
		all = append(all, unclaimed(fmt.Sprintf("ended-%03d", i), tombstone("A", 0, recording.Add(-ClaimGrace-time.Duration(i+1)*time.Second))))
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, row := range []struct {
		name       string
		live       int
		has, hasNo []string
	}{
		{"ended pushes go before live ones", MaxUnclaimed, []string{"live-000/A", "live-127/A"}, []string{"ended-000/A"}},
		{"of ended ones those go first that were recorded first", MaxUnclaimed - 3, []string{"live-124/A", "ended-000/A", "ended-002/A"}, []string{"ended-003/A"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := slices.DeleteFunc(slices.Clone(all), func(p v1alpha1.UnclaimedPush) bool {
				return IsLive(p.Push) && p.StreamName >= fmt.Sprintf("live-%03d", row.live)
			})
			got := TidyUnclaimed(worthMost(given, ignores, provider.Event{}, recording), recording)
			if len(got) != MaxUnclaimed || !slices.IsSorted(names(got)) {
				t.Errorf("%d pushes, sorted: %t", len(got), slices.IsSorted(names(got)))
			}
			for _, name := range row.has {
				if !slices.Contains(names(got), name) {
					t.Errorf("%s is gone", name)
				}
			}
			for _, name := range row.hasNo {
				if slices.Contains(names(got), name) {
					t.Errorf("%s is kept", name)
				}
			}
		})
	}
	t.Run("of live ones those go first that were heard of first", func(t *testing.T) {
		t.Parallel()
		got, outcome, err := ApplyUnclaimed(worthMost(slices.Clone(all), ignores, provider.Event{}, recording), ignores, of("new", started("A", 0)), recording)
		if err != nil || outcome != Started || len(got) != MaxUnclaimed || slices.Contains(names(got), "live-127/A") || !slices.Contains(names(got), "new/A") {
			t.Errorf("%d pushes, %s, %v: want the new one for the one that was recorded first", len(got), outcome, err)
		}
	})
}

func TestManyEndsTakeNoPlaceFromWhatIsLive(t *testing.T) {
	t.Parallel()
	var got []v1alpha1.UnclaimedPush
	var err error
	for i := range 64 {
		if got, _, err = ApplyUnclaimed(got, ignores, of(fmt.Sprintf("live-%02d", i), started("A", 0)), recording); err != nil {
			t.Fatal(err)
		}
	}
	for i := range MaxUnclaimed {
		if got, _, err = ApplyUnclaimed(got, ignores, of(fmt.Sprintf("ended-%03d", i), interrupted("A", 0)), recording.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	alive := 0
	for _, p := range got {
		if IsLive(p.Push) {
			alive++
		}
	}
	if alive != 64 || len(got) != MaxUnclaimed || !slices.Contains(names(got), "ended-000/A") || slices.Contains(names(got), "ended-127/A") {
		t.Errorf("%d of 64 live pushes are left among %d; of the ends the first ones have the places that are left", alive, len(got))
	}
}

func TestOfStreamTellsAppsAndStreamsApart(t *testing.T) {
	t.Parallel()
	all := []v1alpha1.UnclaimedPush{unclaimed("a", live("1", 0, recording)), unclaimed("b", live("2", 0, recording)), {AppName: "other", StreamName: "a", Push: live("3", 0, recording)}, unclaimed("a", live("4", 1, recording))}
	if diff := gocmp.Diff([]string{"1", "4"}, sequences(OfStream(all, Stream{"live", "a"}))); diff != "" {
		t.Error(diff)
	}
	if got := OfStream(all, Stream{"live", "A"}); got != nil {
		t.Errorf("stream names are case-sensitive, but %v", got)
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Minute)
	old := recording.Add(-TombstoneLife - time.Second)
	type pushes = []v1alpha1.Push
	full := make(pushes, 0, MaxLive)
	for i := range MaxLive {
		full = append(full, live(fmt.Sprintf("%03d", i), i, before))
	}
	for _, row := range []struct {
		name             string
		given, unclaimed pushes
		want             pushes
		changed          bool
	}{
		{"nothing to claim", pushes{live("A", 0, before)}, nil, pushes{live("A", 0, before)}, false},
		{"a live push", nil, pushes{live("A", 0, before)}, pushes{live("A", 0, before)}, true},
		{"a live push and a tombstone, in order", nil, pushes{live("B", 60, before), ended(live("A", 0, before), 30, before)}, pushes{ended(live("A", 0, before), 30, before), live("B", 60, before)}, true},
		{"what is known already", pushes{live("A", 0, before)}, pushes{live("A", 0, old)}, pushes{live("A", 0, before)}, false},
		{"a live one that has ended since", pushes{tombstone("A", 0, before)}, pushes{live("A", 0, before)}, pushes{tombstone("A", 0, before)}, false},
		{"one that ended before the LiveStream heard of its start", pushes{live("A", 0, before)}, pushes{ended(live("A", 0, before), 60, before)}, pushes{ended(live("A", 0, before), 60, before)}, true},
		{"both know the end: the LiveStream's own stays", pushes{tombstone("A", 60, before)}, pushes{tombstone("A", 70, recording)}, pushes{tombstone("A", 60, before)}, false},
		{"a tombstone past its life", nil, pushes{tombstone("A", 0, old)}, nil, false},
		{"a live push of long ago", nil, pushes{live("A", 0, recording.Add(-48*time.Hour))}, pushes{live("A", 0, recording.Add(-48*time.Hour))}, true},
		{"a live push replaces one that stands in", pushes{standIn(0, before)}, pushes{live("A", 0, before)}, pushes{live("A", 0, before)}, true},
		{"one live push too many", full, pushes{live("more", 0, before)}, full, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := append(make(pushes, 0, len(row.given)+8), row.given...)
			untouched := deepCopies(given[:cap(given)])
			got, changed := Claim(given, row.unclaimed, recording)
			if diff := gocmp.Diff(row.want, got, cmpopts.EquateEmpty()); diff != "" || changed != row.changed {
				t.Errorf("changed: %t, want %t %s", changed, row.changed, diff)
			}
			if diff := gocmp.Diff(untouched, given[:cap(given)]); diff != "" {
				t.Errorf("the argument was changed: %s", diff)
			}
			if _, again := Claim(got, row.unclaimed, recording); again {
				t.Error("claiming again changes something")
			}
			for _, p := range row.unclaimed {
				if !Claimed(got, p, recording) {
					t.Errorf("%s is not claimed", p.Sequence)
				}
			}
			if len(row.unclaimed) == 1 && Claimed(row.given, row.unclaimed[0], recording) == row.changed {
				t.Errorf("Claimed() beforehand = %t", !row.changed)
			}
		})
	}
}

func TestADeletedLiveStreamLeavesItsPushesButNoStandIns(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Minute)
	stream := Stream{"live", "b"}
	other := v1alpha1.UnclaimedPush{AppName: "live", StreamName: "a", Push: live("A", 0, before)}
	got := Release([]v1alpha1.UnclaimedPush{other}, stream, []v1alpha1.Push{live("A", 0, before), tombstone("B", 0, before), standIn(0, before), tombstone("old", 0, recording.Add(-2*time.Hour))}, recording)
	want := []v1alpha1.UnclaimedPush{other}
	for _, p := range []v1alpha1.Push{live("A", 0, before), tombstone("B", 0, before)} {
		want = append(want, v1alpha1.UnclaimedPush{AppName: "live", StreamName: "b", Push: p})
	}
	if diff := gocmp.Diff(want, got, cmpopts.SortSlices(func(a, b v1alpha1.UnclaimedPush) bool {
		return a.StreamName+a.Sequence < b.StreamName+b.Sequence
	})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// However the events of a stream are split between the time before its LiveStream, or a receiver that has not seen it yet, and the
// LiveStream itself, however often that is made anew, and whenever it claims, the live set is that of all events applied to it.
func TestEventsReachTheSameLiveSetWhereverTheyAreRecorded(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(267, 32744))
	ids := map[string]string{"A": "A", "B": "B", "C": "C"}
	for round := range 20_000 {
		events := randomEvents(random, 1+random.IntN(9))
		var direct, own []v1alpha1.Push
		var aside []v1alpha1.UnclaimedPush
		told := ""
		for i, e := range events {
			now := recording.Add(time.Duration(i) * time.Second)
			e = of("b", e)
			var err, err2 error
			direct, _, err = Apply(direct, e, now)
			if random.IntN(2) == 0 {
				told += fmt.Sprintf("%s of %s to the PushDomain, ", e.Kind, e.Sequence)
				aside, _, err2 = ApplyUnclaimed(aside, ignores, e, now)
			} else {
				told += fmt.Sprintf("%s of %s to the LiveStream, ", e.Kind, e.Sequence)
				own, _, err2 = Apply(own, e, now)
			}
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if random.IntN(4) == 0 {
				told += "a claim, "
				own, _ = Claim(own, OfStream(aside, Stream{"live", "b"}), now)
			}
			if random.IntN(4) == 0 {
				told += "the LiveStream is deleted and made anew, "
				gone := own
				aside, own = Release(aside, Stream{"live", "b"}, gone, now), nil
				if diff := gocmp.Diff(aside, Release(aside, Stream{"live", "b"}, gone, now)); diff != "" {
					t.Fatalf("round %d, %sreleasing again changes something: %s", round, told, diff)
				}
			}
		}
		own, _ = Claim(own, OfStream(aside, Stream{"live", "b"}), recording.Add(time.Minute))
		want, got := shapeOf(direct, ids), shapeOf(own, ids)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("round %d, %s(-direct +claimed):\n%s", round, told, diff)
		}
	}
}

// Found by the long storm of make chaos: LiveStreams that were deleted on air had filled the list with live pushes, and an interruption that a
// receiver recorded there, which had not seen its LiveStream yet, was dropped as it was answered.
func TestWhatACallbackJustToldIsKeptWhateverElseThereIs(t *testing.T) {
	t.Parallel()
	long := recording.Add(-2 * ClaimGrace)
	crowds := map[string]func(i int) v1alpha1.Push{
		"live pushes of long ago":  func(int) v1alpha1.Push { return live("A", 0, long) },
		"ended pushes of long ago": func(int) v1alpha1.Push { return tombstone("A", 0, long) },
	}
	for name, push := range crowds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []v1alpha1.UnclaimedPush
			for i := range MaxUnclaimed {
				all = append(all, unclaimed(fmt.Sprintf("stream-%03d", i), push(i)))
			}
			got, outcome, err := ApplyUnclaimed(all, ignores, of("show", interrupted("A", 0)), recording)
			if err != nil || outcome != EndedUnseen || !slices.Contains(names(got), "show/A") || len(got) != MaxUnclaimed {
				t.Fatalf("%d pushes, %s, %v: the interruption is not among them", len(got), outcome, err)
			}
			// More ends than there is room for come again, and more starts are forgotten.
			for i := range 2 * MaxUnclaimed {
				event, at := interrupted("B", 0), recording.Add(time.Second)
				if i%2 == 0 {
					event = started("B", 0)
				}
				if got, _, err = ApplyUnclaimed(got, ignores, of(fmt.Sprint("other-", i), event), at); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Contains(names(got), "show/A") || len(got) != MaxUnclaimed {
				t.Errorf("%d pushes: the interruption gave way to later ones", len(got))
			}
			if got = slices.DeleteFunc(got, func(p v1alpha1.UnclaimedPush) bool { return p.Sequence == "B" }); !slices.Contains(names(got), "show/A") {
				t.Fatal("the interruption is gone")
			}
			for i := len(got); i < MaxUnclaimed; i++ {
				got = append(got, unclaimed(fmt.Sprintf("more-%03d", i), push(i)))
			}
			// Those of a LiveStream that goes a moment later take no place of it.
			var pushes []v1alpha1.Push
			for i := range MaxTombstones {
				pushes = append(pushes, tombstone(fmt.Sprint("T", i), i, recording.Add(time.Second)))
			}
			for i := range MaxLive {
				pushes = append(pushes, live(fmt.Sprint("L", i), i, recording.Add(time.Second)))
			}
			for i := range 3 {
				got = Release(got, Stream{"live", fmt.Sprint("gone-", i)}, pushes, recording.Add(2*time.Second))
			}
			if !slices.Contains(names(got), "show/A") || len(got) > MaxUnclaimed {
				t.Errorf("%d pushes: the interruption is gone", len(got))
			}
			if !slices.ContainsFunc(got, func(p v1alpha1.UnclaimedPush) bool { return p.StreamName == "gone-0" && IsLive(p.Push) }) {
				t.Error("no live push of a deleted LiveStream took the place of one of long ago")
			}
		})
	}
}

func TestWhatCallbacksToldLeavesOutWhatTheOperatorMadeOfIt(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Minute)
	givenUp := End([]v1alpha1.Push{live("given-up", 0, before)}, []string{"given-up"}, v1alpha1.PushReasonMaxDurationReached, "", recording)[0]
	pushes := []v1alpha1.Push{live("early", 0, before), live("A", 0, recording), tombstone("B", 60, recording), standIn(10, recording), givenUp}
	for _, row := range []struct {
		name string
		got  []v1alpha1.Push
		want []string
	}{
		{"ever", Told(pushes, time.Time{}), []string{"early", "A", "B"}},
		{"since then, by our clock", Told(pushes, recording), []string{"A", "B"}},
		{"of what has ended", Tombstones(Told(pushes, time.Time{})), []string{"B"}},
	} {
		if diff := gocmp.Diff(row.want, sequences(row.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}
