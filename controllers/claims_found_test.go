package controllers

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

// CSS's list and its callbacks tell the same start a second or two apart.
func TestTheStopOfAPushWhoseStartWasLostCountsItOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.SetOnline(host, "live", "test", showTime)
	b.pass(2 * time.Minute)
	b.poll()
	b.settle("show")
	css.SetOffline(host, "live", "test")
	stop := b.ends("A", 1, v1alpha1.PushReasonClientStopped)
	stop.Duration = new(int64(118_000))
	b.record("show", stop)
	b.settle("show")
	b.pass(5 * time.Second)
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamIdle)
	if r := status.History[0]; r.Pushes != 1 || *r.Interruptions != 0 {
		t.Errorf("history = %+v, want one push without an interruption", r)
	}
}

// While CSS cannot be asked, the last list grows old. Once the tombstones of what it shows are gone, nothing must come back to life.
func TestAListFromLongAgoResurrectsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.SetOnline(host, "live", "test", showTime)
	b.record("show", b.starts("A"))
	b.settle("show")
	b.pass(2 * time.Minute)
	b.poll()
	css.Fail(csstest.OnlineList, csstest.Always, csstest.InternalServerError)
	css.Fail(csstest.StreamState, csstest.Always, csstest.InternalServerError)
	css.SetOffline(host, "live", "test")
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle("show")
	b.pass(10 * time.Second)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	// The next show drops the tombstone of the first.
	b.pass(2 * time.Hour)
	b.record("show", b.starts("B"))
	b.settle("show")
	b.pass(time.Minute)
	b.record("show", b.ends("B", 1, v1alpha1.PushReasonClientStopped))
	b.settle("show")
	b.pass(10 * time.Second)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
}

// Anybody can try to push to a name that is on air; CSS refuses them and tells so with a sequence of its own.
func TestARefusedPushDoesNotEndTheOneWhoseStartWasLost(t *testing.T) {
	t.Parallel()
	for name, duration := range map[string]*int64{"without a duration": nil, "with one": new(int64(200))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			css := b.cssShow()
			css.SetOnline(host, "live", "test", showTime)
			b.pass(2 * time.Minute)
			b.poll()
			b.settle("show")
			refused := b.ends("X", 19, v1alpha1.PushReasonRefused)
			refused.Duration = duration
			b.record("show", refused)
			b.settle("show")
			b.wantState("show", v1alpha1.LiveStreamLive)
		})
	}
}

// The backup pusher came and went, and only its stop arrived: the list says since when the one is on air that is left.
func TestTheStopOfAShortPushDoesNotEndALongOneWhoseStartWasLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.SetOnline(host, "live", "test", showTime)
	b.pass(10 * time.Minute)
	b.poll()
	b.settle("show")
	stop := b.ends("backup", 1, v1alpha1.PushReasonClientStopped)
	stop.Duration = new(int64(30_000))
	b.record("show", stop)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamLive)
	b.pass(time.Minute)
	b.poll()
	b.settle("show")
	if status := b.wantState("show", v1alpha1.LiveStreamLive); len(b.running()) != 1 || len(status.History) != 0 {
		t.Errorf("%d Jobs run, history = %+v, want the broadcast carried on", len(b.running()), status.History)
	}
}
