package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	batchv1 "k8s.io/api/batch/v1"

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

// cpuPlain measures what an event costs the plain operator, to tell what of the operator's CPU is for what it does besides.
func (w *world) cpuPlain(ctx context.Context, cost *eventCost) error {
	plain, err := w.plainCost(ctx, cost.job)
	if err != nil {
		return err
	}
	w.report.put("cpu_plain_ratio", result{
		Interval: stats.CostRatio(plain.operator, plain.handler, w.seed), Blocks: len(plain.operator), Drift: stats.DriftOfCosts(plain.handler), Reference: plain.handlerSide(), Subject: plain.side(),
	})
	over := w.costOver(cost, plain)
	over.Reference, over.Subject, over.Note = plain.side(), cost.side(), "each over the bare handler that ran beside it"
	w.report.put("cpu_over_plain", over)
	return nil
}

func (w *world) plainCost(ctx context.Context, like *batchv1.Job) (*eventCost, error) {
	const pairs, perBlock = 20, 20
	streams, err := w.newPopulation(ctx, "cpu-plain", withJob, hotStreams)
	if err != nil {
		return nil, err
	}
	beside, err := w.newPopulation(ctx, "cpu-beside", withJob, hotStreams)
	if err != nil {
		return nil, err
	}
	job, err := newJobTemplate(like, streams.namespace)
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
	measured := &eventCost{parts: map[string][]stats.Cost{}}
	// The first is not counted.
	for i := range pairs + 1 {
		block, err := w.showPlainly(ctx, p, streams, toPlain, perBlock)
		if err != nil {
			return nil, err
		}
		reference, err := w.bareBlock(ctx, handler, beside, toHandler, perBlock)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			measured.add(block, reference)
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
func (w *world) showPlainly(ctx context.Context, p plainOperator, streams *population, s *sender, count int) (shown, error) {
	seen, stop, err := w.watched(ctx, w.observeTwins, streams.namespace)
	if err != nil {
		return shown{}, err
	}
	defer stop()
	seen.needs(p.reconciler)
	parts, err := show(ctx, seen, streams, s, count, p.spent)
	events := float64(2 * count)
	return shown{cpu: stats.Cost{Spent: parts["handler"] + parts["reconciler"], Done: events}, writes: stats.Cost{Spent: float64(seen.writes()), Done: events}, parts: parts}, err
}
