package push

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

func standIn(seconds int, recorded time.Time) v1alpha1.Push {
	return v1alpha1.Push{
		Sequence: fmt.Sprintf("online-%d", at(seconds).Unix()), Source: v1alpha1.PushSourceOnlineList,
		StartTime: new(metav1.NewTime(at(seconds))), RecordedTime: new(metav1.NewTime(recorded)),
	}
}

func endedAt(p v1alpha1.Push, end time.Time, reason v1alpha1.PushReason, message string) v1alpha1.Push {
	p.EndTime, p.RecordedTime, p.Reason, p.Message = new(metav1.NewTime(end)), new(metav1.NewTime(end)), reason, message
	return p
}

func TestStandIn(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Minute)
	for _, row := range []struct {
		name    string
		pushes  []v1alpha1.Push
		want    []v1alpha1.Push
		changed bool
	}{
		{"a stream of which nothing is known gets one", nil, []v1alpha1.Push{standIn(0, recording)}, true},
		{"a stream whose pushes have ended gets one", []v1alpha1.Push{tombstone("A", -60, before)}, []v1alpha1.Push{tombstone("A", -60, before), standIn(0, recording)}, true},
		{"a stream with a live push needs none", []v1alpha1.Push{live("A", -60, before)}, []v1alpha1.Push{live("A", -60, before)}, false},
		{"one that is there is not made again", []v1alpha1.Push{standIn(0, before)}, []v1alpha1.Push{standIn(0, before)}, false},
		{"one that ended is not made again", []v1alpha1.Push{endedAt(standIn(0, before), before, "NotOnline", "")}, []v1alpha1.Push{endedAt(standIn(0, before), before, "NotOnline", "")}, false},
		{"one of another start is another", []v1alpha1.Push{endedAt(standIn(-600, before), before, "NotOnline", "")}, []v1alpha1.Push{endedAt(standIn(-600, before), before, "NotOnline", ""), standIn(0, recording)}, true},
		{"tombstones past their life go", []v1alpha1.Push{tombstone("A", -60, recording.Add(-2*time.Hour))}, []v1alpha1.Push{standIn(0, recording)}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := append(make([]v1alpha1.Push, 0, len(row.pushes)+8), row.pushes...)
			untouched := deepCopies(given[:cap(given)])
			got, changed := StandIn(given, at(0), recording)
			if diff := gocmp.Diff(row.want, got); diff != "" || changed != row.changed {
				t.Errorf("changed: %t, want %t %s", changed, row.changed, diff)
			}
			if diff := gocmp.Diff(untouched, given[:cap(given)]); diff != "" {
				t.Errorf("the argument was changed: %s", diff)
			}
		})
	}
}

func TestAStandInGivesWayToItsOwnCallbacks(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Minute)
	stoodIn := standIn(10, before)
	refused := interrupted("A", 60)
	refused.Reason = v1alpha1.PushReasonRefused
	refusal := tombstone("A", 60, recording)
	refusal.Reason = v1alpha1.PushReasonRefused
	for _, row := range []struct {
		name    string
		pushes  []v1alpha1.Push
		event   provider.Event
		want    []v1alpha1.Push
		outcome Outcome
	}{
		{"the start that was missing replaces it", []v1alpha1.Push{stoodIn}, started("A", 10), []v1alpha1.Push{live("A", 10, recording)}, Started},
		{"an interruption of an unknown push replaces it", []v1alpha1.Push{stoodIn}, interrupted("A", 60), []v1alpha1.Push{tombstone("A", 60, recording)}, EndedUnseen},
		{"an interruption in the second of its start replaces it", []v1alpha1.Push{stoodIn}, interrupted("A", 10), []v1alpha1.Push{tombstone("A", 10, recording)}, EndedUnseen},
		{"a push that was refused leaves it: another one is on air", []v1alpha1.Push{stoodIn}, refused, []v1alpha1.Push{stoodIn, refusal}, EndedUnseen},
		{"an interruption from before it leaves it", []v1alpha1.Push{stoodIn}, interrupted("A", 9), []v1alpha1.Push{tombstone("A", 9, recording), stoodIn}, EndedUnseen},
		{"an interruption of a known push leaves it", []v1alpha1.Push{ended(live("A", 0, before), 9, before), stoodIn}, interrupted("A", 60), []v1alpha1.Push{ended(live("A", 0, before), 9, before), stoodIn}, Duplicate},
		{"the late start of an ended push leaves it", []v1alpha1.Push{ended(live("A", 0, before), 9, before), stoodIn}, started("A", 0), []v1alpha1.Push{ended(live("A", 0, before), 9, before), stoodIn}, Stale},
		{"one that ended stays as a tombstone when the start comes", []v1alpha1.Push{endedAt(stoodIn, before, "NotOnline", "")}, started("A", 10), []v1alpha1.Push{live("A", 10, recording), endedAt(stoodIn, before, "NotOnline", "")}, Started},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := deepCopies(row.pushes)
			got, outcome, err := Apply(given, row.event, recording)
			if diff := gocmp.Diff(row.want, got); diff != "" || outcome != row.outcome || err != nil {
				t.Errorf("outcome %s, want %s, error %v %s", outcome, row.outcome, err, diff)
			}
			if diff := gocmp.Diff(row.pushes, given); diff != "" {
				t.Errorf("the argument was changed: %s", diff)
			}
		})
	}
}

