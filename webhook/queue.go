package webhook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/utils/clock"
)

// queue has at most maxWrites events written at once; the others wait for their turn, first come, first served. Who would wait longer
// than maxWait is refused at once: to be told after seconds costs the sender as much, and a write that nobody waits for any more costs
// the API server what another event needs.
type queue struct {
	// clock is monotonic.
	clock clock.PassiveClock
	turns *semaphore.Weighted

	mu               sync.Mutex
	waiting, writing int
	// took is how long a write takes: a moving mean.
	took time.Duration
	// moved is when a write was last done, or the first of some was begun.
	moved time.Time
}

func newQueue(clock clock.PassiveClock) *queue {
	return &queue{clock: clock, turns: semaphore.NewWeighted(maxWrites)}
}

// enter returns when it is the event's turn, and how to leave. Whoever waited should look again at what it is about to write.
func (q *queue) enter(ctx context.Context) (leave func(), waited bool, err error) {
	if !q.turns.TryAcquire(1) {
		if waited = true; !q.joins() {
			return nil, true, errTooManyAtOne
		}
		err := q.turns.Acquire(ctx, 1)
		q.mu.Lock()
		q.waiting--
		q.mu.Unlock()
		if err != nil {
			return nil, true, fmt.Errorf("waiting for other events to be written: %w", err)
		}
	}
	began := q.clock.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writing == 0 {
		q.moved = began
	}
	q.writing++
	return func() { q.leave(began) }, waited, nil
}

// joins takes a place among those that wait, unless it would be for too long.
func (q *queue) joins() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	// Where no write is done at all, the mean is of better times.
	took := max(q.took, min(q.clock.Since(q.moved), storeTimeout))
	if time.Duration(q.waiting+1)*took/maxWrites > maxWait {
		return false
	}
	q.waiting++
	return true
}

// meanOf is of how many writes the mean tells, more or less.
const meanOf = 32

func (q *queue) leave(began time.Time) {
	now := q.clock.Now()
	q.mu.Lock()
	q.writing--
	q.moved = now
	// No write takes longer than storeTimeout but that of a process that was stopped.
	q.took += (min(now.Sub(began), storeTimeout) - q.took) / meanOf
	q.mu.Unlock()
	q.turns.Release(1)
}
