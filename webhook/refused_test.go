package webhook

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/livestream-operator/livestream-operator/internal/css"
)

func TestWhereManyWaitAStreamOfWhichAnEventWasRefusedJustNowLeavesThePlaceToOthers(t *testing.T) {
	t.Parallel()
	const many, few = 4 * maxWrites, maxWrites
	for _, tc := range []struct {
		name   string
		stream types.UID
		// again is how long after its first event another one of the stream is refused, and after how long after the first this one comes.
		again, after time.Duration
		waiting      int
		want         bool
	}{
		{name: "one that was refused", stream: "refused", after: 2 * time.Second, waiting: many},
		{name: "another one", stream: "another", after: 2 * time.Second, waiting: many, want: true},
		{name: "one that was refused, where few wait", stream: "refused", after: 2 * time.Second, waiting: few, want: true},
		{name: "one that was refused a while ago", stream: "refused", after: refusedLately, waiting: many, want: true},
		{name: "one that was refused again meanwhile", stream: "refused", again: 4 * time.Second, after: refusedLately, waiting: many, want: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			c.writes(time.Second, nil)
			c.fill()
			at := func(after time.Duration, waiting int) {
				c.clock.SetTime(showTime.Add(after))
				c.queue.wrote(c.clock.Now().Add(-time.Second), nil)
				c.queue.waiting = waiting
			}
			for _, refused := range []time.Duration{0, tc.again} {
				if at(refused, maxInFlight); c.queue.joins("refused", time.Hour) {
					t.Fatal("one waits where all places are taken")
				}
			}
			if at(tc.after, tc.waiting); c.queue.joins(tc.stream, time.Hour) != tc.want {
				t.Errorf("it waits: %t, want %t", !tc.want, tc.want)
			}
		})
	}
}

func TestRefusedStreamsAreForgotten(t *testing.T) {
	t.Parallel()
	var r refusedStreams
	for i := range 100 {
		r.note(types.UID(fmt.Sprint(i)), showTime.Add(time.Duration(i)*time.Second))
	}
	if most := int(2 * refusedLately / time.Second); len(r.of) > most {
		t.Errorf("%d of 100 streams, of which one a second was refused, are remembered, want %d at most", len(r.of), most)
	}
}

func TestOneThatHasTooLittleTimeItselfIsNoReasonToRefuseTheOthersOfItsStream(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.writes(time.Second, nil)
	c.fill()
	c.queue.waiting = 4 * maxWrites
	if c.queue.joins("a", 2*time.Second) {
		t.Error("one waits whose turn comes after the time that it has")
	}
	if !c.queue.joins("a", time.Hour) {
		t.Error("another of its stream does not")
	}
}

// wait has so many wait by the queue's count, for writes that take a second.
func (d *desk) wait(many int) {
	q := d.handler.Store.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting, q.took, q.moved = many, time.Second, d.clock.Now()
}

func TestBothEventsOfAPushThatComesBackAreRefusedComeAgainAndAreOneWrite(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.startsKnown()
	another := d.newStream("another")
	another.Spec.StreamName = another.Name
	d.create(another)
	d.knows(another.Name)
	stop, start, others := d.push("a").Interruption(showTime.Add(time.Second), time.Second, 12, ""), d.push("b").Start(showTime.Add(time.Second)), d.push("c").Start(showTime)
	others.StreamID, others.ChannelID = another.Name, another.Name
	w := d.counts()
	queue := d.busy()
	d.wait(15 * maxWrites)
	if status := d.post(stop); status != http.StatusServiceUnavailable {
		t.Fatalf("the stop is answered %d where all places are taken", status)
	}
	d.wait(4 * maxWrites)
	if status := d.post(start); status != http.StatusServiceUnavailable {
		t.Errorf("the start is answered %d, when its stop was refused just now", status)
	}
	answers := []<-chan int{d.later(others)}
	d.eventually("another stream has the place", func() bool { return d.waiting() == 4*maxWrites+1 })
	d.clock.(*testclock.FakePassiveClock).SetTime(showTime.Add(time.Minute))
	d.wait(1)
	for i, again := range []css.Callback{stop, start} {
		answers = append(answers, d.later(again))
		d.eventually("both events have one place", func() bool {
			users, _ := d.inLane(d.stream("show"))
			return users == i+1 && d.waiting() == 2
		})
	}
	queue.leave()
	queue.leave()
	d.allTaken(answers)
	if w.count(0); w.all != 2 {
		t.Errorf("%d writes, want one of each stream", w.all)
	}
}
