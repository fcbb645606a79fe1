// Package index names the cache indexes that both the receiver and the reconcilers look up LiveStreams by.
package index

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

const (
	// ByStream finds the LiveStreams of one stream; its value is StreamKey's. Look-ups add the namespace.
	ByStream = "stream"
	// ByPushDomain finds the LiveStreams that refer to a PushDomain; its value is the PushDomain's name.
	ByPushDomain = "pushDomain"
)

// StreamKey identifies a stream within a namespace. None of its parts can hold a line break.
func StreamKey(pushDomain, app, stream string) string {
	return pushDomain + "\n" + app + "\n" + stream
}

// KeyOf is the StreamKey of a LiveStream.
func KeyOf(stream *v1alpha1.LiveStream) string {
	return StreamKey(stream.Spec.PushDomainRef.Name, stream.Spec.AppName, stream.Spec.StreamName)
}

// Add registers the indexes. It has to be called before the cache starts.
func Add(ctx context.Context, indexer client.FieldIndexer) error {
	for field, value := range map[string]func(*v1alpha1.LiveStream) string{
		ByStream:     KeyOf,
		ByPushDomain: func(s *v1alpha1.LiveStream) string { return s.Spec.PushDomainRef.Name },
	} {
		extract := func(object client.Object) []string {
			stream, ok := object.(*v1alpha1.LiveStream)
			if !ok {
				return nil
			}
			return []string{value(stream)}
		}
		if err := indexer.IndexField(ctx, &v1alpha1.LiveStream{}, field, extract); err != nil {
			return fmt.Errorf("indexing LiveStreams by %s: %w", field, err)
		}
	}
	return nil
}

// Oldest is the LiveStream that keeps a stream when several have it: the one created first, by name among those of one
// second. It is nil for none.
func Oldest(streams []v1alpha1.LiveStream) *v1alpha1.LiveStream {
	var oldest *v1alpha1.LiveStream
	for i := range streams {
		s := &streams[i]
		if oldest == nil || s.CreationTimestamp.Before(&oldest.CreationTimestamp) ||
			s.CreationTimestamp.Equal(&oldest.CreationTimestamp) && s.Name < oldest.Name {
			oldest = s
		}
	}
	return oldest
}
