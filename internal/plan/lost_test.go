package plan

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

const nodeLost = "the node of pod show-record-x is not ready"

// onLostNode is a recorder that recorded for ten minutes, of which the Job is as it says.
func onLostNode(t *testing.T, how func(*workload.Run)) *world {
	t.Helper()
	w := newWorld("record")
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.advance(t, w.now.Add(10*time.Minute))
	job := w.jobs[0]
	// The Pod is ready no more.
	job.ready = w.now.Add(24 * time.Hour)
	job.run.Signals, job.run.Stores, job.run.Trouble = true, true, nodeLost
	how(&job.run)
	return w
}

// Found by reading: with a dead node the Job neither fails nor has another Pod, and nothing recorded until somebody deleted the Node.
func TestTheJobOfAWorkerIsDeletedOnAirOnceNobodyEndsItsPod(t *testing.T) {
	t.Parallel()
	minutesAgo := func(w *world, minutes int) time.Time { return w.now.Add(-time.Duration(minutes) * time.Minute) }
	type does struct {
		Stops   int
		Message string
	}
	for _, row := range []struct {
		name string
		how  func(w *world, r *workload.Run)
		want does
	}{
		{"its node is lost, and may come back", func(w *world, r *workload.Run) { r.Lost = minutesAgo(w, 4) }, does{0, nodeLost}},
		{"its node is lost, and it is being deleted", func(w *world, r *workload.Run) { r.Lost, r.PodDue = minutesAgo(w, 6), w.now.Add(time.Minute) }, does{1, nodeLost}},
		{"it is being deleted, and has time", func(w *world, r *workload.Run) { r.PodDue = minutesAgo(w, 0) }, does{0, nodeLost}},
		{"it had to have ended", func(w *world, r *workload.Run) { r.PodDue = minutesAgo(w, 2) },
			does{1, "its pod is being deleted, and had to end by 2026-01-02T20:08:00Z: its node does not tell that it did; delete the Node where that is gone, or the pod with --force"}},
		{"it is no worker: two of its Pods may not write the same", func(w *world, r *workload.Run) {
			r.Signals, r.Lost, r.PodDue = false, minutesAgo(w, 6), w.now
		}, does{0, nodeLost}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := onLostNode(t, func(*workload.Run) {})
			row.how(w, &w.jobs[0].run)
			p := Compute(w.observed())
			if len(p.Start) != 0 || len(p.Status.Workloads) != 1 || p.Status.Workloads[0].State != v1alpha1.WorkloadPending {
				t.Fatalf("%d start, workloads %+v; want it Pending", len(p.Start), p.Status.Workloads)
			}
			if diff := gocmp.Diff(row.want, does{len(p.Stop), p.Status.Workloads[0].Message}); diff != "" {
				t.Errorf("mismatch (-want +got):\n%s", diff)
			}
			for _, stop := range p.Stop {
				if stop.JobName != w.jobs[0].run.JobName || stop.Signal {
					t.Errorf("it stops %+v", stop)
				}
			}
		})
	}
}

func TestAWorkerWhoseNodeDiedIsFollowedByTheNextPart(t *testing.T) {
	t.Parallel()
	w := onLostNode(t, func(r *workload.Run) { r.Lost, r.PodDue = showTime.Add(5*time.Minute), showTime.Add(11*time.Minute) })
	w.pass(t)
	w.pass(t)
	if got := w.stream.Status.Workloads[0]; len(w.jobs) != 2 || got.Part != 2 || len(w.active()) != 1 {
		t.Errorf("%d Jobs, %d of them active, workload %+v; want part 2 alone\n%s", len(w.jobs), len(w.active()), got, w.trace.String())
	}
}

func TestNothingIsDeletedForALostNodeWhileThePushIsAway(t *testing.T) {
	t.Parallel()
	w := onLostNode(t, func(r *workload.Run) { r.Lost, r.PodDue = showTime.Add(5*time.Minute), showTime.Add(11*time.Minute) })
	w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError))
	if p := Compute(w.observed()); len(p.Stop)+len(p.Start) != 0 {
		t.Errorf("it stops %+v and starts %+v: the push may not come back", p.Stop, p.Start)
	}
}

// beingEnded is a broadcast that has just ended: the Job of its recorder, which was on air as it says, is being deleted, and an upload comes after it.
func beingEnded(t *testing.T, onAir func(run *workload.Run, now time.Time)) Observed {
	t.Helper()
	w := newWorld("record", "upload")
	w.stream.Spec.Workloads[1].Run = v1alpha1.WorkloadRunAfterEnd
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.advance(t, w.now.Add(time.Minute))
	onAir(&w.jobs[0].run, w.now)
	w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonClientStopped))
	w.pass(t)
	w.advance(t, w.now.Add(6*time.Second))
	o := w.observed()
	o.Runs[0].Phase = workload.Terminating
	return o
}

func TestWhatALostNodeHoldsUpAfterTheBroadcastSaysSo(t *testing.T) {
	t.Parallel()
	o := beingEnded(t, func(run *workload.Run, now time.Time) { run.Lost = now })
	o.Runs[0].Trouble = nodeLost
	p := Compute(o)
	if got := p.Status.Workloads[0]; got.State != v1alpha1.WorkloadStopping || got.Message != nodeLost {
		t.Errorf("the workload is %+v, want it Stopping for its node", got)
	}
	if got := p.Status.History[0].AfterEnd[0]; got.State != v1alpha1.WorkloadScheduled || !strings.HasSuffix(got.Message, ": "+nodeLost) {
		t.Errorf("upload is %+v, want it to wait for the node", got)
	}
}

