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
	// LeastBlocks is how many an interval of 95 % takes. Fewer are not drawn from: what they show is their range.
	LeastBlocks = 8
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

// Tail is the highest percentile, of the 99th, the 95th and the 90th, that so many values tell: with less than five beyond it, it is the luck of
// one or two.
func Tail(count int) float64 {
	switch {
	case count >= 500:
		return 0.99
	case count >= 300:
		return 0.95
	default:
		return 0.90
	}
}

// Interval is an estimate and its 95 % interval, or the range of fewer than LeastBlocks.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Bootstrap estimates a statistic of blocks. A block is the unit that is drawn anew, with replacement, because what lies in one block
// shares the noise of its time. The statistic gets the indexes of the blocks that were drawn.
//
// Of fewer than LeastBlocks it is the range of the statistic over single blocks. Of one there is no range: the interval is then from minus to plus
// infinity, never narrow.
func Bootstrap(blocks int, seed uint64, statistic func(drawn []int) float64) Interval {
	return bootstrap([]int{blocks}, seed, func(drawn [][]int) float64 { return statistic(drawn[0]) })
}

// BootstrapApart is of two groups of blocks that did not run beside each other: each is drawn for itself.
func BootstrapApart(first, second int, seed uint64, statistic func(first, second []int) float64) Interval {
	return bootstrap([]int{first, second}, seed, func(drawn [][]int) float64 { return statistic(drawn[0], drawn[1]) })
}

func bootstrap(blocks []int, seed uint64, statistic func(drawn [][]int) float64) Interval {
	estimate := Interval{Value: math.NaN(), Low: math.Inf(-1), High: math.Inf(1)}
	fewest := slices.Min(blocks)
	if fewest == 0 {
		return estimate
	}
	drawn := make([][]int, len(blocks))
	for group, count := range blocks {
		drawn[group] = make([]int, count)
		for i := range drawn[group] {
			drawn[group][i] = i
		}
	}
	estimate.Value = statistic(drawn)
	var estimates []float64
	add := func(e float64) {
		if !math.IsNaN(e) {
			estimates = append(estimates, e)
		}
	}
	switch {
	case fewest < 2:
		return estimate
	case fewest < LeastBlocks:
		add(estimate.Value)
		eachSingle(blocks, func(one [][]int) { add(statistic(one)) })
	default:
		random := rand.New(rand.NewPCG(seed, uint64(blocks[0]))) //nolint:gosec // nothing secret
		for range resamples {
			for group, count := range blocks {
				for i := range drawn[group] {
					drawn[group][i] = random.IntN(count)
				}
			}
			add(statistic(drawn))
		}
	}
	if len(estimates) == 0 {
		return estimate
	}
	slices.Sort(estimates)
	if fewest < LeastBlocks {
		estimate.Low, estimate.High = estimates[0], estimates[len(estimates)-1]
	} else {
		estimate.Low, estimate.High = sortedPercentile(estimates, (1-confident)/2), sortedPercentile(estimates, (1+confident)/2)
	}
	return estimate
}

// eachSingle hands out one block of each group, in every combination.
func eachSingle(blocks []int, each func(one [][]int)) {
	if len(blocks) == 0 {
		each(nil)
		return
	}
	for i := range blocks[0] {
		eachSingle(blocks[1:], func(rest [][]int) { each(append([][]int{{i}}, rest...)) })
	}
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

// PercentileRatioApart is the same of blocks that did not run beside each other.
func PercentileRatioApart(subject, reference [][]float64, p float64, seed uint64) Interval {
	return BootstrapApart(len(subject), len(reference), seed, func(ours, bare []int) float64 {
		return PercentileOf(subject, p, ours) / PercentileOf(reference, p, bare)
	})
}

// PercentileOf is of all values of the blocks that were drawn.
func PercentileOf(blocks [][]float64, p float64, drawn []int) float64 {
	var all []float64
	for _, i := range drawn {
		all = append(all, blocks[i]...)
	}
	return Percentile(all, p)
}

// Cost is what one block took of something, such as seconds, for a number of things done.
type Cost struct{ Spent, Done float64 }

// CostRatio is what the subject spends for one thing over what the reference does. The i-th of both ran beside each other.
func CostRatio(subject, reference []Cost, seed uint64) Interval {
	return Bootstrap(min(len(subject), len(reference)), seed, func(drawn []int) float64 {
		return PerThingOf(subject, drawn) / PerThingOf(reference, drawn)
	})
}

// CostRatioApart is the same of blocks that did not run beside each other.
func CostRatioApart(subject, reference []Cost, seed uint64) Interval {
	return BootstrapApart(len(subject), len(reference), seed, func(ours, theirs []int) float64 {
		return PerThingOf(subject, ours) / PerThingOf(reference, theirs)
	})
}

// PerThing is what one thing took, over all blocks.
func PerThing(costs []Cost) Interval {
	return Bootstrap(len(costs), 1, func(drawn []int) float64 { return PerThingOf(costs, drawn) })
}

// PerThingOf is the same over those blocks that were drawn.
func PerThingOf(costs []Cost, drawn []int) float64 {
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

// DriftOfCosts is the drift of what one thing took.
func DriftOfCosts(costs []Cost) float64 {
	perThing := make([]float64, len(costs))
	for i, c := range costs {
		perThing[i] = c.Spent / c.Done
	}
	return Drift(perThing)
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
