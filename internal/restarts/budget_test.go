package restarts

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

var began = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)

// played is a Budget, its clock, and who had a turn.
type played struct {
	*Budget[string]
	now   time.Time
	turns []string
	asked map[string]Due
}

func newPlayed() *played { return &played{Budget: New[string](), now: began, asked: map[string]Due{}} }

// withoutRoom has had so many Jobs made at once.
func withoutRoom(made int) *played {
	p := newPlayed()
	p.ask(Due{Jobs: made}, "all that there is room for")
	p.settled("all that there is room for")
	p.turns = nil
	return p
}

// writes lets time pass in which a write takes as long as that ten times a second.
func (p *played) writes(took, during time.Duration) {
	for end := p.now.Add(during); p.now.Before(end); {
		p.now = p.now.Add(100 * time.Millisecond)
		p.NoteWrite(p.now, took)
	}
}

func (p *played) ask(due Due, names ...string) {
	for _, name := range names {
		p.asked[name] = due
		if p.Ask(p.now, name, due) {
			p.turns = append(p.turns, name)
		}
	}
}

// next gives the turns of now, and has them used.
func (p *played) next() time.Duration {
	turns, wait := p.Next(p.now)
	for _, name := range turns {
		p.ask(p.asked[name], name)
	}
	return wait
}

// settled has the Pods of the LiveStreams there.
func (p *played) settled(names ...string) {
	for _, name := range names {
		p.Settle(name, false)
	}
}

// pods is next where Pods are there at once.
func (p *played) pods() time.Duration {
	before := len(p.turns)
	wait := p.next()
	p.settled(p.turns[before:]...)
	return wait
}

func names(prefix string, count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return all
}

func TestWhereWritesAreQuickNobodyWaits(t *testing.T) {
	p := newPlayed()
	p.writes(5*time.Millisecond, 10*time.Second)
	p.ask(Due{Jobs: 1, Part: 1}, names("stream", mostPodless)...)
	if len(p.turns) != mostPodless || p.Waiting() != 0 {
		t.Errorf("%d have their turn and %d wait, want all %d at once", len(p.turns), p.Waiting(), mostPodless)
	}
}

func TestWhileWritesAreSlowOneJobASecondIsMadeAgain(t *testing.T) {
	p := newPlayed()
	p.writes(time.Second, 20*time.Second)
	p.ask(Due{Jobs: 1, Part: 1}, names("stream", 200)...)
	for range 600 {
		p.writes(time.Second, 100*time.Millisecond)
		p.pods()
	}
	if got := len(p.turns); got < 60 || got > 62 {
		t.Errorf("%d Jobs were made again in a minute of slow writes, want 60", got)
	}
}

func TestOnceWritesAreQuickAgainAWholeFleetIsBackInThreeMinutes(t *testing.T) {
	p := newPlayed()
	p.writes(time.Second, 20*time.Second)
	p.ask(Due{Jobs: 1, Part: 9}, names("stream", 5000)...)
	for range 1800 {
		p.writes(5*time.Millisecond, 100*time.Millisecond)
		p.pods()
	}
	if got := len(p.turns); got != 5000 {
		t.Errorf("%d of 5000 were made again within three minutes of quick writes", got)
	}
}

func TestTheEndOfAWaitIsTold(t *testing.T) {
	p := newPlayed()
	p.writes(time.Second, 20*time.Second)
	p.ask(Due{Jobs: 1, Part: 1}, "first", "second", "third", "fourth")
	for range 2 {
		before := len(p.turns)
		p.now = p.now.Add(p.pods())
		p.pods()
		if got := len(p.turns) - before; got != 1 {
			t.Fatalf("%d had their turn when the wait that was told was over, want 1", got)
		}
	}
	if wait := p.pods(); wait != 0 {
		t.Errorf("a wait of %s is told while nobody waits", wait)
	}
}

