package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	for _, row := range []struct {
		name   string
		values []float64
		p      float64
		want   float64
	}{
		{"the median of an odd number is the one in the middle", []float64{3, 1, 2}, 0.5, 2},
		{"the median of an even number lies between two", []float64{4, 1, 2, 3}, 0.5, 2.5},
		{"the least", []float64{3, 1, 2}, 0, 1},
		{"the greatest", []float64{3, 1, 2}, 1, 3},
		{"of one value each is that value", []float64{7}, 0.99, 7},
		{"p99 of 0 to 100", upTo(101), 0.99, 99},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := slices.Clone(row.values)
			if got := Percentile(row.values, row.p); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
			if diff := cmp.Diff(before, row.values); diff != "" {
				t.Errorf("the values were changed: %s", diff)
			}
		})
	}
	if got := Percentile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("of nothing: got %v, want NaN", got)
	}
}

func upTo(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(i)
	}
	return values
}

func TestBootstrap(t *testing.T) {
	mean := func(values []float64) func([]int) float64 {
		return func(drawn []int) float64 {
			total := 0.0
			for _, i := range drawn {
				total += values[i]
			}
			return total / float64(len(drawn))
		}
	}
	t.Run("equal blocks leave no doubt", func(t *testing.T) {
		if got, want := Bootstrap(10, 1, mean(slices.Repeat([]float64{3}, 10))), (Interval{3, 3, 3}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("the same seed gives the same interval", func(t *testing.T) {
		values := upTo(20)
		if a, b := Bootstrap(20, 7, mean(values)), Bootstrap(20, 7, mean(values)); a != b {
			t.Errorf("got %v and %v", a, b)
		}
	})
	t.Run("a single block leaves all doubt", func(t *testing.T) {
		if got, want := Bootstrap(1, 1, mean([]float64{3})), (Interval{3, math.Inf(-1), math.Inf(1)}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("of a few blocks it is their range", func(t *testing.T) {
		if got, want := Bootstrap(7, 1, mean(upTo(7))), (Interval{3, 0, 6}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("blocks that ran apart are drawn apart", func(t *testing.T) {
		// Drawn together, the two would always be equal.
		values := upTo(20)
		difference := func(first, second []int) float64 { return mean(values)(first) - mean(values)(second) }
		if got := BootstrapApart(20, 20, 1, difference); got.Value != 0 || got.Low >= 0 || got.High <= 0 {
			t.Errorf("got %v, want an interval around 0", got)
		}
		if got, want := BootstrapApart(2, 3, 1, difference), (Interval{-0.5, -2, 1}); got != want {
			t.Errorf("of a few: got %v, want %v", got, want)
		}
	})
	t.Run("the true mean is within the interval about 95 times of 100", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		covered := 0
		for try := range 400 {
			values := make([]float64, 40)
			for i := range values {
				values[i] = random.NormFloat64() + 10
			}
			if got := Bootstrap(len(values), uint64(try), mean(values)); got.Low <= 10 && 10 <= got.High {
				covered++
			}
		}
		if share := float64(covered) / 400; share < 0.91 || share > 0.98 {
			t.Errorf("it is within %.0f %% of the intervals", 100*share)
		}
	})
}

func TestRatios(t *testing.T) {
	pairs := []Pair{{Subject: []float64{2, 4}, Reference: []float64{1, 2}}, {Subject: []float64{4, 2}, Reference: []float64{2, 1}}}
	if got := PercentileRatio(pairs, 0.5, 1).Value; got != 2 {
		t.Errorf("the ratio of the medians is %v, want 2", got)
	}
	if got := PercentileRatioApart([][]float64{{2, 4}, {6}}, [][]float64{{1, 2, 3}}, 0.5, 1).Value; got != 2 {
		t.Errorf("the ratio of the medians of blocks that ran apart is %v, want 2", got)
	}
	// A long block counts as much as what was done in it.
	subject, reference := []Cost{{Spent: 30, Done: 10}, {Spent: 2, Done: 1}}, []Cost{{Spent: 10, Done: 10}, {Spent: 1, Done: 1}}
	if got, want := CostRatio(subject, reference, 1).Value, (32.0/11)/(11.0/11); math.Abs(got-want) > 1e-9 {
		t.Errorf("the ratio of the costs is %v, want %v", got, want)
	}
	if got := PerThing(subject).Value; math.Abs(got-32.0/11) > 1e-9 {
		t.Errorf("one thing costs %v, want %v", got, 32.0/11)
	}
}

func TestDrift(t *testing.T) {
	if got := Drift([]float64{10, 10, 12, 12}); math.Abs(got-0.2) > 1e-9 {
		t.Errorf("got %v, want 0.2", got)
	}
	if got := Drift([]float64{1}); got != 0 {
		t.Errorf("one value drifts by %v", got)
	}
	if got := DriftOfCosts([]Cost{{Spent: 20, Done: 2}, {Spent: 12, Done: 1}}); math.Abs(got-0.2) > 1e-9 {
		t.Errorf("of costs: got %v, want 0.2", got)
	}
}

func TestTheTailIsTheHighestPercentileThatSoManyTell(t *testing.T) {
	for count, want := range map[int]float64{500: 0.99, 499: 0.95, 300: 0.95, 299: 0.90, 20: 0.90} {
		if got := Tail(count); got != want {
			t.Errorf("of %d: got %v, want %v", count, got, want)
		}
	}
}

func TestOrder(t *testing.T) {
	want := []Side{Reference, Subject, Subject, Reference, Reference, Subject}
	if diff := cmp.Diff(want, ABBA(3)); diff != "" {
		t.Error(diff)
	}
	mixed := Mixed(50, rand.New(rand.NewPCG(1, 1)))
	subjects := 0
	for _, side := range mixed {
		if side == Subject {
			subjects++
		}
	}
	if subjects != 50 || len(mixed) != 100 {
		t.Errorf("%d of %d are the subject's, want 50 of 100", subjects, len(mixed))
	}
	if slices.Equal(mixed, Mixed(50, rand.New(rand.NewPCG(2, 1)))) {
		t.Error("another seed gives the same order")
	}
}

func TestArrivals(t *testing.T) {
	want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond}
	if diff := cmp.Diff(want, Arrivals(4, 3)); diff != "" {
		t.Error(diff)
	}
}

func TestBlocksThatDidNotRunBesideEachOtherMayBeOfAnyNumber(t *testing.T) {
	subject := []Cost{{Spent: 6, Done: 2}, {Spent: 6, Done: 2}, {Spent: 6, Done: 2}}
	reference := []Cost{{Spent: 1, Done: 1}, {Spent: 2, Done: 1}}
	if got, want := CostRatioApart(subject, reference, 1), (Interval{Value: 2, Low: 1.5, High: 3}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}
