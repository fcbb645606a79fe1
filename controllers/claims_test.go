package controllers

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
	"github.com/livestream-operator/livestream-operator/internal/online"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

func hourLong(s *v1alpha1.LiveStream) { s.Spec.MaxDurationSeconds = 3600 }

func TestALostStopEndsTheBroadcastAfterMaxDurationExactly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(hourLong)
	b.record("show", b.starts("A"))
	b.reconcile("show")
	if again := b.settle("show"); again.RequeueAfter != time.Hour {
		t.Errorf("looks again after %s, want 1h0m0s", again.RequeueAfter)
	}
	b.pass(time.Hour - time.Second)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamLive)
	b.pass(time.Second)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamInterrupted)
	b.pass(5 * time.Second)
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamIdle)
	record := status.History[0]
	if record.EndReason != "MaxDurationReached" || !record.EndTime.Time.Equal(showTime.Add(time.Hour)) || *record.DurationSeconds != 3600 {
		t.Errorf("history = %+v", record)
	}
	if len(b.running()) != 0 {
		t.Error("the Job was not stopped")
	}
	before := b.stream("show")
	b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	b.settle("show")
	if diff := gocmp.Diff(before.Status, b.stream("show").Status); diff != "" {
		t.Errorf("the interruption, later, changed the status (-before +after):\n%s", diff)
	}
}

func TestAPushOfWhichSomethingIsHeardOutlivesAnotherThatIsOverdue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(hourLong)
	b.record("show", b.starts("A"))
	b.settle("show")
	b.pass(30 * time.Minute)
	b.record("show", b.starts("B"))
	b.settle("show")
	b.pass(30 * time.Minute)
	if again := b.settle("show"); again.RequeueAfter != 30*time.Minute {
		t.Errorf("looks again after %s, want 30m0s", again.RequeueAfter)
	}
	status := b.wantState("show", v1alpha1.LiveStreamLive)
	if live := push.Live(status.Pushes); len(live) != 1 || live[0].Sequence != "B" {
		t.Errorf("live = %+v, want B", live)
	}
	b.onlyJob()
}

func TestALostStopEndsTheBroadcastWhenCSSSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.SetOnline(host, "live", "test", b.clock.Now())
	b.record("show", b.starts("A"))
	b.settle("show")
	b.pass(2 * time.Minute)
	css.SetOffline(host, "live", "test")
	if diff := gocmp.Diff([]string{"show"}, b.poll()); diff != "" {
		t.Errorf("what the list disagrees with mismatch (-want +got):\n%s", diff)
	}
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamInterrupted)
	if p := status.Pushes[0]; p.Reason != v1alpha1.PushReasonNotOnline || p.ErrorCode != nil {
		t.Errorf("push = %+v, want NotOnline", p)
	}
	if len(b.running()) != 1 {
		t.Error("the Job did not get its window")
	}
	b.pass(time.Minute)
	b.settle("show")
	status = b.wantState("show", v1alpha1.LiveStreamIdle)
	if status.History[0].EndReason != "NotOnline" || len(b.running()) != 0 {
		t.Errorf("history = %+v with %d Jobs running", status.History[0], len(b.running()))
	}
}

func TestAPushThatTheListLeavesOutGoesOnWhileItsStateIsActive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.Freeze()
	css.SetOnline(host, "live", "test", b.clock.Now())
	b.record("show", b.starts("A"))
	b.settle("show")
	before := b.stream("show")
	for range 5 {
		b.pass(time.Minute)
		b.poll()
		if again := b.reconcile("show"); again.RequeueAfter != askAgain {
			t.Errorf("looks again after %s, want %s", again.RequeueAfter, askAgain)
		}
	}
	if diff := gocmp.Diff(before.Status, b.stream("show").Status); diff != "" {
		t.Errorf("status mismatch (-before +after):\n%s", diff)
	}
	if calls := css.Calls(csstest.StreamState); calls != 5 {
		t.Errorf("%d questions in 5 minutes, want 1 a minute", calls)
	}
}

func TestAListThatLagsBehindANewPushRaisesNoDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	b.poll()
	b.record("show", b.starts("A"))
	b.settle("show")
	before := b.stream("show")
	for range 2 {
		b.pass(29 * time.Second)
		b.poll()
		b.settle("show")
	}
	if diff := gocmp.Diff(before.Status, b.stream("show").Status); diff != "" || css.Calls(csstest.StreamState) != 0 {
		t.Errorf("%d questions, status mismatch (-before +after):\n%s", css.Calls(csstest.StreamState), diff)
	}
}

