package webhook

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// startsWriting has the desk write what it refused, until it is told to end.
func (d *desk) startsWriting() (end func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.handler.Store.Start(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	}
}

// writesRefused has the desk write what it refused, until the test ends.
func (d *desk) writesRefused() {
	d.t.Helper()
	d.t.Cleanup(d.startsWriting())
}

// hasRefused refuses callbacks, and has room again.
func (d *desk) hasRefused(callbacks ...css.Callback) {
	d.t.Helper()
	queue := d.busy()
	d.refusesAsBusy(callbacks...)
	queue.leaveAll()
}

// leaveAll ends all turns.
func (q *queue) leaveAll() {
	for range maxWrites {
		q.leave()
	}
}

func (d *desk) keepsNothing() {
	d.t.Helper()
	kept := d.handler.Store.backlog
	d.eventually("nothing is kept", func() bool {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		return len(kept.of) == 0
	})
}

// refusesAsBusy posts callbacks where all places are taken.
func (d *desk) refusesAsBusy(callbacks ...css.Callback) {
	d.t.Helper()
	for i, c := range callbacks {
		d.wait(15 * maxWrites)
		if status := d.post(c); status != http.StatusServiceUnavailable {
			d.t.Fatalf("callback %d is answered %d where all places are taken", i, status)
		}
	}
	d.wait(0)
}

// nobodyWrites waits until all turns are free, and has none of them taken.
func (d *desk) nobodyWrites() {
	d.t.Helper()
	turns := d.handler.Store.queue.turns
	d.eventually("all turns are free", func() bool {
		free := turns.TryAcquire(maxWrites)
		if free {
			turns.Release(maxWrites)
		}
		return free
	})
}

func TestWhatWasRefusedIsWrittenOnceThereIsRoomAndKnownWhenItComesAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.startsKnown()
	d.writesRefused()
	w := d.counts()
	queue := d.busy()
	stop, start := d.push("a").Interruption(showTime.Add(time.Second), time.Second, 12, ""), d.push("b").Start(showTime.Add(time.Second))
	d.refusesAsBusy(start, stop, stop)
	if w.count(0); w.all != 0 {
		t.Fatalf("%d writes while all turns are taken, want none", w.all)
	}
	queue.leaveAll()
	d.eventually("both are written", func() bool { return cmp.Equal(map[string]bool{"a": false, "b": true}, states(d.stream("show"))) })
	d.nobodyWrites()
	d.caughtUp(d.stream("show"))
	for _, again := range []css.Callback{stop, start} {
		if status := d.post(again); status != http.StatusOK {
			t.Errorf("it is answered %d when it comes again", status)
		}
	}
	if w.count(0); w.all != 1 {
		t.Errorf("%d writes, want one of both", w.all)
	}
}

func TestWhatWasRefusedAndCameAgainSoonerIsNotWrittenTwice(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.startsKnown()
	w := d.counts()
	stop := d.push("a").Interruption(showTime.Add(time.Second), time.Second, 12, "")
	d.hasRefused(stop)
	if status := d.post(stop); status != http.StatusOK {
		t.Fatalf("answered %d where there is room", status)
	}
	d.caughtUp(d.stream("show"))
	d.writesRefused()
	d.keepsNothing()
	d.nobodyWrites()
	if w.count(0); w.all != 1 {
		t.Errorf("%d writes, want one", w.all)
	}
}

// It may be of another host by now, and an event would be refused that a key signed which is no longer named.
func TestWhatWasRefusedForAPushDomainThatIsAnotherByNowIsNotWritten(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.counts()
	queue := d.busy()
	d.refusesAsBusy(d.push("a").Start(showTime))
	known, events := d.handler.Store.backlog.next()
	if len(events) != 1 {
		t.Fatalf("%d events are kept, want 1", len(events))
	}
	anew, changed := known, known
	anew.uid = "another"
	changed.generation--
	for what, key := range map[string]backlogKey{"made anew": anew, "changed": changed} {
		turn := &heldTurn{queue: queue}
		d.handler.Store.writeRefused(t.Context(), key, events, turn.take)
		if w.count(0); turn.taken || w.all != 0 {
			t.Errorf("%s: %d writes, want none; the turn is taken: %t", what, w.all, turn.taken)
		}
		turn.giveBack()
		turn.giveBack()
		if !queue.turns.TryAcquire(1) || queue.turns.TryAcquire(1) {
			t.Errorf("%s: the turn is not given back once", what)
		}
	}
	turn := &heldTurn{queue: queue}
	d.handler.Store.writeRefused(t.Context(), known, events, turn.take)
	if w.count(0); w.all != 1 {
		t.Errorf("%d writes where nothing changed, want 1: this test shows nothing", w.all)
	}
}

