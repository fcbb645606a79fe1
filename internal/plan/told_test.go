package plan

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// fullCluster is what the scheduler says of one while it changes: it sorts the reasons by their numbers, as text.
var fullCluster = []string{
	"no node can take the pod: 0/12 nodes are available: 3 Insufficient cpu, 9 node(s) had untolerated taint(s).",
	"no node can take the pod: 0/13 nodes are available: 10 Insufficient cpu, 3 node(s) had untolerated taint(s).",
	"no node can take the pod: 0/13 nodes are available: 1 node(s) had untolerated taint(s), 12 Insufficient cpu.",
}

// troubledBy has the first Job say so, and looks whenever the Pod is heard of.
func (w *world) troubledBy(t *testing.T, texts ...string) {
	t.Helper()
	w.jobs[len(w.jobs)-1].ready = w.now.Add(24 * time.Hour)
	for _, text := range texts {
		w.jobs[len(w.jobs)-1].run.Trouble = text
		w.now = w.now.Add(troubleAfter)
		w.pass(t)
	}
}

// Found by reading: while a cluster is full its nodes come and go, and each change was a write and a Warning for each stream.
func TestAFullClusterIsToldOnceHoweverItsNumbersChange(t *testing.T) {
	t.Parallel()
	w := newWorld("record")
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.written, w.told = 0, nil
	w.troubledBy(t, fullCluster...)
	if w.written != 1 || len(w.told) != 1 || w.told[0].Reason != "WorkloadFailed" || w.stream.Status.Workloads[0].Message != fullCluster[0] {
		t.Errorf("%d writes, Events %+v, message %q; want the first of it told once", w.written, w.told, w.stream.Status.Workloads[0].Message)
	}
	w.written, w.told = 0, nil
	const other = "image recorder cannot be pulled"
	w.troubledBy(t, other)
	if w.written != 1 || len(w.told) != 0 || w.stream.Status.Workloads[0].Message != other {
		t.Errorf("%d writes, Events %+v, message %q; want the other trouble in the status, which was pending with one before", w.written, w.told, w.stream.Status.Workloads[0].Message)
	}
}

func TestAFullClusterIsToldOnceOfWhatRunsAfterTheBroadcast(t *testing.T) {
	t.Parallel()
	w := newWorld("upload")
	w.stream.Spec.Workloads[0].Run = v1alpha1.WorkloadRunAfterEnd
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonClientStopped))
	w.pass(t)
	w.advance(t, w.now.Add(10*time.Second))
	// The write of the end brings the next pass.
	w.pass(t)
	if len(w.jobs) != 1 {
		t.Fatalf("%d Jobs after the broadcast, want one", len(w.jobs))
	}
	w.written, w.told = 0, nil
	w.troubledBy(t, fullCluster...)
	if got := w.stream.Status.History[0].AfterEnd[0]; w.written != 1 || len(w.told) != 0 || got.Message != fullCluster[0] {
		t.Errorf("%d writes, Events %+v, status %+v; want the first of it told once", w.written, w.told, got)
	}
}

func TestAFullClusterIsToldOnceOfWhatFinishesARecording(t *testing.T) {
	t.Parallel()
	stream := newWorld().stream
	stream.Status.History = []v1alpha1.BroadcastRecord{{
		ID: "b1", StartTime: new(metav1.NewTime(showTime)), EndTime: new(metav1.NewTime(showTime)), Recordings: []v1alpha1.RecordingStatus{{Name: "record"}},
	}}
	for i, text := range fullCluster {
		o := Observed{Now: showTime.Add(time.Hour), Stream: stream, Domain: "push.example.com", Runs: []workload.Run{
			{JobName: "show-record-2", Workload: "record", Broadcast: "b1", Part: 2, Phase: workload.Pending, Signals: true, Stores: true, Finish: true, Trouble: text},
		}}
		status := Report(o, Compute(o), nil, nil)
		if c := find(status.Conditions, v1alpha1.ConditionRecordingReady); c.Message != "its Pod does not run: "+fullCluster[0] || i > 0 && !Same(&status, &stream.Status) {
			t.Errorf("after %q the condition is %+v", text, c)
		}
		stream.Status = status
	}
}

// Found by reading: the playback key was looked for in css-v2, and the status went on to name css-v1.
func TestASecretThatIsMissingIsNamedAlsoWhereItsNameDiffersInADigitOnly(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{v1alpha1.ReasonSecretUnavailable, v1alpha1.ReasonPlaybackKeyUnavailable} {
		w := newWorld("record")
		w.receive(t, started("A", w.now))
		for _, message := range []string{`Secret "css-v1" does not exist`, `Secret "css-v2" does not exist`} {
			o := w.observed()
			status := Report(o, Compute(o), nil, []Failure{{Key: "record", Workload: "record", Reason: reason, Message: message}})
			ready := find(status.Conditions, v1alpha1.ConditionReady)
			if got, said := status.Workloads[0].Message, `workload "record": `+message; got != message || ready.Message != said {
				t.Errorf("%s: the workload says %q, Ready %q, want %q", reason, got, ready.Message, message)
			}
			w.stream.Status = status
		}
	}
}
