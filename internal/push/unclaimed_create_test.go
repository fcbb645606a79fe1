package push

import (
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

// fullOf is a full list, told at the given time.
func fullOf(push func(string, int, time.Time) v1alpha1.Push, at time.Time) []v1alpha1.UnclaimedPush {
	var all []v1alpha1.UnclaimedPush
	for i := range MaxUnclaimed {
		all = append(all, unclaimed(fmt.Sprintf("stream-%03d", i), push("A", 0, at)))
	}
	return all
}

func TestWhereLiveStreamsAreMadeAPushThatWasJustToldKeepsItsPlace(t *testing.T) {
	t.Parallel()
	long := recording.Add(-ClaimGrace - time.Second)
	mixed := fullOf(live, recording)
	mixed[5].Push = live("A", 0, long)
	for _, row := range []struct {
		name   string
		policy v1alpha1.UnknownStreams
		given  []v1alpha1.UnclaimedPush
		event  provider.Event
		// gone is what had a place, or found none.
		gone string
	}{
		{"a later start finds no place", creates, fullOf(live, recording), started("B", 0), "a-show/B"},
		{"nor does one by a clock that is behind", creates, fullOf(live, recording.Add(3*time.Second)), started("B", 0), "a-show/B"},
		{"nor does an end", creates, fullOf(live, recording), interrupted("B", 0), "a-show/B"},
		{"one of long ago gives way", creates, mixed, started("B", 0), "stream-005/A"},
		{"one of a clock that was far ahead gives way", creates, fullOf(live, recording.Add(24*time.Hour)), started("B", 0), "stream-127/A"},
		{"an end of long ago gives way", creates, fullOf(tombstone, long), started("B", 0), "stream-127/A"},
		{"where none are made the later start has the place", ignores, fullOf(live, recording), started("B", 0), "stream-127/A"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, outcome, err := ApplyUnclaimed(row.given, row.policy, of("a-show", row.event), recording)
			if err != nil || !outcome.Changed() {
				t.Fatalf("%s, error %v", outcome, err)
			}
			want := slices.DeleteFunc(append([]string{"a-show/B"}, names(row.given)...), func(name string) bool { return name == row.gone })
			if diff := gocmp.Diff(want, names(got)); diff != "" {
				t.Errorf("places mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// Found by a reading: a replica whose clock is a little behind took the places of the ends that another one had answered.
func TestAnEndTakesNoPlaceOfAnotherWhicheverClockToldIt(t *testing.T) {
	t.Parallel()
	given := fullOf(live, recording.Add(-2*ClaimGrace))
	for i := range freshEnds {
		given[i].Push = tombstone("A", 0, recording.Add(3*time.Second))
	}
	got, _, err := ApplyUnclaimed(given, ignores, of("a-show", interrupted("B", 0)), recording)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(names(given), names(got)); diff != "" {
		t.Errorf("places mismatch (-want +got):\n%s", diff)
	}
}
