package push

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

// FuzzApply plays two bytes an event: which push starts or stops, when by its own clock, and how long after the one before it arrives.
// What is live then is what the rules say, as long as no tombstone had to go: expected, the model, knows nothing of lists and times.
func FuzzApply(f *testing.F) {
	f.Add([]byte{0, 0, 8, 1, 1, 2})
	f.Add([]byte{8, 0, 0, 1})
	f.Add([]byte{0, 0, 1, 9, 2, 0, 9, 0, 10, 0})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		now := recording
		var pushes []v1alpha1.Push
		var events []provider.Event
		for i := 0; i+1 < len(bytes) && len(events) < 2*MaxLive; i += 2 {
			e := started(fmt.Sprint("s", bytes[i]&7), int(bytes[i]>>4))
			if bytes[i]&8 != 0 {
				e = interrupted(e.Sequence, int(bytes[i]>>4))
				if bytes[i+1]&1 != 0 {
					e = lasting(e, int64(bytes[i+1])*100)
				}
			}
			// Together less than a tombstone's life.
			now = now.Add(time.Duration(bytes[i+1]) * 100 * time.Millisecond)
			before := slices.Clone(pushes)
			after, outcome, err := Apply(pushes, e, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(before, pushes); diff != "" {
				t.Fatalf("the argument was changed: %s", diff)
			}
			if !outcome.Changed() && !gocmp.Equal(before, after) {
				t.Fatalf("%s changed something", outcome)
			}
			if again, second, err := Apply(after, e, now); err != nil || second.Changed() || !gocmp.Equal(after, again) {
				t.Fatalf("%s again is %s, %v", outcome, second, err)
			}
			pushes, events = after, append(events, e)
			checkPushes(t, pushes)
		}
		names := map[string]string{}
		for _, e := range events {
			names[e.Sequence] = e.Sequence
		}
		if diff := gocmp.Diff(expected(events), shapeOf(pushes, names)); diff != "" {
			t.Errorf("after %s: %s", story(events), diff)
		}
	})
}

func checkPushes(t *testing.T, pushes []v1alpha1.Push) {
	t.Helper()
	seen := map[string]bool{}
	for _, p := range pushes {
		if seen[p.Sequence] {
			t.Fatalf("push %s is listed twice", p.Sequence)
		}
		seen[p.Sequence] = true
		if p.RecordedTime == nil {
			t.Fatalf("push %s has no time at which it was recorded", p.Sequence)
		}
	}
	if !slices.IsSortedFunc(pushes, inOrder) {
		t.Fatal("the pushes are out of order")
	}
}

// FuzzApplyToManyPushes never lets the list grow beyond its bounds, whatever comes how late.
func FuzzApplyToManyPushes(f *testing.F) {
	f.Add(uint16(300), []byte{1, 2, 3})
	f.Add(uint16(200), []byte{0})
	f.Fuzz(func(t *testing.T, many uint16, bytes []byte) {
		if len(bytes) == 0 {
			t.Skip("no events")
		}
		var pushes []v1alpha1.Push
		now := recording
		for i := range min(int(many), 500) {
			b := bytes[i%len(bytes)]
			e := started(fmt.Sprint(i%(int(b)+1)), i)
			if b&1 != 0 {
				e = interrupted(e.Sequence, i)
			}
			now = now.Add(time.Duration(b) * time.Second)
			after, _, err := Apply(pushes, e, now)
			if err != nil && !errors.Is(err, ErrTooManyLive) {
				t.Fatal(err)
			}
			pushes = after
			checkPushes(t, pushes)
			if live := len(Live(pushes)); live > MaxLive || len(pushes)-live > MaxTombstones {
				t.Fatalf("%d live and %d ended", live, len(pushes)-live)
			}
		}
	})
}
