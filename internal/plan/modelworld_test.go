package plan

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// occurrence is one of the four callbacks that can arrive.
type occurrence int

const (
	startA occurrence = iota
	stopA
	startB
	stopB
	events
)

func (o occurrence) String() string {
	return []string{"A starts", "A stops", "B starts", "B stops"}[o]
}

// counts says how often each callback has arrived.
type counts [events]uint8

func (c counts) total() int {
	sum := 0
	for _, n := range c {
		sum += int(n)
	}
	return sum
}

// onAir is for noneSince: no broadcast waits for its push to come back, as far as the last pass saw.
const onAir = -1

// state is a moment of the world. What it points to is never changed: states share it.
type state struct {
	// seconds since the show's time.
	seconds     int
	short, long uint8
	delivered   counts
	stream      *v1alpha1.LiveStream
	runs        []workload.Run
	// noneSince is when the operator first saw no live push of the open broadcast, and could write it down.
	noneSince int
	// failed says that a Job has failed by itself.
	failed bool
}

func (s state) now() time.Time { return showTime.Add(time.Duration(s.seconds) * time.Second) }

type stateKey [16]byte

// model visits states and checks them.
type model struct {
	setting

	stream *v1alpha1.LiveStream
	seen   map[stateKey]struct{}
	// rests are the lines that rest reads, by what leads there; ends the same by the events that came.
	rests map[stateKey]string
	ends  map[counts]string
	// trail are the steps to the state that is being visited.
	trail          []string
	problem        string
	passes, atRest int
}

// receive is what the receiver does: the pushes change, and what follows from them alone.
func (m *model) receive(s state, o occurrence) state {
	at := s.now()
	if m.times != nil {
		at = showTime.Add(time.Duration(m.times[o]) * time.Second)
	}
	e := started(m.sequences[o/2], at)
	if o == stopA || o == stopB {
		e = interrupted(m.sequences[o/2], at, m.reasons[o/2])
		if m.durations {
			e.Duration = new(int64(m.times[o]-m.times[o-1])*1000 + 581)
		}
	}
	s.delivered[o]++
	pushes, outcome, err := push.Apply(s.stream.Status.Pushes, e, s.now())
	if err != nil {
		m.fails("Apply() = %v", err)
	}
	m.checkOutcome(s, e, outcome)
	if !outcome.Changed() {
		return s
	}
	stream := *s.stream
	stream.Status.Pushes = pushes
	if m.foresees {
		if status, ok := Foresee(m.observed(s), pushes); ok {
			stream.Status = status
		}
	}
	if s.noneSince == onAir && stream.Status.State == v1alpha1.LiveStreamInterrupted {
		s.noneSince = s.seconds
	}
	if stream.Status.State == v1alpha1.LiveStreamLive && m.foresees {
		s.noneSince = onAir
	}
	s.stream = &stream
	return s
}

func (*model) observed(s state) Observed {
	return Observed{Now: s.now(), Stream: s.stream, Settings: s.stream.Spec.LiveStreamSettings, Domain: "push.example.com", Runs: s.runs}
}

// checkOutcome: a repeated event changes nothing, so that nothing is written for it.
func (m *model) checkOutcome(s state, e provider.Event, outcome push.Outcome) {
	known := slices.ContainsFunc(s.stream.Status.Pushes, func(p v1alpha1.Push) bool {
		return p.Sequence == e.Sequence && (e.Kind == provider.Started || !push.IsLive(p))
	})
	if outcome.Changed() == known {
		m.fails("the event is %s, and was known: %t", outcome, known)
	}
}

// tick lets time go by: Pods become ready, and end within a short while after they were told to. What runs after a broadcast
// completes by itself.
func tick(s state, seconds int) state {
	s.seconds += seconds
	runs := make([]workload.Run, 0, len(s.runs))
	for _, r := range s.runs {
		switch {
		case r.Phase == workload.Pending:
			r.Phase, r.Ready = workload.Running, s.now()
		case r.Phase == workload.Running && r.AfterEnd:
			r.Phase, r.Finished = workload.Complete, s.now()
		case r.Phase == workload.Terminating && (r.PodsGone || seconds == long):
			continue
		case r.Phase == workload.Terminating:
			r.PodsGone, r.Trouble = true, "exit code 0"
		}
		runs = append(runs, r)
	}
	s.runs = runs
	return s
}

