package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/css"
)

// crowd is a queue that is written from by a clock of its own.
type crowd struct {
	t     *testing.T
	clock *testclock.FakePassiveClock
	queue *queue
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	clock := testclock.NewFakePassiveClock(showTime)
	return &crowd{t: t, clock: clock, queue: newQueue(clock)}
}

func (c *crowd) pass(d time.Duration) { c.clock.SetTime(c.clock.Now().Add(d)) }

// fill has as many write as may at once.
func (c *crowd) fill() {
	c.t.Helper()
	for range maxWrites {
		if waited, err := c.queue.enter(c.t.Context(), "another"); err != nil || waited {
			c.t.Fatalf("enter() of an empty place waited: %t, %v", waited, err)
		}
	}
}

// write has all that write be done after so long.
func (c *crowd) write(took time.Duration, ended error) {
	began := c.clock.Now()
	c.pass(took)
	for range maxWrites {
		c.queue.wrote(began, ended)
		c.queue.leave()
	}
}

// writes has the queue know how long writes take.
func (c *crowd) writes(took time.Duration, ended error) {
	c.t.Helper()
	for range 20 {
		c.fill()
		c.write(took, ended)
	}
}

// joinAll has further events wait until one is refused, and says how many wait.
func (c *crowd) joinAll() int {
	for n := range maxInFlight {
		if !c.queue.joins(types.UID(fmt.Sprint(n)), time.Hour) {
			return n
		}
	}
	return maxInFlight
}

func (c *crowd) waiting() int {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	return c.queue.waiting
}

func TestAsManyWaitAsCanBeWrittenInTime(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		// took is how long writes took so far, idle how long there were none then, and stuck how long none of those under way is done.
		took, idle, stuck time.Duration
		ended             error
		want              int
	}{
		{name: "an API server that is fast", took: 50 * time.Millisecond, want: maxInFlight},
		{name: "one that is busy", took: 500 * time.Millisecond, want: 11 * maxWrites},
		{name: "one that is slow", took: time.Second, want: 5 * maxWrites},
		{name: "one that is so slow that two writes take longer than all wait", took: 4 * time.Second, want: maxWrites},
		{name: "one that is so slow that who waits would be written too late", took: 6 * time.Second, want: maxWrites / 2},
		{name: "one that takes so long that nobody who waits would be written in time", took: 8 * time.Second, want: 0},
		{name: "one that was slow a while ago", took: 5 * time.Second, idle: 2 * storeTimeout, want: maxInFlight},
		{name: "one that was fast and does not answer", took: 10 * time.Millisecond, stuck: time.Second, want: 5 * maxWrites},
		{name: "one that has not answered for long", took: 10 * time.Millisecond, stuck: 5 * time.Minute, want: 0},
		{name: "one whose writes were given up, though they had the time that is left to who waits longest", took: storeTimeout - maxWait, ended: context.DeadlineExceeded, want: 0},
		{name: "one whose writes had less than that, and take longer than they had", took: time.Second, ended: context.DeadlineExceeded, want: 5 * maxWrites},
		{name: "one whose senders hung up after that", took: time.Second, ended: context.Canceled, want: 5 * maxWrites},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			c.writes(tc.took, tc.ended)
			c.pass(tc.idle)
			c.fill()
			c.pass(tc.stuck)
			if got := c.joinAll(); got < tc.want-1 || got > tc.want+1 || tc.want == 0 && got > 0 {
				t.Errorf("%d wait, want %d", got, tc.want)
			}
		})
	}
}

// A proxy that hangs up early, or who waited for others in its lane, tells little of the API server.
func TestWritesThatWereGivenUpBeforeTheyCouldBeDoneTellNothing(t *testing.T) {
	t.Parallel()
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		c := newCrowd(t)
		c.writes(500*time.Millisecond, nil)
		for range 20 {
			c.queue.wrote(c.clock.Now().Add(-50*time.Millisecond), ended)
		}
		c.fill()
		if got, want := c.joinAll(), 11*maxWrites; got < want-1 || got > want+1 {
			t.Errorf("after %v %d wait, want %d", ended, got, want)
		}
	}
}

