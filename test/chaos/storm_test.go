//go:build chaos

package chaos

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/faultproxy"
)

// Two replicas of a storm are killed and stopped. The third never is, so that what it holds can be followed from its start to its
// end: it only receives at first, and leads in the second phase, since a leader that loses its lease ends.
const (
	mortals  = 2
	survivor = 2
)

// stormSize is how much of a storm there is.
type stormSize struct {
	// slots is how many LiveStreams there are at a time, withJobs how many of them have a workload.
	slots, withJobs int
	// phases are how long the mortals lead, and how long the survivor does: at least, since a machine that is busy takes up to three
	// times as long for the pushes that have to come together.
	phases [2]time.Duration
	// cycle is the mean time from push to push of a stream, spread over how long the copies of an event come.
	cycle, spread time.Duration
	// life is how many pushes a LiveStream has at most before it is deleted, and the next takes its place.
	life int
	// calls is how many of a thousand calls go wrong.
	calls int
	// pauses are between what happens to the processes.
	pauses [2]time.Duration
	sample time.Duration
	quiet  time.Duration
	// events and pushes are how many have to come together.
	events, pushes int
}

func sizeOfStorm() stormSize {
	if *full {
		return stormSize{
			slots: 1000, withJobs: 30, phases: [2]time.Duration{8 * time.Minute, 24 * time.Minute}, cycle: 30 * time.Second, spread: 16 * time.Second,
			life: 16, calls: 14, pauses: [2]time.Duration{20 * time.Second, 40 * time.Second}, sample: 5 * time.Second, quiet: time.Minute,
			events: 1_000_000, pushes: 50_000,
		}
	}
	return stormSize{
		slots: 100, withJobs: 8, phases: [2]time.Duration{24 * time.Second, 24 * time.Second}, cycle: 10 * time.Second, spread: 6 * time.Second,
		life: 4, calls: 30, pauses: [2]time.Duration{4 * time.Second, 8 * time.Second}, sample: time.Second, quiet: 3 * time.Second,
		events: 4_000, pushes: 200,
	}
}

// storm is what one seed makes of very many streams.
type storm struct {
	stormSize

	seed   uint64
	w      *world
	random *dice
	held   *series
	// underWay bounds the deliveries that wait for an answer, by the replica that they are sent to first: one that is stopped must not
	// hold up the others. due counts those that are to be sent by now.
	underWay [mortals + 1]chan struct{}
	due      [mortals + 1]atomic.Int64
	acked    atomic.Int64
	// pushed counts the pushes, withJobPushed those of LiveStreams with a Job.
	pushed, withJobPushed atomic.Int64
}

// dice are thrown by many.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (d *dice) between(least, most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return between(d.random, least, most)
}

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

// mostUnderWay is how many deliveries a replica has at a time. More of them wait for the API server all the same, for longer, and
// meet each other's writes there.
const mostUnderWay = 12

func newStorm(seed uint64) *storm {
	s := &storm{stormSize: sizeOfStorm(), seed: seed, random: &dice{random: rand.New(rand.NewPCG(seed, 2))}, held: &series{}}
	for i := range s.underWay {
		s.underWay[i] = make(chan struct{}, mostUnderWay)
	}
	return s
}

func (s *storm) run(ctx context.Context, binary string) (outcome, error) {
	var metrics []string
	for range mortals + 1 {
		address, err := freeAddress()
		if err != nil {
			return outcome{}, err
		}
		metrics = append(metrics, address)
	}
	w, err := readyWorld(ctx, options{
		binary: binary, replicas: mortals + 1, streams: []string{"first"},
		arguments: func(i int) []string { return []string{"--metrics-bind-address=" + metrics[i]} },
	})
	if err != nil {
		return outcome{}, err
	}
	s.w = w
	w.faulty, w.slack, w.patience, w.quiet, w.look = true, 5*time.Second, 3*time.Minute, s.quiet, s.look
	observed.outlines(w.name)
	s.held.address = "http://" + metrics[survivor] + "/metrics"
	watched, forget := context.WithCancel(ctx)
	defer forget()
	go s.held.follow(watched, s.sample)

	slots := s.newSlots()
	unlet := w.replicas[survivor].refuseLeases()
	s.blow(slots, s.phases[0], s.pushes/4, s.disturbLeaders)
	w.extra.Add(-int64(unlet()))
	s.handOver(metrics[survivor])
	s.held.leadsNow()
	w.settle()
	atRest := s.atRest()
	s.blow(slots, s.phases[1], s.pushes, s.disturbOthers)
	w.settle()
	s.compare(slots)
	for i, r := range w.replicas {
		w.marks[i] = r.proxy.Count()
	}
	w.rest()
	s.judgeSoak(atRest)
	return w.end(), nil
}

// blow has streams and faults go for a while. It returns when every callback was answered 200.
func (s *storm) blow(slots []*slot, length time.Duration, pushes int, disturb func(over <-chan struct{})) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for began := time.Now(); ; <-time.After(100 * time.Millisecond) {
			if d := time.Since(began); d > 3*length || d > length && s.pushed.Load() >= int64(pushes) {
				return
			}
		}
	}()
	for _, r := range s.w.replicas {
		r.proxy.Choose(s.choose)
		r.proxy.EndWatches()
	}
	var playing sync.WaitGroup
	for _, sl := range slots {
		playing.Go(func() { sl.play(over) })
	}
	disturb(over)
	playing.Wait()
	for _, r := range s.w.replicas {
		r.proxy.Clear()
	}
}

