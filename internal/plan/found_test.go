package plan

import (
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// A drops at 60 s and its window is seen to begin. While the operator is down, B is on air from 70 s to 115 s. At 121 s, 6 s after
// the last loss, the operator is back, and C comes at 125 s.
func TestAPushThatCameAndWentBetweenTwoPassesBeginsTheWindowAnew(t *testing.T) {
	t.Parallel()
	w := newWorld("record")
	w.play(t, []happening{starts(0, "A"), drops(60, "A"), unseen(starts(70, "B")), unseen(drops(115, "B")), starts(125, "C"), stops(200, "C")})
	if h := w.stream.Status.History; len(h) != 1 || len(w.jobs) != 1 {
		t.Errorf("%d broadcasts with %d Jobs, want one: no gap was longer than 60 s\n%s", len(h), len(w.jobs), w.trace.String())
	}
}

func TestAStartThatReplacesItsStandInIsNoInterruption(t *testing.T) {
	t.Parallel()
	w := newWorld("record")
	w.stream.Spec.ReconnectWindowSeconds = new(int32(120))
	w.play(t, []happening{
		starts(0, "A"), drops(100, "A"), listed(170, 105),
		event(180, "push B, which started at +105s, is told at last", func(time.Time) provider.Event { return started("B", at(105)) }), stops(300, "B"),
	})
	if h := w.stream.Status.History; len(h) != 1 || h[0].Pushes != 2 || *h[0].Interruptions != 1 {
		t.Errorf("want one broadcast of 2 pushes and 1 interruption:\n%s", w.trace.String())
	}
}

func TestTheStopOfAPushThatWasStoodInForCountsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld("record")
	w.stream.Spec.ReconnectWindowSeconds = new(int32(120))
	w.play(t, []happening{
		starts(0, "A"), drops(100, "A"), listed(170, 105),
		event(300, "push B stops after 195 s", func(at time.Time) provider.Event {
			e := interrupted("B", at, v1alpha1.PushReasonClientStopped)
			e.Duration = new(int64(195_581))
			return e
		}),
	})
	if h := w.stream.Status.History; len(h) != 1 || h[0].Pushes != 2 || *h[0].Interruptions != 1 {
		t.Errorf("want one broadcast of 2 pushes and 1 interruption:\n%s", w.trace.String())
	}
}

// The operator dies before it writes the status of the Job that A began; the Job ends by itself, A drops and B comes.
func TestAJobThatEndedBeforeItsStatusWasWrittenBelongsToTheShow(t *testing.T) {
	t.Parallel()
	w := newWorld("record")
	w.loseStatus = func() bool { return true }
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.loseStatus = func() bool { return false }
	w.now = w.now.Add(10 * time.Second)
	jobEnds(10, "record", workload.Failed, "exit code 1").do(t, w)
	w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError))
	w.receive(t, started("B", w.now.Add(time.Second)))
	w.advance(t, w.now.Add(time.Minute))
	w.pass(t)
	w.advance(t, w.now.Add(time.Hour))
	if got, want := w.stream.Status.Broadcast.ID, w.jobs[0].run.Broadcast; got != want {
		t.Errorf("the broadcast is %s and the Job's %s: part 1 of the recording belongs to no broadcast", got, want)
	}
}

// The clock is set back by 11 minutes at the loss. The operator's timers go on. The next look counts the window from then on, if its
// beginning is ahead still; it comes when the window would be over, or earlier, for something else.
func TestAWindowDoesNotLastUntilAClockThatWasSetBackIsWhereItWas(t *testing.T) {
	t.Parallel()
	const back = 660
	for _, c := range []struct{ window, look, ends int }{
		{window: 60, ends: 120},
		{window: 300, ends: 600},
		{window: 60, look: 30, ends: 90},
		{window: 300, look: 30, ends: 330},
		{window: 1800, look: 30, ends: 1830},
	} {
		t.Run(fmt.Sprintf("%d s, looked at after %d s", c.window, c.look), func(t *testing.T) {
			t.Parallel()
			w := newWorld("record")
			w.stream.Spec.ReconnectWindowSeconds = new(int32(c.window))
			w.receive(t, started("A", w.now))
			w.pass(t)
			w.advance(t, at(100))
			w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError))
			w.pass(t)
			w.now, w.look = w.now.Add(-back*time.Second), w.look.Add(-back*time.Second)
			if c.look > 0 {
				w.advance(t, at(100+c.look-back))
				w.pass(t)
			}
			w.advance(t, at(100+c.ends-5-back))
			if got := w.stream.Status.State; got != v1alpha1.LiveStreamInterrupted {
				t.Errorf("%d s after the loss it is %s, want Interrupted: a step back ends nothing early", c.ends-5, got)
			}
			w.advance(t, at(100+c.ends+5-back))
			if got := w.stream.Status.State; got != v1alpha1.LiveStreamIdle || len(w.active()) > 0 {
				t.Errorf("%d s after the loss it is %s with %d Jobs, want Idle with none", c.ends+5, got, len(w.active()))
			}
		})
	}
}

