package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

var showTime = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)

const (
	podStarts = 2 * time.Second  // from making a Job until its Pod is ready
	podEnds   = 3 * time.Second  // from deleting a Job until its Pod is gone
	afterRuns = 20 * time.Second // how long a Job runs that runs after the broadcast
)

// world plays everything around the plan: the receiver, the Job controller, CSS's API, scale targets and the clock.
type world struct {
	now    time.Time
	stream *v1alpha1.LiveStream
	domain string
	jobs   []*simulatedJob
	// targets are what scale workloads scale.
	targets map[TargetRef]*simulatedTarget
	// onAir is what CSS answers when it is asked; nil where it cannot be.
	onAir func() bool
	// afterEndHangs keeps what runs after a broadcast without a Pod.
	afterEndHangs bool
	// look is when the plan wants to be asked again; zero for never.
	look time.Time
	// foresees says that who records an event writes what follows from it, too.
	foresees bool
	// loseStatus lets the operator die before it writes the status.
	loseStatus func() bool
	trace      strings.Builder
	// written counts the passes that had something to write, foreseen the events that were written with what follows from them.
	written, foreseen int
	told              []Notice
}

type simulatedJob struct {
	run     workload.Run
	ready   time.Time
	gone    time.Time
	deleted bool
}

type simulatedTarget struct {
	// others is what other streams ask for.
	others, wanted, asked, had int32
	// grown is when the replicas that were asked for last are there.
	grown   time.Time
	problem string
	// looked says that somebody has looked at it, which tells of the problem.
	looked bool
	seen   Target
}

func (s *simulatedTarget) have(now time.Time) int32 {
	if now.Before(s.grown) {
		return min(s.had, s.asked)
	}
	return s.asked
}

func newWorld(workloads ...string) *world {
	stream := &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Namespace: "studio", Name: "show", UID: "uid-1", Generation: 1}}
	stream.Spec.PushDomainRef.Name = "shows"
	stream.Spec.AppName, stream.Spec.StreamName = "live", "test_stream"
	for _, name := range workloads {
		stream.Spec.Workloads = append(stream.Spec.Workloads, v1alpha1.Workload{Name: name, Job: &batchv1.JobTemplateSpec{}})
	}
	return &world{now: showTime, stream: stream, domain: "push.example.com", targets: map[TargetRef]*simulatedTarget{}, loseStatus: func() bool { return false }}
}

func started(sequence string, at time.Time) provider.Event {
	return provider.Event{Kind: provider.Started, Sequence: sequence, Time: at}
}

func interrupted(sequence string, at time.Time, reason v1alpha1.PushReason) provider.Event {
	codes := map[v1alpha1.PushReason]int32{v1alpha1.PushReasonClientStopped: 1, v1alpha1.PushReasonNetworkError: 12}
	return provider.Event{Kind: provider.Interrupted, Sequence: sequence, Time: at, Reason: reason, ErrorCode: codes[reason]}
}

// receive records events in one write, and returns what became of the last one.
func (w *world) receive(t *testing.T, events ...provider.Event) (outcome push.Outcome) {
	t.Helper()
	pushes, changed := w.stream.Status.Pushes, false
	for _, e := range events {
		var err error
		if pushes, outcome, err = push.Apply(pushes, e, w.now); err != nil {
			t.Fatalf("Apply() = %v", err)
		}
		changed = changed || outcome.Changed()
	}
	if w.foresees && changed {
		o := Observed{Now: w.now, Stream: w.stream, Domain: w.domain, Settings: w.stream.Spec.LiveStreamSettings}
		if status, ok := Foresee(o, pushes); ok {
			before := w.stream.Status
			w.stream.Status = status
			w.foreseen++
			w.tell(before)
			return outcome
		}
	}
	w.stream.Status.Pushes = pushes
	return outcome
}

// tell notes what Kubernetes Events are sent.
func (w *world) tell(before v1alpha1.LiveStreamStatus) {
	for _, n := range Notices(before, w.stream.Status) {
		w.told = append(w.told, n)
		w.note("event " + n.Reason)
	}
}

