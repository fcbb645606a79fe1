package main

import (
	"context"
	"time"

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
	if err := w.settled(ctx, operator); err != nil {
		return err
	}
	many, err := w.costOf(ctx, "growth", operator, streams, w.pick(2, 20), w.pick(12, 20))
	if err != nil {
		return err
	}
	if many.atRest, err = w.restCPU(ctx, operator); err != nil {
		return err
	}
	growth := w.costOver(many, few)
	growth.Reference, growth.Subject, growth.Note = growthSide(few, hotStreams), growthSide(many, streams.count), "CPU; writes are in growth_100k_writes"
	w.report.put("growth_100k", growth)
	writes := growth
	writes.Note = ""
	writes.Interval = stats.CostRatioApart(many.writes, few.writes, w.seed)
	w.report.put("growth_100k_writes", writes)
	return nil
}

const (
	// settling is how long what the start leaves to do may take.
	settling   = 5 * time.Minute
	settleLook = 10 * time.Second
	// restsBelow is the part of a core that the operator takes when nothing is left, and the API server, at most.
	restsBelow, serverRestsBelow = 0.008, 0.25
)

// settled waits until what the start of an operator among many streams left to do is over, which is not an event's: for minutes Go gives back memory that the
// list took, at a hundredth of a core, and the API server collects what it told.
func (w *world) settled(ctx context.Context, operator *operator) error {
	if err := operator.idle(ctx); err != nil {
		return err
	}
	before, err := w.allCPU(ctx, operator)
	for began := time.Now(); err == nil && time.Since(began) < settling; {
		if err := waitUntil(ctx, time.Now().Add(settleLook)); err != nil {
			return err
		}
		var now map[string]float64
		if now, err = w.allCPU(ctx, operator); err != nil {
			return err
		}
		ours := now["receiver"] + now["reconciler"] - before["receiver"] - before["reconciler"]
		servers := now["kube-apiserver"] - before["kube-apiserver"]
		if ours < restsBelow*settleLook.Seconds() && servers < serverRestsBelow*settleLook.Seconds() {
			w.say("at rest after %s", time.Since(began).Round(time.Second))
			return nil
		}
		before = now
	}
	if err == nil {
		w.say("not at rest after %s: what the start left to do is in the cost of events", settling)
	}
	return err
}

// growthSide tells of each part of the operator, so that it shows which of them has more to do among many.
func growthSide(cost *eventCost, streams int) map[string]float64 {
	side := map[string]float64{"writes": stats.PerThing(cost.writes).Value, "streams": float64(streams)}
	for name, spent := range map[string][]stats.Cost{"cpu_us": cost.operator, "bare_cpu_us": cost.handler, "receiver_cpu_us": cost.parts["receiver"], "reconciler_cpu_us": cost.parts["reconciler"]} {
		side[name] = 1e6 * stats.PerThing(spent).Value
	}
	cost.tellRest(side)
	return side
}