// A Pod that was not ready when its node died is told of by its deletion alone.
func TestAPodThatNobodyEndsSaysSoAfterTheBroadcastAMinuteAfterItHadTo(t *testing.T) {
	t.Parallel()
	o := beingEnded(t, func(*workload.Run, time.Time) {})
	due := o.Now.Add(30 * time.Second)
	o.Runs[0].PodDue = due
	for _, row := range []struct {
		at   time.Time
		says bool
	}{{due.Add(time.Minute - time.Second), false}, {due.Add(time.Minute), true}} {
		o.Now = row.at
		p := Compute(o)
		if got := p.Status.Workloads[0]; got.State != v1alpha1.WorkloadStopping || strings.Contains(got.Message, "delete the Node") != row.says {
			t.Errorf("the workload is %+v, want it Stopping, and to say why: %t", got, row.says)
		}
		if got := p.Status.History[0].AfterEnd[0]; strings.Contains(got.Message, "delete the Node") != row.says {
			t.Errorf("upload is %+v, want it to say what it waits for: %t", got, row.says)
		}
		if !row.says && p.LookAgain != time.Second {
			t.Errorf("it looks again after %s, want a second", p.LookAgain)
		}
	}
}

func TestARecordingThatALostNodeHoldsUpSaysSo(t *testing.T) {
	t.Parallel()
	status := v1alpha1.LiveStreamStatus{
		State: v1alpha1.LiveStreamIdle, History: []v1alpha1.BroadcastRecord{{ID: "b1", Recordings: []v1alpha1.RecordingStatus{{Name: "record"}}}},
	}
	for _, row := range []struct {
		name string
		run  workload.Run
		want string
	}{
		{"it finishes", workload.Run{Phase: workload.Running}, "the parts are being stored and joined"},
		{"its node is lost", workload.Run{Phase: workload.Pending, Lost: showTime, Trouble: nodeLost}, "its Pod does not run: " + nodeLost},
		{"its Job was deleted, and its node is lost", workload.Run{Phase: workload.Terminating, Lost: showTime, Trouble: nodeLost}, "its Pod does not run: " + nodeLost},
		{"its Job was deleted, and nobody ends its Pod", workload.Run{Phase: workload.Terminating, PodDue: showTime.Add(-time.Hour)}, "its Pod does not run: " + workload.Run{PodDue: showTime.Add(-time.Hour)}.Hung(showTime)},
		{"its Job was deleted, and it ends", workload.Run{Phase: workload.Terminating, Trouble: "exit code 1"}, "the parts are being stored and joined"},
	} {
		row.run.Workload, row.run.Broadcast = "record", "b1"
		c := recordingCondition(Observed{Now: showTime, Stream: newWorld().stream, Runs: []workload.Run{row.run}}, status)
		if c.Reason != v1alpha1.ReasonFinishing || c.Message != row.want {
			t.Errorf("%s: %s, %q; want %q", row.name, c.Reason, c.Message, row.want)
		}
	}
}

// Found by an attack: it was told to run until the end of the broadcast.
func TestAJobThatIsDeletedOnAirAndThatNothingStartsAgainIsNotToldToRun(t *testing.T) {
	t.Parallel()
	onAir := func(t *testing.T) *world {
		t.Helper()
		w := newWorld("record", "other")
		w.receive(t, started("A", w.now))
		w.pass(t)
		w.advance(t, w.now.Add(time.Minute))
		w.pass(t)
		return w
	}
	for name, row := range map[string]struct {
		change func(t *testing.T, w *world)
		phase  workload.Phase
		state  v1alpha1.WorkloadState
		says   string
	}{
		"taken out":               {func(_ *testing.T, w *world) { w.stream.Spec.Workloads = w.stream.Spec.Workloads[1:] }, 0, v1alpha1.WorkloadStopped, "the spec does not start it again"},
		"taken out, and it ends":  {func(_ *testing.T, w *world) { w.stream.Spec.Workloads = w.stream.Spec.Workloads[1:] }, workload.Terminating, v1alpha1.WorkloadStopped, "the spec does not start it again"},
		"runs after broadcasts":   {func(_ *testing.T, w *world) { w.stream.Spec.Workloads[0].Run = v1alpha1.WorkloadRunAfterEnd }, 0, v1alpha1.WorkloadStopped, "the spec does not start it again"},
		"while the push was away": {func(t *testing.T, w *world) { t.Helper(); w.receive(t, interrupted("A", w.now, "NetworkError")) }, 0, v1alpha1.WorkloadWaiting, "it starts again when the push is back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onAir(t)
			row.change(t, w)
			o := w.observed()
			if o.Runs[0].Workload != "record" && o.Runs[1].Workload == "record" {
				o.Runs[0], o.Runs[1] = o.Runs[1], o.Runs[0]
			}
			if row.phase == 0 {
				o.Runs = o.Runs[1:]
			} else {
				o.Runs[0].Phase = row.phase
			}
			p := Compute(o)
			got := p.Status.Workloads[0]
			if got.Name != "record" || got.State != row.state || !strings.Contains(got.Message, row.says) || len(p.Start) > 0 {
				t.Errorf("%d start, and the workload is %+v; want it %s, and to say that %s", len(p.Start), got, row.state, row.says)
			}
			if c := workloadsCondition(p.Status, o); c.Status == metav1.ConditionTrue {
				t.Errorf("WorkloadsReady is %+v", c)
			}
		})
	}
}
