package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// plainOperator is what one writes with client-go who wants no more than a Job while a stream is on air: a handler, and what follows from its writes.
type plainOperator struct{ handler, reconciler *process }

// startPlainOperator starts both for the twins of a namespace; they make Jobs by the template.
func (w *world) startPlainOperator(ctx context.Context, namespace string, job jobTemplate) (p plainOperator, err error) {
	path := filepath.Join(w.dir, "plain-job.json")
	if err := os.WriteFile(path, []byte(job), 0o600); err != nil {
		return p, fmt.Errorf("writing the reference's Job: %w", err)
	}
	if p.handler, err = w.startBareHandler(ctx, namespace); err != nil {
		return p, err
	}
	p.reconciler, err = w.startReference(ctx, "bare-reconciler", handlerNamespace+"="+namespace, handlerJob+"="+path)
	return p, err
}

func (p plainOperator) kill() {
	p.handler.kill()
	p.reconciler.kill()
}

// spent is what each has run so far, in seconds.
func (p plainOperator) spent(context.Context) (map[string]float64, error) {
	handled, err := p.handler.cpu()
	if err != nil {
		return nil, err
	}
	reconciled, err := p.reconciler.cpu()
	return map[string]float64{"handler": handled, "reconciler": reconciled}, err
}

// plainCost is what an event costs the plain operator, and the bare handler beside it.
type plainCost struct {
	plain, handler, writes []stats.Cost
	parts                  map[string][]stats.Cost
}

// cpuPlain measures what an event costs the plain operator, to tell what of the operator's CPU is for what it does besides.
func (w *world) cpuPlain(ctx context.Context, cost *eventCost) error {
	measured, err := w.plainCost(ctx, cost)
	if err != nil {
		return err
	}
	ratio := func(subject, handler []stats.Cost, drawn []int) float64 {
		return stats.PerThingOf(subject, drawn) / stats.PerThingOf(handler, drawn)
	}
	side := func(all []stats.Cost) map[string]float64 {
		return map[string]float64{"cpu_us": 1e6 * stats.PerThing(all).Value}
	}
	plain := side(measured.plain)
	plain["writes"] = stats.PerThing(measured.writes).Value
	for name, spent := range measured.parts {
		plain[name+"_cpu_us"] = 1e6 * stats.PerThing(spent).Value
	}
	ours := side(cost.operator)
	ours["writes"] = stats.PerThing(cost.writes).Value
	w.report.put("cpu_plain_ratio", result{
		Interval: stats.CostRatio(measured.plain, measured.handler, w.seed), Blocks: len(measured.plain), Drift: stats.DriftOfCosts(measured.handler), Reference: side(measured.handler), Subject: plain,
	})
	w.report.put("cpu_over_plain", result{
		Interval: stats.BootstrapApart(len(cost.operator), len(measured.plain), w.seed, func(ours, theirs []int) float64 {
			return ratio(cost.operator, cost.handler, ours) / ratio(measured.plain, measured.handler, theirs)
		}),
		Blocks: min(len(cost.operator), len(measured.plain)), Drift: stats.DriftOfCosts(slices.Concat(cost.handler, measured.handler)), Reference: plain, Subject: ours,
		Note: "each over the bare handler that ran beside it",
	})
	return nil
}

func (w *world) plainCost(ctx context.Context, cost *eventCost) (*plainCost, error) {
	const pairs, perBlock = 20, 20
	streams, err := w.newPopulation(ctx, "cpu-plain", withJob, hotStreams)
	if err != nil {
		return nil, err
	}
	beside, err := w.newPopulation(ctx, "cpu-beside", withJob, hotStreams)
	if err != nil {
		return nil, err
	}
	job, err := newJobTemplate(cost.job, streams.namespace)
	if err != nil {
		return nil, err
	}
	p, err := w.startPlainOperator(ctx, streams.namespace, job)
	defer p.kill()
	if err != nil {
		return nil, err
	}
	handler, err := w.startBareHandler(ctx, beside.namespace)
	if err != nil {
		return nil, err
	}
	defer handler.kill()
	toPlain, toHandler := newSender(streams.namespace, p.handler), newSender(beside.namespace, handler)
	defer toPlain.close()
	defer toHandler.close()
	measured := &plainCost{parts: map[string][]stats.Cost{}}
	// The first is not counted.
	for i := range pairs + 1 {
		took, writes, err := w.showPlainly(ctx, p, streams, toPlain, perBlock)
		if err != nil {
			return nil, err
		}
		reference, err := w.bareBlock(ctx, handler, beside, toHandler, perBlock)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		measured.plain, measured.handler, measured.writes = append(measured.plain, stats.Cost{Spent: took["handler"] + took["reconciler"], Done: writes.Done}), append(measured.handler, reference), append(measured.writes, writes)
		for name, spent := range took {
			measured.parts[name] = append(measured.parts[name], stats.Cost{Spent: spent, Done: writes.Done})
		}
	}
	p.kill()
	handler.kill()
	if err := w.remove(ctx, beside.namespace); err != nil {
		return nil, err
	}
	return measured, w.remove(ctx, streams.namespace)
}

// showPlainly is showBlock of the plain operator.
func (w *world) showPlainly(ctx context.Context, p plainOperator, streams *population, s *sender, count int) (took map[string]float64, writes stats.Cost, err error) {
	seen, stop, err := w.watched(ctx, w.observeTwins, streams.namespace)
	if err != nil {
		return nil, writes, err
	}
	defer stop()
	seen.needs(p.reconciler)
	took, err = show(ctx, seen, streams, s, count, p.spent)
	return took, stats.Cost{Spent: float64(seen.writes()), Done: float64(2 * count)}, err
}
