package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

var showTime = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)

const (
	podStarts = 2 * time.Second // from making a Job until its Pod is ready
	podEnds   = 3 * time.Second // from deleting a Job until its Pod is gone
)

// world plays everything around the plan: the receiver, the Job controller and the clock.
type world struct {
	now    time.Time
	stream *v1alpha1.LiveStream
	domain string
	jobs   []*simulatedJob
	// look is when the plan wants to be asked again; zero for never.
	look time.Time
	// loseStatus lets the operator die before it writes the status.
	loseStatus func() bool
	trace      strings.Builder
}

type simulatedJob struct {
	run     workload.Run
	ready   time.Time
	gone    time.Time
	deleted bool
}

func newWorld(workloads ...string) *world {
	stream := &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Namespace: "studio", Name: "show", UID: "uid-1", Generation: 1}}
	stream.Spec.PushDomainRef.Name = "shows"
	stream.Spec.AppName, stream.Spec.StreamName = "live", "test_stream"
	for _, name := range workloads {
		stream.Spec.Workloads = append(stream.Spec.Workloads, v1alpha1.Workload{Name: name, Job: &batchv1.JobTemplateSpec{}})
	}
	return &world{now: showTime, stream: stream, domain: "push.example.com", loseStatus: func() bool { return false }}
}

func started(sequence string, at time.Time) provider.Event {
	return provider.Event{Kind: provider.Started, Sequence: sequence, Time: at}
}

func interrupted(sequence string, at time.Time, reason v1alpha1.PushReason) provider.Event {
	codes := map[v1alpha1.PushReason]int32{v1alpha1.PushReasonClientStopped: 1, v1alpha1.PushReasonNetworkError: 12}
	return provider.Event{Kind: provider.Interrupted, Sequence: sequence, Time: at, Reason: reason, ErrorCode: codes[reason]}
}

// receive records an event and lets the operator look.
func (w *world) receive(t *testing.T, e provider.Event) push.Outcome {
	t.Helper()
	pushes, outcome, err := push.Apply(w.stream.Status.Pushes, e, w.now)
	if err != nil {
		t.Fatalf("Apply() = %v", err)
	}
	w.stream.Status.Pushes = pushes
	return outcome
}

func (w *world) observed() Observed {
	o := Observed{Now: w.now, Stream: w.stream, Domain: w.domain, Settings: w.stream.Spec.LiveStreamSettings}
	for _, job := range w.jobs {
		run := job.run
		if run.Phase == workload.Pending && !w.now.Before(job.ready) {
			run.Phase, run.Ready = workload.Running, job.ready
		}
		if job.deleted {
			if !w.now.Before(job.gone) {
				continue
			}
			run.Phase, run.PodsGone, run.Trouble = workload.Terminating, false, ""
			if w.now.Equal(job.gone.Add(-time.Second)) || w.now.After(job.gone.Add(-time.Second)) {
				run.PodsGone, run.Trouble = true, "exit code 0"
			}
		}
		o.Runs = append(o.Runs, run)
	}
	slices.SortFunc(o.Runs, func(a, b workload.Run) int {
		return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Broadcast, b.Broadcast), cmp.Compare(a.Part, b.Part))
	})
	return o
}

// pass is one pass of the reconciler, against a world that does what it says at once.
func (w *world) pass(t *testing.T) {
	t.Helper()
	o := w.observed()
	p := Compute(o)
	made := map[string]string{}
	for _, s := range p.Start {
		made[s.Key()] = w.make(t, p, s)
	}
	if w.loseStatus() {
		w.look = w.now.Add(time.Second)
		w.note("the operator dies before it writes the status")
		return
	}
	before := w.stream.Status
	w.stream.Status = Report(o, p, made, nil)
	for _, s := range p.Stop {
		w.delete(t, s)
	}
	w.look = time.Time{}
	if p.LookAgain > 0 {
		w.look = w.now.Add(p.LookAgain)
	}
	w.noteChange(before)
	for _, n := range Notices(before, w.stream.Status) {
		w.note("event " + n.Reason)
	}
}