func TestWhoHasLessTimeLeftThanItWouldTakeDoesNotWait(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.writes(time.Second, nil)
	c.fill()
	if c.queue.joins("a", 1900*time.Millisecond) {
		t.Error("one waits that has 1.9 s, where its turn comes after 1 s, and its write takes 1 s")
	}
	if !c.queue.joins("a", 2100*time.Millisecond) {
		t.Error("one is refused that would be written in time")
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := c.queue.enter(late, "b"); !errors.Is(err, errTooManyAtOnce) {
		t.Errorf("enter() = %v for who has no time left, want %v", err, errTooManyAtOnce)
	}
}

func TestWhoseTurnComesWithLessTimeLeftThanAWriteTakesByThenGivesItBack(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.fill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	refused := make(chan error, 1)
	go func() {
		_, err := c.queue.enter(ctx, "a")
		refused <- err
	}()
	eventually(t, "it waits", func() bool { return c.waiting() == 1 })
	c.queue.mu.Lock()
	c.queue.took = 2 * time.Minute
	c.queue.mu.Unlock()
	c.queue.leave()
	if err := <-refused; !errors.Is(err, errTooManyAtOnce) || ctx.Err() != nil {
		t.Errorf("enter() = %v, want %v at once", err, errTooManyAtOnce)
	}
	if c.waiting() != 0 || !c.queue.turns.TryAcquire(1) {
		t.Error("it kept its turn, or waits on")
	}
}

func TestWhoIsRefusedAndWhoGivesUpLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.fill()
	c.pass(time.Hour)
	if _, err := c.queue.enter(t.Context(), "a"); !errors.Is(err, errTooManyAtOnce) {
		t.Errorf("enter() = %v where it would take too long, want %v", err, errTooManyAtOnce)
	}
	c.write(0, nil)
	c.fill()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.queue.enter(gone, "b"); !errors.Is(err, context.Canceled) {
		t.Errorf("enter() = %v for who gave up, want %v", err, context.Canceled)
	}
	began := time.Now()
	if _, err := c.queue.enter(t.Context(), "a"); !errors.Is(err, errTooManyAtOnce) {
		t.Errorf("enter() = %v where it took longer than was foreseen, want %v", err, errTooManyAtOnce)
	}
	if took := time.Since(began); took < maxWait {
		t.Errorf("it was refused after %s, want %s", took, maxWait)
	}
	if c.waiting() != 0 {
		t.Errorf("%d wait, want none", c.waiting())
	}
	c.write(0, nil)
	c.fill()
}

// slowWriter holds writes up until it is let, and knows how many there were at once, and in all.
type slowWriter struct {
	client.StatusClient

	let chan struct{}

	mu             sync.Mutex
	now, most, all int
}

type slowStatus struct {
	client.SubResourceWriter

	*slowWriter
}

func (w *slowWriter) Status() client.SubResourceWriter {
	return &slowStatus{w.StatusClient.Status(), w}
}

func (w *slowWriter) count(by int) (most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now += by
	w.all += max(by, 0)
	w.most = max(w.most, w.now)
	return w.most
}

