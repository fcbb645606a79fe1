//go:build chaos

package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// kind is what a violation is one of.
type kind string

const (
	ackedLost    kind = "acked event lost"
	doubled      kind = "double workload"
	wrongStop    kind = "wrong stop"
	resurrection kind = "resurrection"
	orphan       kind = "orphan"
	restless     kind = "writes after settling"
	disagreement kind = "disagreement with the model"
	// unsettled is what did not come true in time: a machine that is too slow may be why.
	unsettled kind = "not settled in time"
	growth    kind = "growth"
)

type violation struct {
	kind kind
	text string
}

func (v violation) String() string { return string(v.kind) + ": " + v.text }

// tally is what out/chaos.json says.
type tally struct {
	mu sync.Mutex

	// Commit is that of the operator, with "-dirty" where the tree has more than it; Date is when the run began.
	Commit string `json:"commit"`
	Date   string `json:"date"`
	Full   bool   `json:"full"`

	Faults    int `json:"faults"`
	Survived  int `json:"survived"`
	Unreached int `json:"unreached"`
	// Missed are the names of the tests whose calls did not come.
	Missed []string `json:"unreached_calls"`
	Runs   int      `json:"runs"`
	// Events are answers 200; DistinctEvents leaves out the copies.
	Events            int     `json:"events"`
	DistinctEvents    int     `json:"distinct_events"`
	Pushes            int     `json:"pushes"`
	AckedLost         int     `json:"acked_lost"`
	DoubleWorkloads   int     `json:"double_workloads"`
	WrongStops        int     `json:"wrong_stops"`
	Resurrections     int     `json:"resurrections"`
	Orphans           int     `json:"orphans"`
	Disagreements     int     `json:"disagreements"`
	Unsettled         int     `json:"unsettled"`
	Restless          int     `json:"restless"`
	Growths           int     `json:"growths"`
	SettleP99         float64 `json:"settle_seconds_p99"`
	WritesAfterSettle int     `json:"writes_after_settle"`
	Upgrades          int     `json:"upgrades"`
	Takeovers         int     `json:"takeovers"`
	Mutants           int     `json:"mutants"`
	MutantsCaught     int     `json:"mutants_caught"`
	MutantsCommit     string  `json:"mutants_commit"`
	// Soak is of one process, from its start to its end. The slope is only told where it means something.
	Soak             float64  `json:"soak_minutes"`
	HeapSlope        *float64 `json:"heap_slope_mib_per_hour,omitempty"`
	GoroutinesGrowth int      `json:"goroutines_growth"`
	DescriptorGrowth int      `json:"fds_growth"`
	// Storm events and pushes are those of the storm alone.
	StormEvents int `json:"storm_events"`
	StormPushes int `json:"storm_pushes"`
	// JobPushes are those pushes of a storm whose LiveStream has a Job.
	JobPushes int      `json:"storm_pushes_with_jobs"`
	Seeds     []uint64 `json:"seeds"`

	settled []time.Duration
}

// add counts a run. All its faults count as survived, or none.
func (t *tally) add(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Runs++
	t.Faults += o.faults
	defer t.save()
	t.Events += o.events
	t.DistinctEvents += o.distinct
	t.Pushes += o.pushes
	t.WritesAfterSettle += o.lateWrites
	t.settled = append(t.settled, o.settled...)
	if len(o.violations) == 0 {
		t.Survived += o.faults
	}
	for _, v := range o.violations {
		switch v.kind {
		case ackedLost:
			t.AckedLost++
		case doubled:
			t.DoubleWorkloads++
		case wrongStop:
			t.WrongStops++
		case resurrection:
			t.Resurrections++
		case orphan:
			t.Orphans++
		case disagreement:
			t.Disagreements++
		case unsettled:
			t.Unsettled++
		case restless:
			t.Restless++
		case growth:
			t.Growths++
		}
	}
}

// begin notes what is played, and when.
func (t *tally) begin() {
	t.Date, t.Full = time.Now().UTC().Format(time.RFC3339), *full
	output, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "asking for the commit:", err)
	}
	t.Commit = strings.TrimSpace(string(output))
}

// count counts a run, fails the test for each violation, and says how to play it again.
func count(t *testing.T, o outcome) {
	t.Helper()
	results.add(o)
	const most = 20
	for _, v := range o.violations[:min(most, len(o.violations))] {
		t.Error(v)
	}
	if more := len(o.violations) - most; more > 0 {
		t.Errorf("and %d more", more)
	}
	if t.Failed() {
		t.Logf("play it again with: make chaos RUN='%s'%s LOGS=1", t.Name(), flags())
	}
}

func flags() string {
	text := ""
	if *full {
		text += " FULL=1"
	}
	if *seed != 0 {
		text += fmt.Sprint(" SEED=", *seed)
	}
	return text
}

// save writes what is known so far: a run that is broken off leaves its figures.
func (t *tally) save() {
	if err := t.write(filepath.Join(installed.Root, "out", "chaos.json")); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// write keeps the figures of the other kind of run: mutants have one of their own.
func (t *tally) write(path string) error {
	before := &tally{}
	if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, before) == nil {
		if *mutants {
			before.Mutants, before.MutantsCaught, before.MutantsCommit = t.Mutants, t.MutantsCaught, t.Commit
			return before.put(path)
		}
		t.Mutants, t.MutantsCaught, t.MutantsCommit = before.Mutants, before.MutantsCaught, before.MutantsCommit
	}
	slices.Sort(t.settled)
	if n := len(t.settled); n > 0 {
		t.SettleP99 = t.settled[(n*99-1)/100].Seconds()
	}
	return t.put(path)
}

func (t *tally) put(path string) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of the results: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// missed counts a fault whose call did not come.
func (t *tally) missed(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Unreached++
	t.Missed = append(t.Missed, name)
}

// tookOver counts leaders that were stopped past their lease and found another in their place.
func (t *tally) tookOver() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Takeovers++
}

// upgraded counts swaps of builds that were survived.
func (t *tally) upgraded(swaps int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Upgrades += swaps
	t.save()
}

// storm notes how much came together in a storm.
func (t *tally) storm(o outcome, withJobs int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.StormEvents, t.StormPushes, t.JobPushes = o.events, o.pushes, withJobs
}

func (t *tally) seed(s uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Seeds = append(t.Seeds, s)
}

func (t *tally) mutant() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Mutants++
	t.save()
}

func (t *tally) caught() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.MutantsCaught++
	t.save()
}
