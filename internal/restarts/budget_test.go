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
}

func newPlayed() *played { return &played{Budget: New[string](), now: began} }

// writes lets time pass in which a write takes as long as that ten times a second.
func (p *played) writes(took, during time.Duration) {
	for end := p.now.Add(during); p.now.Before(end); {
		p.now = p.now.Add(100 * time.Millisecond)
		p.NoteWrite(p.now, took)
	}
}

func (p *played) ask(due Due, names ...string) {
	for _, name := range names {
		if p.Ask(p.now, name, due) {
			p.turns = append(p.turns, name)
		}
	}
}

// next gives the turns of now. Who has one has its Pods at once.
func (p *played) next() time.Duration {
	turns, wait := p.Next(p.now)
	p.turns = append(p.turns, turns...)
	for _, name := range turns {
		p.Forget(name)
	}
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
		p.next()
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
		p.next()
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
		p.now = p.now.Add(p.next())
		p.next()
		if got := len(p.turns) - before; got != 1 {
			t.Fatalf("%d had their turn when the wait that was told was over, want 1", got)
		}
	}
	if wait := p.next(); wait != 0 {
		t.Errorf("a wait of %s is told while nobody waits", wait)
	}
}

func TestWhoFailedLessOftenIsFirstAndOthersAsTheyCame(t *testing.T) {
	p := newPlayed()
	p.ask(Due{Jobs: fastest + 1}, "all that there is room for")
	p.turns = nil
	p.ask(Due{Jobs: 1, Part: 7}, "often", "as often")
	p.ask(Due{Jobs: 1, Part: 1}, "once")
	p.ask(Due{Jobs: 1, Part: 3}, "thrice")
	p.ask(Due{Jobs: 1, Part: 1}, "once too")
	p.now = p.now.Add(time.Second)
	p.next()
	if diff := gocmp.Diff([]string{"once", "once too", "thrice", "often", "as often"}, p.turns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestATurnLastsUntilThePodIsThereOrHalfAMinute(t *testing.T) {
	p := newPlayed()
	p.ask(Due{Jobs: 1, Part: 1}, names("podless", mostPodless)...)
	p.turns = nil
	p.ask(Due{Jobs: 1, Part: 1}, "next", "the one after it")
	if len(p.turns) > 0 {
		t.Fatalf("%v have a turn while %d Jobs have no Pod", p.turns, mostPodless)
	}
	p.Forget("podless-3")
	p.next()
	if diff := gocmp.Diff([]string{"next"}, p.turns); diff != "" {
		t.Errorf("when one has its Pod (-want +got):\n%s", diff)
	}
	p.ask(Due{Jobs: 1, Part: 1}, "who takes the turn that is free")
	wait := p.next()
	p.now = p.now.Add(wait)
	if p.next(); !slices.Contains(p.turns, "the one after it") || wait > turnLife {
		t.Errorf("%v had their turn after %s, and the others got no Pod for that long", p.turns, wait)
	}
}

func TestWhoHasATurnMayAskAgain(t *testing.T) {
	p := newPlayed()
	p.ask(Due{Jobs: fastest, Part: 1}, "show")
	p.ask(Due{Jobs: fastest, Part: 1}, "show")
	if diff := gocmp.Diff([]string{"show", "show"}, p.turns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
	p.Forget("show")
	p.ask(Due{Jobs: 1, Part: 1}, "show")
	if len(p.turns) != 2 || p.Waiting() != 1 {
		t.Errorf("after it was forgotten it had its turn at once, and there was no room")
	}
}

func TestWhoIsForgottenWaitsNoMore(t *testing.T) {
	p := newPlayed()
	p.ask(Due{Jobs: fastest, Part: 1}, "first")
	p.ask(Due{Jobs: 1, Part: 1}, "show", "other")
	p.Forget("show")
	p.turns, p.now = nil, p.now.Add(time.Second)
	p.next()
	if diff := gocmp.Diff([]string{"other"}, p.turns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestEachJobOfAStreamCounts(t *testing.T) {
	p := newPlayed()
	p.writes(time.Second, 20*time.Second)
	p.ask(Due{Jobs: 5, Part: 1}, "five renditions")
	p.ask(Due{Jobs: 1, Part: 1}, "one")
	for range 35 {
		p.writes(time.Second, 100*time.Millisecond)
		p.next()
	}
	if diff := gocmp.Diff([]string{"five renditions"}, p.turns); diff != "" {
		t.Errorf("turns of 3.5 seconds (-want +got):\n%s", diff)
	}
	p.writes(time.Second, time.Second)
	if p.next(); !slices.Contains(p.turns, "one") {
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
		p.next()
	}
	if p.Waiting() != 0 {
		t.Errorf("%d of 10 still wait 15 s after the clock was set back by an hour", p.Waiting())
	}
}

// TestInAnyOrderTheBudgetIsKeptAndEveryoneHasATurn plays random failures, Pods and writes.
func TestInAnyOrderTheBudgetIsKeptAndEveryoneHasATurn(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 6)) //nolint:gosec // a seeded order is wanted
		b, now := New[int](), began
		podless, room, waits := map[int]time.Time{}, fastest, map[int]time.Time{}
		turn := func(key int, jobs int) {
			if room -= float64(jobs); room < -3 {
				t.Fatalf("seed %d: %.1f Jobs more than there was room for", seed, -room)
			}
			podless[key] = now
			delete(waits, key)
			if len(podless) > mostPodless {
				t.Fatalf("seed %d: %d turns at once", seed, len(podless))
			}
		}
		jobsOf := func(key int) int { return 1 + key%3 }
		for range 2000 {
			passed := time.Duration(random.IntN(int(200 * time.Millisecond)))
			room, now = min(fastest, room+b.Rate()*passed.Seconds()), now.Add(passed)
			for key, since := range podless {
				if now.Sub(since) >= turnLife {
					delete(podless, key)
				}
			}
			key := random.IntN(60)
			switch random.IntN(4) {
			case 0:
				b.NoteWrite(now, time.Duration(random.IntN(int(300*time.Millisecond))))
			case 1:
				if _, has := podless[key]; has {
					break
				}
				if b.Ask(now, key, Due{Jobs: jobsOf(key), Part: int32(random.IntN(5))}) { //nolint:gosec // below 5
					turn(key, jobsOf(key))
				} else if _, waiting := waits[key]; !waiting {
					waits[key] = now
				}
			case 2:
				b.Forget(key)
				delete(podless, key)
				delete(waits, key)
			default:
				turns, _ := b.Next(now)
				for _, key := range turns {
					turn(key, jobsOf(key))
				}
			}
		}
		if b.Waiting() != len(waits) {
			t.Fatalf("seed %d: %d wait, want %d", seed, b.Waiting(), len(waits))
		}
		for range 60 {
			now = now.Add(5 * time.Second)
			turns, _ := b.Next(now)
			for _, key := range turns {
				b.Forget(key)
			}
		}
		if b.Waiting() != 0 {
			t.Fatalf("seed %d: %d never had their turn", seed, b.Waiting())
		}
	}
}
