package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchAck measures a callback to its 200 over a bare status write, each from the time when it is due. The two are drawn at random and meet the same
// machine: what the operator does after a 200, Jobs and Pods and status, goes on beside both.
func benchAck(ctx context.Context, w *world) error {
	whole, err := w.startOperator(ctx)
	if err != nil {
		return err
	}
	defer whole.kill()
	if err := w.ack(ctx, "ack", whole, ackPlan{rate: liveRate, pairs: w.pick(8, 25), blocks: w.pick(8, 50)}); err != nil {
		return err
	}
	if w.quick {
		return nil
	}
	receiver, err := w.startReceiver(ctx)
	if err != nil {
		return err
	}
	defer receiver.kill()
	return w.ack(ctx, "ack_receiver_only", &operator{receiver: receiver}, receiverAlone)
}

// receiverAlone is for a receiver after whose 200 nothing follows.
var receiverAlone = ackPlan{rate: 20, pairs: 40, blocks: 40}

// benchAckPlain has the bare handler in the operator's place: less than it does no receiver can do, and nobody watches what it writes. The reference writes
// the same.
func benchAckPlain(ctx context.Context, w *world) error {
	const key = "ack_plain"
	plan := receiverAlone
	each := plan.streams(plan.blocks + 1)
	streams, err := w.newPopulation(ctx, strings.ReplaceAll(key, "_", "-"), withJob, 2*each)
	if err != nil {
		return err
	}
	handler, err := w.startBareHandler(ctx, streams.namespace)
	if err != nil {
		return err
	}
	defer handler.kill()
	s, twin := newSender(streams.namespace, handler), streams.twin()
	defer s.close()
	twin.barely = true
	// Both sides write to twins.
	twin.turn.Store(int64(each))
	measured, err := w.ackBlocks(ctx, s, streams, twin, plan)
	if err != nil {
		return err
	}
	w.putLatency(key, measured)
	handler.kill()
	return w.remove(ctx, streams.namespace)
}

// liveRate is how many callbacks and bare writes come in a second, of both together, while all that follows from the callbacks is done on the same two
// cores: a start is a dozen writes by others. Twice as many and what is measured is the queue.
const liveRate = 6.0

type ackPlan struct {
	// rate is how many come in a second, of both sides together.
	rate float64
	// pairs is how many of each side a block has.
	pairs, blocks int
}

// streams are enough for each to have one start only, with so many blocks: a twin whose stream the operator takes off air again, as nobody does the twin,
// would be written to otherwise.
func (p ackPlan) streams(blocks int) int { return p.pairs * blocks }

// lasts is how long a block takes.
func (p ackPlan) lasts() time.Duration {
	return time.Duration(float64(2*p.pairs) / p.rate * float64(time.Second))
}

func (w *world) ack(ctx context.Context, key string, operator *operator, plan ackPlan) error {
	// One block comes before those that count, and one after them.
	streams, err := w.newPopulation(ctx, strings.ReplaceAll(key, "_", "-"), withJob, plan.streams(plan.blocks+2))
	if err != nil {
		return err
	}
	if err := operator.idle(ctx); err != nil {
		return err
	}
	s := newSender(streams.namespace, operator.receiver)
	defer s.close()
	twin := streams.twin()
	measured, err := w.ackBlocks(ctx, s, streams, twin, plan)
	if err != nil {
		return err
	}
	err = w.profile(ctx, operator, key, plan.lasts(), func() error {
		_, _, err := w.ackBlock(ctx, s, streams, twin, plan, plan.blocks+1)
		return err
	})
	if err != nil {
		return err
	}
	w.putLatency(key, measured)
	return w.finish(ctx, operator, streams)
}

// ackBlocks are all that count, after one that does not: both sides have been used before, their connections, keys, the API server's own caches.
func (w *world) ackBlocks(ctx context.Context, s *sender, streams, twin *population, plan ackPlan) ([]stats.Pair, error) {
	measured := make([]stats.Pair, plan.blocks+1)
	for block := range measured {
		var refused int
		var err error
		if measured[block], refused, err = w.ackBlock(ctx, s, streams, twin, plan, block); err != nil {
			return nil, err
		}
		if refused > 0 {
			return nil, fmt.Errorf("%d callbacks of a block: %w", refused, errRefused)
		}
	}
	return measured[1:], nil
}

// ackBlock is one block. What is refused is counted, and has no time to a 200.
func (w *world) ackBlock(ctx context.Context, s *sender, streams, twin *population, plan ackPlan, block int) (pair stats.Pair, refused int, err error) {
	order := stats.Mixed(plan.pairs, rand.New(rand.NewPCG(w.seed, uint64(block)))) //nolint:gosec // nothing secret
	if err := errors.Join(streams.prepare(plan.pairs), twin.prepare(plan.pairs)); err != nil {
		return pair, 0, err
	}
	var mu sync.Mutex
	var failed error
	err = openLoop(ctx, stats.Arrivals(plan.rate, len(order)), func(i int, due time.Time) {
		do := func() error { return twin.write(ctx, w.bare) }
		if order[i] == stats.Subject {
			do = func() error { return streams.send(ctx, s) }
		}
		err := do()
		took := milliseconds(time.Since(due))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, errRefused):
			refused++
		case err != nil:
			failed = errors.Join(failed, err)
		case order[i] == stats.Subject:
			pair.Subject = append(pair.Subject, took)
		default:
			pair.Reference = append(pair.Reference, took)
		}
	})
	return pair, refused, errors.Join(err, failed)
}

// putLatency tells the ratios of both percentiles.
func (w *world) putLatency(key string, measured []stats.Pair) {
	all := latencies{pairs: measured}
	reference, subject := slices.Concat(all.bare()...), slices.Concat(all.ours()...)
	put := func(name string, p, told float64, note string) {
		unit := fmt.Sprintf("p%.0f_ms", 100*p)
		w.report.put(key+"_"+name+"_ratio", result{
			Interval: stats.PercentileRatio(measured, p, w.seed), Blocks: len(measured), Drift: stats.Drift(medians(all.bare())), Percentile: told, Note: note,
			Reference: map[string]float64{unit: stats.Percentile(reference, p), "count": float64(len(reference))},
			Subject:   map[string]float64{unit: stats.Percentile(subject, p), "count": float64(len(subject))},
		})
	}
	put("p50", 0.5, 0, "")
	p, told, note := tail(min(len(reference), len(subject)))
	put("p99", p, told, note)
}

// finish ends the operator and takes its streams away, with their Jobs. An event that the operator took for something else than what it was, and
// answered for less, would make it look fast: there must be none.
func (w *world) finish(ctx context.Context, operator *operator, streams *population, allowed ...string) error {
	results, err := operator.receiver.counts(ctx, "livestream_callbacks_total")
	if err != nil {
		return err
	}
	w.say("%s: %v", streams.namespace, results)
	for result := range results {
		if !slices.Contains(append(allowed, "started", "ended"), result) {
			return fmt.Errorf("the operator took callbacks for %q: %v", result, results)
		}
	}
	operator.kill()
	return w.remove(ctx, streams.namespace)
}
