package push

import (
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// A receiver that has not seen the LiveStream yet recorded the stop aside, without the start: the LiveStream has that.
func TestClaimingAnEndKeepsWhatTheLiveStreamKnowsOfThePush(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Minute)
	own := []v1alpha1.Push{live("A", 0, before)}
	got, _ := Claim(own, []v1alpha1.Push{tombstone("A", 60, before)}, recording)
	if diff := gocmp.Diff([]v1alpha1.Push{ended(live("A", 0, before), 60, before)}, got); diff != "" {
		t.Error(diff)
	}
}

// Apply would have ended the stand-in with this stop.
func TestClaimingTheStopOfAnUnseenPushEndsItsStandIn(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Minute)
	direct := apply(t, []v1alpha1.Push{standIn(10, before)}, interrupted("A", 60), recording)
	claimed, _ := Claim([]v1alpha1.Push{standIn(10, before)}, []v1alpha1.Push{tombstone("A", 60, before)}, recording)
	if diff := gocmp.Diff(sequences(Live(direct)), sequences(Live(claimed))); diff != "" {
		t.Errorf("live pushes (-applied +claimed):\n%s", diff)
	}
}

// Found by reading: each pass over a LiveStream that 128 later ends are known of wrote a patch that changed nothing.
func TestATombstoneThatFindsNoRoomIsNothingNew(t *testing.T) {
	t.Parallel()
	var full []v1alpha1.Push
	for i := range MaxTombstones {
		full = append(full, tombstone(fmt.Sprint(i), i, recording.Add(-time.Minute)))
	}
	earlier, later := tombstone("earlier", 0, recording.Add(-2*time.Minute)), tombstone("later", MaxTombstones, recording.Add(-time.Second))
	expired := append([]v1alpha1.Push{tombstone("expired", 0, recording.Add(-2*TombstoneLife))}, full...)
	for _, tc := range []struct {
		name   string
		pushes []v1alpha1.Push
		told   []v1alpha1.Push
		want   []v1alpha1.Push
		change bool
	}{
		{"it was recorded before all that is there", full, []v1alpha1.Push{earlier}, full, false},
		{"it was recorded after that", full, []v1alpha1.Push{later}, append(full[1:MaxTombstones:MaxTombstones], later), true},
		{"it comes with one that finds room", full, []v1alpha1.Push{earlier, later}, append(full[1:MaxTombstones:MaxTombstones], later), true},
		{"it finds none, and what is past its life goes", expired, []v1alpha1.Push{earlier}, full, true},
		{"it finds none, and one that is live ends", append(full[1:MaxTombstones:MaxTombstones], live("on air", MaxTombstones, recording)), []v1alpha1.Push{earlier, ended(live("on air", MaxTombstones, recording), MaxTombstones, recording)},
			append(full[1:MaxTombstones:MaxTombstones], ended(live("on air", MaxTombstones, recording), MaxTombstones, recording)), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, changed := Claim(tc.pushes, tc.told, recording)
			if diff := gocmp.Diff(sequences(tc.want), sequences(got)); diff != "" || changed != tc.change {
				t.Errorf("Claim() says that it changed something: %t, want %t (-want +got):\n%s", changed, tc.change, diff)
			}
		})
	}
	// It is still told of elsewhere, should its start come late.
	if Claimed(full, earlier, recording) {
		t.Error("a tombstone that found no room counts as known")
	}
}
