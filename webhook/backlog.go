package webhook

import (
	"context"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// backlog keeps events that were refused, for there was no room. CSS sends them again a minute later, in the same few seconds in which all came, and the API
// server would have nothing to do in between. So they are written meanwhile, and known when they come again. What is lost of them here, with the process for
// one, comes again all the same.
type backlog struct {
	clock clock.PassiveClock
	// came says that there are some.
	came chan struct{}

	mu sync.Mutex
	of map[backlogKey][]refusedEvent
	// order is that in which the first event of each was refused.
	order []backlogKey
}

// backlogKey is a stream of a PushDomain, by whose spec its events were checked.
type backlogKey struct {
	domain     types.NamespacedName
	uid        types.UID
	generation int64
	stream     push.Stream
}

// refusedEvent was refused then; the last time, where it was more than once.
type refusedEvent struct {
	event provider.Event
	at    time.Time
}

func newBacklog(clock clock.PassiveClock) *backlog {
	return &backlog{clock: clock, came: make(chan struct{}, 1), of: map[backlogKey][]refusedEvent{}}
}

// keep keeps an event that was refused. Of one stream the oldest make room.
func (b *backlog) keep(domain *v1alpha1.PushDomain, event provider.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	key := backlogKey{types.NamespacedName{Namespace: domain.Namespace, Name: domain.Name}, domain.UID, domain.Generation, push.Stream{App: event.App, Name: event.Stream}}
	events, there := b.of[key]
	if !there {
		if len(b.of) >= mostRefusedStreams {
			b.dropOld(now)
		}
		if len(b.of) >= mostRefusedStreams {
			return
		}
		b.order = append(b.order, key)
	}
	again := slices.IndexFunc(events, func(e refusedEvent) bool { return e.event.Kind == event.Kind && e.event.Sequence == event.Sequence })
	switch {
	case again >= 0:
		events[again].at = now
	case len(events) >= mostRefusedEvents:
		events = append(slices.Delete(events, 0, 1), refusedEvent{event, now})
	default:
		events = append(events, refusedEvent{event, now})
	}
	b.of[key] = events
	select {
	case b.came <- struct{}{}:
	default:
	}
}

func young(events []refusedEvent, now time.Time) []refusedEvent {
	return slices.DeleteFunc(events, func(e refusedEvent) bool { return now.Sub(e.at) >= keptRefused })
}

// dropOld drops the first streams whose events are all too old; the lock is held.
func (b *backlog) dropOld(now time.Time) {
	for len(b.order) > 0 {
		key := b.order[0]
		if b.of[key] = young(b.of[key], now); len(b.of[key]) > 0 {
			return
		}
		delete(b.of, key)
		b.order = b.order[1:]
	}
}

// next takes the events of the stream of which the first was refused longest ago; there are none where nothing is left.
func (b *backlog) next() (backlogKey, []provider.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropOld(b.clock.Now())
	if len(b.order) == 0 {
		b.order = nil
		return backlogKey{}, nil
	}
	key := b.order[0]
	b.order = b.order[1:]
	events := make([]provider.Event, 0, len(b.of[key]))
	for _, e := range b.of[key] {
		events = append(events, e.event)
	}
	delete(b.of, key)
	return key, events
}

// NeedLeaderElection is false: every replica writes what it refused.
func (*Store) NeedLeaderElection() bool { return false }

// Start writes what was refused as turns are left over, until the context ends.
func (s *Store) Start(ctx context.Context) error {
	var writing sync.WaitGroup
	defer writing.Wait()
	places := make(chan struct{}, maxRefusedWrites)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.backlog.came:
		}
		for {
			places <- struct{}{}
			turn := &heldTurn{queue: s.queue}
			if s.queue.hold(ctx) != nil {
				return nil
			}
			key, events := s.backlog.next()
			if len(events) == 0 {
				turn.giveBack()
				<-places
				break
			}
			writing.Go(func() {
				defer func() { turn.giveBack(); <-places }()
				s.writeRefused(ctx, key, events, turn.take)
			})
		}
	}
}

// writeRefused writes the events into the LiveStreams of the stream, as Record does. Who claims no push is asked for when the event comes again.
func (s *Store) writeRefused(ctx context.Context, key backlogKey, events []provider.Event, turn turn) {
	// As a callback's write, it is done also where the process ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	log := ctrl.Log.WithName("receiver")
	domain := &v1alpha1.PushDomain{}
	if err := s.Cache.Get(ctx, key.domain, domain); err != nil || domain.UID != key.uid || domain.Generation != key.generation {
		// They are checked against what there is when they come again.
		return
	}
	holders, err := index.Holders(ctx, s.Cache, domain.Namespace, domain.Spec.Domain, key.stream.App, key.stream.Name)
	if err != nil {
		log.Error(err, "Could not find the LiveStreams of events that were refused")
		return
	}
	for _, holder := range holders[:min(len(holders), maxHolders)] {
		name := types.NamespacedName{Namespace: holder.Namespace, Name: holder.Name}
		own := make([]*entry, 0, len(events))
		for _, event := range events {
			own = append(own, newEntry(event, domain.UID, holders[0].Name))
		}
		if err := s.into(ctx, domain, holder, turn, own...); apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			log.V(1).Info("Could not write events that were refused; they come again", "LiveStream", name, "reason", err.Error())
			return
		}
		for _, e := range own {
			if e.outcome.Changed() && holder.Name == e.keeper {
				s.sawRefused(domain)
				refusedRecorded.Inc()
				log.Info("Recorded push event that was refused", "event", e.event.Kind.String(), "outcome", e.outcome.String(), "LiveStream", name, "sequence", e.event.Sequence)
			}
		}
	}
}

// sawRefused tells the status of the PushDomain: to the callback that comes again nothing is new.
func (s *Store) sawRefused(domain *v1alpha1.PushDomain) {
	if s.Domains != nil {
		s.Domains.Saw(domain, seen{changed: true})
	}
}
