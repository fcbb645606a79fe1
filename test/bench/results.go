package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/hugepages"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// result is one line of the table.
type result struct {
	stats.Interval
	// Target is the bound; AtLeast says that it is the least, otherwise it is the most. A figure without one is told beside the others.
	Target  *float64 `json:"target,omitempty"`
	AtLeast bool     `json:"atLeast,omitempty"`
	// Met says whether the value meets the target, Certain whether the worse end of its interval does, which the range of a few blocks does not tell.
	Met     bool `json:"met"`
	Certain bool `json:"certain"`
	// Reference and Subject are what was measured of both, with units in the names.
	Reference map[string]float64 `json:"reference,omitempty"`
	Subject   map[string]float64 `json:"subject,omitempty"`
	// Blocks is how many pairs of blocks the interval is from; none where it is a count.
	Blocks int `json:"blocks,omitempty"`
	// Percentile is what was told in place of the 99th, where too few were measured for that.
	Percentile float64 `json:"percentile,omitempty"`
	// Drift is how far the reference was off in the second half of the run, as a part; beyond 0.2 the figure is not to be trusted.
	Drift float64 `json:"drift,omitempty"`
	// Note says what the figure does not.
	Note  string `json:"note,omitempty"`
	Quick bool   `json:"quick,omitempty"`
	Date  string `json:"date"`
	// Commit is what was measured, Load how many processes wanted a core meanwhile, this program's own among them.
	Commit string `json:"commit"`
	Load   string `json:"load"`
	// HugePages is whether the kernel gave processes large pages without being asked: a virtual machine may ask each process for its small ones.
	HugePages string `json:"hugePages,omitempty"`
}

