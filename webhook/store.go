package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/statuspatch"
	"github.com/livestream-operator/livestream-operator/internal/versions"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// Store writes events into LiveStreams, and those of streams that none claims into the PushDomain.
type Store struct {
	// Cache finds LiveStreams, by internal/index.
	Cache client.Reader
	// Live reads from the API server itself.
	Live client.Reader
	// Writer writes the status.
	Writer client.StatusClient
	// Written is told of each write.
	Written *versions.Written
	Clock   clock.PassiveClock
	// Domains is told of what is written after it was refused; nil where nobody asks.
	Domains *DomainStatus

	lanes lanes
	board board
	queue *queue
	// backlog is of what the queue refused.
	backlog *backlog
}

// NewStore returns a store that writes at most maxWrites streams at once.
func NewStore(cache, live client.Reader, writer client.StatusClient, written *versions.Written, clock clock.PassiveClock) *Store {
	return &Store{Cache: cache, Live: live, Writer: writer, Written: written, Clock: clock, queue: newQueue(clock), backlog: newBacklog(clock)}
}

// Recorded is what became of an event.
type Recorded struct {
	// Stream is the name of the LiveStream, "" when none claims the push.
	Stream  string
	Outcome push.Outcome
}

// result is how metrics name it.
func (r Recorded) result() string {
	if r.Stream == "" {
		return "unclaimed"
	}
	return r.Outcome.String()
}

// Record applies the event to the LiveStreams of its stream. When it returns without an error, what the event says is in etcd,
// or had been. Of several the first keeps the stream; the others know its pushes, so that they can take over at any time. What is refused, as there is no room,
// is kept until there is.
func (s *Store) Record(ctx context.Context, domain *v1alpha1.PushDomain, event provider.Event) (Recorded, error) {
	holders, err := index.Holders(ctx, s.Cache, domain.Namespace, domain.Spec.Domain, event.App, event.Stream)
	if err != nil {
		return Recorded{}, fmt.Errorf("looking up the LiveStream: %w", err)
	}
	var first Recorded
	for _, holder := range holders[:min(len(holders), maxHolders)] {
		own := newEntry(event, domain.UID, holders[0].Name)
		err := s.into(ctx, domain, holder, s.queue.enter, own)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err == nil {
			err = own.err
		}
		if errors.Is(err, errTooManyAtOnce) {
			s.backlog.keep(domain, event)
		}
		if err != nil {
			return Recorded{}, err
		}
		if first.Stream == "" {
			first = own.recordedIn(holder)
		}
	}
	if first.Stream == "" {
		return s.unclaimed(ctx, domain, event)
	}
	// The next LiveStream of the stream must not claim a push that ended on this one.
	if event.Kind == provider.Interrupted && slices.ContainsFunc(domain.Status.UnclaimedPushes, func(p v1alpha1.UnclaimedPush) bool {
		return p.Sequence == event.Sequence && push.StreamOf(p) == push.Stream{App: event.App, Name: event.Stream} && push.IsLive(p.Push)
	}) {
		if _, err := s.unclaimed(ctx, domain, event); err != nil {
			return Recorded{}, err
		}
	}
	return first, nil
}

// into records events, of one PushDomain and keeper, in one LiveStream; NotFound when it is gone, or has let go for it is being deleted. What became of each it
// tells itself.
//
// The write carries the resourceVersion that was decided on and touches status.pushes and what follows from them alone, so that two
// events of a stream never overwrite each other, whichever replicas they reach. What the cache already holds is in etcd, so a
// duplicate costs nothing. Within a replica the events of a stream take turns, each going on from what the one before it wrote; those that
// waited meanwhile are written with it.
func (s *Store) into(ctx context.Context, domain *v1alpha1.PushDomain, stream *v1alpha1.LiveStream, turn turn, own ...*entry) error {
	if decision := s.decide(stream, own...); !decision.changed && decision.events == len(own) && !slices.ContainsFunc(own, (*entry).failed) {
		return nil
	}
	lane, leave, err := s.lanes.enter(ctx, stream.UID, s.endTurn, own...)
	if err != nil {
		return err
	}
	defer leave()
	last := own[len(own)-1]
	for !last.isWritten() {
		if stream, err = s.takeTurn(ctx, lane, stream, turn); err != nil {
			return err
		}
		if err := s.together(ctx, lane, domain, stream, last); err != nil {
			return err
		}
	}
	return nil
}

// together writes the first of the events that wait in the lane, as many as one write may tell of, and gives the others back.
func (s *Store) together(ctx context.Context, lane *lane, domain *v1alpha1.PushDomain, stream *v1alpha1.LiveStream, own *entry) error {
	waiting := s.lanes.take(lane, own)
	left := waiting
	defer func() { s.lanes.giveBack(lane, left) }()
	decision := s.decide(stream, waiting...)
	for decision.changed {
		if err := s.stillThere(ctx, domain); err != nil {
			return err
		}
		made, err := s.write(ctx, domain, own.keeper, decision)
		s.queue.wrote(decision.at, context.Cause(ctx))
		if err == nil {
			lane.last = made
			break
		}
		if !apierrors.IsConflict(err) {
			return err
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
		fresh := &v1alpha1.LiveStream{}
		if err := s.Live.Get(ctx, client.ObjectKeyFromObject(stream), fresh); err != nil {
			return fmt.Errorf("reading LiveStream %q again: %w", stream.Name, err)
		}
		if isNoMore(stream, fresh) {
			return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("livestreams").GroupResource(), stream.Name)
		}
		decision = s.decide(fresh, waiting...)
	}
	left = waiting[decision.events:]
	answer(waiting[:decision.events])
	return nil
}

