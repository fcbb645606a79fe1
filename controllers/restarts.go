package controllers

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/restarts"
)

// Restarts gives LiveStreams whose Jobs ended at once their turn to have them made again. A nil one makes them wait for nothing.
type Restarts struct {
	clock   clock.PassiveClock
	streams chan<- event.GenericEvent

	mu     sync.Mutex
	budget *restarts.Budget[types.NamespacedName]
	// changed has something in it when somebody's turn may be sooner than was known.
	changed chan struct{}
}

// NewRestarts brings LiveStreams to the reconciler by the channel when it is their turn.
func NewRestarts(clock clock.PassiveClock, streams chan<- event.GenericEvent) *Restarts {
	return &Restarts{clock: clock, streams: streams, budget: restarts.New[types.NamespacedName](), changed: make(chan struct{}, 1)}
}

// NeedLeaderElection is true: who does not lead makes no Jobs.
func (*Restarts) NeedLeaderElection() bool { return true }

// longestSleep is how long a change of the rate may go unseen.
const longestSleep = time.Second

// Start gives turns until the context ends. It implements manager.Runnable.
func (r *Restarts) Start(ctx context.Context) error {
	for {
		var later <-chan time.Time
		if wait := r.GiveTurns(ctx); wait > 0 {
			later = time.After(min(wait, longestSleep))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
		case <-later:
		}
	}
}

// GiveTurns brings those whose turn it is, and says how long until the next one's; 0 while nobody waits.
func (r *Restarts) GiveTurns(ctx context.Context) time.Duration {
	r.mu.Lock()
	turns, wait := r.budget.Next(r.clock.Now())
	r.tell()
	r.mu.Unlock()
	for _, name := range turns {
		send(ctx, r.streams, &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}})
	}
	return wait
}

// noteWrite learns how long a write took that has just ended with the error. One that was refused at once says nothing of how long they take.
func (r *Restarts) noteWrite(begun time.Time, err error) {
	if r == nil {
		return
	}
	took := r.clock.Since(begun)
	if err != nil && took < restarts.AlwaysSlow {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// By a clock that was read under the lock: turns may have been given since.
	r.budget.NoteWrite(r.clock.Now(), took)
	r.tell()
}

// holds says whether what is due of the LiveStream is not to be made now. It waits for its turn then, and is brought when that comes.
func (r *Restarts) holds(name types.NamespacedName, due plan.Again) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.tell()
	if due.Jobs == 0 {
		if r.budget.Settle(name, due.Podless) {
			r.wake()
		}
		return false
	}
	if r.budget.Ask(r.clock.Now(), name, restarts.Due{Jobs: due.Jobs, Part: due.Part}) {
		return false
	}
	r.wake()
	return true
}

// giveBack is for a turn whose pass could not make so many of its Jobs, and is repeated.
func (r *Restarts) giveBack(name types.NamespacedName, jobs int) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.budget.GiveBack(r.clock.Now(), name, jobs)
}

// forget is for a LiveStream that is gone, or going.
func (r *Restarts) forget(name types.NamespacedName) { r.holds(name, plan.Again{}) }

// wake has the turns looked at where somebody waits; the lock is held.
func (r *Restarts) wake() {
	if r.budget.Waiting() == 0 {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *Restarts) tell() {
	restartsWaiting.Set(float64(r.budget.Waiting()))
	restartRate.Set(r.budget.Rate())
}
