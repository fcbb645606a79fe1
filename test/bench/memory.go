package main

import (
	"context"
	"fmt"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// crowdOf is the large population with so many streams, which benchmarks share: to make it takes a while.
func (w *world) crowdOf(ctx context.Context, count int) (_ *population, err error) {
	if w.crowd == nil {
		if w.crowd, err = w.newPopulation(ctx, "crowd", withJob, 0); err != nil {
			return nil, err
		}
	}
	return w.crowd, w.crowd.grow(ctx, max(count, w.crowd.count))
}

// many is the number that the figures are about.
func (w *world) many() int { return w.pick(4000, 100_000) }

// benchMemory measures the bytes of heap that a further LiveStream takes, over a plain informer of the same objects. Both watch while the
// population grows.
func benchMemory(ctx context.Context, w *world) error {
	first, steps := w.many()/10, w.pick(3, 6)
	if _, err := w.crowdOf(ctx, first); err != nil {
		return err
	}
	operator, err := w.startOperator(ctx, leads)
	if err != nil {
		return err
	}
	defer operator.kill()
	informer, err := w.startInformer(ctx)
	if err != nil {
		return err
	}
	defer informer.kill()
	var ours, bare []stats.Cost
	var before [2]float64
	for step := range steps + 1 {
		count := first + (w.many()-first)*step/steps
		if _, err := w.crowdOf(ctx, count); err != nil {
			return err
		}
		now, err := w.heaps(ctx, operator, informer, count)
		if err != nil {
			return err
		}
		if step > 0 {
			more := float64(w.many()-first) / float64(steps)
			ours, bare = append(ours, stats.Cost{Spent: now[0] - before[0], Done: more}), append(bare, stats.Cost{Spent: now[1] - before[1], Done: more})
		}
		before = now
	}
	resident, peak, err := operator.resident()
	if err != nil {
		return err
	}
	informerResident, _, err := informer.resident()
	if err != nil {
		return err
	}
	const mebibyte = 1 << 20
	w.report.put("memory_slope_ratio", result{
		Interval: stats.CostRatio(ours, bare, w.seed), Blocks: steps,
		Reference: map[string]float64{"bytes_per_stream": stats.PerThing(bare).Value, "heap_mib": before[1] / mebibyte, "resident_mib": informerResident / mebibyte},
		Subject: map[string]float64{"bytes_per_stream": stats.PerThing(ours).Value, "heap_mib": before[0] / mebibyte, "resident_mib": resident / mebibyte,
			"resident_peak_mib": peak / mebibyte, "streams": float64(w.many())},
	})
	return w.profile(ctx, operator, "memory", 1e9, func() error { return nil })
}

// heaps waits until both know all streams, and returns what their heaps hold.
func (w *world) heaps(ctx context.Context, operator, informer *process, count int) (heaps [2]float64, err error) {
	err = until(ctx, scrapeEvery, fmt.Sprintf("all %d LiveStreams are known", count), func() (bool, error) {
		known, err := informer.knows(ctx)
		if err != nil || known < count {
			return false, err
		}
		ours, err := operator.metric(ctx, "livestream_streams", "")
		return int(ours) >= count, err
	})
	if err != nil {
		return heaps, err
	}
	if err := operator.idle(ctx); err != nil {
		return heaps, err
	}
	if heaps[0], err = operator.heap(ctx); err != nil {
		return heaps, err
	}
	heaps[1], err = informer.heap(ctx)
	return heaps, err
}