// canFail is the first active Job of the open broadcast, -1 where there is none.
func canFail(s state) int {
	return slices.IndexFunc(s.runs, func(r workload.Run) bool { return r.Active() && r.Broadcast == s.stream.Status.Broadcast.ID })
}

func fail(s state) state {
	i := canFail(s)
	s.failed, s.runs = true, slices.Clone(s.runs)
	s.runs[i].Phase, s.runs[i].Finished, s.runs[i].Trouble = workload.Failed, s.now(), "exit code 1"
	return s
}

// pass is a pass of the reconciler: all of it, one that dies after it made the Jobs, and one that dies after it wrote the status.
// One that dies before it made the Jobs leaves nothing behind, and an event that overtakes the status does what the second does.
func (m *model) pass(s state) []state {
	m.passes++
	o := m.observed(s)
	p := Compute(o)
	live := push.Live(s.stream.Status.Pushes)
	m.checkStart(s, p, live)
	m.checkStop(s, p, live)
	m.checkWindow(s, p, live)
	m.checkNames(o, p)
	if m.problem != "" {
		return []state{s}
	}
	made := map[string]string{}
	jobs := s
	for _, start := range p.Start {
		jobs.runs, made[start.Key()] = make1(s, jobs.runs, p, start, live)
	}
	written := jobs
	stream := *s.stream
	stream.Status = Report(o, p, made, nil)
	written.stream = &stream
	switch {
	case len(live) > 0 || !stream.Status.OnAir():
		written.noneSince = onAir
	case s.noneSince == onAir:
		written.noneSince = s.seconds
	}
	done := written
	done.runs = stopped(written.runs, p.Stop)
	states := []state{done}
	if len(p.Start) > 0 {
		states = append(states, jobs)
	} else if len(p.Stop) > 0 {
		states = append(states, s)
	}
	if len(p.Stop) > 0 {
		states = append(states, written)
	}
	m.checkOne(done)
	return states
}

func make1(s state, runs []workload.Run, p Plan, start Start, live []v1alpha1.Push) ([]workload.Run, string) {
	run := workload.Run{Workload: start.Workload.Name, Part: start.Part, Phase: workload.Pending, Created: s.now()}
	if start.Ended != nil {
		run.Broadcast, run.AfterEnd, run.Sequence = start.Ended.ID, true, start.Ended.Sequence
		run.BroadcastStart = start.Ended.StartTime.Time
	} else {
		run.Broadcast, run.Sequence = p.Status.Broadcast.ID, live[len(live)-1].Sequence
		run.BroadcastStart = p.Status.Broadcast.StartTime.Time
	}
	run.JobName = workload.JobName(s.stream.Name, s.stream.UID, run.Workload, run.Broadcast, run.Part)
	if slices.ContainsFunc(runs, func(r workload.Run) bool { return r.JobName == run.JobName }) {
		return runs, run.JobName // AlreadyExists
	}
	runs = append(slices.Clone(runs), run)
	slices.SortFunc(runs, func(a, b workload.Run) int {
		return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Broadcast, b.Broadcast), cmp.Compare(a.Part, b.Part))
	})
	return runs, run.JobName
}

func stopped(runs []workload.Run, stops []Stop) []workload.Run {
	if len(stops) == 0 {
		return runs
	}
	runs = slices.Clone(runs)
	for i := range runs {
		if slices.ContainsFunc(stops, func(s Stop) bool { return s.JobName == runs[i].JobName }) {
			runs[i].Phase, runs[i].PodsGone, runs[i].Trouble = workload.Terminating, false, ""
		}
	}
	return runs
}

