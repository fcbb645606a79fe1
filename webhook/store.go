package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
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

	lanes lanes
	board board
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
// or had been. Of several the first keeps the stream; the others know its pushes, so that they can take over at any time.
func (s *Store) Record(ctx context.Context, domain *v1alpha1.PushDomain, event provider.Event) (Recorded, error) {
	holders, err := index.Holders(ctx, s.Cache, domain.Namespace, domain.Spec.Domain, event.App, event.Stream)
	if err != nil {
		return Recorded{}, fmt.Errorf("looking up the LiveStream: %w", err)
	}
	var first Recorded
	for i := range holders[:min(len(holders), maxHolders)] {
		recorded, err := s.into(ctx, domain, holders[0].Name, &holders[i], event)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return Recorded{}, err
		}
		if first.Stream == "" {
			first = recorded
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

// into records the event in one LiveStream; NotFound when it is gone. The keeper is the one that keeps the stream.
//
// The write carries the resourceVersion that was decided on and touches status.pushes and what follows from them alone, so that two
// events of a stream never overwrite each other, whichever replicas they reach. What the cache already holds is in etcd, so a
// duplicate costs nothing. Within a replica the events of a stream take turns, each going on from what the one before it wrote.
func (s *Store) into(ctx context.Context, domain *v1alpha1.PushDomain, keeper string, stream *v1alpha1.LiveStream, event provider.Event) (Recorded, error) {
	lane, leave, err := s.lanes.enter(ctx, stream.UID)
	if err != nil {
		return Recorded{}, err
	}
	defer leave()
	if lane.written != nil {
		stream = lane.written
	}
	for {
		recorded, written, err := s.apply(ctx, domain, keeper, stream, event)
		if written != nil {
			lane.written = written
		}
		if !apierrors.IsConflict(err) {
			return recorded, err
		}
		if err := s.wait(ctx); err != nil {
			return Recorded{}, err
		}
		fresh := &v1alpha1.LiveStream{}
		if err := s.Live.Get(ctx, client.ObjectKeyFromObject(stream), fresh); err != nil {
			return Recorded{}, fmt.Errorf("reading LiveStream %q again: %w", stream.Name, err)
		}
		if fresh.UID != stream.UID {
			return Recorded{}, apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("livestreams").GroupResource(), stream.Name)
		}
		stream = fresh
	}
}

// apply returns the LiveStream as it was written, nil when nothing was.
func (s *Store) apply(ctx context.Context, domain *v1alpha1.PushDomain, keeper string, stream *v1alpha1.LiveStream, event provider.Event) (Recorded, *v1alpha1.LiveStream, error) {
	recorded := Recorded{Stream: stream.Name}
	now := s.Clock.Now()
	var pushes []v1alpha1.Push
	var err error
	pushes, recorded.Outcome, err = push.Apply(stream.Status.Pushes, event, now)
	if err != nil || !recorded.Outcome.Changed() {
		return recorded, nil, err
	}
	patch := statusPatch{Status: eventStatus{Pushes: pushes}}
	patch.Metadata.ResourceVersion, patch.Metadata.UID = stream.ResourceVersion, stream.UID
	if stream.Name == keeper && stream.Spec.PushDomainRef.Name == domain.Name {
		o := plan.Observed{Now: now, Stream: stream, Settings: workload.WithPresets(stream.Spec.Inherit(domain.Spec.Template.Spec)), Domain: domain.Spec.Domain}
		if foreseen, ok := plan.Foresee(o, pushes); ok {
			patch.Status.foreseen = follows(foreseen)
		}
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return recorded, nil, fmt.Errorf("encoding the pushes of LiveStream %q: %w", stream.Name, err)
	}
	written := &v1alpha1.LiveStream{}
	written.Namespace, written.Name = stream.Namespace, stream.Name
	if err := s.Writer.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, text)); err != nil {
		return recorded, nil, fmt.Errorf("writing the pushes of LiveStream %q: %w", stream.Name, err)
	}
	s.Written.Note(written, now)
	return recorded, written, nil
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
