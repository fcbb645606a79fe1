package faultproxy

import (
	"slices"
	"sync"
	"time"
)

// Rule says which calls go wrong, and how. Empty fields fit every call.
type Rule struct {
	Verb, Resource, Name string
	// Nth is the first call that the rule hits, counted from 1 among those that fit since the rule was added; 0 is the first.
	Nth int
	// Times is how many calls are hit from there on; 0 is one, negative is all.
	Times int
	// After has the API server carry the call out before it goes wrong.
	After bool
	Fault Fault
}

// Fault is what happens to a call. A fault that neither refuses, drops nor truncates lets the call through afterwards.
type Fault struct {
	// Run is called first, for one to kill the client.
	Run func(Call)
	// Stall is how long nothing happens.
	Stall time.Duration
	// Status refuses the call with this code, RetryAfter seconds with it. After the commit it is an answer that is a lie.
	Status, RetryAfter int
	// Drop closes the connection without an answer.
	Drop bool
	// Truncate ends the answer in the middle.
	Truncate bool
	// At is a resourceVersion of the past that a list shows, unless it asks for the newest by naming none. A watch that begins with a list
	// is refused, so that the client lists.
	At string
	// Watch is what happens to the events of a watch.
	Watch Watch
}

// Watch is what happens to the events of a watch, bookmarks aside.
type Watch struct {
	// Lag is how late each event comes.
	Lag time.Duration
	// Lose is the event that is left out, counted from 1; 0 for none.
	Lose int
	// Cut ends the watch, in order, before this event; 0 for never.
	Cut int
	// Freeze is how long nothing passes, from the event FreezeAt on, bookmarks included. 0 for FreezeAt is the first.
	Freeze   time.Duration
	FreezeAt int
	// Gone has the API server say, before this event, that the watch is too old, and end it; 0 for never.
	Gone int
	// Life is how long the watch lasts before the API server says that it is too old, so that the client lists anew; 0 for ever.
	Life time.Duration
}

type counted struct {
	Rule

	seen, hits int
}

// Add puts a rule in force and returns a function that tells how many calls it has hit: of what happens to the events of a watch, or to a
// list, those to which it did happen. Of several that fit a call the first counts, and those behind it do not see the call.
func (p *Proxy) Add(r Rule) (hits func() int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &counted{Rule: r}
	p.rules = append(p.rules, c)
	return func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return c.hits
	}
}

// Clear takes all rules away. Faults that have begun go on to their end, watches that are held are let go.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules, p.chooser = nil, nil
	close(p.released)
	p.released = make(chan struct{})
}

// Choose has a function decide about each call that no rule hits; nil lets it pass.
func (p *Proxy) Choose(chooser func(Call) *Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chooser = chooser
}

// enter notes the call and returns its place in the record, the rule that hits it, nil if none does, and what counts it, once.
func (p *Proxy) enter(call Call) (place int, hit *Rule, count func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call)
	place = len(p.calls) - 1
	for _, c := range p.rules {
		if !c.fits(call) {
			continue
		}
		c.seen++
		first := max(1, c.Nth)
		if c.seen >= first && (c.Times < 0 || c.seen < first+max(1, c.Times)) {
			return place, &c.Rule, p.counting(&c.hits)
		}
	}
	if p.chooser != nil {
		if r := p.chooser(call); r != nil {
			return place, r, p.counting(new(int))
		}
	}
	return place, nil, func() {}
}

func (p *Proxy) counting(hits *int) func() {
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		*hits++
		p.faults++
	})
}

// comesLater says that the fault has yet to meet what it is about: an event, or a list.
func (f Fault) comesLater() bool {
	return f.Run == nil && f.Stall == 0 && f.Status == 0 && !f.Drop && !f.Truncate
}

func (r Rule) fits(call Call) bool {
	return (r.Verb == "" || r.Verb == call.Verb) && (r.Resource == "" || r.Resource == call.Resource) && (r.Name == "" || r.Name == call.Name)
}

func (p *Proxy) answered(place, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[place].Status = status
}

// Calls are the calls that came so far, in order.
func (p *Proxy) Calls() []Call { return p.CallsFrom(0) }

// CallsFrom are the calls that came so far but the first n.
func (p *Proxy) CallsFrom(n int) []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls[min(n, len(p.calls)):])
}

// Count is how many calls came so far.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

// EndWatches ends all watches that are open, in order, so that new ones begin under the rules in force.
func (p *Proxy) EndWatches() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.ended)
	p.ended = make(chan struct{})
}

// Faults is how many calls went wrong so far.
func (p *Proxy) Faults() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}
