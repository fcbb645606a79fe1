package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/statuspatch"
)

// board gathers the events of streams that no LiveStream claims, by push domain, so that a storm of them is one write a second.
type board struct {
	mu      sync.Mutex
	domains map[types.UID]*gathering
}

// gathering is what waits to be written to one push domain.
type gathering struct {
	waiting []*unclaimedEvent
	writing bool
	last    time.Time
}

type unclaimedEvent struct {
	event   provider.Event
	outcome push.Outcome
	// err says that there are more live pushes of its stream than anybody can claim.
	err error
	// gone is closed when nobody waits any more.
	gone <-chan struct{}
	// done gets one value: nil when the event is in etcd, or was a start too many to be kept.
	done chan error
}

func (e *unclaimedEvent) isGone() bool {
	select {
	case <-e.gone:
		return true
	default:
		return false
	}
}

// unclaimed records the event in status.unclaimedPushes. It returns when that is in etcd.
func (s *Store) unclaimed(ctx context.Context, domain *v1alpha1.PushDomain, event provider.Event) (Recorded, error) {
	e := &unclaimedEvent{event: event, gone: ctx.Done(), done: make(chan error, 1)}
	s.gather(domain, e)
	select {
	case err := <-e.done:
		return Recorded{Outcome: e.outcome}, err
	case <-ctx.Done():
		return Recorded{}, fmt.Errorf("waiting for the push domain's status to be written: %w", ctx.Err())
	}
}

func (s *Store) gather(domain *v1alpha1.PushDomain, e *unclaimedEvent) {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	if s.board.domains == nil {
		s.board.domains = map[types.UID]*gathering{}
	}
	g, there := s.board.domains[domain.UID]
	if !there {
		g = &gathering{}
		s.board.domains[domain.UID] = g
	}
	switch {
	case len(g.waiting) < push.MaxUnclaimed:
		g.waiting = append(g.waiting, e)
	case domain.Spec.UnknownStreams.Creates():
		// A LiveStream is made for each: it is to come again.
		e.done <- errTooManyAtOnce
	default:
		g.waiting = dropOne(append(g.waiting, e))
	}
	if !g.writing {
		g.writing = true
		go s.writeUnclaimed(domain, g)
	}
}

// dropOne makes room for the events of other push domains, which share what may be in flight: the oldest start would be the first to
// be dropped from the status as well, and counts as told. An interruption may end a push that is kept there: it is never dropped,
// and where nothing else waits the last one is to come again.
func dropOne(waiting []*unclaimedEvent) []*unclaimedEvent {
	i := slices.IndexFunc(waiting, func(e *unclaimedEvent) bool { return e.event.Kind == provider.Started })
	if i < 0 {
		i = len(waiting) - 1
		waiting[i].done <- errTooManyAtOnce
	} else {
		waiting[i].done <- nil
	}
	return slices.Delete(waiting, i, i+1)
}

// writeUnclaimed writes what was gathered until nothing is left, at most every unclaimedEvery.
func (s *Store) writeUnclaimed(domain *v1alpha1.PushDomain, g *gathering) {
	for {
		timer := time.NewTimer(unclaimedEvery - s.Clock.Since(g.last))
		<-timer.C
		s.board.mu.Lock()
		// Who was told that it takes too long comes again.
		events := slices.DeleteFunc(g.waiting, (*unclaimedEvent).isGone)
		g.waiting = nil
		if len(events) == 0 {
			g.writing = false
			s.forget()
			s.board.mu.Unlock()
			return
		}
		s.board.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		written, err := s.writeOnce(ctx, domain, events)
		cancel()
		g.last = s.Clock.Now()
		if err == nil {
			domain = written
		}
		for _, e := range events {
			// A start of a stream that has no LiveStream may be forgotten; an interruption may be that of a push which is live somewhere.
			mayNot := e.event.Kind == provider.Interrupted || domain.Spec.UnknownStreams.Creates()
			switch {
			case err == nil && mayNot && e.err != nil:
				e.done <- e.err
			case err == nil && mayNot && e.outcome.Changed() && !remembered(domain, e.event):
				e.done <- errNoRoom
			default:
				e.done <- err
			}
		}
	}
}

// remembered says whether the push is among those that are kept.
func remembered(domain *v1alpha1.PushDomain, event provider.Event) bool {
	return slices.ContainsFunc(domain.Status.UnclaimedPushes, func(p v1alpha1.UnclaimedPush) bool {
		return p.Sequence == event.Sequence && push.StreamOf(p) == push.Stream{App: event.App, Name: event.Stream}
	})
}

// forget drops push domains to which nothing was written for a while; the lock is held.
func (s *Store) forget() {
	for uid, g := range s.board.domains {
		if !g.writing && s.Clock.Since(g.last) > unclaimedEvery {
			delete(s.board.domains, uid)
		}
	}
}

// writeOnce applies the events to the push domain, and returns it as it is then; NotFound when it is gone.
func (s *Store) writeOnce(ctx context.Context, domain *v1alpha1.PushDomain, events []*unclaimedEvent) (*v1alpha1.PushDomain, error) {
	for {
		written, err := s.applyUnclaimed(ctx, domain, events)
		if !apierrors.IsConflict(err) {
			return written, err
		}
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
		fresh := &v1alpha1.PushDomain{}
		if err := s.Live.Get(ctx, client.ObjectKeyFromObject(domain), fresh); err != nil {
			return nil, fmt.Errorf("reading PushDomain %q again: %w", domain.Name, err)
		}
		if fresh.UID != domain.UID {
			// It may be one of another host now. The event comes again, and is checked against that.
			return nil, apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("pushdomains").GroupResource(), domain.Name)
		}
		domain = fresh
	}
}

func (s *Store) applyUnclaimed(ctx context.Context, domain *v1alpha1.PushDomain, events []*unclaimedEvent) (*v1alpha1.PushDomain, error) {
	pushes, changed := domain.Status.UnclaimedPushes, false
	for _, e := range events {
		pushes, e.outcome, e.err = push.ApplyUnclaimed(pushes, domain.Spec.UnknownStreams, e.event, s.Clock.Now())
		changed = changed || e.outcome.Changed()
	}
	if !changed {
		return domain, nil
	}
	var patch struct {
		Metadata statuspatch.Precondition `json:"metadata"`
		Status   struct {
			UnclaimedPushes []v1alpha1.UnclaimedPush `json:"unclaimedPushes"`
		} `json:"status"`
	}
	patch.Metadata = statuspatch.On(domain)
	patch.Status.UnclaimedPushes = pushes
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encoding the unclaimed pushes of PushDomain %q: %w", domain.Name, err)
	}
	written := &v1alpha1.PushDomain{}
	written.Namespace, written.Name = domain.Namespace, domain.Name
	if err := s.Writer.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, text)); err != nil {
		return nil, fmt.Errorf("writing the unclaimed pushes of PushDomain %q: %w", domain.Name, err)
	}
	return written, nil
}
