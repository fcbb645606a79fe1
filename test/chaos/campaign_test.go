//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/faultproxy"
)

// campaign is what one seed makes: which events come when, how often and where, and what goes wrong meanwhile. The interleaving
// is the machine's: playing a seed again does the same to the operator, not the same in the operator.
type campaign struct {
	seed uint64
	// split has receivers and reconcilers that are processes of their own.
	split  bool
	random *rand.Rand
	mu     sync.Mutex
	length time.Duration
	// waiting says that another one is to lead: who is killed again and again never does.
	waiting atomic.Bool
	// began is what the times of the events count from. All that is sent of one event has its time, however late it comes.
	began time.Time
}

func newCampaign(seed uint64, split bool, length time.Duration) *campaign {
	return &campaign{seed: seed, split: split, random: rand.New(rand.NewPCG(seed, 1)), length: length}
}

// String is how a test is called.
func (c *campaign) String() string {
	if c.split {
		return fmt.Sprint("receivers and reconcilers of seed ", c.seed)
	}
	return fmt.Sprint("seed ", c.seed)
}

// delivery is one sending of an event. CSS sends again until it is answered 200, and at times once more.
type delivery struct {
	event

	after time.Duration
	to    int
}

// schedule draws the events of a stream. Its last push may stay live.
func (c *campaign) schedule(stream string) []delivery {
	var all []delivery
	r := c.random
	for at, number := time.Duration(0), 0; at < c.length; number++ {
		begins := c.began.Add(at)
		// Neither longer nor greater with time.
		sequence := fmt.Sprint(r.IntN(900000)*100 + number)
		onAir := between(r, 100*time.Millisecond, 5*time.Second)
		all = append(all, c.sendings(event{stream: stream, sequence: sequence, start: true, at: begins, exact: true}, at)...)
		if at+onAir < c.length || r.IntN(2) == 0 {
			code := []int32{clean, lost}[r.IntN(2)]
			all = append(all, c.sendings(event{stream: stream, sequence: sequence, code: code, at: begins.Add(onAir), exact: true}, at+onAir)...)
		}
		if r.IntN(4) == 0 {
			// The next pusher is there before this one goes.
			onAir /= 2
		}
		at += onAir + between(r, 0, 3*time.Second)
	}
	return all
}

func (c *campaign) sendings(e event, at time.Duration) []delivery {
	all := []delivery{{e, at, c.random.IntN(2)}}
	for c.random.IntN(4) == 0 {
		all = append(all, delivery{e, at + between(c.random, 0, 4*time.Second), c.random.IntN(2)})
	}
	if c.random.IntN(4) == 0 {
		// It is late, and may be overtaken.
		all[0].after += between(c.random, 0, 3*time.Second)
	}
	return all
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// campaignLength is how long a seed disturbs.
const campaignLength = 30 * time.Second

// longestStall is within decisionTime, so that it needs no slack of its own.
const longestStall = time.Second

// choose draws what happens to a call.
func (c *campaign) choose(r *replica) func(faultproxy.Call) *faultproxy.Rule {
	return func(call faultproxy.Call) *faultproxy.Rule {
		c.mu.Lock()
		defer c.mu.Unlock()
		if call.Verb == "watch" {
			fault := c.watchFault()
			if fault == (faultproxy.Watch{}) {
				return nil
			}
			return &faultproxy.Rule{Fault: faultproxy.Fault{Watch: fault}}
		}
		dice := c.random.IntN(1000)
		if call.Resource == "leases" {
			// A lease that is not renewed for long is lost, which is another fault.
			dice += 950
		}
		rule := &faultproxy.Rule{After: c.random.IntN(2) == 0}
		switch {
		case dice < 15 && !c.waiting.Load():
			rule.Fault = faultproxy.Fault{Run: func(faultproxy.Call) { r.kill() }, Drop: true}
		case dice < 45:
			rule.Fault.Drop = true
		case dice < 60:
			rule.Fault.Stall = between(c.random, 0, longestStall)
		case dice < 70:
			rule.Fault.Truncate, rule.After = true, true
		case dice < 110:
			rule.After = false
			rule.Fault.Status = []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusForbidden}[c.random.IntN(4)]
		case dice < 140 && call.Writes() && call.Verb != "create":
			rule.After, rule.Fault.Status = false, http.StatusConflict
		default:
			return nil
		}
		return rule
	}
}

