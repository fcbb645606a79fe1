//go:build chaos

package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
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
	growth       kind = "growth"
)

type violation struct {
	kind kind
	text string
}

func (v violation) String() string { return string(v.kind) + ": " + v.text }

// tally is what out/chaos.json says.
type tally struct {
	mu sync.Mutex

	Faults            int     `json:"faults"`
	Survived          int     `json:"survived"`
	Unreached         int     `json:"unreached"`
	Runs              int     `json:"runs"`
	Events            int     `json:"events"`
	Pushes            int     `json:"pushes"`
	AckedLost         int     `json:"acked_lost"`
	DoubleWorkloads   int     `json:"double_workloads"`
	WrongStops        int     `json:"wrong_stops"`
	Resurrections     int     `json:"resurrections"`
	Orphans           int     `json:"orphans"`
	Disagreements     int     `json:"disagreements"`
	SettleP99         float64 `json:"settle_seconds_p99"`
	WritesAfterSettle int     `json:"writes_after_settle"`
	Upgrades          int     `json:"upgrades"`
	Mutants           int     `json:"mutants"`
	MutantsCaught     int     `json:"mutants_caught"`
	// Soak is of one process, from its start to its end. The slope is only told where it means something.
	Soak             float64  `json:"soak_minutes"`
	HeapSlope        *float64 `json:"heap_slope_mib_per_hour,omitempty"`
	GoroutinesGrowth int      `json:"goroutines_growth"`
	DescriptorGrowth int      `json:"fds_growth"`
	// Storm events and pushes are those of the storm alone.
	StormEvents int      `json:"storm_events"`
	StormPushes int      `json:"storm_pushes"`
	Seeds       []uint64 `json:"seeds"`

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
		case restless, disagreement:
			t.Disagreements++
		}
	}
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
			before.Mutants, before.MutantsCaught = t.Mutants, t.MutantsCaught
			return before.put(path)
		}
		t.Mutants, t.MutantsCaught = before.Mutants, before.MutantsCaught
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
func (t *tally) missed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Unreached++
}

// upgraded counts swaps of builds that were survived.
func (t *tally) upgraded(swaps int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Upgrades += swaps
	t.save()
}

// storm notes how much came together in a storm.
func (t *tally) storm(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.StormEvents, t.StormPushes = o.events, o.pushes
}

func (t *tally) seed(s uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Seeds = append(t.Seeds, s)
}

func (t *tally) mutant(caught bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Mutants++
	if caught {
		t.MutantsCaught++
	}
	t.save()
}
