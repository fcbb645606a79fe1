package policy

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// What the fuzzer once found by work runs with every test from then on. Without it each begins with what somebody thought of.
func TestTheFuzzTargetsOfBadInputHaveKeptCorpora(t *testing.T) {
	const least, longest = 5, 4096
	for what, targets := range map[string][]string{
		"callbacks are decoded":             {"internal/provider/tencent/FuzzParse"},
		"signatures and their times":        {"internal/provider/tencent/FuzzSignatureAndTime"},
		"no two have one name":              {"internal/workload/FuzzJobName", "internal/workload/FuzzStreamName"},
		"pushes against a model":            {"internal/push/FuzzApply"},
		"URLs are signed":                   {"internal/provider/tencent/FuzzPlaybackURL"},
		"plans":                             {"internal/plan/FuzzPlan"},
		"arguments of what the worker runs": {"internal/ffmpeg/FuzzTranscode", "internal/ffmpeg/FuzzNoNameBecomesAnOption"},
		"configurations of the worker":      {"internal/recording/FuzzConfig", "internal/workload/FuzzWorkerConfig"},
	} {
		for _, target := range targets {
			dir, name := filepath.Split(filepath.Join(root(t), target))
			declaration := regexp.MustCompile(`(?m)^func ` + name + `\(f \*testing\.F\)`)
			if sources := read(t, filepath.Join(dir, "*_test.go")); !declaration.Match(bytes.Join(sources, nil)) {
				t.Errorf("%s: there is no %s", what, target)
			}
			inputs := read(t, filepath.Join(dir, "testdata", "fuzz", name, "*"))
			if len(inputs) < least {
				t.Errorf("%s: %s has %d kept inputs, want %d", what, target, len(inputs), least)
			}
			for _, input := range inputs {
				if len(input) > longest {
					t.Errorf("%s: an input of %s has %d bytes; have the fuzzer make it smaller", what, target, len(input))
				}
			}
		}
	}
}

// read are the files that the pattern names.
func read(t *testing.T, pattern string) [][]byte {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var files [][]byte
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, text)
	}
	return files
}