func refusedStart(stream, sequence string) provider.Event {
	return provider.Event{Kind: provider.Started, App: "live", Stream: stream, Sequence: sequence}
}

func TestRefusedEventsAreKeptByStreamInTheOrderInWhichTheyCame(t *testing.T) {
	t.Parallel()
	l := newBacklog(testclock.NewFakePassiveClock(showTime))
	domain := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Namespace: "studio", Name: "shows", UID: "d"}}
	stop := refusedStart("x", "1")
	stop.Kind = provider.Interrupted
	for _, e := range []provider.Event{refusedStart("x", "1"), refusedStart("y", "1"), stop, refusedStart("x", "1"), refusedStart("x", "2")} {
		l.keep(domain, e)
	}
	named := func(stream string) backlogKey {
		return backlogKey{types.NamespacedName{Namespace: "studio", Name: "shows"}, "d", 0, push.Stream{App: "live", Name: stream}}
	}
	for _, want := range []struct {
		of     backlogKey
		events []provider.Event
	}{
		{named("x"), []provider.Event{refusedStart("x", "1"), stop, refusedStart("x", "2")}}, {named("y"), []provider.Event{refusedStart("y", "1")}}, {},
	} {
		of, events := l.next()
		if diff := cmp.Diff(want.events, events); of != want.of || diff != "" {
			t.Errorf("of %v, want %v (-want +got):\n%s", of, want.of, diff)
		}
	}
}

func TestRefusedEventsAreKeptForAWhileAndNoMoreThanThereIsRoomFor(t *testing.T) {
	t.Parallel()
	clock := testclock.NewFakePassiveClock(showTime)
	l, domain := newBacklog(clock), &v1alpha1.PushDomain{}
	l.keep(domain, refusedStart("old", "1"))
	l.keep(domain, refusedStart("again", "1"))
	l.keep(domain, refusedStart("again", "2"))
	clock.SetTime(showTime.Add(keptRefused))
	l.keep(domain, refusedStart("again", "1"))
	if of, events := l.next(); of.stream.Name != "again" || len(events) != 1 || events[0].Sequence != "1" {
		t.Errorf("of %q %v are left, want the one that was refused again", of.stream.Name, events)
	}
	for i := range mostRefusedEvents + 1 {
		l.keep(domain, refusedStart("first", fmt.Sprint(i)))
	}
	for i := range mostRefusedStreams {
		l.keep(domain, refusedStart(fmt.Sprint(i), "1"))
	}
	if len(l.of) != mostRefusedStreams || len(l.order) != mostRefusedStreams {
		t.Errorf("%d streams are kept in an order of %d, want %d", len(l.of), len(l.order), mostRefusedStreams)
	}
	if _, events := l.next(); len(events) != mostRefusedEvents || events[0].Sequence != "1" {
		t.Errorf("of one stream %v are kept, want the last %d", events, mostRefusedEvents)
	}
	l.keep(domain, refusedStart("last", "1"))
	clock.SetTime(clock.Now().Add(keptRefused))
	if l.keep(domain, refusedStart("new", "1")); len(l.of) != 1 || len(l.order) != 1 {
		t.Errorf("%d streams are kept when all places are of old ones, want the new one alone", len(l.of))
	}
}

func TestWhatWasRefusedWaitsBehindThoseWhoWait(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.fill()
	order := make(chan string, 2)
	wait := func(who string, enter func() error) {
		go func() {
			if err := enter(); err != nil {
				t.Error(err)
			}
			order <- who
		}()
	}
	wait("a callback", func() error { _, err := c.queue.enter(t.Context(), "a"); return err })
	eventually(t, "it waits", func() bool { return c.waiting() == 1 })
	wait("what was refused", func() error { return c.queue.hold(t.Context()) })
	c.queue.leave()
	if first := <-order; first != "a callback" {
		t.Errorf("%s has the first turn", first)
	}
	c.queue.leave()
	<-order
}