func TestOnlyOurOwnSequencesAreStandIns(t *testing.T) {
	t.Parallel()
	for sequence, want := range map[string]bool{"online-1545112800": true, "online-": true, "6674468118806626493": false, "": false, "Online-1": false, "x-online-1": false} {
		if got := IsStandIn(sequence); got != want {
			t.Errorf("IsStandIn(%q) = %t", sequence, got)
		}
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Hour)
	const reason, message = v1alpha1.PushReasonMaxDurationReached, "nothing was heard of it for 12h0m0s"
	for _, row := range []struct {
		name      string
		pushes    []v1alpha1.Push
		sequences []string
		want      []v1alpha1.Push
	}{
		{"a live push ends now, with the reason", []v1alpha1.Push{live("A", 0, before)}, []string{"A"}, []v1alpha1.Push{endedAt(live("A", 0, before), recording, reason, message)}},
		{"others stay live", []v1alpha1.Push{live("A", 0, before), live("B", 1, before)}, []string{"B"}, []v1alpha1.Push{live("A", 0, before), endedAt(live("B", 1, before), recording, reason, message)}},
		{"several end at once, however often they are named", []v1alpha1.Push{live("A", 0, before), live("B", 1, before)}, []string{"B", "A", "A"}, []v1alpha1.Push{endedAt(live("A", 0, before), recording, reason, message), endedAt(live("B", 1, before), recording, reason, message)}},
		{"one that has ended keeps its end", []v1alpha1.Push{tombstone("A", 0, before)}, []string{"A"}, []v1alpha1.Push{tombstone("A", 0, before)}},
		{"one that is not known is not made", []v1alpha1.Push{live("A", 0, before)}, []string{"B"}, []v1alpha1.Push{live("A", 0, before)}},
		{"none ends none", []v1alpha1.Push{live("A", 0, before)}, nil, []v1alpha1.Push{live("A", 0, before)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := deepCopies(row.pushes)
			got := End(given, row.sequences, reason, message, recording)
			if diff := gocmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := gocmp.Diff(row.pushes, given); diff != "" {
				t.Errorf("the argument was changed: %s", diff)
			}
			// Ended is final, also without a callback.
			for _, sequence := range row.sequences {
				if _, outcome, _ := Apply(got, started(sequence, 0), recording); outcome == Started && sequence != "B" {
					t.Errorf("the late start of %s makes it live again", sequence)
				}
			}
		})
	}
}

// The API server counts characters, and refuses the whole status for one too many.
func TestAMessageOfAnEndIsCutToWhatTheAPITakes(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ message, want string }{
		"one that fits stays": {strings.Repeat("断", 256), strings.Repeat("断", 256)},
		"one more is cut":     {strings.Repeat("断", 256) + "x", strings.Repeat("断", 256)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := End([]v1alpha1.Push{live("A", 0, recording)}, []string{"A"}, v1alpha1.PushReasonNotOnline, row.message, recording)
			if diff := gocmp.Diff(row.want, got[0].Message); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConfirmNotesThatLivePushesWereHeardOf(t *testing.T) {
	t.Parallel()
	before := recording.Add(-time.Hour)
	given := []v1alpha1.Push{tombstone("A", 0, before), live("B", 1, before), standIn(2, before)}
	untouched := deepCopies(given)
	want := []v1alpha1.Push{tombstone("A", 0, before), live("B", 1, recording), standIn(2, recording)}
	if diff := gocmp.Diff(want, Confirm(given, recording)); diff != "" {
		t.Error(diff)
	}
	if diff := gocmp.Diff(untouched, given); diff != "" {
		t.Errorf("the argument was changed: %s", diff)
	}
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	const longest = 12 * time.Hour
	ago := func(d time.Duration) time.Time { return recording.Add(-d) }
	unrecorded := func(p v1alpha1.Push) v1alpha1.Push {
		p.RecordedTime = nil
		return p
	}
	for _, row := range []struct {
		name   string
		pushes []v1alpha1.Push
		want   []string
		next   time.Time
	}{
		{"no pushes", nil, nil, time.Time{}},
		{"one that was just recorded is due later, whatever its start says", []v1alpha1.Push{live("A", 0, recording)}, nil, recording.Add(longest)},
		{"one is due on the second", []v1alpha1.Push{live("A", 0, ago(longest))}, []string{"A"}, time.Time{}},
		{"one is not due a second before", []v1alpha1.Push{live("A", 0, ago(longest-time.Second))}, nil, recording.Add(time.Second)},
		{"the next one is the earliest", []v1alpha1.Push{live("A", 0, ago(time.Hour)), live("B", 1, ago(2*time.Hour)), live("C", 2, ago(13*time.Hour))}, []string{"C"}, recording.Add(10 * time.Hour)},
		{"ended ones are never due", []v1alpha1.Push{tombstone("A", 0, ago(24*time.Hour))}, nil, time.Time{}},
		{"one of which nobody knows when it was recorded goes by its start", []v1alpha1.Push{unrecorded(live("A", 0, recording))}, []string{"A"}, time.Time{}},
		{"one that stands in for another is due as well", []v1alpha1.Push{standIn(0, ago(13*time.Hour))}, []string{standIn(0, recording).Sequence}, time.Time{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, next := Overdue(row.pushes, longest, recording)
			if diff := gocmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
			if !next.Equal(row.next) {
				t.Errorf("the next is due at %s, want %s", next, row.next)
			}
			// What Overdue names, End ends; then only the next is left.
			if left, _ := Overdue(End(row.pushes, got, v1alpha1.PushReasonMaxDurationReached, "", recording), longest, recording); len(left) > 0 {
				t.Errorf("%v are overdue still", left)
			}
			if left, _ := Overdue(Confirm(row.pushes, recording), longest, recording); len(left) > 0 {
				t.Errorf("%v are overdue although they were heard of", left)
			}
		})
	}
}
