package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchAck measures a callback to its 200 over a bare status write, one at a time. The two are drawn at random and meet the same machine:
// what the operator does after a 200, Jobs and Pods and status, goes on beside both.
func benchAck(ctx context.Context, w *world) error {
	whole, err := w.startOperator(ctx)
	if err != nil {
		return err
	}
	defer whole.kill()
	if err := w.ack(ctx, "ack", whole, ackPlan{kind: withJob, rate: 12, pairs: w.pick(12, 25), blocks: w.pick(12, 50)}); err != nil {
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
	return w.ack(ctx, "ack_receiver_only", &operator{receiver: receiver}, ackPlan{kind: withJob, rate: 40, pairs: 40, blocks: 40})
}

type ackPlan struct {
	kind kind
	// rate is how many come in a second, of both sides together.
	rate float64
	// pairs is how many of each side a block has.
	pairs, blocks int
}

// lasts is how long a block takes.
func (p ackPlan) lasts() time.Duration {
	return time.Duration(float64(2*p.pairs) / p.rate * float64(time.Second))
}

func (w *world) ack(ctx context.Context, key string, operator *operator, plan ackPlan) error {
	streams, err := w.newPopulation(ctx, strings.ReplaceAll(key, "_", "-"), plan.kind, 400)
	if err != nil {
		return err
	}
	if err := operator.idle(ctx); err != nil {
		return err
	}
	s := newSender(streams.namespace, operator.receiver)
	defer s.close()
	twin := streams.twin()
	// Both have been used before the first counts: connections, keys, the API server's own caches.
	if _, err := w.ackBlock(ctx, s, streams, twin, plan, 0); err != nil {
		return err
	}
	measured := make([]stats.Pair, plan.blocks)
	for block := range measured {
		if measured[block], err = w.ackBlock(ctx, s, streams, twin, plan, block+1); err != nil {
			return err
		}
	}
	err = w.profile(ctx, operator, key, plan.lasts(), func() error {
		_, err := w.ackBlock(ctx, s, streams, twin, plan, plan.blocks+1)
		return err
	})
	if err != nil {
		return err
	}
	w.putLatency(key, measured)
	return w.finish(ctx, operator, streams)
}

// ackBlock is one block.
func (w *world) ackBlock(ctx context.Context, s *sender, streams, twin *population, plan ackPlan, block int) (stats.Pair, error) {
	order := stats.Mixed(plan.pairs, rand.New(rand.NewPCG(w.seed, uint64(block)))) //nolint:gosec // nothing secret
	if err := errors.Join(streams.prepare(plan.pairs), twin.prepare(plan.pairs)); err != nil {
		return stats.Pair{}, err
	}
	took, err := oneByOne(ctx, stats.Arrivals(plan.rate, len(order)), func(i int) error {
		if order[i] == stats.Subject {
			return streams.send(ctx, s)
		}
		return twin.write(ctx, w.bare)
	})
	var pair stats.Pair
	for i, ms := range took {
		if order[i] == stats.Subject {
			pair.Subject = append(pair.Subject, ms)
		} else {
			pair.Reference = append(pair.Reference, ms)
		}
	}
	return pair, err
}

// putLatency tells the ratios of both percentiles.
func (w *world) putLatency(key string, measured []stats.Pair) {
	medians := make([]float64, 0, len(measured))
	var reference, subject []float64
	for _, m := range measured {
		reference, subject, medians = append(reference, m.Reference...), append(subject, m.Subject...), append(medians, stats.Percentile(m.Reference, 0.5))
	}
	put := func(name string, p, told float64, note string) {
		unit := fmt.Sprintf("p%.0f_ms", 100*p)
		w.report.put(key+"_"+name+"_ratio", result{
			Interval: stats.PercentileRatio(measured, p, w.seed), Blocks: len(measured), Drift: stats.Drift(medians), Percentile: told, Note: note,
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
