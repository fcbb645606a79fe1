package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/notices"
)

func inState(state v1alpha1.LiveStreamState) *v1alpha1.LiveStream {
	stream := newStream("show")
	stream.UID, stream.Status.State = "uid-1", state
	return stream
}

func TestInterruptionIsSeenByTheOwnClockUntilItIsOver(t *testing.T) {
	t.Parallel()
	const live, interrupted, idle = v1alpha1.LiveStreamLive, v1alpha1.LiveStreamInterrupted, v1alpha1.LiveStreamIdle
	clock := testclock.NewFakePassiveClock(showTime)
	r := &LiveStreamReconciler{Clock: clock}
	i, watch := &r.interruptions, r.followed()
	update := func(from, to v1alpha1.LiveStreamState) {
		watch.Update(t.Context(), event.UpdateEvent{ObjectOld: inState(from), ObjectNew: inState(to)}, nil)
	}
	for _, step := range []struct {
		name string
		do   func()
		want time.Time
	}{
		{"one that was there before is not seen to begin", func() { update(interrupted, interrupted) }, time.Time{}},
		{"one that begins", func() { update(live, interrupted) }, showTime},
		{"one that goes on began when it did", func() { clock.SetTime(showTime.Add(time.Second)); update(interrupted, interrupted) }, showTime},
		{"one that followed another, with nothing between them that was seen", func() {
			next := inState(interrupted)
			next.Status.Since = new(metav1.NewMicroTime(showTime))
			watch.Update(t.Context(), event.UpdateEvent{ObjectOld: inState(interrupted), ObjectNew: next}, nil)
		}, showTime.Add(time.Second)},
		{"one that is over is forgotten", func() { update(interrupted, live) }, time.Time{}},
		{"the next one", func() { update(live, interrupted) }, showTime.Add(time.Second)},
		{"the end of the window", func() { update(interrupted, idle) }, time.Time{}},
		{"one that is deleted", func() {
			update(live, interrupted)
			watch.Delete(t.Context(), event.DeleteEvent{Object: inState(interrupted)}, nil)
		}, time.Time{}},
	} {
		step.do()
		if got := i.began("uid-1"); !got.Equal(step.want) {
			t.Errorf("%s: it began at %s, want %s", step.name, got, step.want)
		}
		if len(i.seen) > 0 == step.want.IsZero() {
			t.Errorf("%s: %d are remembered", step.name, len(i.seen))
		}
	}
}

// The receiver has no right to send Events.
func TestLeaderTellsWhatAnEventChangedByItself(t *testing.T) {
	t.Parallel()
	live := func(sequence string) []v1alpha1.Push { return []v1alpha1.Push{{Sequence: sequence}} }
	idle, onAir, known := inState(v1alpha1.LiveStreamIdle), inState(v1alpha1.LiveStreamLive), inState(v1alpha1.LiveStreamIdle)
	onAir.Status.Pushes, onAir.Status.Broadcast.ID, known.Status.Pushes = live("1"), "b1", live("1")
	elected := make(chan struct{})
	close(elected)
	for _, tc := range []struct {
		name          string
		elected       <-chan struct{}
		before, after *v1alpha1.LiveStream
		want          int
	}{
		{"an event that is written with what follows from it", elected, idle, onAir, 1},
		{"a report of what was known, which told it itself", elected, known, onAir, 0},
		{"pushes alone, of which a report will tell", elected, idle, known, 0},
		{"where another replica leads", make(chan struct{}), idle, onAir, 0},
	} {
		recorder := events.NewFakeRecorder(10)
		r := &LiveStreamReconciler{Clock: testclock.NewFakePassiveClock(showTime), Tell: notices.NewTeller(recorder, 0), Elected: tc.elected}
		r.followed().Update(t.Context(), event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}, nil)
		if got := len(recorder.Events); got != tc.want {
			t.Errorf("%s: %d Events were sent, want %d", tc.name, got, tc.want)
		}
	}
}

// The receiver's replica may have a clock that is behind.
func TestWindowIsNotCutShortByTheClockOfAnotherReplica(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("1"))
	b.reconcile("show")
	b.record("show", b.ends("1", 12, v1alpha1.PushReasonNetworkError))
	b.reconcile("show")
	stream := b.stream("show")
	// Its clock was half a minute behind the leader's, which saw it now.
	b.reconciler.interruptions.note(stream.UID, stream.Status.Since.Add(30*time.Second))
	b.pass(61 * time.Second)
	b.reconcile("show")
	if got := b.stream("show").Status.State; got != v1alpha1.LiveStreamInterrupted {
		t.Errorf("after 31 s by the leader's clock it is %s", got)
	}
	b.pass(30 * time.Second)
	b.reconcile("show")
	if got := b.stream("show").Status.State; got != v1alpha1.LiveStreamIdle {
		t.Errorf("after 61 s it is %s", got)
	}
}
