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

// Start gives turns until the context ends. It implements manager.Runnable.
func (r *Restarts) Start(ctx context.Context) error {
	for {
		wait := r.GiveTurns(ctx)
		timer := time.NewTimer(wait)
		if wait == 0 {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.changed:
			timer.Stop()
		case <-timer.C:
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

// noteWrite learns how long a write took that has just ended.
func (r *Restarts) noteWrite(begun time.Time) {
	if r == nil {
		return
	}
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.budget.NoteWrite(now, now.Sub(begun))
	r.tell()
}

// hasTurn says whether what is due of the LiveStream may be made again now. Where not, it is brought when it may.
func (r *Restarts) hasTurn(name types.NamespacedName, due plan.Again) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	has := false
	switch {
	case due.Jobs > 0:
		has = r.budget.Ask(r.clock.Now(), name, restarts.Due{Jobs: due.Jobs, Part: due.Part})
	case !due.Podless:
		r.budget.Forget(name)
	}
	r.tell()
	if r.budget.Waiting() > 0 {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
	return has
}

// forget is for a LiveStream that is gone, or going.
func (r *Restarts) forget(name types.NamespacedName) { r.hasTurn(name, plan.Again{}) }

func (r *Restarts) tell() {
	restartsWaiting.Set(float64(r.budget.Waiting()))
	restartRate.Set(r.budget.Rate())
}
