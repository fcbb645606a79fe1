package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

const (
	overloaded = 5
	// workers find the peak.
	workers = 64
	// retries is how often CSS tries again.
	retries = 12
	// retryAfter is CSS's. What is refused comes again when the overload is over: until then no more is offered than it says.
	retryAfter = time.Minute
	// loadLead is how long a load lasts before it counts. In an overload an event waits for some six seconds; and the reconciler, which writes each stream once
	// more, begins later than the receiver and takes its part of the API server from then on.
	loadLead = 12 * time.Second
)

// benchOverload offers five times as many events as the operator takes at most, and has those that are refused sent again as CSS does.
func benchOverload(ctx context.Context, w *world) error {
	// No reference writes to them: they need no bare twins.
	streams, err := w.newPopulation(ctx, "overload", suspended, 0)
	if err != nil {
		return err
	}
	if err := streams.grow(ctx, w.pick(10_000, 38_000)); err != nil {
		return err
	}
	r, err := w.rigOf(ctx, streams)
	if err != nil {
		return err
	}
	defer r.close()
	o := &overload{rig: r, w: w, during: time.Duration(w.pick(4, 10)) * time.Second}
	if !w.quick {
		// Before those that count: it is profiled.
		if _, err := o.round(ctx, true); err != nil {
			return err
		}
	}
	for range w.pick(1, 3) {
		got, err := o.round(ctx, false)
		if err != nil {
			return err
		}
		o.goodput, o.peaks = append(o.goodput, got), append(o.peaks, got.Done)
	}
	lost, err := o.lost(ctx)
	if err != nil {
		return err
	}
	all, peak, sent := &o.all, stats.Mean(o.peaks), 0
	for _, streams := range o.sent {
		sent += len(streams)
	}
	w.report.put("overload_goodput", result{
		Interval: stats.Bootstrap(len(o.goodput), w.seed, func(drawn []int) float64 { return stats.PerThingOf(o.goodput, drawn) }), Blocks: len(o.goodput), Drift: stats.Drift(o.peaks),
		Reference: map[string]float64{"peak_per_s": peak, "concurrency": workers},
		Subject: map[string]float64{
			"offered_per_s": overloaded * peak, "events": float64(sent), "lost": float64(lost), "given_up": float64(all.givenUp),
			"refused": float64(len(all.refusedMS)), "refused_p50_ms": stats.Percentile(all.refusedMS, 0.5), "refused_p99_ms": stats.Percentile(all.refusedMS, 0.99),
			"accepted_p50_ms": stats.Percentile(all.acceptedMS, 0.5), "accepted_p99_ms": stats.Percentile(all.acceptedMS, 0.99), "unanswered": float64(all.unanswered),
		},
		Note: "what is refused comes again after a minute, as from CSS",
	})
	return w.finish(ctx, r.operator, r.streams, "busy", "unavailable", "duplicate", "ended-unseen")
}

type overload struct {
	*rig

	w      *world
	during time.Duration
	// sent are the streams that each round sent the start of another push of.
	sent    [][]int
	goodput []stats.Cost
	peaks   []float64
	all     attempts
}