// checkStart: Jobs of a broadcast start while a push is live, and not in one that has ended; what runs after one starts once, when
// all its Jobs have ended.
func (m *model) checkStart(s state, p Plan, live []v1alpha1.Push) {
	for _, start := range p.Start {
		name := start.Workload.Name
		if ended := start.Ended; ended != nil {
			for _, r := range s.runs {
				switch {
				case r.Broadcast != ended.ID:
				case r.AfterEnd && r.Workload == name:
					m.fails("%s starts twice after one broadcast", name)
				case !r.AfterEnd && !over(r):
					m.fails("%s starts before %s of its broadcast has ended", name, r.Workload)
				}
			}
			// What this pass alone says may yet be overtaken by a push.
			if !slices.ContainsFunc(s.stream.Status.History, func(h v1alpha1.BroadcastRecord) bool { return h.ID == ended.ID }) {
				m.fails("%s starts before it is written that its broadcast has ended", name)
			}
			continue
		}
		if start.Workload.RunsAfterEnd() {
			m.fails("%s starts in the broadcast", name)
		}
		if len(live) == 0 {
			m.fails("%s starts while no push is live", name)
		}
		if slices.ContainsFunc(p.Status.History, func(h v1alpha1.BroadcastRecord) bool { return h.ID == p.Status.Broadcast.ID }) {
			m.fails("%s starts in a broadcast that has ended", name)
		}
	}
}

// checkNames: the pass after one that died, before its Jobs are seen, makes the very same Jobs, however late it is.
func (m *model) checkNames(o Observed, p Plan) {
	if len(p.Start) == 0 {
		return
	}
	o.Now = o.Now.Add(2 * time.Second)
	again := Compute(o)
	if got, want := namesToMake(o, again), namesToMake(o, p); !slices.Equal(got, want) {
		m.fails("2 s later the Jobs %v are made, not %v", got, want)
	}
}

func namesToMake(o Observed, p Plan) []string {
	var names []string
	for _, start := range p.Start {
		broadcast := p.Status.Broadcast.ID
		if start.Ended != nil {
			broadcast = start.Ended.ID
		}
		names = append(names, workload.JobName(o.Stream.Name, o.Stream.UID, start.Workload.Name, broadcast, start.Part))
	}
	return names
}

// checkStop: Jobs stop only when their broadcast has ended, and that does not happen while a push is live.
func (m *model) checkStop(s state, p Plan, live []v1alpha1.Push) {
	before := s.stream.Status.Broadcast.ID
	if len(live) > 0 {
		if before != "" && p.Status.Broadcast.ID != before {
			m.fails("the broadcast ended while a push is live")
		}
		if p.Status.State != v1alpha1.LiveStreamLive || !p.Status.OnAir() {
			m.fails("a push is live, and the stream is %s", p.Status.State)
		}
		for _, l := range live {
			if !slices.Contains(p.Status.Broadcast.Sequences, l.Sequence) {
				m.fails("the broadcast does not know the live push %s", l.Sequence)
			}
		}
	}
	for _, stop := range p.Stop {
		for _, r := range s.runs {
			ended := slices.ContainsFunc(p.Status.History, func(h v1alpha1.BroadcastRecord) bool { return h.ID == r.Broadcast })
			if r.JobName == stop.JobName && !ended {
				m.fails("%s stops and its broadcast has not ended", r.Workload)
			}
			if r.JobName == stop.JobName && r.AfterEnd {
				m.fails("%s stops, which runs after its broadcast", r.Workload)
			}
		}
	}
}

