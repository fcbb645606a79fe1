package main

import (
	"context"
	"fmt"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// gateBound is the most that our CPU for an event may be of the bare handler's: two fifths more than the 15.5 that docs/benchmarks.md tells, for
// machines differ. Counts, which do not, are held by make test.
const gateBound = 22.0

// gate fails when the whole interval of the CPU for an event lies above the bound: noise widens the interval and cannot fail it.
func gate(ctx context.Context, w *world) error {
	streams, err := w.newPopulation(ctx, "gate", withJob, hotStreams)
	if err != nil {
		return err
	}
	operator, err := w.startOperator(ctx)
	if err != nil {
		return err
	}
	defer operator.kill()
	// As few and as small as an interval of 95 % takes: together 3 minutes.
	cost, err := w.costOf(ctx, "gate", operator, streams, stats.LeastBlocks, 10)
	if err != nil {
		return err
	}
	ratio := stats.CostRatio(cost.operator, cost.handler, w.seed)
	w.say("CPU for an event: %.2f times the bare handler's (%.2f to %.2f), bound %.0f", ratio.Value, ratio.Low, ratio.High, gateBound)
	if passes(ratio) {
		return nil
	}
	return fmt.Errorf("an event costs %.2f times the CPU of a bare handler, and certainly more than %.2f: the bound is %.0f; make bench ONLY=cpu leaves a profile", ratio.Value, ratio.Low, gateBound)
}

func passes(ratio stats.Interval) bool { return ratio.Low <= gateBound }
