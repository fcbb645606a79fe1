package push

import (
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
