package main

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

func newReport(t *testing.T) *report {
	t.Helper()
	return &report{Results: map[string]result{}, fresh: map[string]bool{}, path: filepath.Join(t.TempDir(), "bench.json")}
}

func TestAResultIsJudged(t *testing.T) {
	for _, row := range []struct {
		name, key string
		got       stats.Interval
		want      string
		quick     bool
	}{
		{"a quick run is not held against a target", "ack_p50_ratio", stats.Interval{Value: 1, Low: 0.9, High: 1.04}, "not judged", true},
		{"but a count is one", "writes_stale", stats.Interval{}, "yes", true},
		{"at most: all of the interval is below", "ack_p50_ratio", stats.Interval{Value: 1, Low: 0.9, High: 1.05}, "yes", false},
		{"at most: the interval reaches above", "ack_p50_ratio", stats.Interval{Value: 1, Low: 0.9, High: 1.06}, "yes, not certain", false},
		{"at most: the value is above", "ack_p50_ratio", stats.Interval{Value: 1.06, Low: 0.9, High: 1.1}, "no", false},
		{"at least: all of the interval is above", "duplicate_ratio", stats.Interval{Value: 6, Low: 5, High: 7}, "yes", false},
		{"at least: the interval reaches below", "duplicate_ratio", stats.Interval{Value: 6, Low: 4.9, High: 7}, "yes, not certain", false},
		{"at least: the value is below", "duplicate_ratio", stats.Interval{Value: 4.9, Low: 4, High: 7}, "no", false},
		{"a count that has to be none", "writes_stale", stats.Interval{Value: 1, Low: 1, High: 1}, "no", false},
		{"without a target nothing is judged", "ack_throughput_ratio_64", stats.Interval{Value: 9}, "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newReport(t)
			r.quick = row.quick
			blocks := stats.LeastBlocks
			if row.got.Low == row.got.High {
				blocks = 0
			}
			r.put(row.key, result{Interval: row.got, Blocks: blocks})
			if got := r.Results[row.key].verdict(); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestAFewBlocksAndALowerPercentileMakeNothingCertain(t *testing.T) {
	r := newReport(t)
	r.put("storm_drain_ratio", result{Interval: stats.Interval{Value: 1, Low: 0.9, High: 1.1}, Blocks: stats.LeastBlocks - 1})
	if got, want := r.Results["storm_drain_ratio"].text(), "1 (0.90 to 1.10, range of 7)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := r.Results["storm_drain_ratio"].verdict(), "yes, not certain"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p, told, note := tail(200)
	r.put("job_p99_ratio", result{Interval: stats.Interval{Value: 1, Low: 0.9, High: 1.1}, Blocks: 20, Percentile: told, Note: note})
	if got, want := r.Results["job_p99_ratio"].verdict(), "not judged"; got != want || p != 0.9 || !strings.Contains(note, "90th") {
		t.Errorf("got %q of %v (%s), want %q of 0.9", got, p, note, want)
	}
}

func TestARunOfAPartKeepsTheOtherParts(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ack_p50_ratio", "job_p50_ratio"} {
		r, err := loadReport(measuredPath(root))
		if err != nil {
			t.Fatal(err)
		}
		r.fresh = map[string]bool{}
		// One block has an interval without ends, which JSON does not have.
		r.put(key, result{Interval: stats.Bootstrap(1, 1, func([]int) float64 { return 1 })})
		if err := r.save(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := loadReport(measuredPath(root))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ack_p50_ratio", "job_p50_ratio"}, r.keys()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWasMeasuredIsKeptAtOnce(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := loadReport(measuredPath(root))
	if err != nil {
		t.Fatal(err)
	}
	r.fresh = map[string]bool{}
	nothing := stats.Percentile(nil, 0.5)
	r.put("job_p50_ratio", result{Interval: stats.Interval{Value: nothing}})
	r.put("overload_goodput", result{Interval: stats.Interval{Value: 1, Low: 1, High: 1}, Drift: nothing, Subject: map[string]float64{"refused": 0, "refused_p50_ms": nothing, "longest": math.Inf(1)}})
	if r.failed == nil {
		t.Error("nobody is told that there is no figure")
	}
	read, err := loadReport(measuredPath(root))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"overload_goodput"}, read.keys()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"refused": 0}, read.Results["overload_goodput"].Subject); diff != "" {
		t.Error(diff)
	}
}

func TestABenchmarkThatFailsDoesNotTakeThoseAfterItAlong(t *testing.T) {
	broken := errors.New("broken")
	ran := 0
	w := &world{populated: map[string]bool{}}
	err := w.play(t.Context(), []benchmark{
		{name: "first", run: func(context.Context, *world) error { return broken }},
		{name: "second", run: func(context.Context, *world) error { ran++; return nil }},
	}, time.Now())
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "first") || ran != 1 {
		t.Errorf("got %v, and the second ran %d times", err, ran)
	}
}

func TestEveryTargetHasAMeaningAndAPlace(t *testing.T) {
	for key := range targets {
		if meanings[key] == "" {
			t.Errorf("nothing says what %s is", key)
		}
	}
	for key := range meanings {
		placed := false
		for _, prefix := range targetOrder {
			placed = placed || strings.HasPrefix(key, prefix)
		}
		if !placed {
			t.Errorf("%s has no place in the table", key)
		}
	}
}

func TestTheGateFailsOnlyWhenAllOfTheIntervalIsAbove(t *testing.T) {
	for _, row := range []struct {
		name string
		got  stats.Interval
		want bool
	}{
		{"below", stats.Interval{Value: 2, Low: 1, High: 3}, true},
		{"above, but perhaps by noise", stats.Interval{Value: gateBound + 1, Low: gateBound, High: gateBound + 9}, true},
		{"certainly above", stats.Interval{Value: gateBound + 1, Low: gateBound + 0.1, High: gateBound + 2}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := passes(row.got); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}
