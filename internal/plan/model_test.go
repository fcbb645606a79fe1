package plan

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// The model check visits every state that can be reached by at most 5 callbacks about 2 pushes, in every order, each of them
// lost or repeated as it comes, with time going by in between and with an operator that looks, or dies in the middle of it, or
// sleeps. States that read alike are visited once.
const (
	mostEvents = 5
	// mostLong bounds how often a long time goes by.
	mostLong = 2
	// short is inside both windows, even if it passes as often as a setting lets it; long is past both.
	short, long = 35, 61
	cleanWindow = 40
	lossWindow  = 60
	// fewestStates is what the check is worth: less, and a bound above has lost its meaning.
	fewestStates = 500_000
)

// setting is what stays the same while the model runs.
type setting struct {
	name      string
	sequences [2]string
	// times are those at which A starts and stops and B starts and stops, by the provider's clock; nil where it is on time, always.
	times   []int
	reasons [2]v1alpha1.PushReason
	// durations says that interruptions tell how long the push was on air.
	durations bool
	workloads []v1alpha1.Workload
	// jobFails lets a Job that the status knows fail by itself, once.
	jobFails bool
	// mostShort bounds how often a short time goes by: each adds many states.
	mostShort uint8
	// foresees says that who records an event writes what follows from it, too, as the receiver does; claims and repairs do not.
	foresees bool
}

func settings() []setting {
	const network, clean, crash = v1alpha1.PushReasonNetworkError, v1alpha1.PushReasonClientStopped, v1alpha1.PushReasonClientDisconnected
	record := v1alpha1.Workload{Name: "record", Job: &batchv1.JobTemplateSpec{}}
	thumbnails := v1alpha1.Workload{Name: "thumbnails", Job: &batchv1.JobTemplateSpec{}}
	upload := v1alpha1.Workload{Name: "upload", Run: v1alpha1.WorkloadRunAfterEnd, Job: &batchv1.JobTemplateSpec{}}
	// Real sequences: their orders as text and as numbers differ, and neither is that of time.
	real := [2]string{"6674468118806626493", "653434696377249304"}
	alone := []setting{
		{"each event tells of now and a Job fails", [2]string{"b", "a"}, nil, [2]v1alpha1.PushReason{clean, clean}, false, []v1alpha1.Workload{record, upload}, true, 0, false},
		{"each event tells of now", real, nil, [2]v1alpha1.PushReason{crash, crash}, false, []v1alpha1.Workload{record, upload}, false, 1, false},
		{"B follows A and both are lost to the network", real, []int{0, 30, 40, 90}, [2]v1alpha1.PushReason{network, network}, false, []v1alpha1.Workload{record}, false, 1, false},
		{"B overlaps A and both are stopped by their clients", [2]string{"9", "10"}, []int{0, 50, 20, 70}, [2]v1alpha1.PushReason{clean, clean}, true, []v1alpha1.Workload{record}, false, 1, false},
		{"all happens in one second", real, []int{0, 0, 0, 0}, [2]v1alpha1.PushReason{network, clean}, true, []v1alpha1.Workload{record}, false, 1, false},
		{"B lies within A, an hour ahead", [2]string{"10", "9"}, []int{3600, 3690, 3620, 3650}, [2]v1alpha1.PushReason{clean, network}, false, []v1alpha1.Workload{record, thumbnails}, false, 1, false},
	}
	var all []setting
	for i, s := range alone {
		if i%2 == 1 {
			all = append(all, s)
		}
		s.name, s.foresees = s.name+", foreseen", true
		all = append(all, s)
	}
	return all
}

// TestEveryOrderOfEventsCrashesAndTimeKeepsTheInvariants uses two processors where it has them.
func TestEveryOrderOfEventsCrashesAndTimeKeepsTheInvariants(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	var states atomic.Int64
	begun := time.Now()
	t.Run("settings", func(t *testing.T) {
		for _, s := range settings() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				m := newModel(s)
				m.visit(m.first())
				states.Add(int64(len(m.seen)))
				t.Logf("%d states, %d of them at rest, %d passes", len(m.seen), m.atRest, m.passes)
				if m.problem != "" {
					t.Errorf("%s\nafter:\n  %s", m.problem, strings.Join(m.trail, "\n  "))
				}
			})
		}
	})
	t.Logf("%d states in %s", states.Load(), time.Since(begun).Round(time.Second/10))
	if n := states.Load(); n < fewestStates {
		t.Errorf("only %d states were visited, want %d at least", n, fewestStates)
	}
}

func newModel(s setting) *model {
	stream := newWorld().stream
	stream.Spec.Workloads = s.workloads
	stream.Spec.CleanStopWindowSeconds, stream.Spec.ReconnectWindowSeconds = new(int32(cleanWindow)), new(int32(lossWindow))
	return &model{setting: s, stream: stream, seen: map[stateKey]struct{}{}, rests: map[stateKey]string{}, ends: map[counts]string{}}
}

func (m *model) first() state { return state{stream: m.stream, noneSince: onAir} }

// visit checks the state and everything that can follow it.
func (m *model) visit(s state) {
	if m.problem != "" {
		return
	}
	key := m.keyOf(s, true)
	if _, seen := m.seen[key]; seen {
		return
	}
	m.seen[key] = struct{}{}
	m.checkPushes(s)
	m.checkJobs(s)
	m.checkUnbroken(s)
	m.checkRest(s)
	m.follow("a pass", s, m.pass)
	for event := range events {
		if s.delivered.total() < mostEvents {
			m.follow(event.String(), s, func(s state) []state { return []state{m.receive(s, event)} })
		}
	}
	if s.short < m.mostShort {
		m.follow("35 s go by", s, func(s state) []state { s.short++; return []state{tick(s, short)} })
	}
	if s.long < mostLong {
		m.follow("61 s go by", s, func(s state) []state { s.long++; return []state{tick(s, long)} })
	}
	if m.jobFails && !s.failed && canFail(s) >= 0 {
		m.follow("a Job fails", s, func(s state) []state { return []state{fail(s)} })
	}
}

