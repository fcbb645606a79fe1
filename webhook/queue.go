package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// queue has at most maxWrites streams written at once; the others wait for their turn, first come, first served. Who would wait for too
// long, or be written too late, is refused at once: to be told after seconds costs the sender as much, and a write that nobody waits for
// any more costs the API server what another event needs.
type queue struct {
	// clock is monotonic.
	clock clock.PassiveClock
	turns *semaphore.Weighted

	mu               sync.Mutex
	waiting, writing int
	// took is how long a write takes: a moving mean.
	took time.Duration
	// moved is when a write was last done, or the last turn was given away.
	moved   time.Time
	refused refusedStreams
}

func newQueue(clock clock.PassiveClock) *queue {
	return &queue{clock: clock, turns: semaphore.NewWeighted(maxWrites)}
}

// enter returns when it is the stream's turn; leave ends the turn. Whoever waited should look again at what it is about to write.
func (q *queue) enter(ctx context.Context, stream types.UID) (waited bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.turns.TryAcquire(1) {
		q.begin()
		return false, nil
	}
	left := maxWait
	if until, bounded := ctx.Deadline(); bounded {
		left = time.Until(until)
	}
	if !q.joins(stream, left) {
		return true, errTooManyAtOnce
	}
	q.mu.Unlock()
	err = q.wait(ctx)
	q.mu.Lock()
	q.waiting--
	if err != nil {
		return true, err
	}
	if until, bounded := ctx.Deadline(); bounded && time.Until(until) < q.took {
		q.turns.Release(1)
		return true, errTooManyAtOnce
	}
	q.begin()
	return true, nil
}

// hold waits for a turn that is for no stream yet, behind all who wait now, for as long as that takes.
func (q *queue) hold(ctx context.Context) error {
	if err := q.turns.Acquire(ctx, 1); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begin()
	return nil
}

// turn has a stream take a turn, and says whether it waited.
type turn func(ctx context.Context, stream types.UID) (waited bool, err error)

// heldTurn is a turn that is for no stream yet.
type heldTurn struct {
	queue *queue
	taken bool
}

// take is a turn: the held one at first. Who takes it has waited: for others in its lane.
func (h *heldTurn) take(ctx context.Context, _ types.UID) (waited bool, err error) {
	if h.taken {
		return true, h.queue.hold(ctx)
	}
	h.taken = true
	return true, nil
}

// giveBack ends the turn if nothing took it.
func (h *heldTurn) giveBack() {
	if !h.taken {
		h.taken = true
		h.queue.leave()
	}
}

// begin counts a turn; the lock is held.
func (q *queue) begin() {
	now := q.clock.Now()
	if q.writing == 0 && now.Sub(q.moved) > storeTimeout {
		// Whatever the API server was like, it may be another by now.
		q.took = 0
	}
	if q.writing++; q.writing == maxWrites {
		q.moved = now
	}
}

// joins takes a place among those that wait, unless it would be for too long, or for longer than there is left; the lock is held. Where many
// wait, streams of which an event was refused just now leave the places to others.
func (q *queue) joins(stream types.UID, left time.Duration) bool {
	// Where no write is done at all, the mean is of better times.
	took := max(q.took, q.clock.Since(q.moved))
	// In a burst all turns end together, one write from now.
	wait := took + time.Duration(q.waiting)*took/maxWrites
	now := q.clock.Now()
	longest := min(max(queueWait, 2*took), longestWait)
	if wait > longest || wait+took > maxWait || wait > longest/2 && q.refused.lately(stream, now) {
		q.refused.note(stream, now)
		return false
	}
	if wait+took > left {
		return false
	}
	q.waiting++
	return true
}

// wait waits for a turn, for no longer than was foreseen: what was foreseen may not come.
func (q *queue) wait(ctx context.Context) error {
	turn, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	err := q.turns.Acquire(turn, 1)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("waiting for other events to be written: %w", ctx.Err())
	default:
		return errTooManyAtOnce
	}
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing--
	q.turns.Release(1)
}

// meanOf is of how many writes the mean tells, more or less.
const meanOf = 32

// wrote counts a write that was begun then. One that was given up, for ended, would have taken longer: as long as any may, where it had at least the time
// that is left to who waits longest. Who came later, or hung up, tells no more than how long it took.
func (q *queue) wrote(began time.Time, ended error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	// Only of a process that was stopped one has taken longer.
	took := min(now.Sub(began), storeTimeout)
	switch {
	case errors.Is(ended, context.DeadlineExceeded) && took >= storeTimeout-maxWait:
		took = storeTimeout
	case ended != nil:
		took = max(took, q.took)
	}
	q.moved = now
	q.took += (took - q.took) / meanOf
}
