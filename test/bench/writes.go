package main

import (
	"context"
	"maps"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchWrites counts the writes of a broadcast at the API server. A count has no noise: the most of some rounds is told.
func benchWrites(ctx context.Context, w *world) error {
	r, err := w.newRig(ctx, "writes", withJob, 10)
	if err != nil {
		return err
	}
	defer r.close()
	streams, s := r.streams, r.sender
	// The first callback of a push domain, and one a minute, are noted in its status, which is none of an event's writes.
	last := streams.count - 1
	if err := s.deliver(ctx, streams.nextEvent(last, time.Now())); err != nil {
		return err
	}
	if err := w.atRest(ctx); err != nil {
		return err
	}
	most := map[string]int{}
	for i := range w.pick(1, 5) {
		counts, err := w.countBroadcast(ctx, streams, s, i)
		if err != nil {
			return err
		}
		for key, count := range counts {
			most[key] = max(most[key], count)
		}
	}
	idle := time.Minute
	if w.quick {
		idle = 5 * time.Second
	}
	count := w.counter(ctx)
	if _, err := count(); err != nil {
		return err
	}
	if err := waitUntil(ctx, time.Now().Add(idle)); err != nil {
		return err
	}
	inIdle, err := count()
	if err != nil {
		return err
	}
	most["writes_idle_hour"] = inIdle * int(time.Hour/idle)
	for key, count := range most {
		value := float64(count)
		w.report.put(key, result{Interval: stats.Interval{Value: value, Low: value, High: value}})
	}
	return w.finish(ctx, r.operator, streams, "duplicate", "stale")
}

// countBroadcast plays one broadcast of the i-th stream, with a callback that comes twice and one that comes too late.
func (w *world) countBroadcast(ctx context.Context, streams *population, s *sender, i int) (map[string]int, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := w.observe(watching, streams.namespace)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	count := w.counter(ctx)
	if _, err := count(); err != nil {
		return nil, err
	}
	start := streams.event(i, 0).Signed(callbackKey, time.Now())
	for _, step := range []struct {
		key  string
		body []byte
		want v1alpha1.WorkloadState
	}{
		{"writes_start", start, v1alpha1.WorkloadRunning},
		{"writes_duplicate", start, v1alpha1.WorkloadRunning},
		{"writes_stop", streams.event(i, 1).Signed(callbackKey, time.Now()), v1alpha1.WorkloadStopped},
		{"writes_stale", start, v1alpha1.WorkloadStopped},
	} {
		if err := s.deliver(ctx, step.body); err != nil {
			return nil, err
		}
		if err := seen.waitWorkloads(ctx, step.want, 1); err != nil {
			return nil, err
		}
		if err := w.atRest(ctx); err != nil {
			return nil, err
		}
		if counts[step.key], err = count(); err != nil {
			return nil, err
		}
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	// Versions of all objects are numbered together: those of the stream before the Job's were written before it.
	name := streams.kind.nameOf(i)
	counts["writes_to_job"] = 1
	for _, v := range seen.versions[name] {
		if v < seen.jobs[name].version {
			counts["writes_to_job"]++
		}
	}
	return counts, nil
}

// counter tells the writes since it was asked last.
func (w *world) counter(ctx context.Context) func() (int, error) {
	last := 0
	return func() (int, error) {
		writes, err := w.installed.Writes(ctx)
		now := sumOf(writes)
		since := now - last
		last = now
		return since, err
	}
}

// atRest waits until no write has come for a second: what is counted is also what does not happen.
func (w *world) atRest(ctx context.Context) error {
	var last map[string]int
	since := time.Now()
	return until(ctx, scrapeEvery, "the operator writes nothing", func() (bool, error) {
		now, err := w.installed.Writes(ctx)
		if err != nil {
			return false, err
		}
		if !maps.Equal(now, last) {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second, nil
	})
}