func (w *world) observed() Observed {
	o := Observed{Now: w.now, Stream: w.stream, Domain: w.domain, Settings: w.stream.Spec.LiveStreamSettings, Targets: map[TargetRef]Target{}}
	for ref, target := range w.targets {
		now := Target{Wanted: target.wanted, Asked: target.asked, Have: target.have(w.now), Problem: target.problem}
		target.seen = now.After(target.seen, RunningShare(w.stream, ref))
		o.Targets[ref] = target.seen
	}
	for _, job := range w.jobs {
		run := job.run
		if run.Phase == workload.Pending && !w.now.Before(job.ready) {
			run.Phase, run.Ready = workload.Running, job.ready
		}
		if ends := job.ready.Add(afterRuns); run.Phase == workload.Running && run.AfterEnd && !w.now.Before(ends) {
			run.Phase, run.Finished, run.Trouble = workload.Complete, ends, "exit code 0"
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
	w.repair()
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
	if !equality.Semantic.DeepEqual(before, w.stream.Status) {
		w.written++
	}
	for _, s := range p.Stop {
		w.delete(t, s)
	}
	w.scale()
	w.look = time.Time{}
	if p.LookAgain > 0 {
		w.look = w.now.Add(p.LookAgain)
	}
	w.noteChange(before)
	w.tell(before)
}

// repair ends pushes of which nothing was heard for long, unless CSS says that the stream is on air.
func (w *world) repair() {
	longest := w.stream.Spec.MaxDuration()
	overdue, _ := push.Overdue(w.stream.Status.Pushes, longest, w.now)
	switch {
	case len(overdue) == 0:
	case w.onAir == nil:
		w.note("nothing was heard for long of " + strings.Join(overdue, ", "))
		w.stream.Status.Pushes = push.End(w.stream.Status.Pushes, overdue, v1alpha1.PushReasonMaxDurationReached, fmt.Sprintf("nothing was heard of it for %s", longest), w.now)
	case w.onAir():
		w.note("CSS says that the stream is on air")
		w.stream.Status.Pushes = push.Confirm(w.stream.Status.Pushes, w.now)
	default:
		w.note("CSS says that the stream is not on air")
		w.stream.Status.Pushes = push.End(w.stream.Status.Pushes, overdue, v1alpha1.PushReasonNotOnline, "CSS says that the stream is not on air", w.now)
	}
}

// scale writes the sums of the shares where they changed.
func (w *world) scale() {
	for _, ref := range TargetsOf(w.stream, w.stream.Spec.LiveStreamSettings) {
		target, there := w.targets[ref]
		if !there {
			target = &simulatedTarget{}
			w.targets[ref] = target
		}
		if !target.looked && target.problem != "" {
			target.looked, target.grown = true, w.now.Add(time.Second)
		}
		wanted := target.others + Share(w.stream, w.stream.Spec.LiveStreamSettings, ref)
		if wanted == target.wanted || target.problem != "" {
			continue
		}
		w.note(fmt.Sprintf("scale %s from %d to %d", ref, target.asked, wanted))
		target.had, target.grown = target.have(w.now), w.now.Add(podStarts)
		target.wanted, target.asked = wanted, wanted
	}
}

func (w *world) make(t *testing.T, p Plan, s Start) string {
	t.Helper()
	run := workload.Run{Workload: s.Workload.Name, Part: s.Part, Phase: workload.Pending, Created: w.now}
	if s.Ended != nil {
		w.checkAfterEnd(t, s)
		run.Broadcast, run.BroadcastStart, run.Sequence, run.AfterEnd = s.Ended.ID, s.Ended.StartTime.Time, s.Ended.Sequence, true
	} else {
		live := push.Live(w.stream.Status.Pushes)
		if len(live) == 0 {
			t.Fatalf("%s: %s#%d starts while no push is live", w.clock(), s.Workload.Name, s.Part)
		}
		run.Broadcast, run.BroadcastStart, run.Sequence = p.Status.Broadcast.ID, p.Status.Broadcast.StartTime.Time, live[0].Sequence
	}
	run.JobName = workload.JobName(w.stream.Name, w.stream.UID, run.Workload, run.Broadcast, run.Part)
	if slices.ContainsFunc(w.jobs, func(j *simulatedJob) bool {
		return j.run.JobName == run.JobName && (!j.deleted || w.now.Before(j.gone))
	}) {
		return run.JobName // AlreadyExists
	}
	job := &simulatedJob{ready: w.now.Add(podStarts), run: run}
	if w.afterEndHangs && run.AfterEnd {
		job.ready = w.now.Add(24 * 365 * time.Hour)
	}
	w.jobs = append(w.jobs, job)
	w.note(fmt.Sprintf("start %s#%d", s.Workload.Name, s.Part))
	return run.JobName
}

// checkAfterEnd: what runs after a broadcast starts once nothing of the broadcast runs any more.
func (w *world) checkAfterEnd(t *testing.T, s Start) {
	t.Helper()
	for _, run := range w.observed().Runs {
		if run.Broadcast == s.Ended.ID && !run.AfterEnd && !over(run) {
			t.Errorf("%s: %s starts before %s#%d of its broadcast has ended", w.clock(), s.Workload.Name, run.Workload, run.Part)
		}
	}
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
			if job.run.AfterEnd {
				consider(job.ready.Add(afterRuns))
			}
		}
	}
	for _, target := range w.targets {
		consider(target.grown)
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
		for _, w := range h.AfterEnd {
			line += fmt.Sprintf(", %s %s", w.Name, w.State)
			if w.Message != "" {
				line += " (" + w.Message + ")"
			}
		}
	}
	return line
}
