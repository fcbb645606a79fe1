package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// delivery is an event with the time at which it arrives.
type delivery struct {
	event provider.Event
	at    time.Time
}

// deliveries are the callbacks of a few pushes, late, doubled and in any order.
func deliveries(r *rand.Rand) []delivery {
	var all []delivery
	at := showTime
	for i := range 1 + r.IntN(4) {
		sequence := fmt.Sprint(r.Uint64())
		start := at.Add(time.Duration(r.IntN(120)) * time.Second)
		end := start.Add(time.Duration(r.IntN(300)) * time.Second)
		reason := []v1alpha1.PushReason{v1alpha1.PushReasonClientStopped, v1alpha1.PushReasonNetworkError, v1alpha1.PushReasonByOperator}[i%3]
		for range 1 + r.IntN(3) {
			all = append(all, delivery{started(sequence, start), start.Add(late(r))}, delivery{interrupted(sequence, end, reason), end.Add(late(r))})
		}
		at = start
		if r.IntN(2) == 0 {
			at = end
		}
	}
	slices.SortStableFunc(all, func(a, b delivery) int { return a.at.Compare(b.at) })
	return all
}

// late is at once, mostly, and else what CSS's retries allow.
func late(r *rand.Rand) time.Duration {
	if r.IntN(3) > 0 {
		return 0
	}
	return time.Duration(r.IntN(12*60)) * time.Second
}

// written are events that one write tells of, and when.
type written struct {
	events []provider.Event
	at     time.Time
}

// writes has some of the deliveries written with those that come next, as a receiver does that has to wait for its turn.
func writes(r *rand.Rand, all []delivery, waits bool) []written {
	var writes []written
	for i, d := range all {
		if last := len(writes) - 1; i > 0 && waits && r.IntN(3) == 0 {
			writes[last].events, writes[last].at = append(writes[last].events, d.event), d.at
			continue
		}
		writes = append(writes, written{[]provider.Event{d.event}, d.at})
	}
	return writes
}

func TestRandomCallbacksWithCrashesKeepTheInvariants(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld("record", "thumbnails")
		if seed%2 == 1 {
			w.loseStatus = func() bool { return r.IntN(4) == 0 }
		}
		for _, write := range writes(r, deliveries(r), seed%3 == 0) {
			w.advance(t, write.at)
			w.receive(t, write.events...)
			w.pass(t)
			checkNow(t, w)
		}
		w.loseStatus = func() bool { return false }
		w.pass(t)
		w.advance(t, w.now.Add(2*time.Hour))
		checkRest(t, w)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, w.trace.String())
		}
	}
}

// checkNow holds at every instant.
func checkNow(t *testing.T, w *world) {
	t.Helper()
	perWorkload := map[string]int{}
	for _, run := range w.active() {
		perWorkload[run.Workload]++
		if b := w.stream.Status.Broadcast; b.ID != "" && run.Broadcast != b.ID && w.look.IsZero() {
			t.Errorf("%s: a Job of broadcast %s runs in broadcast %s", w.clock(), run.Broadcast, b.ID)
		}
	}
	for name, count := range perWorkload {
		if count > 1 {
			t.Errorf("%s: %d Jobs of %s run at once", w.clock(), count, name)
		}
	}
}

// checkRest holds when nothing has happened for long.
func checkRest(t *testing.T, w *world) {
	t.Helper()
	live := len(push.Live(w.stream.Status.Pushes)) > 0
	if got := w.stream.Status.State == v1alpha1.LiveStreamLive; got != live {
		t.Errorf("the state is %s, a live push: %t", w.stream.Status.State, live)
	}
	if live && len(w.active()) != 2 || !live && len(w.active()) != 0 {
		t.Errorf("%d Jobs run, a live push: %t", len(w.active()), live)
	}
	before := w.stream.Status.DeepCopy()
	w.pass(t)
	if summary(*before) != summary(w.stream.Status) {
		t.Errorf("a pass at rest changed the status:\n%s\n%s", summary(*before), summary(w.stream.Status))
	}
}

func TestJobOfALostStatusIsCarriedOnByTheNextPush(t *testing.T) {
	w := newWorld("record")
	w.loseStatus = func() bool { return true }
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.now = w.now.Add(10 * time.Second)
	w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError))
	w.now = w.now.Add(10 * time.Second)
	w.receive(t, started("B", w.now))
	w.loseStatus = func() bool { return false }
	w.pass(t)
	if len(w.jobs) != 1 || len(w.active()) != 1 {
		t.Errorf("there are %d Jobs, %d of them active, want the one that A began", len(w.jobs), len(w.active()))
	}
	if b := w.stream.Status.Broadcast; b.ID != w.jobs[0].run.Broadcast || b.Pushes != 2 {
		t.Errorf("broadcast = %+v, want that of the Job with 2 pushes", b)
	}
}

func TestComputeChangesNothingOfWhatItIsGiven(t *testing.T) {
	w := newWorld("record")
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.receive(t, started("B", w.now))
	before := w.stream.DeepCopy()
	first, second := Compute(w.observed()), Compute(w.observed())
	if summary(first.Status) != summary(second.Status) {
		t.Error("two plans of the same world differ")
	}
	if summary(before.Status) != summary(w.stream.Status) || len(before.Status.Broadcast.Sequences) != len(w.stream.Status.Broadcast.Sequences) {
		t.Error("the plan changed the observed stream")
	}
}

func TestBackoffDoublesAndIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name string
		run  workload.Run
		want time.Duration
	}{
		{"the first part that ends early waits 10 s", workload.Run{Part: 1}, 10 * time.Second},
		{"the third waits 40 s", workload.Run{Part: 3}, 40 * time.Second},
		{"none waits longer than 5 min", workload.Run{Part: 1000}, 5 * time.Minute},
		{"one that ran for 10 min waits 10 s", workload.Run{Part: 9, Ready: showTime, Finished: showTime.Add(10 * time.Minute)}, 10 * time.Second},
	} {
		if got := backoff(tc.run); got != tc.want {
			t.Errorf("%s: backoff() = %s, want %s", tc.name, got, tc.want)
		}
	}
}
