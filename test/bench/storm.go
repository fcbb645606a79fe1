package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// stormLasts is how long it takes all streams to be lost and to come back.
const stormLasts = 10 * time.Second

// benchStorm has streams that are on air lose their pushes and come back, all within ten seconds: an ingest node went away. It measures the
// time until all are Live again in the broadcast that they had, over the time that bare writes of so many events take.
func benchStorm(ctx context.Context, w *world) error {
	r, err := w.newRig(ctx, "storm", onAir, w.pick(300, 10_000))
	if err != nil {
		return err
	}
	defer r.close()
	streams, operator := r.streams, r.operator
	resident, _, err := operator.reconciler.resident()
	if err != nil {
		return err
	}
	twin := streams.twin()
	var drained, ideal []stats.Cost
	all := &storm{}
	ceiling := func() (float64, error) {
		done, took, err := closedLoop(ctx, 64, 3*time.Second, func(int, int) error { return twin.write(ctx, w.bare) })
		return done / took, err
	}
	for round := range w.pick(1, 2) {
		before, err := ceiling()
		if err != nil {
			return err
		}
		var took float64
		weather := func() error {
			took, err = w.storm(ctx, r, round, all)
			return err
		}
		if round == 0 {
			err = w.profile(ctx, operator, "storm", 2*stormLasts, weather)
		} else {
			err = weather()
		}
		if err != nil {
			return err
		}
		after, err := ceiling()
		if err != nil {
			return err
		}
		events := float64(2 * streams.count)
		drained, ideal = append(drained, stats.Cost{Spent: took, Done: 1}), append(ideal, stats.Cost{Spent: events / ((before + after) / 2), Done: 1})
	}
	w.report.put("storm_drain_ratio", result{
		Interval: stats.CostRatio(drained, ideal, w.seed), Blocks: len(drained), Drift: stats.DriftOfCosts(ideal),
		Reference: map[string]float64{"bare_s": stats.PerThing(ideal).Value},
		Subject: map[string]float64{
			"drained_s": stats.PerThing(drained).Value, "streams": float64(streams.count), "events": float64(2 * streams.count), "resident_mib": resident / (1 << 20),
			"refused": float64(all.refused), "unanswered": float64(all.unanswered), "given_up": float64(all.givenUp), "longest_answer_s": all.longest.Seconds(),
		},
		Note: "two events a stream: the stop of the lost push, the start of the next",
	})
	return w.finish(ctx, operator, streams, "busy", "unavailable", "duplicate")
}

type storm struct {
	mu                           sync.Mutex
	refused, unanswered, givenUp int
	lastStatus                   int
	longest                      time.Duration
}

// storm is one, and returns how long it took in seconds.
func (w *world) storm(ctx context.Context, r *rig, round int, all *storm) (float64, error) {
	streams := r.streams
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := w.observe(watching, streams.namespace)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	sent := make(chan error, 1)
	go func() {
		sent <- openLoop(ctx, stats.Arrivals(float64(streams.count)/stormLasts.Seconds(), streams.count), func(i int, _ time.Time) {
			for n := range 2 {
				all.deliver(ctx, r.sender, streams, i, 2*round+1+n)
			}
		})
	}()
	if err := <-sent; err != nil {
		return 0, err
	}
	want := round + 2
	broadcast := w.models[onAir].broadcast
	err = seen.wait(ctx, 10*time.Minute, "all streams are on air again", func() bool {
		back := 0
		for _, stream := range seen.streams {
			if stream.state == v1alpha1.LiveStreamLive && stream.broadcast == broadcast && int(stream.pushes) == want {
				back++
			}
		}
		return back >= streams.count
	})
	return time.Since(began).Seconds(), err
}

// deliver sends an event until it is taken, as CSS does, only sooner.
func (a *storm) deliver(ctx context.Context, s *sender, streams *population, i, n int) {
	event := streams.event(i, n)
	if n%2 == 1 {
		event.ErrorCode, event.ErrorMessage = 12, "the connection was lost"
	}
	for range retries + 1 {
		began := time.Now()
		status, err := s.post(ctx, event.Signed(callbackKey, began))
		took := time.Since(began)
		a.mu.Lock()
		a.longest = max(a.longest, took)
		switch {
		case err != nil:
			a.unanswered++
		case status != http.StatusOK:
			a.refused++
			a.lastStatus = status
		}
		a.mu.Unlock()
		if err == nil && status == http.StatusOK || waitUntil(ctx, began.Add(retryAfter)) != nil {
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.givenUp++
}