func (c *campaign) watchFault() faultproxy.Watch {
	switch c.random.IntN(6) {
	case 0:
		return faultproxy.Watch{Lag: between(c.random, 0, time.Second)}
	case 1:
		return faultproxy.Watch{Cut: 1 + c.random.IntN(8)}
	case 2:
		return faultproxy.Watch{Gone: 1 + c.random.IntN(8)}
	case 3:
		return faultproxy.Watch{Freeze: between(c.random, 0, 5*time.Second), FreezeAt: c.random.IntN(6)}
	case 4:
		return faultproxy.Watch{Lose: 1 + c.random.IntN(8), Life: between(c.random, time.Second, 6*time.Second)}
	default:
		return faultproxy.Watch{}
	}
}

// elects says that two may lead, one of which is stopped past its lease.
func (c *campaign) elects() bool { return c.seed%2 == 1 }

// run plays the campaign.
func (c *campaign) run(ctx context.Context, binary string) (outcome, error) {
	o := options{binary: binary, replicas: 1 + int(c.seed%2), split: c.split, change: func(s *v1alpha1.LiveStream) {
		if slices.Contains([]string{"s0", "s2"}, s.Name) {
			afterEnd(s)
			s.Spec.ReconnectWindowSeconds = new(int32(2))
		}
	}}
	for i := range 5 {
		o.streams = append(o.streams, fmt.Sprint("s", i))
	}
	w, err := readyWorld(ctx, o)
	if err != nil {
		return outcome{}, err
	}
	c.began = time.Now()
	var deliveries []delivery
	for _, stream := range o.streams {
		deliveries = append(deliveries, c.schedule(stream)...)
	}
	w.faulty, w.owes = true, eventRetry
	c.waiting.Store(c.elects())
	for _, r := range w.replicas {
		r.proxy.Choose(c.choose(r))
		// So that watches begin anew, with faults. Who leads goes on, where it is to be stopped for that.
		if c.elects() {
			r.proxy.EndWatches()
		} else {
			r.kill()
		}
	}
	var sending sync.WaitGroup
	for _, d := range deliveries {
		sending.Go(func() {
			<-time.After(d.after)
			if err := w.deliver(d.event, d.to); err != nil {
				w.fail(disagreement, "%v", err)
			}
		})
	}
	disturbed := make(chan struct{})
	go func() {
		defer close(disturbed)
		c.disturb(w)
	}()
	<-disturbed
	for _, r := range w.replicas {
		r.proxy.Clear()
	}
	sending.Wait()
	return w.finish(), nil
}

// leader is who holds the lease of the world's reconcilers, "" where that is not known.
func (w *world) leader() string {
	lease := &coordinationv1.Lease{}
	if err := installed.API.Get(w.ctx, client.ObjectKey{Namespace: w.name, Name: "livestream-operator"}, lease); err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// disturb kills replicas, every second time the one that reconciles, or stops the leader for longer than its lease.
func (c *campaign) disturb(w *world) {
	if c.elects() {
		began, before := time.Now(), w.leader()
		w.stopsFor(w.replicas[0], func() {
			defer c.waiting.Store(false)
			err := w.until("another one leads", func() error {
				if after := w.leader(); after == "" || after == before {
					return fmt.Errorf("%q leads", after)
				}
				return nil
			})
			if err != nil {
				w.fail(disagreement, "%v", err)
				return
			}
			results.tookOver()
			// The one that was stopped is to find itself among what the other did.
			<-time.After(2 * time.Second)
		})
		<-time.After(max(0, c.length-time.Since(began)))
		return
	}
	end := time.Now().Add(c.length)
	for n := 0; time.Now().Before(end); n++ {
		c.mu.Lock()
		wait := between(c.random, time.Second, 8*time.Second)
		c.mu.Unlock()
		<-time.After(wait)
		killed := w.replicas[0]
		if n%2 == 1 {
			killed = w.receivers[n/2%len(w.receivers)]
		}
		killed.kill()
		w.extra.Add(1)
	}
}

// fullSeeds is how many there is time for beside the long storm.
const fullSeeds = 40

// seeds are those of a run: the same each time, so that what is new is the code's doing.
func seeds() []uint64 {
	switch {
	case *seed != 0:
		return []uint64{*seed}
	case *full:
		var all []uint64
		for s := range uint64(fullSeeds) {
			all = append(all, 1000+s)
		}
		return all
	default:
		return []uint64{1, 2, 4}
	}
}

func TestRandomCampaign(t *testing.T) {
	t.Parallel()
	for _, s := range seeds() {
		results.seed(s)
		for _, split := range []bool{false, true} {
			c := newCampaign(s, split, campaignLength)
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				o, err := c.run(t.Context(), binary)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d events, %d faults, settled within %v", o.events, o.faults, o.settled)
				count(t, o)
			})
		}
	}
}