// unlessOver waits, and says whether the phase goes on.
func unlessOver(over <-chan struct{}, wait time.Duration) bool {
	select {
	case <-time.After(wait):
		return true
	case <-over:
		return false
	}
}

// choose draws what happens to a call. Leases are left alone: what becomes of a leader is done to its process.
func (s *storm) choose(call faultproxy.Call) *faultproxy.Rule {
	if call.Resource == "leases" {
		return nil
	}
	if call.Verb == "watch" {
		return &faultproxy.Rule{Fault: faultproxy.Fault{Watch: s.watchFault()}}
	}
	if s.random.below(1000) >= s.calls {
		return nil
	}
	rule := &faultproxy.Rule{After: s.random.below(2) == 0}
	switch s.random.below(6) {
	case 0, 1:
		rule.Fault.Drop = true
	case 2:
		rule.Fault.Stall = s.random.between(0, longestStall)
	case 3:
		rule.Fault.Truncate, rule.After = true, true
	case 4:
		rule.After, rule.Fault.Status = false, http.StatusConflict
		if !call.Writes() || call.Verb == "create" {
			rule.Fault.Status = http.StatusServiceUnavailable
		}
	default:
		rule.After = false
		rule.Fault.Status = []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusForbidden}[s.random.below(4)]
	}
	return rule
}

// watchFault ends every watch after some time: all that follow are to have their faults, too.
func (s *storm) watchFault() faultproxy.Watch {
	life := s.random.between(10*time.Second, time.Minute)
	switch s.random.below(5) {
	case 0:
		return faultproxy.Watch{Lag: s.random.between(0, time.Second), Life: life}
	case 1:
		return faultproxy.Watch{Cut: 1 + s.random.below(3000), Life: life}
	case 2:
		return faultproxy.Watch{Gone: 1 + s.random.below(3000), Life: life}
	case 3:
		return faultproxy.Watch{Freeze: s.random.between(0, 5*time.Second), FreezeAt: s.random.below(1000), Life: life}
	default:
		return faultproxy.Watch{Lose: 1 + s.random.below(1000), Life: s.random.between(time.Second, 6*time.Second)}
	}
}

// refuseLeases keeps a replica from leading until it is let again, and has the function tell how often it was refused.
func (r *replica) refuseLeases() (refused func() int) {
	return r.proxy.Add(faultproxy.Rule{Resource: "leases", Times: -1, Fault: faultproxy.Fault{Status: http.StatusServiceUnavailable}})
}

// disturbLeaders stops whoever leads past its lease, or kills it.
func (s *storm) disturbLeaders(over <-chan struct{}) {
	for first := true; first || unlessOver(over, s.random.between(s.pauses[0], s.pauses[1])); first = false {
		for _, r := range s.w.replicas[:mortals] {
			if !r.leads() {
				continue
			}
			if !first && s.random.below(3) == 0 {
				s.w.extra.Add(1)
				r.kill()
			} else {
				s.w.stops(r, 20*time.Second)
			}
			break
		}
	}
}

// handOver has the survivor lead.
func (s *storm) handOver(metrics string) {
	var counts []func() int
	for _, r := range s.w.replicas[:mortals] {
		counts = append(counts, r.refuseLeases())
		r.kill()
		s.w.extra.Add(1)
	}
	if err := s.w.untilEvery(500*time.Millisecond, "the survivor leads", func() error { return isLeader(metrics) }); err != nil {
		s.w.fail(disagreement, "%v", err)
	}
	for i, r := range s.w.replicas[:mortals] {
		s.w.extra.Add(-int64(counts[i]()))
		r.proxy.Clear()
	}
}

// disturbOthers kills one mortal and stops the other, and has the leader pause for less than its lease.
func (s *storm) disturbOthers(over <-chan struct{}) {
	for n := 0; unlessOver(over, s.random.between(s.pauses[0], s.pauses[1])); n++ {
		switch n % 3 {
		case 0:
			s.w.extra.Add(1)
			s.w.replicas[0].kill()
		case 1:
			s.w.stops(s.w.replicas[1], s.random.between(time.Second, 20*time.Second))
		default:
			s.w.stops(s.w.replicas[survivor], s.random.between(time.Second, 5*time.Second))
		}
	}
}

// look sees what was answered 200 by the observer's watch, and asks the API server at once about one in a hundred, and about all
// that do not come.
func (s *storm) look(e event) {
	if s.acked.Add(1)%100 == 0 {
		s.w.isStored(e)
		return
	}
	for range 50 {
		if stream := observed.last(s.w.name, e.stream); stream != nil && slices.ContainsFunc(stream.Status.Pushes, e.isIn) {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	s.w.isStored(e)
}

// compare looks for each push of the streams that are there now, as it was done for the others before they were deleted.
func (s *storm) compare(slots []*slot) {
	for _, sl := range slots {
		if sl.stream != "" {
			sl.forgets()
		}
	}
}

// It is played alone: with other worlds beside it, what holds all of them up is the API server.
func TestStorm(t *testing.T) {
	number := *seed
	if number == 0 {
		number = 1
	}
	s := newStorm(number)
	o, err := s.run(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	results.soak(s.held)
	results.storm(o, int(s.withJobPushed.Load()))
	results.seed(number)
	t.Logf("%d events of %d pushes, %d faults, settled within %v; %s", o.events, o.pushes, o.faults, o.settled, s.held)
	if o.events < s.events || o.pushes < s.pushes {
		tell := t.Logf
		if *full {
			tell = t.Errorf
		}
		tell("only %d events of %d pushes came together, want %d of %d: the machine is too slow, or something stood still", o.events, o.pushes, s.events, s.pushes)
	}
	count(t, o)
}
