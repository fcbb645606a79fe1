// Package stats holds what the benchmarks do with numbers: percentiles, intervals by bootstrap, the order of blocks and the times of
// arrivals. It is pure: the same numbers and the same seed give the same result.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// resamples is enough for the ends of a 95 % interval to be steady in their second digit.
	resamples = 2000
	confident = 0.95
)

// Percentile of the values, by linear interpolation between the two nearest; p is from 0 to 1. NaN when there are none.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sortedPercentile(sorted, p)
}

func sortedPercentile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	below := int(math.Floor(at))
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (sorted[above]-sorted[below])*(at-float64(below))
}

// Sum of the values.
func Sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

// Mean of the values, NaN when there are none.
func Mean(values []float64) float64 { return Sum(values) / float64(len(values)) }

// Interval is an estimate and its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Bootstrap estimates a statistic of blocks. A block is the unit that is drawn anew, with replacement, because what lies in one block
// shares the noise of its time. The statistic gets the indexes of the blocks that were drawn.
//
// With fewer than two blocks there is nothing to draw from: the interval is then from minus to plus infinity, never narrow.
func Bootstrap(blocks int, seed uint64, statistic func(drawn []int) float64) Interval {
	all := make([]int, blocks)
	for i := range all {
		all[i] = i
	}
	estimate := Interval{Value: math.NaN(), Low: math.Inf(-1), High: math.Inf(1)}
	if blocks == 0 {
		return estimate
	}
	estimate.Value = statistic(all)
	if blocks < 2 {
		return estimate
	}
	random := rand.New(rand.NewPCG(seed, uint64(blocks))) //nolint:gosec // nothing secret
	estimates, drawn := make([]float64, 0, resamples), make([]int, blocks)
	for range resamples {
		for i := range drawn {
			drawn[i] = random.IntN(blocks)
		}
		if e := statistic(drawn); !math.IsNaN(e) {
			estimates = append(estimates, e)
		}
	}
	if len(estimates) == 0 {
		return estimate
	}
	slices.Sort(estimates)
	estimate.Low, estimate.High = sortedPercentile(estimates, (1-confident)/2), sortedPercentile(estimates, (1+confident)/2)
	return estimate
}

// Pair is a block of the subject and the block of the reference beside it.
type Pair struct {
	// Subject and Reference hold a value for each thing that was done, such as its latency in milliseconds.
	Subject, Reference []float64
}

// PercentileRatio is the p-th percentile of the subject over that of the reference, of all blocks together.
func PercentileRatio(pairs []Pair, p float64, seed uint64) Interval {
	return Bootstrap(len(pairs), seed, func(drawn []int) float64 {
		var subject, reference []float64
		for _, i := range drawn {
			subject, reference = append(subject, pairs[i].Subject...), append(reference, pairs[i].Reference...)
		}
		return Percentile(subject, p) / Percentile(reference, p)
	})
}

// Cost is what one block took of something, such as seconds, for a number of things done.
type Cost struct{ Spent, Done float64 }

// CostRatio is what the subject spends for one thing over what the reference does. The i-th of both ran beside each other.
func CostRatio(subject, reference []Cost, seed uint64) Interval {
	return Bootstrap(min(len(subject), len(reference)), seed, func(drawn []int) float64 {
		return perThing(subject, drawn) / perThing(reference, drawn)
	})
}

// PerThing is what one thing took, over all blocks.
func PerThing(costs []Cost) Interval {
	return Bootstrap(len(costs), 1, func(drawn []int) float64 { return perThing(costs, drawn) })
}

func perThing(costs []Cost, drawn []int) float64 {
	var total Cost
	for _, i := range drawn {
		total.Spent, total.Done = total.Spent+costs[i].Spent, total.Done+costs[i].Done
	}
	return total.Spent / total.Done
}

// Drift is how far the second half of the values is from the first, as a part of the first: a machine that changed meanwhile shows here.
func Drift(values []float64) float64 {
	if len(values) < 2 {
		return 0
	}
	half := len(values) / 2
	return Percentile(values[half:], 0.5)/Percentile(values[:half], 0.5) - 1
}

// Side is who is measured.
type Side int

// The two sides of a comparison.
const (
	Reference Side = iota
	Subject
)

// ABBA is the order of blocks: reference, subject, subject, reference, and so on, so that a drift meets both alike.
func ABBA(pairs int) []Side {
	order := make([]Side, 0, 2*pairs)
	for i := range pairs {
		if i%2 == 0 {
			order = append(order, Reference, Subject)
		} else {
			order = append(order, Subject, Reference)
		}
	}
	return order
}

// Mixed is a random order of as many of each side.
func Mixed(pairs int, random *rand.Rand) []Side {
	order := make([]Side, 2*pairs)
	for i := range pairs {
		order[i] = Subject
	}
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// Arrivals are the times, from the beginning, at which things are due that come at a constant rate for each second, whether or not
// those before them are done.
func Arrivals(rate float64, count int) []time.Duration {
	due := make([]time.Duration, count)
	for i := range due {
		due[i] = time.Duration(float64(i) / rate * float64(time.Second))
	}
	return due
}
