package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

func TestThePageTellsWhatIsNotGood(t *testing.T) {
	r := newReport(t)
	r.put("ack_p50_ratio", result{Interval: stats.Interval{Value: 1.5, Low: 1.4, High: 1.6}, Blocks: 20, Drift: 0.3, Reference: map[string]float64{"p50_ms": 5.25}})
	got := page(r)
	for _, want := range []string{
		"| `ack_p50_ratio` | callback to 200, over a bare status write, median | 1.50 (1.40 to 1.60) | <= 1.05 | no |",
		"- `ack_p50_ratio`: 1.50 (1.40 to 1.60); the target, <= 1.05, is missed.",
		"the machine changed by 30 % meanwhile", "p50_ms 5.25", "- `growth_100k` is not measured.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
}

func TestThePageIsTheOneOfThePublishedFigures(t *testing.T) {
	root, err := controlplane.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	told, err := loadReport(publishedPath(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(told.Results) == 0 {
		t.Fatal("no figure is published")
	}
	stands, err := os.ReadFile(filepath.Join(root, "docs", "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page(told), string(stands)); diff != "" {
		t.Errorf("write docs/benchmarks.md by go run ./test/bench -docs (-want +got):\n%s", diff)
	}
}

func TestARunOfAPartReplacesThatPartOfWhatIsTold(t *testing.T) {
	here := machine{Cores: 2, CPU: "a", MemoryGiB: 24, Go: "go1.26.8"}
	older := result{Interval: stats.Interval{Value: 1}, Date: "2026-11-27", Commit: "aaaaaaa"}
	newer := func(change func(*result)) result {
		got := result{Interval: stats.Interval{Value: 2}, Date: "2026-11-28", Commit: "bbbbbbb"}
		if change != nil {
			change(&got)
		}
		return got
	}
	for _, row := range []struct {
		name     string
		measured map[string]result
		want     float64
		left     []string
	}{
		{"measured anew", map[string]result{"job_p50_ratio": newer(nil)}, 2, nil},
		{"another part", map[string]result{"storm_drain_ratio": newer(nil)}, 1, nil},
		{"before what is told", map[string]result{"job_p50_ratio": newer(func(r *result) { r.Date = "2026-11-26" })}, 1,
			[]string{"job_p50_ratio: it is of 2026-11-26, and what is told of 2026-11-27"}},
		{"with changes in no commit", map[string]result{"job_p50_ratio": newer(func(r *result) { r.Commit = "bbbbbbb-dirty" })}, 1,
			[]string{"job_p50_ratio: it was measured with changes that are in no commit"}},
		{"quickly", map[string]result{"job_p50_ratio": newer(func(r *result) { r.Quick = true })}, 1,
			[]string{"job_p50_ratio: it is of a quick run, and what is told is not"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			told := &report{Machine: here, Results: map[string]result{"job_p50_ratio": older}}
			upgraded := here
			upgraded.Go = "go1.27.0"
			left, err := told.take(&report{Machine: upgraded, Results: row.measured})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.left, left); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			if got := told.Results["job_p50_ratio"].Value; got != row.want {
				t.Errorf("told is %v, want %v", got, row.want)
			}
			if taken := row.left == nil; (told.Machine == upgraded) != taken {
				t.Errorf("the page tells of %+v, though a figure of %+v was taken: %t", told.Machine, upgraded, taken)
			}
		})
	}
}

func TestFiguresOfTwoMachinesAreNotToldInOneTable(t *testing.T) {
	root := t.TempDir()
	for path, of := range map[string]machine{publishedPath(root): {Cores: 2, CPU: "a", MemoryGiB: 24}, measuredPath(root): {Cores: 16, CPU: "b", MemoryGiB: 64}} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(report{Machine: of, Results: map[string]result{"job_p50_ratio": {Date: "2026-11-28", Commit: "aaaaaaa"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publish(root); err == nil || !strings.Contains(err.Error(), "delete docs/benchmarks.json") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "docs", "benchmarks.md")); !os.IsNotExist(err) {
		t.Errorf("a page was written: %v", err)
	}
}
