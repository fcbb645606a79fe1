package webhook

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// crowd is a queue that is written from as fast as it can be, by a clock of its own.
type crowd struct {
	t     *testing.T
	clock *testclock.FakePassiveClock
	queue *queue
	// leave are of those that write.
	leave []func()
}

func newCrowd(t *testing.T) *crowd {
	clock := testclock.NewFakePassiveClock(time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC))
	return &crowd{t: t, clock: clock, queue: newQueue(clock)}
}

func (c *crowd) pass(d time.Duration) { c.clock.SetTime(c.clock.Now().Add(d)) }

// fill has as many write as may at once.
func (c *crowd) fill() {
	c.t.Helper()
	for range maxWrites {
		leave, waited, err := c.queue.enter(c.t.Context())
		if err != nil || waited {
			c.t.Fatalf("enter() of an empty place waited: %t, %v", waited, err)
		}
		c.leave = append(c.leave, leave)
	}
}

// write has all that write be done after so long.
func (c *crowd) write(took time.Duration) {
	c.pass(took)
	for _, leave := range c.leave {
		leave()
	}
	c.leave = nil
}

// joinAll has further events wait until one is refused, and says how many wait.
func (c *crowd) joinAll() int {
	for n := range maxInFlight {
		if !c.queue.joins() {
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
		// took is how long writes took so far, and stuck how long none was done since.
		took, stuck time.Duration
		want        int
	}{
		{name: "an API server that is fast", took: 100 * time.Millisecond, want: maxInFlight},
		{name: "one that is busy", took: 400 * time.Millisecond, want: int(maxWait / (400 * time.Millisecond) * maxWrites)},
		{name: "one that is slow", took: 2 * time.Second, want: 2 * maxWrites},
		{name: "one that was fast and does not answer", took: 10 * time.Millisecond, stuck: 2 * time.Second, want: 2 * maxWrites},
		{name: "one that has not answered for long", took: 10 * time.Millisecond, stuck: 5 * time.Minute, want: int(maxWait * maxWrites / storeTimeout)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			for range 20 {
				c.fill()
				c.write(tc.took)
			}
			c.fill()
			c.pass(tc.stuck)
			got := c.joinAll()
			if got < tc.want-1 || got > tc.want+1 {
				t.Errorf("%d wait, want %d", got, tc.want)
			}
		})
	}
}

func TestWhoWaitsHasItsTurnAndIsToldThatItWaited(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.fill()
	turn := make(chan bool)
	go func() {
		leave, waited, err := c.queue.enter(t.Context())
		if err == nil {
			leave()
		}
		turn <- waited && err == nil
	}()
	for c.waiting() == 0 {
		runtime.Gosched()
	}
	select {
	case <-turn:
		t.Fatal("more are written at once than may be")
	default:
	}
	c.write(time.Millisecond)
	if !<-turn {
		t.Error("who waited was not told so")
	}
}

func TestWhoIsRefusedAndWhoGivesUpLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.fill()
	c.pass(time.Hour)
	all := c.joinAll()
	if _, _, err := c.queue.enter(t.Context()); !errors.Is(err, errTooManyAtOne) {
		t.Errorf("enter() = %v where too many wait, want %v", err, errTooManyAtOne)
	}
	if c.waiting() != all {
		t.Errorf("%d wait after one was refused, want %d", c.waiting(), all)
	}
	c.queue.waiting = 0
	c.write(0)
	c.fill()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.queue.enter(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("enter() = %v for who gave up, want %v", err, context.Canceled)
	}
	if c.waiting() != 0 {
		t.Errorf("%d wait, want none", c.waiting())
	}
	c.write(0)
	c.fill()
}
