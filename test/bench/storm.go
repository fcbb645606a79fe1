package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

const (
	// stormLasts is how long it takes all streams to be lost and to come back. CSS tells the one whether it could tell the other or not, stormApart from
	// each other, and of a network that fails the start first as often as the stop.
	stormLasts = 10 * time.Second
	stormApart = 2 * time.Second
	// stormRetryAfter stands for CSS's minute, and stormPatience is CSS's own: twelve more tries, a minute apart, the last of which may take a while.
	stormRetryAfter = 30 * time.Second
	stormPatience   = 13 * time.Minute
	// drainPatience is how long all that was taken may take to show.
	drainPatience = 20 * time.Minute
)

// benchStorm has streams that are on air lose their pushes and come back, all within ten seconds: an ingest node went away. It measures the
// time until all are Live again in the broadcast that they had, over the time that bare writes of so many events take.
func benchStorm(ctx context.Context, w *world) error {
	r, err := w.newRig(ctx, "storm", onAir, w.pick(300, 10_000))
	if err != nil {
		return err
	}
	defer r.close()
	resident, _, err := r.operator.reconciler.resident()
	if err != nil {
		return err
	}
	s := &storm{w: w, rig: r, twin: r.streams.twin(), missed: map[string]bool{}}
	before, err := s.ceiling(ctx)
	if err != nil {
		return err
	}
	writesBefore, err := w.installed.Writes(ctx)
	if err != nil {
		return err
	}
	// One alone: it takes some five minutes on two cores.
	took, err := s.profiled(ctx)
	if err != nil {
		return err
	}
	writesAfter, err := w.installed.Writes(ctx)
	if err != nil {
		return err
	}
	after, err := s.ceiling(ctx)
	if err != nil {
		return err
	}
	events := float64(2 * r.streams.count)
	bare := events / ((before + after) / 2)
	note := fmt.Sprintf("two events a stream, %s apart: the stop of the lost push and the start of the next, each first of half of the streams; what is refused comes again after %s", stormApart, stormRetryAfter)
	if s.givenUp > 0 {
		note += fmt.Sprintf("; %d events were given up after %s, and their streams not waited for", s.givenUp, stormPatience)
	}
	if s.unanswered+s.broken > 0 {
		note += fmt.Sprintf("; %d tries had no answer in %s, and the connection of %d was broken, the last because of: %v", s.unanswered, patience, s.broken, s.why)
	}
	w.report.put("storm_drain_ratio", result{
		Interval: stats.CostRatio([]stats.Cost{{Spent: took, Done: 1}}, []stats.Cost{{Spent: bare, Done: 1}}, w.seed), Blocks: 1,
		Reference: map[string]float64{"bare_s": bare},
		Subject: map[string]float64{
			"drained_s": took, "streams": float64(r.streams.count), "events": events, "writes": float64(sumOf(writesAfter) - sumOf(writesBefore)), "resident_mib": resident / (1 << 20),
			"refused": float64(s.refused), "unanswered": float64(s.unanswered), "broken": float64(s.broken), "given_up": float64(s.givenUp), "longest_answer_s": s.longest.Seconds(),
		},
		Note: note,
	})
	return w.finish(ctx, r.operator, r.streams, "busy", "unavailable", "duplicate")
}

type storm struct {
	*rig

	w    *world
	twin *population

	mu sync.Mutex
	// missed are the streams of which an event was given up.
	missed map[string]bool
	// unanswered are tries that had no answer in 20 s, broken those whose connection ended before.
	refused, unanswered, broken, givenUp int
	longest                              time.Duration
	// why is what became of the last of both.
	why error
}

// ceiling is how many bare writes a second the control plane takes when it has nothing else to do.
func (s *storm) ceiling(ctx context.Context) (float64, error) {
	if err := s.w.etcdAtRest(ctx); err != nil {
		return 0, err
	}
	if err := s.twin.prepare(readyAtMost); err != nil {
		return 0, err
	}
	done, took, err := closedLoop(ctx, 64, time.Duration(s.w.pick(3, 10))*time.Second, func(int, int) error { return s.twin.write(ctx, s.w.bare) })
	return done / took, err
}

// profiled is a storm whose first seconds are profiled, which is nothing beside how long it takes.
func (s *storm) profiled(ctx context.Context) (took float64, err error) {
	if s.w.quick {
		return s.play(ctx)
	}
	err = s.w.profile(ctx, s.operator, "storm", 2*stormLasts, func() (err error) { took, err = s.play(ctx); return err })
	return took, err
}

// play returns how long the storm took in seconds.
func (s *storm) play(ctx context.Context) (float64, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := s.w.observe(watching, s.streams.namespace)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = openLoop(ctx, stats.Arrivals(float64(s.streams.count)/(stormLasts-stormApart).Seconds(), s.streams.count), func(i int, at time.Time) {
		const stop, start = 1, 2
		first, second := stop, start
		if i%2 == 1 {
			first, second = start, stop
		}
		var group sync.WaitGroup
		defer group.Wait()
		group.Go(func() { s.deliver(ctx, i, first) })
		if waitUntil(ctx, at.Add(stormApart)) == nil {
			s.deliver(ctx, i, second)
		}
	})
	if err != nil {
		return 0, err
	}
	back, want := 0, s.streams.count-len(s.missed)
	err = seen.wait(ctx, drainPatience, "all streams are on air again", func() bool {
		back = 0
		for name, stream := range seen.streams {
			if !s.missed[name] && stream.state == v1alpha1.LiveStreamLive && stream.broadcast == s.w.models[onAir].broadcast && stream.pushes == 2 {
				back++
			}
		}
		return back >= want
	})
	if err != nil {
		err = fmt.Errorf("%d of %d are back, %d events were given up: %w", back, want, s.givenUp, err)
	}
	return time.Since(began).Seconds(), err
}

// deliver sends an event until it is taken, as CSS does, only sooner.
func (s *storm) deliver(ctx context.Context, i, n int) {
	event := s.streams.event(i, n)
	if n%2 == 1 {
		event.ErrorCode, event.ErrorMessage = 12, "the connection was lost"
	}
	for first := time.Now(); time.Since(first) < stormPatience; {
		began := time.Now()
		status, err := s.sender.post(ctx, event.Signed(callbackKey, began))
		took := time.Since(began)
		s.mu.Lock()
		s.longest = max(s.longest, took)
		switch {
		case errors.Is(err, fasthttp.ErrTimeout):
			s.unanswered, s.why = s.unanswered+1, err
		case err != nil:
			s.broken, s.why = s.broken+1, fmt.Errorf("after %s: %w", took.Round(time.Millisecond), err)
		case status != http.StatusOK:
			s.refused++
		}
		s.mu.Unlock()
		if err == nil && status == http.StatusOK || waitUntil(ctx, began.Add(stormRetryAfter)) != nil {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.givenUp++
	s.missed[s.streams.kind.nameOf(i)] = true
}