// stillThere is an error where the PushDomain was deleted while its events waited, or made anew: it may be of another host now. They come again,
// and are checked against that.
func (s *Store) stillThere(ctx context.Context, domain *v1alpha1.PushDomain) error {
	now := &v1alpha1.PushDomain{}
	err := s.Cache.Get(ctx, client.ObjectKeyFromObject(domain), now)
	switch {
	case apierrors.IsNotFound(err) || err == nil && now.UID != domain.UID:
		// Not as NotFound, which a LiveStream is that is gone.
		return fmt.Errorf("looking up PushDomain %q again: it was deleted, or made anew", domain.Name)
	case err != nil:
		return fmt.Errorf("looking up PushDomain %q again: %w", domain.Name, err)
	default:
		return nil
	}
}

// takeTurn waits for a turn in the queue where the lane has none, and returns the stream as it is known by then.
func (s *Store) takeTurn(ctx context.Context, l *lane, stream *v1alpha1.LiveStream, turn turn) (*v1alpha1.LiveStream, error) {
	switch {
	case l.last != nil:
		return l.last.stream()
	case l.writes:
		return stream, nil
	}
	waited, err := turn(ctx, stream.UID)
	if err != nil {
		return nil, err
	}
	if l.writes = true; waited {
		stream = s.again(ctx, stream)
	}
	return stream, nil
}

// endTurn ends the turn of a lane that nobody is in any more.
func (s *Store) endTurn(l *lane) {
	if l.writes {
		s.queue.leave()
	}
}

// again is the stream as the cache has it by now; others may have written it meanwhile.
func (s *Store) again(ctx context.Context, stream *v1alpha1.LiveStream) *v1alpha1.LiveStream {
	fresh := &v1alpha1.LiveStream{}
	if err := s.Cache.Get(ctx, client.ObjectKeyFromObject(stream), fresh); err != nil || isNoMore(stream, fresh) {
		// The write will tell.
		return stream
	}
	return fresh
}

// isNoMore says whether the stream has let go, or another one has its name by now.
func isNoMore(stream, fresh *v1alpha1.LiveStream) bool {
	return fresh.UID != stream.UID || !fresh.DeletionTimestamp.IsZero()
}

// decision is what events make of a LiveStream.
type decision struct {
	stream *v1alpha1.LiveStream
	// events is of how many of them it tells, the first ones.
	events int
	// changed says that there is something to write.
	changed bool
	pushes  []v1alpha1.Push
	at      time.Time
}

// decide applies the events one after the other, and tells each what becomes of it. It stops before one that has to be a write of its own: after those
// that need none, which must not wait for it, and before the end of a push that began in this very write, as whoever sees but the outcome would take
// the push for one that never was on air.
func (s *Store) decide(stream *v1alpha1.LiveStream, events ...*entry) decision {
	d := decision{stream: stream, pushes: stream.Status.Pushes, at: s.Clock.Now()}
	began := map[string]bool{}
	for _, e := range events {
		pushes, outcome, err := push.Apply(d.pushes, e.event, d.at)
		changes := err == nil && outcome.Changed()
		if changes && (!d.changed && d.events > 0 || outcome == push.Ended && began[e.event.Sequence]) {
			return d
		}
		e.outcome, e.err = outcome, err
		d.events++
		if changes {
			d.pushes, d.changed = pushes, true
			began[e.event.Sequence] = outcome == push.Started
		}
	}
	return d
}

// change is a write of a LiveStream.
type change struct {
	before  *v1alpha1.LiveStream
	patch   []byte
	version string
}

// stream is what the API server has since. Only the next event of a lane asks for it.
func (c *change) stream() (*v1alpha1.LiveStream, error) {
	return statuspatch.Applied(c.before, c.patch, c.version)
}

func (s *Store) write(ctx context.Context, domain *v1alpha1.PushDomain, keeper string, d decision) (*change, error) {
	patch := statusPatch{Metadata: statuspatch.On(d.stream), Status: eventStatus{Pushes: d.pushes}}
	if d.stream.Name == keeper && d.stream.Spec.PushDomainRef.Name == domain.Name {
		o := plan.Observed{Now: d.at, Stream: d.stream, Settings: workload.WithPresets(d.stream.Spec.Inherit(domain.Spec.Template.Spec)), Domain: domain.Spec.Domain}
		if foreseen, ok := plan.Foresee(o, d.pushes); ok {
			patch.Status.foreseen = follows(foreseen)
		}
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encoding the pushes of LiveStream %q: %w", d.stream.Name, err)
	}
	version, err := statuspatch.Send(ctx, s.Writer, d.stream, text)
	if err != nil {
		return nil, fmt.Errorf("writing the pushes of LiveStream %q: %w", d.stream.Name, err)
	}
	s.Written.Note(d.stream.UID, version, d.at)
	return &change{before: d.stream, patch: text, version: version}, nil
}

// wait lets replicas that write the same stream get out of each other's step.
func (s *Store) wait(ctx context.Context) error {
	timer := time.NewTimer(rand.N(conflictWait)) //nolint:gosec // nothing secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the stream was written by others all the time: %w", ctx.Err())
	}
}
