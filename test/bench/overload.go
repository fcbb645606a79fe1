package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

const (
	overloaded = 5.0
	// retries is how often CSS tries again.
	retries = 12
	// retryAfter stands for CSS's minute.
	retryAfter = 10 * time.Second
)

// benchOverload offers five times as many events as the operator takes at most, and has those that are refused sent again as CSS does, only
// sooner.
func benchOverload(ctx context.Context, w *world) error {
	r, err := w.newRig(ctx, "overload", suspended, w.pick(8000, 40_000))
	if err != nil {
		return err
	}
	defer r.close()
	// The lower half of the streams finds the peak, the upper half has the overload, so that each is sent one event only.
	o := &overload{rig: r, w: w, next: r.streams.count / 2, during: time.Duration(w.pick(4, 10)) * time.Second}
	for round := range w.pick(1, 3) {
		if err := o.round(ctx, round == 0); err != nil {
			return err
		}
	}
	lost, err := w.lost(ctx, r.streams, o.all.sent)
	if err != nil {
		return err
	}
	all, peak := &o.all, stats.Mean(o.peaks)
	w.report.put("overload_goodput", result{
		Interval: stats.Bootstrap(len(o.goodput), w.seed, func(drawn []int) float64 { return stats.PerThingOf(o.goodput, drawn) }), Blocks: len(o.goodput), Drift: stats.Drift(o.peaks),
		Reference: map[string]float64{"peak_per_s": peak, "concurrency": 64},
		Subject: map[string]float64{
			"offered_per_s": overloaded * peak, "events": float64(len(all.sent)), "lost": float64(lost), "given_up": float64(all.givenUp),
			"refused": float64(len(all.refusedMS)), "refused_p50_ms": stats.Percentile(all.refusedMS, 0.5), "refused_p99_ms": stats.Percentile(all.refusedMS, 0.99),
			"accepted_p50_ms": stats.Percentile(all.acceptedMS, 0.5), "accepted_p99_ms": stats.Percentile(all.acceptedMS, 0.99), "unanswered": float64(all.unanswered),
		},
		Note: fmt.Sprintf("what is refused comes again after %s, where CSS waits a minute", retryAfter),
	})
	return w.finish(ctx, r.operator, r.streams, "busy", "unavailable", "duplicate", "ended-unseen")
}

type overload struct {
	*rig

	w *world
	// next is the stream that has the next overload's first event.
	next    int
	during  time.Duration
	goodput []stats.Cost
	peaks   []float64
	all     attempts
}

// round finds the peak and offers five times as much.
func (o *overload) round(ctx context.Context, profiled bool) error {
	done, took, err := closedLoop(ctx, 64, o.during/2, func(int, int) error { return o.streams.send(ctx, o.sender) })
	if err != nil {
		return err
	}
	if err := o.operator.idle(ctx); err != nil {
		return err
	}
	peak := done / took
	count := min(int(overloaded*peak*o.during.Seconds()), o.streams.count-o.next)
	got := &attempts{}
	offer := func() error {
		return got.offer(ctx, o.streams, o.sender, o.next, stats.Arrivals(overloaded*peak, count))
	}
	if profiled {
		err = o.w.profile(ctx, o.operator, "overload", o.during, offer)
	} else {
		err = offer()
	}
	if err != nil {
		return err
	}
	lasted := float64(count) / (overloaded * peak)
	o.goodput, o.peaks = append(o.goodput, stats.Cost{Spent: float64(got.within(lasted)) / lasted, Done: peak}), append(o.peaks, peak)
	o.all.add(got)
	o.next += count
	return o.operator.idle(ctx)
}

// attempts is what became of events that a sender like CSS sent.
type attempts struct {
	mu sync.Mutex
	// accepted holds when each was, in seconds since the first was due.
	accepted              []float64
	acceptedMS, refusedMS []float64
	unanswered, givenUp   int
	sent                  []int
}

func (a *attempts) within(seconds float64) int {
	count := 0
	for _, at := range a.accepted {
		if at <= seconds {
			count++
		}
	}
	return count
}

func (a *attempts) add(b *attempts) {
	a.accepted, a.acceptedMS, a.refusedMS = append(a.accepted, b.accepted...), append(a.acceptedMS, b.acceptedMS...), append(a.refusedMS, b.refusedMS...)
	a.unanswered, a.givenUp, a.sent = a.unanswered+b.unanswered, a.givenUp+b.givenUp, append(a.sent, b.sent...)
}

// offer sends the first event of streams when they are due, and again after each refusal, as CSS does.
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
	body := streams.event(stream, 0).Signed(callbackKey, time.Now())
	sent := time.Now()
	status, err := s.post(ctx, body)
	took := milliseconds(time.Since(sent))
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		a.unanswered++
	case status == http.StatusOK:
		a.accepted, a.acceptedMS = append(a.accepted, time.Since(began).Seconds()), append(a.acceptedMS, took)
		return true
	default:
		a.refusedMS = append(a.refusedMS, took)
	}
	return false
}

// lost counts the events that were sent and are not in etcd.
func (w *world) lost(ctx context.Context, streams *population, sent []int) (int, error) {
	there := map[string]bool{}
	var list v1alpha1.LiveStreamList
	if err := w.installed.API.List(ctx, &list, client.InNamespace(streams.namespace)); err != nil {
		return 0, fmt.Errorf("listing what was stored: %w", err)
	}
	for i := range list.Items {
		for _, p := range list.Items[i].Status.Pushes {
			there[p.Sequence] = true
		}
	}
	lost := 0
	for _, i := range sent {
		if !there[sequence(i, 0)] {
			lost++
		}
	}
	return lost, nil
}
