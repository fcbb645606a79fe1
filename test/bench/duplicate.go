package main

import (
	"context"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchDuplicates measures callbacks that were recorded before, as in a storm of retries, over bare reads of the same objects.
func benchDuplicates(ctx context.Context, w *world) error {
	const concurrency = 16
	r, err := w.newRig(ctx, "duplicate", suspended, w.pick(100, 500))
	if err != nil {
		return err
	}
	defer r.close()
	streams, operator, s := r.streams, r.operator, r.sender
	for range streams.count {
		if err := streams.send(ctx, s); err != nil {
			return err
		}
	}
	if err := operator.idle(ctx); err != nil {
		return err
	}
	bodies := make([][]byte, streams.count)
	for i := range bodies {
		bodies[i] = streams.event(i, 0).Signed(callbackKey, time.Now())
	}
	before, err := w.installed.Writes(ctx)
	if err != nil {
		return err
	}
	sides := map[stats.Side]func(i int) error{
		stats.Subject:   func(i int) error { return s.deliver(ctx, bodies[i]) },
		stats.Reference: func(i int) error { return w.bare.get(ctx, streams.namespace, streams.kind.nameOf(i)) },
	}
	pairs, block := w.pick(3, 15), time.Second
	rates := map[stats.Side][]stats.Cost{}
	loop := func(side stats.Side) (done, took float64, err error) {
		return closedLoop(ctx, concurrency, block, func(int, int) error { return sides[side](streams.take()) })
	}
	for _, side := range stats.ABBA(pairs) {
		done, took, err := loop(side)
		if err != nil {
			return err
		}
		rates[side] = append(rates[side], stats.Cost{Spent: done, Done: took})
	}
	err = w.profile(ctx, operator, "duplicate", block, func() error {
		_, _, err := loop(stats.Subject)
		return err
	})
	if err != nil {
		return err
	}
	after, err := w.installed.Writes(ctx)
	if err != nil {
		return err
	}
	w.report.put("duplicate_ratio", result{
		Interval: stats.CostRatio(rates[stats.Subject], rates[stats.Reference], w.seed), Blocks: pairs, Drift: stats.DriftOfCosts(rates[stats.Reference]),
		Reference: map[string]float64{"gets_per_s": stats.PerThing(rates[stats.Reference]).Value, "concurrency": concurrency},
		Subject:   map[string]float64{"duplicates_per_s": stats.PerThing(rates[stats.Subject]).Value, "writes": float64(sumOf(after) - sumOf(before))},
	})
	return w.finish(ctx, operator, streams, "duplicate")
}

func sumOf(writes map[string]int) int {
	total := 0
	for _, count := range writes {
		total += count
	}
	return total
}
