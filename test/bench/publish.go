package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// publish writes docs/benchmarks.json and docs/benchmarks.md: the figures that are told, with those of out/bench.json in their places.
// It says which of them it left out, and why.
func publish(root string) (left []string, err error) {
	measured, err := loadReport(measuredPath(root))
	if err != nil {
		return nil, err
	}
	told, err := loadReport(publishedPath(root))
	if err != nil {
		return nil, err
	}
	if left, err = told.take(measured); err != nil {
		return nil, err
	}
	if err := told.save(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "benchmarks.md"), []byte(page(told)), 0o644); err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return left, nil
}

// take puts what was measured in the place of what was told before, and returns what may not be told. An error says that both are of different machines.
func (r *report) take(measured *report) (left []string, err error) {
	if len(measured.Results) == 0 {
		return nil, nil
	}
	if len(r.Results) > 0 && !r.Machine.comparable(measured.Machine) {
		return nil, fmt.Errorf("docs/benchmarks.json is of %s, and out/bench.json of %s, which one table does not tell: delete docs/benchmarks.json to tell only what is measured here", r.Machine, measured.Machine)
	}
	for _, key := range slices.Sorted(maps.Keys(measured.Results)) {
		got := measured.Results[key]
		before, told := r.Results[key]
		switch {
		case strings.HasSuffix(got.Commit, "-dirty"):
			left = append(left, key+": it was measured with changes that are in no commit")
		case told && got.Date < before.Date:
			left = append(left, fmt.Sprintf("%s: it is of %s, and what is told of %s", key, got.Date, before.Date))
		case told && got.Quick && !before.Quick:
			left = append(left, key+": it is of a quick run, and what is told is not")
		default:
			r.Results[key], r.Machine = got, measured.Machine
		}
	}
	return left, nil
}

// comparable says that figures of both may stand in one table. Go, Kubernetes and the kernel change with commits, which each figure has.
func (m machine) comparable(other machine) bool {
	return m.Cores == other.Cores && m.CPU == other.CPU && m.MemoryGiB == other.MemoryGiB
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores (%s) with %.0f GiB", m.Cores, m.CPU, m.MemoryGiB)
}

func measuredPath(root string) string  { return filepath.Join(root, "out", "bench.json") }
func publishedPath(root string) string { return filepath.Join(root, "docs", "benchmarks.json") }
