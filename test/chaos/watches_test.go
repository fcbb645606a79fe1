//go:build chaos

package chaos

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/faultproxy"
)

// watchFaults are what goes wrong with the watches of a kind from the moment on at which the scenario begins. The nth event is
// counted from there: the watches are cut once, so that the new ones begin with the scenario.
func watchFaults() map[string]watchFault {
	faults := map[string]watchFault{"late": {0, faultproxy.Watch{Lag: time.Second}}, "frozen at first": {0, faultproxy.Watch{Freeze: 3 * time.Second}}}
	for n := 1; n <= 3; n++ {
		faults[fmt.Sprint("cut before event ", n)] = watchFault{n, faultproxy.Watch{Cut: n}}
		faults[fmt.Sprint("too old at event ", n)] = watchFault{n, faultproxy.Watch{Gone: n}}
		faults[fmt.Sprint("frozen at event ", n)] = watchFault{n, faultproxy.Watch{Freeze: 3 * time.Second, FreezeAt: n}}
		faults[fmt.Sprint("without event ", n)] = watchFault{n, faultproxy.Watch{Lose: n, Life: 4 * time.Second}}
	}
	return faults
}

// watchFault goes wrong at an event, 0 for the first whatever it is.
type watchFault struct {
	event int
	faultproxy.Watch
}

var watched = []string{"livestreams", "jobs", "pods", "pushdomains"}

func TestEachWatchGoesWrong(t *testing.T) {
	t.Parallel()
	each := 29
	if *full {
		each = 3
	}
	for _, s := range scenarios {
		for name, fault := range watchFaults() {
			for i, resource := range watched {
				// A PushDomain has an event a minute.
				if (len(s.name)+len(name)+i)%each != 0 || resource == "pushdomains" && fault.event > 1 {
					continue
				}
				t.Run(fmt.Sprint(s.name, "/", resource, " ", name), func(t *testing.T) {
					t.Parallel()
					s.hit(t, 0, func(w *world) []faultproxy.Rule {
						// The operator is started anew, behind a proxy that has the rule.
						defer w.replicas[0].kill()
						return []faultproxy.Rule{{Verb: "watch", Resource: resource, Times: 2, Fault: faultproxy.Fault{Watch: fault.Watch}}}
					}, 0)
				})
			}
		}
	}
}

// pastScenarios end with an operator that is started on a view of the past.
var pastScenarios = []scenario{
	{name: "on air in the past, and over now", play: func(w *world) error {
		return w.all(w.started("A"), w.remembers(), w.onAir(), w.stopped("A", clean), w.idle(), w.startsInThePast(), w.holds(3*time.Second, w.idle()), w.sameJob(1))
	}},
	{name: "on air in the past, and in another broadcast now", play: func(w *world) error {
		return w.all(w.started("A"), w.remembers(), w.onAir(), w.stopped("A", clean), w.idle(), w.start("B"), w.startsInThePast(), w.holds(3*time.Second, w.onAir()), w.sameJob(2))
	}},
	{name: "idle in the past, and on air now", play: func(w *world) error {
		return w.all(w.remembers(), w.start("A"), w.startsInThePast(), w.holds(3*time.Second, w.onAir()), w.sameJob(1))
	}},
	{name: "in the window in the past, and back now", play: func(w *world) error {
		return w.all(w.start("A"), w.stopped("A", lost), w.remembers(), w.started("B"), w.startsInThePast(), w.holds(3*time.Second, w.onAir()), w.sameJob(1))
	}},
	{name: "without the Job in the past, with it now", play: func(w *world) error {
		return w.all(w.remembers(), w.started("A"), w.onAir(), w.startsInThePast("jobs", "pods"), w.holds(3*time.Second, w.onAir()), w.sameJob(1))
	}},
	{name: "without the Job in the past, and the next broadcast now", play: func(w *world) error {
		return w.all(w.remembers(), w.start("A"), w.startsInThePast("jobs", "pods"), w.stopped("A", clean), w.offAir(), w.started("B"), w.onAir(), w.sameJob(2))
	}},
	{name: "idle in the past, and its target scaled now", options: options{scaled: true, change: scales}, play: func(w *world) error {
		return w.all(w.idle(), w.remembers(), w.start("A"), w.startsInThePast(), w.holds(3*time.Second, w.onAir()), w.scaledTimes(1), w.stopped("A", clean), w.idle(), w.scaledTimes(2))
	}},
	{name: "idle in the past, and the backup comes now", play: func(w *world) error {
		return w.all(w.remembers(), w.start("A"), w.startsInThePast(), w.started("B"), w.stopped("A", clean), w.onAir(), w.sameJob(1))
	}},
	{name: "on air in the past, and the next push comes now", play: func(w *world) error {
		return w.all(w.start("A"), w.remembers(), w.stopped("A", clean), w.idle(), w.startsInThePast(), w.started("B"), w.onAir(), w.sameJob(2))
	}},
}

func TestStartedAnewOnAViewOfThePast(t *testing.T) {
	t.Parallel()
	for _, s := range pastScenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.check(t, func(w *world) { w.faulty = true })
		})
	}
}

// scaledTimes sees how many times the target was told another number.
func (w *world) scaledTimes(want int64) step {
	return func() error {
		d := &appsv1.Deployment{}
		if err := installed.API.Get(w.ctx, client.ObjectKey{Namespace: w.name, Name: "packager"}, d); err != nil {
			return err
		}
		if times := d.Generation - 1; times != want {
			w.fail(wrongStop, "the target was scaled %d times, want %d", times, want)
		}
		return nil
	}
}

// remembers notes the moment that is to be the past.
func (w *world) remembers() step {
	return func() error {
		s, err := w.show()
		w.past = revisionOf(s)
		return err
	}
}

// startsInThePast starts the operator anew, with lists as they were and watches that stand still for a while.
func (w *world) startsInThePast(resources ...string) step {
	return func() error {
		if len(resources) == 0 {
			resources = watched
		}
		r := w.replicas[0]
		at := faultproxy.Fault{At: fmt.Sprint(w.past), Watch: faultproxy.Watch{Freeze: 8 * time.Second}}
		for _, resource := range resources {
			var hits []func() int
			for _, verb := range []string{"list", "watch"} {
				// A watch that begins with a list is refused; the list follows, and the watch from there on.
				hits = append(hits, r.proxy.Add(faultproxy.Rule{Verb: verb, Resource: resource, Times: 2, Fault: at}))
			}
			w.mustHit = append(w.mustHit, func() int { return hits[0]() + hits[1]() })
		}
		r.kill()
		return nil
	}
}