// round finds the peak, offers five times as much, and returns what was taken a second in either case. A round that is profiled is in no figure but that
// of lost events.
func (o *overload) round(ctx context.Context, profiled bool) (stats.Cost, error) {
	// The first of the streams find the peak, five times as many others have the overload.
	forPeak := o.streams.count / (1 + overloaded)
	var used atomic.Int64
	// A stream of which an event is refused is its worker's next one too.
	next := make([]int, workers)
	for i := range next {
		next[i] = int(used.Add(1) - 1)
	}
	var atPeak taken
	began := time.Now()
	_, _, err := closedLoop(ctx, workers, loadLead+o.during, func(worker, _ int) error {
		err := o.sender.deliver(ctx, o.streams.event(next[worker]%forPeak, 2*len(o.sent)).Signed(callbackKey, time.Now()))
		if err == nil {
			next[worker] = int(used.Add(1) - 1)
			atPeak.add(time.Since(began))
		}
		return err
	})
	if err != nil {
		return stats.Cost{}, err
	}
	if err := o.operator.idle(ctx); err != nil {
		return stats.Cost{}, err
	}
	peak := atPeak.perSecond(loadLead, o.during)
	count := int(overloaded * peak * (loadLead + o.during).Seconds())
	if int(used.Load()) > forPeak || forPeak+count > o.streams.count {
		return stats.Cost{}, fmt.Errorf("a peak of %.0f events a second, and five times as much, needs more than %d streams", peak, o.streams.count)
	}
	got := &attempts{push: len(o.sent)}
	offer := func() error {
		return got.offer(ctx, o.streams, o.sender, forPeak, stats.Arrivals(overloaded*peak, count))
	}
	if profiled {
		err = o.w.profile(ctx, o.operator, "overload", loadLead+o.during, offer)
	} else {
		err = offer()
	}
	if err != nil {
		return stats.Cost{}, err
	}
	o.sent = append(o.sent, got.sent)
	if !profiled {
		o.all.add(got)
	}
	return stats.Cost{Spent: got.accepted.perSecond(loadLead, o.during), Done: peak}, o.operator.idle(ctx)
}

// taken is when each event was that is taken, since the first was due.
type taken struct {
	mu sync.Mutex
	at []time.Duration
}

func (t *taken) add(at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = append(t.at, at)
}

// perSecond is how many there were a second, for so long after the lead.
func (t *taken) perSecond(lead, during time.Duration) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := 0
	for _, at := range t.at {
		if at >= lead && at < lead+during {
			count++
		}
	}
	return float64(count) / during.Seconds()
}

// attempts is what became of events that a sender like CSS sent.
type attempts struct {
	// push of each stream that they tell the start of.
	push     int
	accepted taken

	mu                    sync.Mutex
	acceptedMS, refusedMS []float64
	unanswered, givenUp   int
	sent                  []int
}

// add adds how all went.
func (a *attempts) add(b *attempts) {
	a.acceptedMS, a.refusedMS = append(a.acceptedMS, b.acceptedMS...), append(a.refusedMS, b.refusedMS...)
	a.unanswered, a.givenUp = a.unanswered+b.unanswered, a.givenUp+b.givenUp
}

// offer sends the start of a push of streams when they are due, and again after each refusal, as CSS does.
func (a *attempts) offer(ctx context.Context, streams *population, s *sender, first int, due []time.Duration) error {
	began := time.Now()
	return openLoop(ctx, due, func(i int, at time.Time) {
		stream := first + i
		a.mu.Lock()
		a.sent = append(a.sent, stream)
		a.mu.Unlock()
		for range retries + 1 {
			if a.try(ctx, s, streams, stream, began) {
				return
			}
			at = at.Add(retryAfter)
			if waitUntil(ctx, at) != nil {
				return
			}
		}
		a.mu.Lock()
		a.givenUp++
		a.mu.Unlock()
	})
}

// try sends a start once, signed anew, and says whether it was taken.
func (a *attempts) try(ctx context.Context, s *sender, streams *population, stream int, began time.Time) bool {
	body := streams.event(stream, 2*a.push).Signed(callbackKey, time.Now())
	sent := time.Now()
	status, err := s.post(ctx, body)
	took := milliseconds(time.Since(sent))
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		a.unanswered++
	case status == http.StatusOK:
		a.accepted.add(time.Since(began))
		a.acceptedMS = append(a.acceptedMS, took)
		return true
	default:
		a.refusedMS = append(a.refusedMS, took)
	}
	return false
}

// lost counts the events that were sent and are not in etcd.
func (o *overload) lost(ctx context.Context) (int, error) {
	there := map[string]bool{}
	var list v1alpha1.LiveStreamList
	if err := o.w.installed.API.List(ctx, &list, client.InNamespace(o.streams.namespace)); err != nil {
		return 0, fmt.Errorf("listing what was stored: %w", err)
	}
	for i := range list.Items {
		for _, p := range list.Items[i].Status.Pushes {
			there[p.Sequence] = true
		}
	}
	lost := 0
	for push, streams := range o.sent {
		for _, i := range streams {
			if !there[sequence(i, push)] {
				lost++
			}
		}
	}
	return lost, nil
}