func (s *slowStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	s.count(1)
	defer s.count(-1)
	select {
	case <-s.let:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.SubResourceWriter.Patch(ctx, object, patch, options...)
}

// slows has the desk write through a slow writer.
func (d *desk) slows() *slowWriter {
	w := &slowWriter{StatusClient: d.handler.Store.Writer, let: make(chan struct{})}
	d.handler.Store.Writer = w
	return w
}

// counts has the desk write through one that only counts.
func (d *desk) counts() *slowWriter {
	w := d.slows()
	close(w.let)
	return w
}

// startsKnown posts a start, and waits until the cache has it.
func (d *desk) startsKnown() css.Callback {
	d.t.Helper()
	known := d.push("a").Start(showTime)
	if status := d.post(known); status != http.StatusOK {
		d.t.Fatalf("answered %d", status)
	}
	d.caughtUp(d.stream("show"))
	return known
}

// allTaken waits until all callbacks are answered, each with 200.
func (d *desk) allTaken(answers []<-chan int) {
	d.t.Helper()
	for i, answer := range answers {
		if status := <-answer; status != http.StatusOK {
			d.t.Errorf("callback %d is answered %d", i, status)
		}
	}
}

// later posts a callback, and tells the answer.
func (d *desk) later(c css.Callback) <-chan int {
	answer := make(chan int, 1)
	go func() { answer <- d.post(c) }()
	return answer
}

func (d *desk) waiting() int {
	q := d.handler.Store.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// busy has all turns taken.
func (d *desk) busy() *queue {
	d.t.Helper()
	q := d.handler.Store.queue
	for range maxWrites {
		if waited, err := q.enter(d.t.Context(), "another"); waited || err != nil {
			d.t.Fatalf("something is being written: %v", err)
		}
	}
	return q
}

func TestNoMoreThan64StreamsAreWrittenAtOnceAndAllAreWritten(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.slows()
	const count = maxWrites + 16
	for i := range count {
		s := d.newStream(fmt.Sprint("s", i))
		s.Spec.StreamName = s.Name
		d.create(s)
	}
	d.knows(fmt.Sprint("s", count-1))
	var answers []<-chan int
	for i := range count {
		c := d.push("a").Start(showTime)
		c.StreamID, c.ChannelID = fmt.Sprint("s", i), fmt.Sprint("s", i)
		answers = append(answers, d.later(c))
	}
	d.eventually("all others wait", func() bool { return w.count(0) >= maxWrites && d.waiting() == count-maxWrites })
	close(w.let)
	for i, answer := range answers {
		if status := <-answer; status != http.StatusOK {
			t.Errorf("callback %d is answered %d", i, status)
		}
		if got := len(d.stream(fmt.Sprint("s", i)).Status.Pushes); got != 1 {
			t.Errorf("stream %d has %d pushes, want 1", i, got)
		}
	}
	if most := w.count(0); most != maxWrites {
		t.Errorf("%d were written at once, want %d", most, maxWrites)
	}
}

func TestWhatAnotherReplicaWroteMeanwhileIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := openDesk(t, d.namespace, d.clock)
	other.knows("show")
	queue := d.busy()
	start := d.push("a").Start(showTime)
	answer := d.later(start)
	d.eventually("it waits", func() bool { return d.waiting() == 1 })
	if status := other.post(start); status != http.StatusOK {
		t.Fatalf("the other replica answers %d", status)
	}
	d.caughtUp(d.stream("show"))
	asked := d.counts()
	queue.leave()
	if status := <-answer; status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	if asked.count(0) != 0 {
		t.Error("it was written again")
	}
}

// What a callback may take has to fit into what its connection may, and that into the sender's patience and the end of the process.
func TestTheBoundsFitIntoEachOther(t *testing.T) {
	t.Parallel()
	const patience, grace = 20 * time.Second, 20 * time.Second
	for _, tc := range []struct {
		what         string
		inner, outer time.Duration
	}{
		{"waiting for a turn, into storing", maxWait, storeTimeout},
		{"what waiting is foreseen, into waiting", longestWait, maxWait},
		{"waiting, into the longest wait", queueWait, longestWait},
		{"until CSS sends again what it sent, into how long that is kept", time.Minute, keptRefused},
		{"reading headers, into reading all", readHeaderTimeout, readTimeout},
		{"storing, into answering", storeTimeout, writeTimeout},
		{"reading headers and storing, into the sender's patience", readHeaderTimeout + storeTimeout, patience},
		{"storing, into the end of the process", storeTimeout, shutdownTimeout},
		{"answering, into the sender's patience", writeTimeout, patience},
		{"the end of the server, into that of the process", shutdownTimeout, grace},
	} {
		if tc.inner >= tc.outer {
			t.Errorf("%s: %s does not fit into %s", tc.what, tc.inner, tc.outer)
		}
	}
}
