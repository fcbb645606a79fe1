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
	informer, err := informers.GetInformer(ctx, &v1alpha1.LiveStream{})
	if err != nil {
		return Streams{}, fmt.Errorf("watching LiveStreams: %w", err)
	}
	shared, is := informer.(toolscache.SharedIndexInformer)
	if !is {
		return Streams{}, fmt.Errorf("the cache of LiveStreams is a %T, which has no index", informer)
	}
	return Streams{shared.GetIndexer()}, nil
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
	// This is how controller-runtime names the index of a field, and its values in a namespace. IndexKeys would sort them.
	streams, err := s.indexer.ByIndex("field:"+ByPushDomain, namespace+"/"+pushDomain)
	if err != nil {
		return 0, fmt.Errorf("counting the LiveStreams of PushDomain %q: %w", pushDomain, err)
	}
	return len(streams), nil
}
