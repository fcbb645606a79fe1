package controllers

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// A start that CSS repeats after a minute comes later than the window of a minute ends.
func TestABroadcastWhosePushCameBackUnheardGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.SetOnline(host, "live", "test", showTime)
	b.record("show", b.starts("A"))
	b.settle("show")
	job := b.onlyJob()
	b.pass(10 * time.Second)
	b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	b.settle("show")
	back := b.starts("B")
	b.pass(time.Minute)
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamLive)
	if live := push.Live(status.Pushes); len(live) != 1 || !push.IsStandIn(live[0].Sequence) {
		t.Errorf("live = %+v, want one that stands in", live)
	}
	b.pass(10 * time.Second)
	b.record("show", back)
	b.settle("show")
	status = b.wantState("show", v1alpha1.LiveStreamLive)
	if live := push.Live(status.Pushes); len(live) != 1 || live[0].Sequence != "B" || status.Broadcast.Pushes != 2 || *status.Broadcast.Interruptions != 1 {
		t.Errorf("live = %+v, broadcast = %+v, want B as its second push", live, status.Broadcast)
	}
	if b.onlyJob().UID != job.UID {
		t.Error("the Job was replaced")
	}
}

func TestAtTheEndOfAWindowCSSIsAsked(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		prepare func(*csstest.Server)
		reason  v1alpha1.PushReason
		window  int32
		calls   int
		// last is how long after the stop the broadcast is still open.
		last time.Duration
	}{
		{"once, when it is not on air", nil, v1alpha1.PushReasonNetworkError, 60, 1, 59 * time.Second},
		{"but not after a stop that the client asked for", nil, v1alpha1.PushReasonClientStopped, 60, 0, 4 * time.Second},
		{"but not so soon that CSS may not know", func(css *csstest.Server) { css.SetOnline(host, "live", "test", showTime) }, v1alpha1.PushReasonNetworkError, 19, 0, 18 * time.Second},
		{"again and again for a minute, when it does not answer", func(css *csstest.Server) {
			css.Fail(csstest.StreamState, csstest.Always, csstest.InternalError)
		}, v1alpha1.PushReasonNetworkError, 60, 5, 119 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			css := b.cssShow(func(s *v1alpha1.LiveStream) { s.Spec.ReconnectWindowSeconds = &row.window })
			if row.prepare != nil {
				row.prepare(css)
			}
			b.record("show", b.starts("A"))
			b.settle("show")
			stopped := b.clock.Now()
			b.record("show", b.ends("A", 12, row.reason))
			again := b.settle("show")
			for b.clock.Since(stopped)+again.RequeueAfter <= row.last {
				b.pass(again.RequeueAfter)
				again = b.settle("show")
			}
			b.wantState("show", v1alpha1.LiveStreamInterrupted)
			if again.RequeueAfter == 0 {
				t.Fatal("it never looks again")
			}
			b.pass(row.last + time.Second - b.clock.Since(stopped))
			b.settle("show")
			b.wantState("show", v1alpha1.LiveStreamIdle)
			if calls := css.Calls(csstest.StreamState); calls != row.calls {
				t.Errorf("%d questions, want %d", calls, row.calls)
			}
		})
	}
}
