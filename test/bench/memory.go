package main

import (
	"context"
	"fmt"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// crowdOf is the large population with so many streams, which benchmarks share: to make it takes a while.
func (w *world) crowdOf(ctx context.Context, count int) (_ *population, err error) {
	if w.crowd == nil {
		if w.grows {
			// Afterwards there are no few streams to compare with.
			if _, err := w.cost(ctx); err != nil {
				return nil, err
			}
		}
		if w.crowd, err = w.newPopulation(ctx, "crowd", withJob, 0); err != nil {
			return nil, err
		}
		// Only those that have events are written to by the reference.
		w.crowd.twinned = hotStreams
	}
	return w.crowd, w.crowd.grow(ctx, max(count, w.crowd.count))
}

// many is the number that the figures are about.
func (w *world) many() int { return w.pick(4000, 100_000) }

// benchMemory measures the bytes of heap that a further LiveStream takes in each part of the operator, over a plain informer of the same
// objects. All watch while the population grows. The figure is that of the part that takes more.
func benchMemory(ctx context.Context, w *world) error {
	first, steps := w.many()/10, w.pick(3, 6)
	if _, err := w.crowdOf(ctx, first); err != nil {
		return err
	}
	operator, err := w.startOperator(ctx)
	if err != nil {
		return err
	}
	defer operator.kill()
	informer, err := w.startInformer(ctx)
	if err != nil {
		return err
	}
	defer informer.kill()
	parts := []*process{informer, operator.receiver, operator.reconciler}
	slopes := make([][]stats.Cost, len(parts))
	var before []float64
	for step := range steps + 1 {
		count := first + (w.many()-first)*step/steps
		if _, err := w.crowdOf(ctx, count); err != nil {
			return err
		}
		now, err := w.heaps(ctx, operator, parts, count)
		if err != nil {
			return err
		}
		for i := range parts {
			if step > 0 {
				slopes[i] = append(slopes[i], stats.Cost{Spent: now[i] - before[i], Done: float64(w.many()-first) / float64(steps)})
			}
		}
		before = now
	}
	figures := make([]map[string]float64, len(parts))
	for i, p := range parts {
		resident, peak, err := p.resident()
		if err != nil {
			return err
		}
		const mebibyte = 1 << 20
		figures[i] = map[string]float64{"bytes_per_stream": stats.PerThing(slopes[i]).Value, "heap_mib": before[i] / mebibyte, "resident_mib": resident / mebibyte,
			"resident_peak_mib": peak / mebibyte, "streams": float64(w.many())}
	}
	var worst result
	for i, p := range parts[1:] {
		got := result{Interval: stats.CostRatio(slopes[i+1], slopes[0], w.seed), Blocks: steps, Drift: stats.DriftOfCosts(slopes[0]), Reference: figures[0], Subject: figures[i+1]}
		w.report.put("memory_slope_ratio_"+p.name, got)
		if got.Value > worst.Value {
			worst, worst.Note = got, "the "+p.name+", which takes more"
		}
	}
	w.report.put("memory_slope_ratio", worst)
	return w.profile(ctx, operator, "memory", time.Second, func() error { return nil })
}

// heaps waits until all know all streams, and returns what their heaps hold. The informer is the first.
func (w *world) heaps(ctx context.Context, operator *operator, parts []*process, count int) ([]float64, error) {
	err := until(ctx, scrapeEvery, fmt.Sprintf("all %d LiveStreams are known", count), func() (bool, error) {
		known, err := parts[0].knows(ctx)
		if err != nil || known < count {
			return false, err
		}
		for _, p := range parts[1:] {
			ours, err := p.metric(ctx, "livestream_streams", "")
			if err != nil || int(ours) < count {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if err := operator.idle(ctx); err != nil {
		return nil, err
	}
	heaps := make([]float64, len(parts))
	for i, p := range parts {
		if heaps[i], err = p.heap(ctx); err != nil {
			return nil, err
		}
	}
	return heaps, nil
}