// An API server's refusal of one Job has another identifier, port or time in it each time.
func TestAFailureIsToldInTheWordsOfTheLastOneWhereTheyAreAlike(t *testing.T) {
	t.Parallel()
	const told = "read tcp 10.0.0.5:41234: connection reset (request 0a1b)"
	const again = "read tcp 10.0.0.5:50123: connection reset (request 9c8d)"
	for _, tc := range []struct {
		name          string
		told          string
		part          int32
		broadcast     string
		failed        string
		want          string
		toldAfter     string
		failsAfterEnd bool
	}{
		{name: "other words with digits", told: told, part: 1, broadcast: "now", failed: again, want: told},
		{name: "other words", told: told, part: 1, broadcast: "now", failed: "exceeded quota", want: "exceeded quota"},
		{name: "fewer words", told: told, part: 1, broadcast: "now", failed: "read tcp 10.0.0.5:50123: connection reset", want: "read tcp 10.0.0.5:50123: connection reset"},
		{name: "the first one", part: 1, broadcast: "now", failed: again, want: again},
		{name: "the next part", told: told, part: 2, broadcast: "now", failed: again, want: again},
		{name: "the next broadcast", told: told, part: 1, broadcast: "next", failed: again, want: again},
		{name: "after the end", toldAfter: told, part: 1, broadcast: "now", failed: again, want: told, failsAfterEnd: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld("record")
			before := &w.stream.Status
			before.Broadcast.ID = "now"
			before.Workloads = []v1alpha1.WorkloadStatus{{Name: "record", State: v1alpha1.WorkloadPending, Part: 1, Message: tc.told}}
			before.History = []v1alpha1.BroadcastRecord{{ID: "last", AfterEnd: []v1alpha1.AfterEndStatus{{Name: "record", State: v1alpha1.WorkloadPending, Message: tc.toldAfter}}}}
			p := Plan{Status: *before.DeepCopy()}
			p.Status.Broadcast.ID, p.Status.Workloads[0].Part = tc.broadcast, tc.part
			failure := Failure{Key: "record", Workload: "record", Reason: v1alpha1.ReasonRetrying, Message: tc.failed}
			if tc.failsAfterEnd {
				failure.Key = afterEndKey("last", "record")
			}
			status := Report(Observed{Now: showTime, Stream: w.stream, Domain: "push.example.com"}, p, nil, []Failure{failure})
			got := status.Workloads[0].Message
			if tc.failsAfterEnd {
				got = status.History[0].AfterEnd[0].Message
			}
			ready := find(status.Conditions, v1alpha1.ConditionReady)
			if got != tc.want || ready.Message != `workload "record": `+tc.want {
				t.Errorf("the workload's message is %q, and Ready's %q, want %q", got, ready.Message, tc.want)
			}
		})
	}
}

// Found by reading: an edit to run: AfterEnd had the next part begin on air, without LIVESTREAM_ENDED_AT.
func TestAWorkloadThatIsEditedToRunAfterBroadcastsHasNoFurtherPartOnAir(t *testing.T) {
	t.Parallel()
	w := newWorld("record")
	w.play(t, []happening{
		starts(0, "A"), edits(20, "the user has it run after broadcasts", func(s *v1alpha1.LiveStreamSpec) { s.Workloads[0].Run = v1alpha1.WorkloadRunAfterEnd }),
		jobEnds(30, "record", workload.Failed, "exit code 1"), stops(600, "A"),
	})
	if h := w.stream.Status.History; len(w.jobs) != 1 || len(h) != 1 || len(h[0].AfterEnd) != 0 || w.stream.Status.Workloads[0].State != v1alpha1.WorkloadFailed {
		t.Fatalf("want one Job, which failed, and none after the broadcast that began before the edit:\n%s", w.trace.String())
	}
	w.play(t, []happening{starts(5000, "B"), stops(5060, "B")})
	// The write of the end brings the next pass.
	w.pass(t)
	if h := w.stream.Status.History; len(w.jobs) != 2 || !w.jobs[1].run.AfterEnd || len(h[0].AfterEnd) != 1 {
		t.Errorf("want one Job more, after the second broadcast:\n%s", w.trace.String())
	}
}

func TestAPartThatStartsAgainUsesTheSpecAsItIsThen(t *testing.T) {
	t.Parallel()
	w := ended(t, time.Minute, func(*workload.Run) {})
	w.now = w.now.Add(longestBackoff)
	mended := &batchv1.JobTemplateSpec{}
	mended.Spec.Template.Spec.Containers = []corev1.Container{{Name: "recorder", Image: "recorder:mended"}}
	w.stream.Spec.Workloads[0].Job = mended
	w.stream.Spec.Workloads = append(w.stream.Spec.Workloads, v1alpha1.Workload{Name: "added", Job: mended})
	want := []Start{{Workload: v1alpha1.Workload{Name: "record", Job: mended}, Part: 2}}
	if diff := gocmp.Diff(want, Compute(w.observed()).Start); diff != "" {
		t.Errorf("what starts (-want +got):\n%s", diff)
	}
}
