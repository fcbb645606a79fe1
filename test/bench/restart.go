package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// benchRestart measures from the start of a reconciler that was killed to the time when all streams are reconciled, over the start of a bare
// informer until it knows them; and the same of a receiver until it receives.
//
// All are reconciled when those that were edited meanwhile say so in their status, and nothing waits any more: that holds also for
// an operator which knows that it need not look at the others.
func benchRestart(ctx context.Context, w *world) error {
	streams, err := w.crowdOf(ctx, w.many())
	if err != nil {
		return err
	}
	operator, err := w.startOperator(ctx)
	if err != nil {
		return err
	}
	defer func() { operator.kill() }()
	if err := operator.idle(ctx); err != nil {
		return err
	}
	fresh := &freshEvents{w: w, streams: streams}
	var r restarts
	for range w.pick(2, 12) {
		took, err := fresh.block(ctx, operator, func(i int) bool { return i < w.pick(10, 25) })
		if err != nil {
			return err
		}
		r.steady = append(r.steady, took)
	}
	// A round takes some five minutes on two cores.
	rounds := w.pick(2, 3)
	for round := range rounds {
		operator.reconciler.kill()
		took, _, err := w.restart(ctx, operator, streams, nil, 100+round)
		if err != nil {
			return err
		}
		r.reconciled = append(r.reconciled, stats.Cost{Spent: took, Done: 1})
		if took, err = timed(func() (*process, error) { return w.startInformer(ctx) }); err != nil {
			return err
		}
		r.bare = append(r.bare, stats.Cost{Spent: took, Done: 1})
		if took, err = timed(func() (*process, error) { return w.startReceiver(ctx) }); err != nil {
			return err
		}
		r.receiving = append(r.receiving, stats.Cost{Spent: took, Done: 1})
	}
	w.putRestarts(&r, streams.count)
	// Apart from those, whose time they would lengthen. In two there are some hundreds of them.
	for round := range 2 {
		operator.reconciler.kill()
		_, during, err := w.restart(ctx, operator, streams, fresh, 200+round)
		if err != nil {
			return err
		}
		r.meanwhile = append(r.meanwhile, during)
	}
	w.putFresh(&r)
	return nil
}

// restarts is what was measured: of restarts in seconds, of events in milliseconds, by blocks.
type restarts struct {
	reconciled, receiving, bare []stats.Cost
	meanwhile, steady           [][]float64
}

func (w *world) putRestarts(r *restarts, count int) {
	synced := map[string]float64{"synced_s": stats.PerThing(r.bare).Value, "streams": float64(count)}
	w.report.put("restart_100k_ratio", result{
		Interval: stats.CostRatio(r.reconciled, r.bare, w.seed), Blocks: len(r.bare), Drift: stats.DriftOfCosts(r.bare), Reference: synced,
		Subject: map[string]float64{"reconciled_s": stats.PerThing(r.reconciled).Value, "edited": edited},
	})
	w.report.put("restart_100k_ratio_receiver", result{
		Interval: stats.CostRatio(r.receiving, r.bare, w.seed), Blocks: len(r.bare), Drift: stats.DriftOfCosts(r.bare), Reference: synced,
		Subject: map[string]float64{"receiving_s": stats.PerThing(r.receiving).Value},
	})
}

func (w *world) putFresh(r *restarts) {
	during, steady := slices.Concat(r.meanwhile...), slices.Concat(r.steady...)
	p, told, note := tail(min(len(during), len(steady)))
	of := func(values []float64) map[string]float64 {
		return map[string]float64{"p50_ms": stats.Percentile(values, 0.5), fmt.Sprintf("p%.0f_ms", 100*p): stats.Percentile(values, p), "count": float64(len(values))}
	}
	w.report.put("restart_fresh_event", result{
		Interval: stats.PercentileRatioApart(r.meanwhile, r.steady, p, w.seed), Blocks: min(len(r.meanwhile), len(r.steady)), Drift: stats.Drift(medians(r.steady)),
		Percentile: told, Note: note, Reference: of(steady), Subject: of(during),
	})
}

// timed is how long a process took to be ready, in seconds. It is killed then.
func timed(start func() (*process, error)) (float64, error) {
	began := time.Now()
	p, err := start()
	took := time.Since(began).Seconds()
	p.kill()
	return took, err
}

// restart starts a reconciler after some streams were edited, and returns how long it took in seconds. Where fresh events are asked for they are sent once
// it knows the streams, and it returns how long each took to its Job.
func (w *world) restart(ctx context.Context, operator *operator, streams *population, fresh *freshEvents, window int) (took float64, during []float64, err error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := w.observe(watching, streams.namespace)
	if err != nil {
		return 0, nil, err
	}
	generations, err := w.edit(ctx, streams, window)
	if err != nil {
		return 0, nil, err
	}
	began := time.Now()
	if operator.reconciler, err = w.startReconciler(ctx); err != nil {
		return 0, nil, err
	}
	watched := make(chan error, 1)
	go func() {
		watched <- until(ctx, scrapeEvery, "all streams are reconciled", func() (bool, error) {
			if !seen.reconciled(generations) {
				return false, nil
			}
			depth, err := operator.reconciler.metric(ctx, "workqueue_depth", `"livestream"`)
			took = time.Since(began).Seconds()
			return depth == 0, err
		})
	}()
	if fresh == nil {
		err := <-watched
		return took, nil, err
	}
	done := false
	var failed error
	during, err = fresh.block(ctx, operator, func(i int) bool {
		if !done {
			select {
			case failed = <-watched:
				done = true
			default:
			}
		}
		// At least a few, also where it is done at once.
		return !done || i < 3
	})
	if err == nil && !done {
		failed = <-watched
	}
	return took, during, errors.Join(err, failed)
}

// edit changes the spec of streams all over the population, but not of those that have events, and returns their generations.
func (w *world) edit(ctx context.Context, streams *population, window int) (map[string]int64, error) {
	generations := map[string]int64{}
	for i := range edited {
		stream := &v1alpha1.LiveStream{}
		stream.Namespace, stream.Name = streams.namespace, streams.kind.nameOf(streams.count-1-i*(streams.count-hotStreams)/edited)
		patch := fmt.Appendf(nil, `{"spec":{"reconnectWindowSeconds":%d}}`, window)
		if err := w.installed.API.Patch(ctx, stream, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return nil, fmt.Errorf("editing a LiveStream: %w", err)
		}
		generations[stream.Name] = stream.Generation
	}
	return generations, nil
}

// freshEvents puts streams on air, sees how long after the 200 their Jobs are there, and takes them off air again.
type freshEvents struct {
	w       *world
	streams *population
}

func (f *freshEvents) block(ctx context.Context, operator *operator, more func(i int) bool) ([]float64, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := f.w.observe(watching, f.streams.namespace)
	if err != nil {
		return nil, err
	}
	s := newSender(f.streams.namespace, operator.receiver)
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
