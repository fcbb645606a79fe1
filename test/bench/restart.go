package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// edited is how many LiveStreams change while the operator is down. They lie all over the population.
const edited = 50

// freshRate is how many streams go on air in a second while the operator looks at all others.
const freshRate = 5.0

// benchRestart measures from the start of a process that was killed to the time when all streams are reconciled, over the start of a bare informer
// until it knows them.
//
// All are reconciled when those that were edited meanwhile say so in their status, and nothing waits any more: that holds also for
// an operator which knows that it need not look at the others.
func benchRestart(ctx context.Context, w *world) error {
	streams, err := w.crowdOf(ctx, w.many())
	if err != nil {
		return err
	}
	operator, err := w.startOperator(ctx, leads)
	if err != nil {
		return err
	}
	defer func() { operator.kill() }()
	if err := operator.idle(ctx); err != nil {
		return err
	}
	fresh := &freshEvents{w: w, streams: streams}
	steady := make([]float64, 0, 100)
	for range w.pick(2, 10) {
		took, err := fresh.block(ctx, operator, func(i int) bool { return i < 10 })
		if err != nil {
			return err
		}
		steady = append(steady, took...)
	}
	var ours, bare []stats.Cost
	var meanwhile []stats.Pair
	for round := range w.pick(2, 4) {
		operator.kill()
		var took float64
		var during []float64
		if operator, took, during, err = w.restart(ctx, fresh, int32(100+round)); err != nil {
			return err
		}
		ours, meanwhile = append(ours, stats.Cost{Spent: took, Done: 1}), append(meanwhile, stats.Pair{Subject: during, Reference: steady})
		began := time.Now()
		informer, err := w.startInformer(ctx)
		if err != nil {
			return err
		}
		bare = append(bare, stats.Cost{Spent: time.Since(began).Seconds(), Done: 1})
		informer.kill()
	}
	w.report.put("restart_100k_ratio", result{
		Interval: stats.CostRatio(ours, bare, w.seed), Blocks: len(ours),
		Reference: map[string]float64{"synced_s": stats.PerThing(bare).Value},
		Subject:   map[string]float64{"reconciled_s": stats.PerThing(ours).Value, "streams": float64(streams.count), "edited": edited},
	})
	var all []float64
	for _, m := range meanwhile {
		all = append(all, m.Subject...)
	}
	w.report.put("restart_fresh_event", result{
		Interval: stats.PercentileRatio(meanwhile, 0.99, w.seed), Blocks: len(meanwhile),
		Reference: map[string]float64{"p50_ms": stats.Percentile(steady, 0.5), "p99_ms": stats.Percentile(steady, 0.99), "count": float64(len(steady))},
		Subject:   map[string]float64{"p50_ms": stats.Percentile(all, 0.5), "p99_ms": stats.Percentile(all, 0.99), "count": float64(len(all))},
		Note:      "200 to Job, p99 while the operator looks at all streams over p99 at rest",
	})
	return nil
}

// restart starts an operator after some streams were edited, sends it fresh events meanwhile, and returns how long it took in seconds.
func (w *world) restart(ctx context.Context, fresh *freshEvents, window int32) (operator *process, took float64, during []float64, err error) {
	streams := fresh.streams
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := w.observe(watching, streams.namespace)
	if err != nil {
		return nil, 0, nil, err
	}
	names := map[string]int64{}
	for i := range edited {
		stream := &v1alpha1.LiveStream{}
		stream.Namespace, stream.Name = streams.namespace, streams.kind.nameOf(streams.count-1-i*(streams.count-hotStreams)/edited)
		patch := fmt.Appendf(nil, `{"spec":{"reconnectWindowSeconds":%d}}`, window)
		if err := w.installed.API.Patch(ctx, stream, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return nil, 0, nil, fmt.Errorf("editing a LiveStream: %w", err)
		}
		names[stream.Name] = stream.Generation
	}
	began := time.Now()
	if operator, err = w.startOperator(ctx, leads); err != nil {
		return nil, 0, nil, err
	}
	reconciled := func() bool {
		if took > 0 {
			return true
		}
		if !seen.reconciled(names) {
			return false
		}
		if depth, err := operator.metric(ctx, "workqueue_depth", `"livestream"`); err != nil || depth > 0 {
			return false
		}
		took = time.Since(began).Seconds()
		return true
	}
	watched := make(chan error, 1)
	go func() {
		watched <- until(ctx, scrapeEvery, "all streams are reconciled", func() (bool, error) { return reconciled(), nil })
	}()
	done := false
	during, err = fresh.block(ctx, operator, func(i int) bool {
		select {
		case err = <-watched:
			done = true
		default:
		}
		// At least a few, also where it is done at once.
		return !done || i < 3
	})
	if err == nil && !done {
		err = <-watched
	}
	return operator, took, during, err
}

// freshEvents puts streams on air, sees how long after the 200 their Jobs are there, and takes them off air again.
type freshEvents struct {
	w       *world
	streams *population
}

func (f *freshEvents) block(ctx context.Context, operator *process, more func(i int) bool) ([]float64, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := f.w.observe(watching, f.streams.namespace)
	if err != nil {
		return nil, err
	}
	s := newSender(f.streams.namespace, operator)
	defer s.close()
	j := &jobBench{w: f.w, streams: f.streams, sender: s, seen: seen}
	var took []float64
	var chosen []int
	began := time.Now()
	for i := 0; i < hotStreams && more(i); i++ {
		if err := waitUntil(ctx, began.Add(time.Duration(float64(i)/freshRate*float64(time.Second)))); err != nil {
			return nil, err
		}
		stream := int(f.streams.turn.Add(1)-1) % hotStreams
		chosen, took = append(chosen, stream), append(took, 0)
		if err := s.deliver(ctx, f.streams.nextEvent(stream, time.Now())); err != nil {
			return nil, err
		}
		if err := j.await(ctx, seen, f.streams.kind.nameOf(stream), &took[i], time.Now()); err != nil {
			return nil, err
		}
	}
	if err := seen.waitWorkloads(ctx, v1alpha1.WorkloadRunning, len(chosen)); err != nil {
		return nil, err
	}
	for _, stream := range chosen {
		if err := s.deliver(ctx, f.streams.nextEvent(stream, time.Now())); err != nil {
			return nil, err
		}
	}
	return took, j.gone(ctx, seen)
}
