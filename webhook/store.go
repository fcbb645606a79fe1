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
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// Store writes events into LiveStreams.
type Store struct {
	// Cache finds LiveStreams, by internal/index.
	Cache client.Reader
	// Live reads from the API server itself.
	Live client.Reader
	// Writer writes the status.
	Writer client.StatusClient
	Clock  clock.PassiveClock
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

// Record applies the event to its LiveStream. When it returns without an error, what the event says is in etcd, or had been.
//
// The write carries the resourceVersion that was decided on and touches status.pushes alone, so that two events of a stream
// never overwrite each other, whichever replicas they reach. What the cache already holds is in etcd, so a duplicate costs nothing.
func (s *Store) Record(ctx context.Context, domain *v1alpha1.PushDomain, event provider.Event) (Recorded, error) {
	stream, err := s.find(ctx, domain, event)
	if err != nil || stream == nil {
		return Recorded{}, err
	}
	for {
		recorded, err := s.apply(ctx, stream, event)
		switch {
		case apierrors.IsNotFound(err):
			return Recorded{}, nil
		case !apierrors.IsConflict(err):
			return recorded, err
		}
		if err := s.wait(ctx); err != nil {
			return Recorded{}, err
		}
		fresh := &v1alpha1.LiveStream{}
		if err := s.Live.Get(ctx, client.ObjectKeyFromObject(stream), fresh); apierrors.IsNotFound(err) {
			return Recorded{}, nil
		} else if err != nil {
			return Recorded{}, fmt.Errorf("reading LiveStream %q again: %w", stream.Name, err)
		}
		if index.KeyOf(fresh) != index.KeyOf(stream) {
			// Deleted and made anew for another stream.
			return Recorded{}, nil
		}
		stream = fresh
	}
}

// find is nil when no LiveStream claims the event's stream.
func (s *Store) find(ctx context.Context, domain *v1alpha1.PushDomain, event provider.Event) (*v1alpha1.LiveStream, error) {
	var streams v1alpha1.LiveStreamList
	key := index.StreamKey(domain.Name, event.App, event.Stream)
	if err := s.Cache.List(ctx, &streams, client.InNamespace(domain.Namespace), client.MatchingFields{index.ByStream: key}); err != nil {
		return nil, fmt.Errorf("looking up the LiveStream: %w", err)
	}
	return index.Oldest(slices.DeleteFunc(streams.Items, func(s v1alpha1.LiveStream) bool { return !s.DeletionTimestamp.IsZero() })), nil
}

func (s *Store) apply(ctx context.Context, stream *v1alpha1.LiveStream, event provider.Event) (Recorded, error) {
	recorded := Recorded{Stream: stream.Name}
	var pushes []v1alpha1.Push
	var err error
	pushes, recorded.Outcome, err = push.Apply(stream.Status.Pushes, event, s.Clock.Now())
	if err != nil || !recorded.Outcome.Changed() {
		return recorded, err
	}
	var patch struct {
		Metadata struct {
			ResourceVersion string    `json:"resourceVersion"`
			UID             types.UID `json:"uid"`
		} `json:"metadata"`
		Status struct {
			Pushes []v1alpha1.Push `json:"pushes"`
		} `json:"status"`
	}
	patch.Metadata.ResourceVersion, patch.Metadata.UID = stream.ResourceVersion, stream.UID
	patch.Status.Pushes = pushes
	text, err := json.Marshal(patch)
	if err != nil {
		return recorded, fmt.Errorf("encoding the pushes of LiveStream %q: %w", stream.Name, err)
	}
	written := &v1alpha1.LiveStream{}
	written.Namespace, written.Name = stream.Namespace, stream.Name
	if err := s.Writer.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, text)); err != nil {
		return recorded, fmt.Errorf("writing the pushes of LiveStream %q: %w", stream.Name, err)
	}
	return recorded, nil
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