func (w *world) make(t *testing.T, p Plan, s Start) string {
	t.Helper()
	if len(push.Live(w.stream.Status.Pushes)) == 0 {
		t.Errorf("%s: %s#%d starts while no push is live", w.clock(), s.Workload.Name, s.Part)
	}
	name := workload.JobName(w.stream.Name, w.stream.UID, s.Workload.Name, p.Status.Broadcast.ID, s.Part)
	if slices.ContainsFunc(w.jobs, func(j *simulatedJob) bool { return j.run.JobName == name && (!j.deleted || w.now.Before(j.gone)) }) {
		return name // AlreadyExists
	}
	w.jobs = append(w.jobs, &simulatedJob{ready: w.now.Add(podStarts), run: workload.Run{
		JobName: name, Workload: s.Workload.Name, Broadcast: p.Status.Broadcast.ID, Part: s.Part, Phase: workload.Pending, Created: w.now,
		Sequence: push.Live(w.stream.Status.Pushes)[0].Sequence, BroadcastStart: p.Status.Broadcast.StartTime.Time,
	}})
	w.note(fmt.Sprintf("start %s#%d", s.Workload.Name, s.Part))
	return name
}

func (w *world) delete(t *testing.T, s Stop) {
	t.Helper()
	for _, job := range w.jobs {
		if job.run.JobName == s.JobName && !job.deleted {
			job.deleted, job.gone = true, w.now.Add(podEnds)
			w.note(fmt.Sprintf("stop %s#%d", job.run.Workload, job.run.Part))
		}
	}
}

// active are the Jobs that nobody told to end.
func (w *world) active() []workload.Run {
	return slices.DeleteFunc(w.observed().Runs, func(r workload.Run) bool { return !r.Active() })
}

// advance lets time pass until the given time, with a pass whenever the operator would be woken.
func (w *world) advance(t *testing.T, until time.Time) {
	t.Helper()
	for passes := 0; ; passes++ {
		if passes > 10_000 {
			t.Fatalf("%s: the operator never comes to rest", w.clock())
		}
		next := w.nextWake()
		if next.IsZero() || next.After(until) {
			w.now = until
			return
		}
		w.now = next
		w.pass(t)
	}
}

func (w *world) nextWake() time.Time {
	var next time.Time
	consider := func(at time.Time) {
		if at.After(w.now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	consider(w.look)
	for _, job := range w.jobs {
		switch {
		case job.deleted:
			consider(job.gone.Add(-time.Second))
			consider(job.gone)
		case job.run.Phase == workload.Pending:
			consider(job.ready)
		}
	}
	return next
}

func (w *world) clock() string { return "+" + w.now.Sub(showTime).String() }

func (w *world) note(text string) { fmt.Fprintf(&w.trace, "%-10s   %s\n", w.clock(), text) }

func (w *world) noteChange(before v1alpha1.LiveStreamStatus) {
	if was, is := summary(before), summary(w.stream.Status); was != is {
		w.note(is)
	}
}

// summary is a status in one line.
func summary(s v1alpha1.LiveStreamStatus) string {
	line := string(s.State)
	if b := s.Broadcast; s.OnAir() {
		line += fmt.Sprintf(", broadcast of %d pushes and %d interruptions", b.Pushes, ptrOr(b.Interruptions, 0))
	}
	for _, w := range s.Workloads {
		line += fmt.Sprintf(", %s#%d %s", w.Name, w.Part, w.State)
		if w.Message != "" {
			line += " (" + w.Message + ")"
		}
	}
	for _, h := range s.History {
		line += fmt.Sprintf("; ended: %d pushes, %d interruptions, %d s, %s", h.Pushes, ptrOr(h.Interruptions, 0), ptrOr(h.DurationSeconds, 0), h.EndReason)
	}
	return line
}
