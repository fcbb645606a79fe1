package index

import (
	"context"
	"fmt"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Streams are all LiveStreams of a cache. A list of them would be a copy of each.
type Streams struct{ indexer toolscache.Indexer }

// StreamsOf is of the cache's LiveStreams.
func StreamsOf(ctx context.Context, informers cache.Informers) (Streams, error) {
	_, indexer, err := indexerOf(ctx, informers, &v1alpha1.LiveStream{})
	return Streams{indexer}, err
}

// Each passes every LiveStream, in no order. They are the cache's.
func (s Streams) Each(see func(*v1alpha1.LiveStream)) {
	for _, object := range s.indexer.List() {
		if stream, is := object.(*v1alpha1.LiveStream); is {
			see(stream)
		}
	}
}

// Count is how many LiveStreams refer to the PushDomain.
func (s Streams) Count(namespace, pushDomain string) (int, error) {
	// IndexKeys would sort them.
	streams, err := s.indexer.ByIndex(fieldIndex(ByPushDomain), inNamespace(namespace, pushDomain))
	if err != nil {
		return 0, fmt.Errorf("counting the LiveStreams of PushDomain %q: %w", pushDomain, err)
	}
	return len(streams), nil
}
