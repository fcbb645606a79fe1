package push

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

// shape is what remains of the pushes when order of arrival and details of the events are left out.
type shape struct{ Live, Ended []string }

func shapeOf(pushes []v1alpha1.Push, names map[string]string) shape {
	s := shape{Live: []string{}, Ended: []string{}}
	for _, p := range pushes {
		if IsLive(p) {
			s.Live = append(s.Live, names[p.Sequence])
		} else {
			s.Ended = append(s.Ended, names[p.Sequence])
		}
	}
	slices.Sort(s.Live)
	slices.Sort(s.Ended)
	return s
}

// expected follows from the rules alone: a push with an interruption is ended, one with only starts is live.
func expected(events []provider.Event) shape {
	over, seen := map[string]bool{}, map[string]bool{}
	for _, e := range events {
		seen[e.Sequence] = true
		over[e.Sequence] = over[e.Sequence] || e.Kind == provider.Interrupted
	}
	s := shape{Live: []string{}, Ended: []string{}}
	for sequence := range seen {
		if over[sequence] {
			s.Ended = append(s.Ended, sequence)
		} else {
			s.Live = append(s.Live, sequence)
		}
	}
	slices.Sort(s.Live)
	slices.Sort(s.Ended)
	return s
}

// play applies the events under other names for their sequences, and checks on the way that what ended stays ended.
func play(t *testing.T, events []provider.Event, rename map[string]string) (shape, []Outcome) {
	t.Helper()
	back := map[string]string{}
	for from, to := range rename {
		back[to] = from
	}
	var pushes []v1alpha1.Push
	outcomes := make([]Outcome, 0, len(events))
	over := map[string]bool{}
	for i, e := range events {
		e.Sequence = rename[e.Sequence]
		var outcome Outcome
		var err error
		if pushes, outcome, err = Apply(pushes, e, recording.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, outcome)
		for _, p := range pushes {
			if over[p.Sequence] && IsLive(p) {
				t.Fatalf("push %s was ended and is live again after %s", p.Sequence, story(events[:i+1]))
			}
			over[p.Sequence] = !IsLive(p)
		}
	}
	return shapeOf(pushes, back), outcomes
}

func story(events []provider.Event) string {
	words := make([]string, 0, len(events))
	for _, e := range events {
		words = append(words, fmt.Sprintf("%s of %s", e.Kind, e.Sequence))
	}
	return strings.Join(words, ", ")
}

func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	t.Parallel()
	const multisets, longest = 150, 6
	random := rand.New(rand.NewPCG(20181218, 6674468118806626493))
	// Real sequences: none grows with time, and no two orders of text, number and time agree.
	plain := map[string]string{"A": "7037777160241646428", "B": "653434696377249304", "C": "2210464508206756938"}
	swapped := map[string]string{"A": "653434696377249304", "B": "2210464508206756938", "C": "7037777160241646428"}
	opaque := map[string]string{"A": "z", "B": "-", "C": "00"}
	for range multisets {
		events := randomEvents(random, 1+random.IntN(longest))
		want := expected(events)
		permute(events, func(order []provider.Event) {
			got, outcomes := play(t, order, plain)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: %s", story(order), diff)
			}
			for _, names := range []map[string]string{swapped, opaque} {
				renamed, others := play(t, order, names)
				if !slices.Equal(outcomes, others) || !gocmp.Equal(got, renamed) {
					t.Fatalf("%s: other sequences give %v %v, not %v %v: their text must not matter", story(order), renamed, others, got, outcomes)
				}
			}
		})
	}
}

// randomEvents are starts and interruptions of up to 3 pushes, repeated or missing as it comes.
func randomEvents(random *rand.Rand, n int) []provider.Event {
	events := make([]provider.Event, 0, n)
	for range n {
		sequence := string(rune('A' + random.IntN(3)))
		// Few different times, so that they are often equal.
		e := started(sequence, random.IntN(3))
		if random.IntN(2) == 0 {
			e = interrupted(sequence, random.IntN(3))
			if random.IntN(2) == 0 {
				e = lasting(e, random.Int64N(100_000))
			}
		}
		events = append(events, e)
	}
	return events
}

// permute calls f with every order of the events.
func permute(events []provider.Event, f func([]provider.Event)) {
	var place func(int)
	place = func(i int) {
		if i == len(events) {
			f(events)
			return
		}
		for j := i; j < len(events); j++ {
			events[i], events[j] = events[j], events[i]
			place(i + 1)
			events[i], events[j] = events[j], events[i]
		}
	}
	place(0)
}
