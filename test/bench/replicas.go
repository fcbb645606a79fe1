package main

import (
	"context"
	"fmt"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchReplicas measures what an event costs with one, two and four replicas that receive, all of them together, and how many are taken.
func benchReplicas(ctx context.Context, w *world) error {
	streams, err := w.newPopulation(ctx, "replicas", withJob, w.pick(1000, 4000))
	if err != nil {
		return err
	}
	defer func() { _ = w.remove(ctx, streams.namespace) }()
	var replicas []*process
	for range 4 {
		p, err := w.startReceiver(ctx)
		if err != nil {
			return err
		}
		defer p.kill()
		replicas = append(replicas, p)
	}
	numbers := []int{1, 2, 4}
	spent, rates := map[int][]stats.Cost{}, map[int][]stats.Cost{}
	for round := range w.pick(2, 8) {
		for i := range numbers {
			number := numbers[(i+round)%len(numbers)]
			cpu, rate, err := w.replicaBlock(ctx, streams, replicas[:number])
			if err != nil {
				return err
			}
			spent[number], rates[number] = append(spent[number], cpu), append(rates[number], rate)
		}
	}
	for _, number := range numbers[1:] {
		w.report.put(fmt.Sprintf("replicas_%d_cpu_ratio", number), result{
			Interval: stats.CostRatio(spent[number], spent[1], w.seed), Blocks: len(spent[number]), Drift: stats.DriftOfCosts(spent[1]),
			Reference: map[string]float64{"cpu_us": 1e6 * stats.PerThing(spent[1]).Value, "events_per_s": stats.PerThing(rates[1]).Value, "replicas": 1},
			Subject:   map[string]float64{"cpu_us": 1e6 * stats.PerThing(spent[number]).Value, "events_per_s": stats.PerThing(rates[number]).Value, "replicas": float64(number)},
			Note:      "CPU of all replicas together for an event, over that of one",
		})
	}
	return nil
}

func (w *world) replicaBlock(ctx context.Context, streams *population, replicas []*process) (cpu, rate stats.Cost, err error) {
	s := newSender(streams.namespace, replicas...)
	defer s.close()
	total := func() (sum float64, err error) {
		for _, r := range replicas {
			one, err := r.cpu()
			if err != nil {
				return 0, err
			}
			sum += one
		}
		return sum, nil
	}
	before, err := total()
	if err != nil {
		return cpu, rate, err
	}
	done, took, err := closedLoop(ctx, 64, 1500*time.Millisecond, func(int, int) error { return streams.send(ctx, s) })
	if err != nil {
		return cpu, rate, err
	}
	after, err := total()
	return stats.Cost{Spent: after - before, Done: done}, stats.Cost{Spent: done, Done: took}, err
}
