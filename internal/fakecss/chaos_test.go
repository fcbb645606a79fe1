package fakecss

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var show = name{"live", "show"}

func fates(c Chaos, of name, count int) []fate {
	all := make([]fate, 0, count)
	for n := range count {
		all = append(all, c.fate(of, n+1))
	}
	return all
}

func TestChaosIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	c := Chaos{Seed: 7, Lose: 0.3, Double: 0.3, Reorder: 0.3, Delay: time.Second}
	allow := cmp.AllowUnexported(fate{})
	if diff := cmp.Diff(fates(c, show, 50), fates(c, show, 50), allow); diff != "" {
		t.Error(diff)
	}
	other := c
	other.Seed = 8
	if cmp.Equal(fates(c, show, 50), fates(other, show, 50), allow) {
		t.Error("another seed hits the same callbacks")
	}
	if cmp.Equal(fates(c, show, 50), fates(c, name{"live", "other"}, 50), allow) {
		t.Error("another stream's callbacks are hit alike")
	}
}

func TestOneRateDoesNotMoveAnother(t *testing.T) {
	t.Parallel()
	calm, wild := Chaos{Seed: 7, Lose: 0.2}, Chaos{Seed: 7, Lose: 0.2, Double: 0.9, Reorder: 0.9, Delay: time.Hour}
	for n, f := range fates(calm, show, 200) {
		if got := wild.fate(show, n+1).lost; got != f.lost {
			t.Errorf("callback %d: lost is %v, and was %v", n+1, got, f.lost)
		}
	}
	calm, wild = Chaos{Seed: 7, Reorder: 0.2}, Chaos{Seed: 7, Lose: 0.9, Double: 0.9, Reorder: 0.2}
	for n, f := range fates(calm, show, 200) {
		if got := wild.fate(show, n+1).held; got != f.held {
			t.Errorf("callback %d: held is %v, and was %v", n+1, got, f.held)
		}
	}
}

func TestRatesAreKept(t *testing.T) {
	t.Parallel()
	const count = 2000
	for _, rate := range []float64{0, 0.1, 0.5, 1} {
		var lost, doubled, held int
		for _, f := range fates(Chaos{Seed: 1, Lose: rate, Double: rate, Reorder: rate, Delay: time.Second}, show, count) {
			for _, is := range []struct {
				so    bool
				count *int
			}{{f.lost, &lost}, {len(f.delays) == 2, &doubled}, {f.held, &held}} {
				if is.so {
					*is.count++
				}
			}
			for _, d := range f.delays {
				if d < 0 || d >= time.Second {
					t.Errorf("a delay of %v", d)
				}
			}
		}
		for what, got := range map[string]int{"lost": lost, "doubled": doubled, "held": held} {
			exact := rate == 0 || rate == 1
			if share := float64(got) / count; exact && share != rate || share < rate-0.05 || share > rate+0.05 {
				t.Errorf("%s: %v of all, want %v", what, share, rate)
			}
		}
	}
}

func TestWhatChaosDoes(t *testing.T) {
	t.Parallel()
	// overtaken is a seed by which the first callback of the stream is held, and none of the second and the other stream's.
	var overtaken uint64
	other := name{"live", "other"}
	for c := (Chaos{Reorder: 0.5}); !c.fate(show, 1).held || c.fate(show, 2).held || c.fate(other, 1).held || c.fate(other, 2).held; c.Seed++ {
		overtaken = c.Seed + 1
	}
	startAndStop := []step{{0, up("1", "live")}, {time.Second, down("1")}}
	const players = "1s let go the players of live/show"
	run(t, []timeline{
		{
			name: "what is lost is never tried", options: Options{Chaos: Chaos{Lose: 1}}, steps: startAndStop, until: time.Hour,
			want: []string{"0s lost 1", "1s lost 2", players},
		},
		{
			name: "what is doubled comes twice, though it was taken", options: Options{Chaos: Chaos{Double: 1}}, steps: startAndStop, until: time.Hour,
			want: []string{
				"0s start s1 live/show", "0s start s1 live/show copy=2", "1s stop s1 live/show errcode=1 duration=1000", "1s stop s1 live/show errcode=1 duration=1000 copy=2", players,
			},
		},
		{
			name: "each copy is tried for itself", options: Options{Chaos: Chaos{Double: 1}}, steps: startAndStop[:1], until: time.Hour,
			status: func(d *delivery) int { return 200 + d.copy%2*(2-min(d.try, 2))*300 },
			want:   []string{"0s start s1 live/show try=1 -> 500", "0s start s1 live/show copy=2", "1m0s start s1 live/show try=2"},
		},
		{
			name: "what is held is overtaken", options: Options{Chaos: Chaos{Reorder: 0.5, Seed: overtaken}}, steps: startAndStop, until: time.Hour,
			want: []string{"1s stop s1 live/show errcode=1 duration=1000", "1s start s1 live/show", players},
		},
		{
			name: "and also by what is not taken", options: Options{Chaos: Chaos{Reorder: 0.5, Seed: overtaken}}, steps: startAndStop, until: 30 * time.Second,
			status: func(*delivery) int { return 500 },
			want:   []string{"1s stop s1 live/show errcode=1 duration=1000 try=1 -> 500", "1s start s1 live/show try=1 -> 500", players},
		},
		{
			name: "another stream does not overtake it", options: Options{Chaos: Chaos{Reorder: 0.5, Seed: overtaken}}, until: time.Minute,
			steps: []step{{0, up("1", "live")}, {time.Second, upAs("2", "live", "other")}, {2 * time.Second, down("2")}},
			want: []string{
				"1s start s2 live/other", "2s stop s2 live/other errcode=1 duration=1000", "2s let go the players of live/other", "10s start s1 live/show",
			},
		},
		{
			name: "what nothing overtakes comes when the window is over", options: Options{Chaos: Chaos{Reorder: 1}},
			steps: []step{{0, up("1", "live")}, {time.Second, upAs("2", "live", "other")}}, until: time.Hour,
			want: []string{"10s start s1 live/show", "11s start s2 live/other"},
		},
	})
}

func TestADelayedCallbackSaysWhenTheEventWas(t *testing.T) {
	t.Parallel()
	w := newWorld(Options{Chaos: Chaos{Delay: time.Minute, Seed: 3}})
	up("1", "live")(w)
	wake := w.engine.wake()
	if late := wake.Sub(dawn); late <= 0 || late >= time.Minute {
		t.Fatalf("sent %v late", late)
	}
	w.now = wake
	due := w.engine.queue.take(w.now)
	if len(due) != 1 || due[0].callback.EventTime != dawn.Unix() {
		t.Errorf("%d are due", len(due))
	}
}

func TestTheNextTryIsAMinuteAfterTheAnswer(t *testing.T) {
	t.Parallel()
	q := queue{retries: 12, retryEvery: time.Minute}
	q.answered(&delivery{name: show, number: 1, copy: 1, try: 1, due: dawn}, false, dawn.Add(20*time.Second))
	if got := q.next().Sub(dawn); got != 80*time.Second {
		t.Errorf("the next try is %v after the first", got)
	}
}