func TestWhileCSSCannotBeAskedAPushIsOnAirForMaxDurationAndHalfAnHour(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string][]string{"the state fails": {csstest.StreamState}, "everything fails": {csstest.StreamState, csstest.OnlineList}} {
		for kind, how := range map[string]csstest.Failure{"with an error": csstest.InternalError, "with HTTP 500": csstest.InternalServerError, "with a limit": csstest.RateLimited} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				css := b.cssShow(hourLong)
				for _, action := range failing {
					css.Fail(action, csstest.Always, how)
				}
				b.record("show", b.starts("A"))
				b.settle("show")
				for _, at := range []time.Duration{2 * time.Minute, time.Hour, time.Hour + online.Patience - time.Second} {
					b.clock.SetTime(showTime.Add(at))
					b.poll()
					b.settle("show")
					b.wantState("show", v1alpha1.LiveStreamLive)
				}
				b.pass(time.Second)
				b.settle("show")
				status := b.wantState("show", v1alpha1.LiveStreamInterrupted)
				if reason := status.Pushes[0].Reason; reason != v1alpha1.PushReasonMaxDurationReached {
					t.Errorf("reason = %s, want MaxDurationReached", reason)
				}
			})
		}
	}
}

func TestAPushThatIsOverdueAndOnAirGoesOnForAnotherMaxDuration(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow(hourLong)
	css.SetOnline(host, "live", "test", b.clock.Now())
	b.record("show", b.starts("A"))
	b.settle("show")
	job := b.onlyJob()
	b.pass(time.Hour)
	b.poll()
	if again := b.settle("show"); again.RequeueAfter != time.Hour {
		t.Errorf("looks again after %s, want another 1h0m0s", again.RequeueAfter)
	}
	status := b.wantState("show", v1alpha1.LiveStreamLive)
	if p := status.Pushes[0]; !p.RecordedTime.Time.Equal(b.clock.Now()) || b.onlyJob().UID != job.UID {
		t.Errorf("push = %+v, want it heard of now, with the same Job", p)
	}
	b.pass(time.Hour - time.Second)
	b.settle("show")
	if calls := css.Calls(csstest.StreamState); calls != 1 {
		t.Errorf("%d questions, want 1 an hour", calls)
	}
	css.SetOffline(host, "live", "test")
	b.pass(time.Second)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamInterrupted)
}

func TestALostStartIsMadeUpForByTheList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.SetOnline(host, "live", "test", showTime)
	b.pass(59 * time.Second)
	b.poll()
	b.wantState("show", v1alpha1.LiveStreamIdle)
	b.pass(time.Second)
	b.poll()
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamLive)
	standIn := status.Pushes[0]
	if standIn.Source != v1alpha1.PushSourceOnlineList || !standIn.StartTime.Time.Equal(showTime) || !push.IsStandIn(standIn.Sequence) {
		t.Errorf("push = %+v, want one that stands in since %s", standIn, showTime)
	}
	job := b.onlyJob()
	if !status.Broadcast.StartTime.Time.Equal(showTime) {
		t.Errorf("broadcast = %+v, want its start at %s", status.Broadcast, showTime)
	}
	late := b.starts("A")
	late.Time = showTime
	b.record("show", late)
	b.settle("show")
	after := b.wantState("show", v1alpha1.LiveStreamLive)
	want := status.Broadcast
	want.Sequences = []string{"A"}
	if diff := gocmp.Diff(want, after.Broadcast); diff != "" {
		t.Errorf("broadcast mismatch (-want +got):\n%s", diff)
	}
	if len(after.Pushes) != 1 || after.Pushes[0].Sequence != "A" || b.onlyJob().UID != job.UID {
		t.Errorf("pushes = %+v, want A alone with the same Job", after.Pushes)
	}
	b.pass(time.Minute)
	if again := b.poll(); len(again) != 0 {
		t.Errorf("the next list disagrees with %v", again)
	}
}

// The list knows no sequence: the interruption of a push that nobody knows is that of the one that stands in.
func TestTheStopOfAPushWhoseStartWasLostEndsIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.SetOnline(host, "live", "test", showTime)
	b.pass(2 * time.Minute)
	b.poll()
	b.settle("show")
	css.Freeze()
	css.SetOffline(host, "live", "test")
	stop := b.ends("A", 1, v1alpha1.PushReasonClientStopped)
	stop.Duration = new(int64(120_500))
	b.record("show", stop)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamInterrupted)
	for range 5 {
		b.pass(time.Minute)
		b.poll()
		b.settle("show")
	}
	status := b.wantState("show", v1alpha1.LiveStreamIdle)
	if r := status.History[0]; len(status.History) != 1 || r.Pushes != 1 || *r.Interruptions != 0 || r.EndReason != "ClientStopped" || *r.DurationSeconds != 120 {
		t.Errorf("history = %+v, want one broadcast of one push", status.History)
	}
	if len(b.jobs()) != 1 || len(b.running()) != 0 {
		t.Errorf("%d Jobs, %d running", len(b.jobs()), len(b.running()))
	}
}

func TestAStaleListResurrectsNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		published []time.Time
		minutes   int
	}{
		{"with the time of the push", []time.Time{showTime.Add(2 * time.Second)}, 20},
		{"without a time, just after the stop", nil, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			css := b.cssShow()
			css.SetOnline(host, "live", "test", tc.published...)
			b.record("show", b.starts("A"))
			b.settle("show")
			b.pass(5 * time.Minute)
			css.Freeze()
			css.SetOffline(host, "live", "test")
			b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
			b.settle("show")
			for range tc.minutes {
				b.pass(time.Minute)
				b.poll()
				b.settle("show")
			}
			status := b.wantState("show", v1alpha1.LiveStreamIdle)
			if len(status.History) != 1 || len(status.Pushes) != 1 || len(b.jobs()) != 1 {
				t.Errorf("%d Jobs, status = %+v", len(b.jobs()), status)
			}
		})
	}
}

func TestAForbiddenStreamIsNotOnAir(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.SetOnline(host, "live", "test", showTime)
	b.record("show", b.starts("A"))
	b.settle("show")
	b.pass(2 * time.Minute)
	css.Forbid(host, "live", "test")
	b.poll()
	status := b.wantState("show", v1alpha1.LiveStreamInterrupted)
	if reason := status.Pushes[0].Reason; reason != v1alpha1.PushReasonNotOnline {
		t.Errorf("reason = %s, want NotOnline", reason)
	}
}

// CSS gives a callback up after some 16 minutes: whatever happened in an outage longer than that, only the list tells.
func TestAnOutageOf25MinutesIsRepairedByOneList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	for _, name := range []string{"stopped", "started", "restarted", "quiet", "on"} {
		stream := newStream(name)
		stream.Spec.StreamName = name
		b.create(stream)
		b.reconcile(name)
	}
	for _, name := range []string{"stopped", "restarted", "on"} {
		css.SetOnline(host, "live", name, showTime)
		b.record(name, b.starts("A"))
		b.settle(name)
	}
	b.pass(25 * time.Minute)
	css.SetOffline(host, "live", "stopped")
	css.SetOnline(host, "live", "started", b.ago(15*time.Minute))
	css.SetOnline(host, "live", "restarted", b.ago(10*time.Minute))
	b.restart(env.Client)
	for _, name := range []string{"stopped", "started", "restarted", "quiet", "on"} {
		b.reconcile(name)
	}
	told := b.poll()
	if diff := gocmp.Diff([]string{"started", "stopped"}, told); diff != "" {
		t.Errorf("what the list disagrees with mismatch (-want +got):\n%s", diff)
	}
	for _, name := range told {
		b.settle(name)
	}
	states := map[string]v1alpha1.LiveStreamState{}
	for _, name := range []string{"stopped", "started", "restarted", "quiet", "on"} {
		states[name] = b.stream(name).Status.State
	}
	want := map[string]v1alpha1.LiveStreamState{
		"stopped": v1alpha1.LiveStreamInterrupted, "started": v1alpha1.LiveStreamLive, "restarted": v1alpha1.LiveStreamLive, "quiet": v1alpha1.LiveStreamIdle, "on": v1alpha1.LiveStreamLive,
	}
	if diff := gocmp.Diff(want, states); diff != "" {
		t.Errorf("states mismatch (-want +got):\n%s", diff)
	}
	if start := b.stream("started").Status.Broadcast.StartTime; !start.Time.Equal(b.ago(15 * time.Minute)) {
		t.Errorf("the broadcast that was missed began at %s, want %s", start, b.ago(15*time.Minute))
	}
	if jobs := b.jobs(); len(jobs) != 4 {
		t.Errorf("%d Jobs, want one each for four streams", len(jobs))
	}
	b.pass(time.Minute)
	b.settle("stopped")
	b.wantState("stopped", v1alpha1.LiveStreamIdle)
	// The push that nobody saw start stops: only CSS can tell that the one before it is over too.
	b.record("restarted", b.ends("B", 1, v1alpha1.PushReasonClientStopped))
	css.SetOffline(host, "live", "restarted")
	b.poll()
	b.settle("restarted")
	b.wantState("restarted", v1alpha1.LiveStreamInterrupted)
}
