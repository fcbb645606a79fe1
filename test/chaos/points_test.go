//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/faultproxy"
)

// point is a call of a replica, as it comes again in each run of a scenario: the nth of its kind.
type point struct {
	verb, resource string
	nth, replica   int
}

func (p point) String() string {
	name := strings.ReplaceAll(fmt.Sprint(p.verb, " ", p.resource, " ", p.nth), "/", ".")
	if p.replica > 0 {
		name += fmt.Sprint(" of replica ", p.replica)
	}
	return name
}

// pointsOf are the calls of a clean run. What is left out never depends on a stream: leases, and what is asked once of an API server.
func pointsOf(callsOf [][]faultproxy.Call) []point {
	var points []point
	for replica, calls := range callsOf {
		seen := map[string]int{}
		for _, c := range calls {
			if c.Resource == "" || c.Resource == "leases" || c.Verb == "watch" {
				continue
			}
			seen[c.Key()]++
			points = append(points, point{c.Verb, c.Resource, seen[c.Key()], replica})
		}
	}
	return points
}

// decisive says whether the point is one of those that are always played: what makes and ends things.
func (p point) decisive() bool {
	return slices.Contains([]string{"create jobs", "delete jobs", "update deployments/scale", "patch livestreams"}, p.verb+" "+p.resource)
}

// share leaves a part of the points out, always the same, where not all are asked for.
func share(points []point, each int) []point {
	if *full {
		return points
	}
	var some []point
	for i, p := range points {
		if p.decisive() || i%each == 0 {
			some = append(some, p)
		}
	}
	return some
}

// rule hits the point.
func (p point) rule(after bool, fault faultproxy.Fault) faultproxy.Rule {
	return faultproxy.Rule{Verb: p.verb, Resource: p.resource, Nth: p.nth, After: after, Fault: fault}
}

// cleanPoints are the calls that runs without faults make, by scenario; several tests go by them.
var cleanPoints sync.Map

// clean has the calls of the scenario without faults.
func (s scenario) clean(t *testing.T) []point {
	t.Helper()
	played, _ := cleanPoints.LoadOrStore(s.name, sync.OnceValues(s.points))
	points, err := played.(func() ([]point, error))()
	if err != nil {
		t.Fatalf("without faults: %v", err)
	}
	return points
}

// points are the calls of a run, and in full campaigns of three: what two passes do in one run, one does in another.
func (s scenario) points() ([]point, error) {
	runs := 1
	if *full {
		runs = 3
	}
	var points []point
	for range runs {
		o, err := s.act(context.Background(), binary, nil)
		if err != nil {
			return nil, err
		}
		if len(o.violations) > 0 {
			return nil, fmt.Errorf("%v", o.violations)
		}
		for _, p := range pointsOf(o.exposed) {
			if !slices.Contains(points, p) {
				points = append(points, p)
			}
		}
	}
	return points, nil
}

// tries is how often a scenario is played for a call that does not come: two passes may become one.
const tries = 5

// hit plays the scenario with rules in force at a replica, until each is met; where that does not come true, it is counted.
func (s scenario) hit(t *testing.T, replica int, rules func(w *world) []faultproxy.Rule, slack time.Duration) bool {
	t.Helper()
	for range tries {
		var hits []func() int
		s.check(t, func(w *world) {
			w.faulty, w.slack = true, slack
			for _, r := range rules(w) {
				if r.Resource == "events" {
					w.owes = eventRetry
				}
				hits = append(hits, w.replicas[replica].proxy.Add(r))
			}
		})
		if t.Failed() || !slices.ContainsFunc(hits, func(h func() int) bool { return h() == 0 }) {
			return true
		}
	}
	results.missed(t.Name())
	t.Logf("the call did not come in %d runs", tries)
	return false
}

func phase(after bool) string {
	if after {
		return "after"
	}
	return "before"
}

func TestKilledAtEachCall(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range share(s.clean(t), 9) {
				for _, after := range []bool{false, true} {
					t.Run(fmt.Sprint(p, " ", phase(after)), func(t *testing.T) {
						t.Parallel()
						s.hit(t, p.replica, func(w *world) []faultproxy.Rule {
							kill := func(faultproxy.Call) { w.replicas[p.replica].kill() }
							return []faultproxy.Rule{p.rule(after, faultproxy.Fault{Run: kill, Drop: true})}
						}, 0)
					})
				}
			}
		})
	}
}

// apiFaults are what goes wrong with a call, besides the death of who makes it.
var apiFaults = []struct {
	name  string
	after bool
	fault faultproxy.Fault
	// times is how many calls go wrong, 0 for one.
	times int
	// rare are played in full runs only, but those for decisive calls at those; the three others come first.
	rare, decisive bool
}{
	{name: "conflict", fault: faultproxy.Fault{Status: http.StatusConflict}},
	{name: "unavailable", fault: faultproxy.Fault{Status: http.StatusServiceUnavailable}},
	{name: "answer lost", after: true, fault: faultproxy.Fault{Drop: true}},
	{name: "unavailable for a while", fault: faultproxy.Fault{Status: http.StatusServiceUnavailable}, times: 6, rare: true, decisive: true},
	{name: "request lost", fault: faultproxy.Fault{Drop: true}, rare: true},
	{name: "error after the commit", after: true, fault: faultproxy.Fault{Status: http.StatusInternalServerError}, rare: true},
	{name: "too many requests", fault: faultproxy.Fault{Status: http.StatusTooManyRequests, RetryAfter: 1}, rare: true},
	{name: "forbidden", fault: faultproxy.Fault{Status: http.StatusForbidden}, rare: true},
	{name: "stalled", fault: faultproxy.Fault{Stall: 5 * time.Second}, rare: true},
	{name: "cut short", after: true, fault: faultproxy.Fault{Truncate: true}, rare: true},
}

// played says whether the nth fault is played at the ith point. In full runs each point has one of all in turn, and decisive ones have
// three; else of the usual ones each in turn.
func played(i, n int, decisive bool) bool {
	f := apiFaults[n]
	if *full {
		return i%len(apiFaults) == n || decisive && (!f.rare || f.decisive)
	}
	if f.rare {
		return f.decisive && decisive
	}
	return i%3 == n
}

func TestEachCallGoesWrong(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for i, p := range share(s.clean(t), 23) {
				for n, f := range apiFaults {
					if !played(i, n, p.decisive()) {
						continue
					}
					t.Run(fmt.Sprint(p, " ", f.name), func(t *testing.T) {
						t.Parallel()
						r := p.rule(f.after, f.fault)
						r.Times = f.times
						s.hit(t, p.replica, func(*world) []faultproxy.Rule { return []faultproxy.Rule{r} }, f.fault.Stall)
					})
				}
			}
		})
	}
}

// unscalable has the API server refuse to give a share back for a while, and the operator die when the finalizer is off.
func unscalable(w *world) []faultproxy.Rule {
	kill := func(faultproxy.Call) { w.replicas[0].kill() }
	return []faultproxy.Rule{
		{Verb: "update", Resource: "deployments/scale", Nth: 2, Times: 4, Fault: faultproxy.Fault{Status: http.StatusServiceUnavailable}},
		{Verb: "patch", Resource: "livestreams", Times: 2, After: true, Fault: faultproxy.Fault{Run: kill, Drop: true}},
	}
}

func TestAShareIsGivenBackBeforeTheFinalizerGoes(t *testing.T) {
	t.Parallel()
	if !named("deleted on air").hit(t, 0, unscalable, 0) {
		t.Error("the faults that it is about did not come")
	}
}