// Whoever sees but the outcome would take it for a push that never was on air.
func TestAPushWhoseStartAndEndWereRefusedIsOnAirBetweenTwoWrites(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.counts()
	d.hasRefused(d.push("b").Start(showTime), d.push("b").Interruption(showTime.Add(time.Second), time.Second, 1, ""))
	d.writesRefused()
	d.eventually("both are written", func() bool { return cmp.Equal(map[string]bool{"b": false}, states(d.stream("show"))) })
	d.nobodyWrites()
	if w.count(0); w.all != 2 {
		t.Errorf("%d writes, want 2", w.all)
	}
}

func TestWhatWasRefusedIsWrittenIntoAllLiveStreamsOfTheStream(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.create(d.newStream("younger"))
	d.knows("younger")
	d.hasRefused(d.push("b").Start(showTime))
	d.writesRefused()
	for _, name := range []string{"show", "younger"} {
		d.eventually(name+" has it", func() bool { return cmp.Equal(map[string]bool{"b": true}, states(d.stream(name))) })
	}
	d.nobodyWrites()
	domains := d.handler.Domains
	domains.mu.Lock()
	defer domains.mu.Unlock()
	if !domains.pending[types.NamespacedName{Namespace: d.namespace, Name: "shows"}].changed {
		t.Error("the status of the PushDomain is not told that a push changed")
	}
}

func TestWhatWasRefusedOfALiveStreamThatIsGoneIsDropped(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	queue := d.busy()
	d.refusesAsBusy(d.push("b").Start(showTime))
	if err := env.Client.Delete(t.Context(), d.stream("show")); err != nil {
		t.Fatal(err)
	}
	queue.leaveAll()
	d.writesRefused()
	d.keepsNothing()
	d.nobodyWrites()
}

// A process that ends gives its answers, and what it refused comes again.
func TestTheWritingOfWhatWasRefusedEndsWhereItWaitsForATurn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.busy()
	d.refusesAsBusy(d.push("b").Start(showTime))
	end := d.startsWriting()
	d.eventually("it waits for a turn", func() bool { return len(d.handler.Store.backlog.came) == 0 })
	end()
}

func TestEventsThatNoLiveStreamClaimsAreNotKeptWithWhatWasRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.busy()
	c := d.push("b").Start(showTime)
	c.StreamID, c.ChannelID = "unknown", "unknown"
	d.wait(15 * maxWrites)
	d.post(c)
	if _, events := d.handler.Store.backlog.next(); len(events) > 0 {
		t.Errorf("%d events are kept that no LiveStream claims", len(events))
	}
}

func TestACallbackFindsATurnWhileWhatWasRefusedIsWritten(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.slows()
	queue := d.busy()
	const count = maxRefusedWrites + 8
	named := func(name string) css.Callback {
		c := d.push("a").Start(showTime)
		c.StreamID, c.ChannelID = name, name
		return c
	}
	for i := range count {
		s := d.newStream(fmt.Sprint("s", i))
		s.Spec.StreamName = s.Name
		d.create(s)
	}
	d.knows(fmt.Sprint("s", count-1))
	for i := range count {
		d.refusesAsBusy(named(fmt.Sprint("s", i)))
	}
	queue.leaveAll()
	d.writesRefused()
	d.eventually("as many are written as may", func() bool { return w.count(0) == maxRefusedWrites })
	answer := d.later(d.push("a").Start(showTime))
	d.eventually("the callback is written, too", func() bool { return w.count(0) == maxRefusedWrites+1 })
	if d.waiting() != 0 {
		t.Error("it waits")
	}
	close(w.let)
	if status := <-answer; status != http.StatusOK {
		t.Errorf("it is answered %d", status)
	}
	d.nobodyWrites()
}

func TestWhatWasRefusedAndIsBeingWrittenIsWrittenWhereTheProcessEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.slows()
	d.hasRefused(d.push("b").Start(showTime))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.handler.Store.Start(ctx) }()
	d.eventually("it is being written", func() bool { return w.count(0) == 1 })
	// It is told to end while it writes.
	cancel()
	close(w.let)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]bool{"b": true}, states(d.stream("show"))); diff != "" {
		t.Errorf("the pushes that are live (-want +got):\n%s", diff)
	}
}
