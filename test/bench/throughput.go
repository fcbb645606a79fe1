package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchThroughput measures acknowledged events a second over bare status writes a second, at the same concurrency. Nothing but the
// receiver runs: what follows an event is done by another process in its own time, and is measured by job, cpu and storm. The same with the
// reconciler on the same cores is told beside it.
func benchThroughput(ctx context.Context, w *world) error {
	worst := result{}
	levels := []int{16, 64}
	if w.quick {
		levels = levels[1:]
	}
	for i, concurrency := range levels {
		got, err := w.throughput(ctx, fmt.Sprint("throughput-", concurrency), false, withJob, concurrency)
		if err != nil {
			return err
		}
		w.report.put(fmt.Sprint("ack_throughput_ratio_", concurrency), got)
		if i == 0 || got.Value < worst.Value {
			worst = got
		}
	}
	worst.Note = "the lower of 16 and 64 at once"
	if w.quick {
		worst.Note = "64 at once"
	}
	w.report.put("ack_throughput_ratio", worst)
	if w.quick {
		return nil
	}
	got, err := w.throughput(ctx, "throughput-whole", true, suspended, 64)
	if err != nil {
		return err
	}
	got.Note = "64 at once, with the reconciler, which writes the status once after each event of a suspended stream, until it has nothing left to do"
	w.report.put("ack_throughput_ratio_whole", got)
	return nil
}

// mostInABlock is more than two cores do in the longest.
const mostInABlock = 2500

// throughput has blocks of no fixed length and in no fixed order: the API server collects its garbage every five seconds or so under such a load, for more than a
// second, in which a write costs it twice as much, and what is in step with that has all collections on one side.
func (w *world) throughput(ctx context.Context, name string, whole bool, k kind, concurrency int) (result, error) {
	streams, err := w.newPopulation(ctx, name, k, w.pick(1000, 4000))
	if err != nil {
		return result{}, err
	}
	operator, err := w.startFor(ctx, whole)
	if err != nil {
		return result{}, err
	}
	s := newSender(streams.namespace, operator.receiver)
	defer s.close()
	twin := streams.twin()
	random := rand.New(rand.NewPCG(w.seed, uint64(concurrency))) //nolint:gosec // nothing secret
	pairs, shortest, longest := w.pick(3, 16), time.Duration(w.pick(1, 3))*time.Second, time.Duration(w.pick(3, 7))*time.Second
	blocks := append([]stats.Side{stats.Subject, stats.Reference}, stats.Mixed(pairs, random)...)
	sides := map[stats.Side]func(context.Context) error{
		stats.Subject:   func(ctx context.Context) error { return streams.send(ctx, s) },
		stats.Reference: func(ctx context.Context) error { return twin.write(ctx, w.bare) },
	}
	rates := map[stats.Side][]stats.Cost{}
	loop := func(side stats.Side) (stats.Cost, error) {
		during := shortest + time.Duration(random.Int64N(int64(longest-shortest)))
		if err := errors.Join(streams.prepare(mostInABlock), twin.prepare(mostInABlock)); err != nil {
			return stats.Cost{}, err
		}
		done, took, err := closedLoop(ctx, concurrency, during, func(int, int) error { return sides[side](ctx) })
		if err != nil || side == stats.Reference {
			return stats.Cost{Spent: done, Done: took}, err
		}
		// What a reconciler has left to do is the operator's: the reference must not pay for it.
		left := time.Now()
		err = operator.idle(ctx)
		if operator.reconciler != nil {
			took += max(0, time.Since(left)-quiet).Seconds()
		}
		return stats.Cost{Spent: done, Done: took}, err
	}
	// The first block of each side is not counted.
	for i, side := range blocks {
		rate, err := loop(side)
		if err != nil {
			return result{}, err
		}
		if i >= 2 {
			rates[side] = append(rates[side], rate)
		}
	}
	err = w.profile(ctx, operator, name, shortest, func() error {
		_, err := loop(stats.Subject)
		return err
	})
	if err != nil {
		return result{}, err
	}
	ours, bare := rates[stats.Subject], rates[stats.Reference]
	return result{
		Interval: stats.CostRatioApart(ours, bare, w.seed), Blocks: pairs, Drift: stats.DriftOfCosts(bare),
		Reference: map[string]float64{"writes_per_s": stats.PerThing(bare).Value, "concurrency": float64(concurrency)},
		Subject:   map[string]float64{"events_per_s": stats.PerThing(ours).Value},
	}, w.finish(ctx, operator, streams, "unavailable", "ended-unseen")
}

// startFor starts the whole operator, or a receiver alone.
func (w *world) startFor(ctx context.Context, whole bool) (o *operator, err error) {
	if whole {
		return w.startOperator(ctx)
	}
	o = &operator{}
	o.receiver, err = w.startReceiver(ctx)
	return o, err
}