func TestWhoFailedLessOftenIsFirstAndNobodyWaitsForEver(t *testing.T) {
	p := withoutRoom(fastest + 1)
	p.ask(Due{Jobs: 1, Part: 7}, "often", "as often")
	p.ask(Due{Jobs: 1, Part: 100}, "far more often")
	p.ask(Due{Jobs: 1, Part: 1}, "once")
	p.ask(Due{Jobs: 1, Part: 3}, "thrice")
	p.ask(Due{Jobs: 1, Part: 1}, "once too")
	p.now = p.now.Add(headStarts * headStart)
	p.ask(Due{Jobs: 1, Part: 2}, "twice, and later")
	p.next()
	if diff := gocmp.Diff([]string{"once", "once too", "thrice", "often", "as often", "far more often", "twice, and later"}, p.turns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestWhoseWorkloadsEndOneAfterTheOtherHasOnePlace(t *testing.T) {
	p := withoutRoom(fastest + 1)
	p.ask(Due{Jobs: 1, Part: 4}, "show")
	p.ask(Due{Jobs: 1, Part: 2}, "other")
	p.ask(Due{Jobs: 2, Part: 1}, "show")
	if p.Waiting() != 2 {
		t.Errorf("%d wait, want 2", p.Waiting())
	}
	p.now = p.now.Add(time.Second)
	p.next()
	if diff := gocmp.Diff([]string{"show", "other"}, p.turns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestATurnIsForWhatIsDueWhenItIsUsed(t *testing.T) {
	for _, tc := range []struct {
		name        string
		asked, used int
		others      []string
	}{
		{"more than were asked for", 1, 4, []string{"a"}},
		{"fewer than were asked for", 4, 1, []string{"a", "b", "c", "d"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := withoutRoom(fastest)
			p.ask(Due{Jobs: tc.asked, Part: 1}, "show")
			p.now = p.now.Add(5 * time.Second / fastest)
			p.asked["show"] = Due{Jobs: tc.used, Part: 1}
			p.next()
			p.ask(Due{Jobs: 1, Part: 1}, "a", "b", "c", "d", "e")
			if diff := gocmp.Diff(append([]string{"show"}, tc.others...), p.turns); diff != "" {
				t.Errorf("turns of five Jobs' time (-want +got):\n%s", diff)
			}
		})
	}
}

// podless has so many Jobs that no Pod is made of, and nobody else with a turn.
func podless() *played {
	p := newPlayed()
	p.ask(Due{Jobs: 1, Part: 1}, names("podless", mostPodless)...)
	p.turns = nil
	return p
}

func TestWhileManyJobsHaveNoPodNoneIsMadeAgain(t *testing.T) {
	p := podless()
	p.ask(Due{Jobs: 1, Part: 1}, "next", "the one after it")
	p.Settle("podless-3", true)
	if p.next(); len(p.turns) > 0 {
		t.Fatalf("%v have a turn while %d Jobs have no Pod", p.turns, mostPodless)
	}
	p.settled("podless-3")
	p.next()
	if diff := gocmp.Diff([]string{"next"}, p.turns); diff != "" {
		t.Errorf("when one has its Pod (-want +got):\n%s", diff)
	}
}

func TestAJobThatGetsNoPodCountsForHalfAMinute(t *testing.T) {
	p := podless()
	p.ask(Due{Jobs: 1, Part: 1}, "next")
	wait := p.next()
	if wait != podlessLife {
		t.Errorf("the next turn is told for %s from now, want %s", wait, podlessLife)
	}
	p.now = p.now.Add(wait)
	p.next()
	if diff := gocmp.Diff([]string{"next"}, p.turns); diff != "" {
		t.Errorf("after half a minute (-want +got):\n%s", diff)
	}
}

func TestATurnIsUsedOnce(t *testing.T) {
	p := newPlayed()
	p.ask(Due{Jobs: fastest, Part: 1}, "show")
	p.ask(Due{Jobs: 1, Part: 1}, "show")
	if diff := gocmp.Diff([]string{"show"}, p.turns); diff != "" || p.Waiting() != 1 {
		t.Errorf("%d wait, want 1; turns (-want +got):\n%s", p.Waiting(), diff)
	}
}

func TestATurnThatIsGivenBackIsStillThere(t *testing.T) {
	p := newPlayed()
	p.ask(Due{Jobs: fastest, Part: 1}, "show")
	p.ask(Due{Jobs: 1, Part: 1}, "other")
	p.GiveBack(p.now, "show", fastest)
	p.now = p.now.Add(podlessLife)
	p.ask(Due{Jobs: fastest, Part: 1}, "show")
	if diff := gocmp.Diff([]string{"show", "show"}, p.turns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestATurnThatNobodyUsesIsOver(t *testing.T) {
	p := podless()
	p.ask(Due{Jobs: mostPodless, Part: 1}, "gone without a word")
	p.settled(names("podless", mostPodless)...)
	if turns, _ := p.Next(p.now); len(turns) != 1 {
		t.Fatalf("%v are called, want 1", turns)
	}
	p.ask(Due{Jobs: 1, Part: 1}, "next")
	wait := p.next()
	p.now = p.now.Add(wait)
	if p.next(); wait != calledLife || len(p.turns) != 1 {
		t.Errorf("%v have their turn after %s, want the next one after %s", p.turns, wait, calledLife)
	}
}

func TestWhoHasNothingDueWaitsNoMore(t *testing.T) {
	for name, podless := range map[string]bool{"with all Pods": false, "with a Job that has none": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlayed()
			p.ask(Due{Jobs: fastest, Part: 1}, "first")
			p.settled("first")
			p.ask(Due{Jobs: 1, Part: 1}, "show", "other")
			p.Settle("show", podless)
			p.turns, p.now = nil, p.now.Add(time.Second)
			p.next()
			if diff := gocmp.Diff([]string{"other"}, p.turns); diff != "" {
				t.Errorf("turns (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEachJobOfAStreamCounts(t *testing.T) {
	p := newPlayed()
	p.writes(time.Second, 20*time.Second)
	p.ask(Due{Jobs: 5, Part: 1}, "five renditions")
	p.ask(Due{Jobs: 1, Part: 1}, "one")
	for range 35 {
		p.writes(time.Second, 100*time.Millisecond)
		p.pods()
	}
	if diff := gocmp.Diff([]string{"five renditions"}, p.turns); diff != "" {
		t.Errorf("turns of 3.5 seconds (-want +got):\n%s", diff)
	}
	p.writes(time.Second, time.Second)
	if p.pods(); !slices.Contains(p.turns, "one") {
		t.Errorf("nobody else had a turn after the seconds that five Jobs take")
	}
}

func TestAClockThatIsSetBackStopsNobody(t *testing.T) {
	p := newPlayed()
	p.writes(time.Second, 20*time.Second)
	p.ask(Due{Jobs: 1, Part: 1}, names("stream", 10)...)
	p.now = p.now.Add(-time.Hour)
	for range 150 {
		p.writes(time.Second, 100*time.Millisecond)
		p.pods()
	}
	if p.Waiting() != 0 {
		t.Errorf("%d of 10 still wait 15 s after the clock was set back by an hour", p.Waiting())
	}
}

// TestInAnyOrderTheBudgetIsKeptAndEveryoneHasATurn plays random failures, Pods and writes.
func TestInAnyOrderTheBudgetIsKeptAndEveryoneHasATurn(t *testing.T) {
	const streams, mostJobs = 60, 3
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 6))
		p := newPlayed()
		// As much as may be made, and what may have no Pod, by another count than the budget's.
		room, podless, back := fastest, map[string]int{}, map[string]int{}
		for range 2000 {
			passed := time.Duration(random.IntN(int(200 * time.Millisecond)))
			room, p.now = min(max(2, p.Rate()), room+p.Rate()*passed.Seconds()), p.now.Add(passed)
			p.count(p.now)
			name := fmt.Sprint(random.IntN(streams))
			before := len(p.turns)
			switch random.IntN(6) {
			case 0:
				p.NoteWrite(p.now, time.Duration(random.IntN(int(300*time.Millisecond))))
			case 1:
				p.ask(Due{Jobs: 1 + random.IntN(mostJobs), Part: int32(random.IntN(9))}, name)
			case 2:
				if random.IntN(2) == 0 {
					p.settled(name)
					delete(podless, name)
				} else {
					p.Settle(name, podless[name] > 0)
				}
				room += float64(back[name])
				delete(back, name)
			case 3:
				// Of what it was given a moment before, as far as its pass made none.
				if given := p.given[name]; given != nil && given.called == 0 && given.podless > 0 {
					p.GiveBack(p.now, name, 1+random.IntN(mostJobs))
					back[name] = given.called
					podless[name] = max(0, podless[name]-given.called)
				}
			default:
				p.next()
			}
			for _, name := range p.turns[before:] {
				room -= float64(p.asked[name].Jobs - back[name])
				podless[name] += p.asked[name].Jobs
				delete(back, name)
			}
			if p.room > room+0.01 {
				t.Fatalf("seed %d: there is room for %.2f Jobs, and by what was made for %.2f", seed, p.room, room)
			}
			if p.now.Sub(began) < podlessLife && sum(podless) > p.jobs {
				t.Fatalf("seed %d: %d Jobs have no Pod, and %d count", seed, sum(podless), p.jobs)
			}
		}
		for range streams * mostJobs {
			p.now = p.now.Add(2 * time.Second)
			p.pods()
		}
		if p.Waiting() != 0 || p.jobs != 0 {
			t.Fatalf("seed %d: %d never had their turn, %d Jobs never had an end", seed, p.Waiting(), p.jobs)
		}
	}
}

func sum(of map[string]int) (all int) {
	for _, n := range of {
		all += n
	}
	return all
}