// follow takes one step and goes on from each state that it may end in.
func (m *model) follow(what string, from state, step func(state) []state) {
	if m.problem != "" {
		return
	}
	depth := len(m.trail)
	m.trail = append(m.trail, what)
	for i, to := range step(from) {
		if i > 0 {
			m.trail[depth] = fmt.Sprintf("%s, which dies %s", what, []string{"after it made the Jobs", "after it wrote the status"}[i-1])
		}
		if m.visit(to); m.problem != "" {
			return
		}
	}
	m.trail = m.trail[:depth]
}

// fails notes the first violation; the trail leads to it.
func (m *model) fails(format string, args ...any) {
	if m.problem == "" {
		m.problem = fmt.Sprintf(format, args...)
	}
}

// checkPushes: a push with a stop is ended, one with starts alone is live, whatever the order. So nothing that ended is live
// again, and a stop ends its own push only.
func (m *model) checkPushes(s state) {
	for i, sequence := range m.sequences {
		want := "unknown"
		switch starts, stops := s.delivered[2*i], s.delivered[2*i+1]; {
		case stops > 0:
			want = "ended"
		case starts > 0:
			want = "live"
		}
		got := "unknown"
		for _, p := range s.stream.Status.Pushes {
			switch {
			case p.Sequence != sequence:
			case push.IsLive(p):
				got = "live"
			default:
				got = "ended"
			}
		}
		if got != want {
			m.fails("push %s is %s, want %s", sequence, got, want)
		}
	}
}

// checkJobs: a broadcast never has two active Jobs of one workload.
func (m *model) checkJobs(s state) {
	active := map[string]bool{}
	for _, r := range s.runs {
		key := r.Broadcast + "/" + r.Workload
		if r.Active() && active[key] {
			m.fails("two Jobs of %s are active", r.Workload)
		}
		active[key] = active[key] || r.Active()
	}
}

// checkUnbroken: while no window can have passed, there is one broadcast at most, and one as soon as a pass saw a live push.
func (m *model) checkUnbroken(s state) {
	if s.long > 0 {
		return
	}
	if known := broadcastsOf(s); len(known) > 1 {
		m.fails("one show has the broadcasts %v", known)
	}
	if len(s.stream.Status.History) > 0 {
		m.fails("a broadcast ended inside its window")
	}
}

func broadcastsOf(s state) []string {
	var ids []string
	if s.stream.Status.OnAir() {
		ids = append(ids, s.stream.Status.Broadcast.ID)
	}
	for _, h := range s.stream.Status.History {
		ids = append(ids, h.ID)
	}
	for _, r := range s.runs {
		ids = append(ids, r.Broadcast)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// checkRest: from every state, passes and time alone lead to rest, and that depends on which events there were, not on their order.
func (m *model) checkRest(s state) {
	rest := m.rest(s, 0)
	if known, ok := m.ends[s.delivered]; !ok {
		m.ends[s.delivered] = rest
	} else if diff := gocmp.Diff(known, rest); diff != "" {
		m.fails("the order of events matters in the end (-another order +this one):\n%s", diff)
	}
}

// rest lets the operator look and time go by until nothing changes, and says in a line how that reads.
func (m *model) rest(s state, depth int) string {
	key := m.keyOf(s, false)
	if known, ok := m.rests[key]; ok {
		return known
	}
	if depth > 12 {
		m.fails("the operator never comes to rest: %s", summary(s.stream.Status))
	}
	if m.problem != "" {
		return ""
	}
	after := m.pass(s)[0]
	var rest string
	if slices.EqualFunc(s.runs, after.runs, func(a, b workload.Run) bool { return a == b }) && settledRuns(after.runs) &&
		gocmp.Equal(s.stream.Status, after.stream.Status) && depth > 0 {
		m.atRest++
		rest = m.restful(after)
	} else {
		rest = m.rest(tick(after, long), depth+1)
	}
	m.rests[key] = rest
	return rest
}

func settledRuns(runs []workload.Run) bool {
	return !slices.ContainsFunc(runs, func(r workload.Run) bool { return r.Phase == workload.Pending || r.Phase == workload.Terminating })
}

// restful holds at rest: what is live has its Jobs, what is not has none.
func (m *model) restful(s state) string {
	status := &s.stream.Status
	live := push.Live(status.Pushes)
	active := map[string]int{}
	for _, r := range s.runs {
		if r.Active() {
			active[r.Workload]++
		}
	}
	want := map[string]int{}
	if len(live) > 0 {
		for _, w := range m.workloads {
			if !w.RunsAfterEnd() {
				want[w.Name] = 1
			}
		}
	}
	if diff := gocmp.Diff(want, active); diff != "" {
		m.fails("at rest with %d live pushes, active Jobs (-want +got):\n%s", len(live), diff)
	}
	if onAir := len(live) > 0; onAir != (status.State == v1alpha1.LiveStreamLive) || onAir != status.OnAir() || !onAir && status.State != v1alpha1.LiveStreamIdle {
		m.fails("at rest with %d live pushes: %s", len(live), summary(*status))
	}
	line := string(status.State)
	for _, sequence := range m.sequences {
		for _, p := range status.Pushes {
			if p.Sequence == sequence {
				line += fmt.Sprintf(", %s live: %t", sequence, push.IsLive(p))
			}
		}
	}
	return line
}
