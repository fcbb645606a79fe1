//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/faultproxy"
	"github.com/livestream-operator/livestream-operator/internal/installation"
)

// mutant is an operator with a fault of its own. The text is there exactly once, or the test fails: a mutant must not die unnoticed.
type mutant struct {
	name, file, text, instead string
	// first names the trials that are played first. Where they do not catch it, all others are.
	first []string
}

// trial is a run that a mutant has to survive to stay uncaught.
type trial struct {
	name string
	run  func(ctx context.Context, binary string) (outcome, error)
}

func (s scenario) trial() trial {
	return trial{s.name, func(ctx context.Context, binary string) (outcome, error) { return s.act(ctx, binary, nil) }}
}

// with is the scenario with one rule in force.
func (s scenario) with(name string, rule faultproxy.Rule) trial {
	return s.withAll(name, func(*world) []faultproxy.Rule { return []faultproxy.Rule{rule} })
}

func (s scenario) withAll(name string, rules func(*world) []faultproxy.Rule) trial {
	return trial{s.name + ", " + name, func(ctx context.Context, binary string) (outcome, error) {
		return s.act(ctx, binary, func(w *world) {
			w.faulty = true
			for _, r := range rules(w) {
				w.replicas[0].proxy.Add(r)
			}
		})
	}}
}

func named(name string) scenario {
	return scenarios[slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })]
}

// trials are what make chaos plays, in short.
func trials() []trial {
	status := faultproxy.Rule{Verb: "patch", Resource: "livestreams/status"}
	refusal := status
	refusal.Fault.Status = http.StatusConflict
	away := faultproxy.Rule{Verb: "patch", Resource: "livestreams/status", Times: 2, Fault: faultproxy.Fault{Status: http.StatusServiceUnavailable}}
	undeleted := faultproxy.Rule{Verb: "delete", Resource: "jobs", Times: 4, Fault: faultproxy.Fault{Status: http.StatusServiceUnavailable}}
	all := []trial{
		named("start").with("a conflict", refusal),
		named("start").with("an API server that is away", away),
		named("next broadcast").with("a Job that cannot be deleted", undeleted),
		named("stop").with("a Job that cannot be deleted", undeleted),
		named("deleted on air").withAll("a share that cannot be given back", unscalable),
	}
	for _, s := range append(slices.Clone(scenarios), pastScenarios...) {
		all = append(all, s.trial())
	}
	for _, seed := range []uint64{1, 2, 4} {
		for _, split := range []bool{false, true} {
			c := newCampaign(seed, split, campaignLength)
			all = append(all, trial{c.String(), c.run})
		}
	}
	return append(all, trial{"storm", newStorm(1).run})
}

// build builds the operator with the fault.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(installed.Root, m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.text); n != 1 {
		t.Fatalf("%s has the text %d times, want once: bring the mutant up to date\n%s", m.file, n, m.text)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.text, m.instead, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "manager")
	if err := installation.BuildManager(t.Context(), installed.Root, target, "-overlay", filepath.Join(dir, "overlay.json")); err != nil {
		t.Fatal(err)
	}
	return target
}

// caught plays one trial after the other until one finds something.
func (m mutant) caught(t *testing.T, binary string) bool {
	t.Helper()
	all := trials()
	for _, name := range m.first {
		if !slices.ContainsFunc(all, func(tr trial) bool { return tr.name == name }) {
			t.Fatalf("there is no trial %q", name)
		}
	}
	rank := func(tr trial) int {
		if slices.Contains(m.first, tr.name) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b trial) int { return rank(a) - rank(b) })
	for _, tr := range all {
		o, err := tr.run(t.Context(), binary)
		if err != nil {
			t.Fatal(err)
		}
		if len(o.violations) > 0 {
			t.Logf("caught by %q: %s", tr.name, o.violations[0])
			return true
		}
		t.Logf("not caught by %q", tr.name)
	}
	return false
}

func TestEachMutantIsCaught(t *testing.T) {
	if !*mutants {
		t.Skip("it is for make chaos MUTANTS=1")
	}
	t.Run("the operator as it is", func(t *testing.T) {
		t.Parallel()
		// Beside the others: a trial that this one does not survive catches nothing.
		for _, tr := range trials() {
			if !isFirst(tr) {
				continue
			}
			if o, err := tr.run(t.Context(), binary); err != nil || len(o.violations) > 0 {
				t.Errorf("%q: %v %v", tr.name, err, o.violations)
			}
		}
	})
	for _, m := range faultyOperators {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			results.mutant()
			if m.caught(t, m.build(t)) {
				results.caught()
			} else {
				t.Error("nothing catches it")
			}
		})
	}
}

// isFirst says whether a mutant names the trial.
func isFirst(tr trial) bool {
	return slices.ContainsFunc(faultyOperators, func(m mutant) bool { return slices.Contains(m.first, tr.name) })
}

// A mutant whose text is gone tests nothing; this is looked at in every run.
func TestTheMutantsFitTheSource(t *testing.T) {
	for _, m := range faultyOperators {
		source, err := os.ReadFile(filepath.Join(installed.Root, m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.text); n != 1 || m.text == m.instead {
			t.Errorf("%s: %s has the text %d times, want once", m.name, m.file, n)
		}
	}
}
