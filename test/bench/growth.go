package main

import (
	"context"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchGrowth measures what an event costs among a hundred thousand streams over what it costs among a hundred. The bare handler, which
// knows no streams, runs beside both and takes out what the machine did meanwhile.
func benchGrowth(ctx context.Context, w *world) error {
	few, err := w.cost(ctx)
	if err != nil {
		return err
	}
	streams, err := w.crowdOf(ctx, w.many())
	if err != nil {
		return err
	}
	operator, err := w.startOperator(ctx)
	if err != nil {
		return err
	}
	defer operator.kill()
	many, err := w.costOf(ctx, "growth", operator, streams, w.pick(3, 10))
	if err != nil {
		return err
	}
	blocks := min(len(few.operator), len(many.operator))
	ratio := func(ours, bare []stats.Cost, drawn []int) float64 {
		return perThing(ours, drawn) / perThing(bare, drawn)
	}
	growth := result{
		Interval: stats.Bootstrap(blocks, w.seed, func(drawn []int) float64 {
			return ratio(many.operator, many.handler, drawn) / ratio(few.operator, few.handler, drawn)
		}),
		Blocks:    blocks,
		Reference: map[string]float64{"cpu_us": 1e6 * stats.PerThing(few.operator).Value, "writes": stats.PerThing(few.writes).Value, "bare_cpu_us": 1e6 * stats.PerThing(few.handler).Value, "streams": hotStreams},
		Subject:   map[string]float64{"cpu_us": 1e6 * stats.PerThing(many.operator).Value, "writes": stats.PerThing(many.writes).Value, "bare_cpu_us": 1e6 * stats.PerThing(many.handler).Value, "streams": float64(streams.count)},
		Note:      "CPU; writes are in growth_100k_writes",
	}
	w.report.put("growth_100k", growth)
	w.report.put("growth_100k_writes", result{Interval: stats.CostRatio(many.writes, few.writes, w.seed), Blocks: blocks, Reference: growth.Reference, Subject: growth.Subject})
	return nil
}

func perThing(costs []stats.Cost, drawn []int) float64 {
	var total stats.Cost
	for _, i := range drawn {
		total.Spent, total.Done = total.Spent+costs[i].Spent, total.Done+costs[i].Done
	}
	return total.Spent / total.Done
}