// checkWindow: a broadcast ends when the window is over, neither before nor after. What counts is when a pass first saw no live
// push, or later, when a push came and went unseen since. Of two reasons either may be the last.
func (m *model) checkWindow(s state, p Plan, live []v1alpha1.Push) {
	shortest, longest, lastEnd := lossWindow, 0, 0
	for _, p := range s.stream.Status.Pushes {
		if !push.IsLive(p) {
			lastEnd = max(lastEnd, int(p.RecordedTime.Sub(showTime).Seconds()))
			window := lossWindow
			if p.Reason == v1alpha1.PushReasonClientStopped {
				window = cleanWindow
			}
			shortest, longest = min(shortest, window), max(longest, window)
		}
	}
	lasted := 0
	if s.noneSince != onAir {
		lasted = s.seconds - s.noneSince
	}
	closed := len(p.Status.History) > len(s.stream.Status.History)
	if closed && (len(live) > 0 || lasted < shortest) {
		m.fails("the broadcast ended %d s into its window, with %d live pushes", lasted, len(live))
	}
	if !closed && len(live) == 0 && lasted >= max(longest, shortest) && s.seconds-lastEnd >= lossWindow && p.Status.OnAir() {
		m.fails("the broadcast is open %d s into its window", lasted)
	}
}

// checkOne: after a whole pass no workload has two active Jobs, of whatever broadcasts, and none that is active stands alone.
func (m *model) checkOne(s state) {
	active := map[string]bool{}
	for _, r := range s.runs {
		if !r.Active() || r.AfterEnd {
			continue
		}
		if active[r.Workload] {
			m.fails("two Jobs of %s are active after a pass", r.Workload)
		}
		if r.Broadcast != s.stream.Status.Broadcast.ID {
			m.fails("a Job of %s is active after a pass, and its broadcast is not open", r.Workload)
		}
		active[r.Workload] = true
	}
}

// keyOf is what matters of the state for what can follow. Messages and conditions follow from the rest; when a push was recorded
// counts for ended ones alone, within the hours of the model. Without the past, states are one that differ in what came before.
func (m *model) keyOf(s state, past bool) stateKey {
	b := make([]byte, 0, 512)
	number := func(n int64) { b = binary.AppendVarint(b, n) }
	text := func(t string) { number(int64(len(t))); b = append(b, t...) }
	at := func(t *metav1.Time) {
		if t == nil {
			number(-1 << 40)
		} else {
			number(t.Unix() - showTime.Unix())
		}
	}
	if past {
		b = append(b, s.delivered[:]...)
		b = append(b, s.short, s.long)
	}
	number(int64(s.seconds))
	number(int64(s.noneSince))
	if s.failed {
		text("failed")
	}
	status := &s.stream.Status
	text(string(status.State))
	if status.Since != nil {
		number(status.Since.Unix() - showTime.Unix())
	}
	number(int64(len(status.Pushes)))
	for _, p := range status.Pushes {
		text(p.Sequence)
		at(p.StartTime)
		at(p.EndTime)
		if p.EndTime != nil {
			at(p.RecordedTime)
		}
	}
	text(status.Broadcast.ID)
	at(status.Broadcast.StartTime)
	number(int64(status.Broadcast.Pushes))
	number(int64(ptrOr(status.Broadcast.Interruptions, -1)))
	number(int64(len(status.Broadcast.Sequences)))
	for _, sequence := range status.Broadcast.Sequences {
		text(sequence)
	}
	for _, w := range status.Workloads {
		text(w.Name + "/" + string(w.State) + "/" + w.JobName)
		number(int64(w.Part))
	}
	number(int64(len(status.History)))
	for _, h := range status.History {
		text(h.ID)
		at(h.EndTime)
		number(int64(h.Pushes))
		for _, w := range h.AfterEnd {
			text(string(w.State))
		}
	}
	number(int64(len(s.runs)))
	for _, r := range s.runs {
		text(r.JobName)
		text(r.Sequence)
		number(int64(r.Phase))
		number(r.Created.Unix() - showTime.Unix())
		if r.PodsGone {
			text("gone")
		}
		if !r.Finished.IsZero() {
			number(r.Finished.Unix() - showTime.Unix())
		}
	}
	var key stateKey
	h := fnv.New128a()
	_, _ = h.Write(b) // a hash never fails
	h.Sum(key[:0])
	return key
}