// machine is where it was measured.
type machine struct {
	Cores      int     `json:"cores"`
	MemoryGiB  float64 `json:"memoryGiB"`
	CPU        string  `json:"cpu"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	Kubernetes string  `json:"kubernetes"`
	Commit     string  `json:"commit"`
}

// report is what was measured, out/bench.json, or what is told, docs/benchmarks.json. A run of a part replaces that part.
type report struct {
	Machine machine           `json:"machine"`
	Results map[string]result `json:"results"`

	path  string
	quick bool
	// fresh are the keys of this run.
	fresh map[string]bool
	// failed is what could not be kept.
	failed error
}

// loadReport reads a report, which is empty where there is no file yet.
func loadReport(path string) (*report, error) {
	r := &report{path: path}
	text, err := os.ReadFile(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if err == nil {
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	if r.Results == nil {
		r.Results = map[string]result{}
	}
	return r, nil
}

// put judges a result and keeps it, in the file too: what comes after it may fail.
func (r *report) put(key string, got result) {
	if !finite(got.Value) {
		r.failed = errors.Join(r.failed, fmt.Errorf("%s has no value: nothing was measured", key))
		return
	}
	if of, there := targets[key]; there {
		got.Target, got.AtLeast = &of.bound, of.atLeast
		got.Met, got.Certain = of.met(got.Value), of.met(got.High)
		if of.atLeast {
			got.Certain = of.met(got.Low)
		}
		got.Certain = got.Certain && !got.few()
	}
	got.Date, got.Quick, got.Commit, got.Load, got.HugePages = time.Now().UTC().Format(time.DateOnly), r.quick, r.Machine.Commit, load(), hugepages.Setting()
	for _, end := range []*float64{&got.Low, &got.High} {
		if !finite(*end) {
			// JSON has none of them. An interval that is not known is as wide as can be.
			*end = math.Copysign(math.MaxFloat64, *end)
		}
	}
	if !finite(got.Drift) {
		got.Drift = 0
	}
	for _, side := range []map[string]float64{got.Reference, got.Subject} {
		// Such as the median time to a refusal where nothing was refused.
		maps.DeleteFunc(side, func(_ string, value float64) bool { return !finite(value) })
	}
	r.Results[key], r.fresh[key] = got, true
	fmt.Fprintln(os.Stderr, key, got.text())
	if err := r.save(); err != nil {
		r.failed = errors.Join(r.failed, err)
	}
}

func finite(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) }

// save writes the results in one step.
func (r *report) save() error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.WriteFile(r.path+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", r.path, err)
	}
	return os.Rename(r.path+".new", r.path)
}

func (r result) text() string {
	text := number(r.Value)
	switch {
	case r.Low == r.Value && r.High == r.Value:
	case r.High == math.MaxFloat64:
		text += " (one block)"
	case r.few():
		text += fmt.Sprintf(" (%s to %s, range of %d)", number(r.Low), number(r.High), r.Blocks)
	default:
		text += fmt.Sprintf(" (%s to %s)", number(r.Low), number(r.High))
	}
	return text
}

// few says that there were too few blocks for an interval of 95 %.
func (r result) few() bool { return r.Blocks > 0 && r.Blocks < stats.LeastBlocks }

// isCount says that there is nothing to be uncertain of.
func (r result) isCount() bool { return r.Blocks == 0 && r.Low == r.Value && r.High == r.Value }

// tail is the 99th percentile, or a lower one with a note, where fewer than that takes were measured of one side.
func tail(count int) (p, told float64, note string) {
	if p = stats.Tail(count); p == 0.99 {
		return p, 0, ""
	}
	return p, p, fmt.Sprintf("the %.0fth percentile: %d are too few for the 99th", 100*p, count)
}

func (r result) target() string {
	if r.Target == nil {
		return ""
	}
	if r.AtLeast {
		return ">= " + number(*r.Target)
	}
	return "<= " + number(*r.Target)
}

// judged says whether the figure is one to hold a target against: a quick run has small populations and few blocks, which leaves counts alone, and
// another percentile is another figure.
func (r result) judged() bool {
	return r.Target != nil && r.Percentile == 0 && (!r.Quick || r.isCount())
}

func (r result) verdict() string {
	switch {
	case r.Target == nil:
		return ""
	case !r.judged():
		return "not judged"
	case r.Met && r.Certain:
		return "yes"
	case r.Met:
		return "yes, not certain"
	default:
		return "no"
	}
}

// number has three digits that count.
func number(v float64) string {
	switch size := math.Abs(v); {
	case v == math.Trunc(v) && size < 1e9:
		return fmt.Sprintf("%.0f", v)
	case size >= 100:
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	case size >= 0.1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

func figures(of map[string]float64) string {
	parts := make([]string, 0, len(of))
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, name+" "+number(of[name]))
	}
	return strings.Join(parts, ", ")
}

// keys in the order of the table of targets, those without a target after theirs.
func (r *report) keys() []string {
	place := func(key string) int {
		best, longest := len(targetOrder), 0
		for i, known := range targetOrder {
			if strings.HasPrefix(key, known) && len(known) > longest {
				best, longest = i, len(known)
			}
		}
		return best
	}
	return slices.SortedFunc(maps.Keys(r.Results), func(a, b string) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
}

func (r *report) print(keys []string) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tVALUE (95 %)\tTARGET\tMET\tREFERENCE\tSUBJECT")
	for _, key := range keys {
		got := r.Results[key]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", key, got.text(), got.target(), got.verdict(), figures(got.Reference), figures(got.Subject))
	}
	_ = table.Flush()
}

// load is the kernel's average over the last five minutes.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
		return fields[1]
	}
	return "unknown"
}

func thisMachine(commit, kubernetes string) machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Kubernetes: kubernetes, Commit: commit}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kibibytes float64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %f kB", &kibibytes); err == nil {
			m.MemoryGiB = math.Round(kibibytes / (1 << 20))
		}
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, is := strings.CutPrefix(line, "model name\t: "); is {
				m.CPU = strings.TrimSpace(name)
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	return m
}
