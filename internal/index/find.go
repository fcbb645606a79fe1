package index

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// finder finds a cache's own objects by an index.
type finder interface {
	find(ctx context.Context, kind reflect.Type, namespace, field, value string) ([]any, error)
}

// Find finds the objects of a namespace by the value of an index. They are in no order, and the reader's own where it is a Client: who changes one
// copies it first. The list is one of their kind.
func Find[T any, P interface {
	*T
	client.Object
}](ctx context.Context, reader client.Reader, list client.ObjectList, namespace, field, value string) ([]P, error) {
	var found []P
	if known, is := reader.(finder); is {
		objects, err := known.find(ctx, reflect.TypeFor[P](), namespace, field, value)
		for _, object := range objects {
			if object, is := object.(P); is {
				found = append(found, object)
			}
		}
		return found, err
	}
	if err := reader.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{field: value}); err != nil {
		return nil, err
	}
	return found, apimeta.EachListItem(list, func(item runtime.Object) error {
		object, is := item.(P)
		if !is {
			return fmt.Errorf("a list of %T has a %T", object, item)
		}
		found = append(found, object)
		return nil
	})
}

// Client has Find look into the indexes of a cache themselves. A list by controller-runtime copies all that the index finds, by reflection: in a reconciler
// that looks at 100,000 LiveStreams that was a third of all it made.
type Client struct {
	client.Client
	known map[reflect.Type]*informer
}

// informer is of one kind.
type informer struct {
	cache  cache.Informer
	index  toolscache.Indexer
	synced atomic.Bool
}

// NewClient is the client, and finds objects of the kinds in the cache. It has them watched.
func NewClient(ctx context.Context, of client.Client, informers cache.Informers, kinds ...client.Object) (*Client, error) {
	c := &Client{Client: of, known: map[reflect.Type]*informer{}}
	for _, kind := range kinds {
		watched, indexer, err := indexerOf(ctx, informers, kind)
		if err != nil {
			return nil, err
		}
		c.known[reflect.TypeOf(kind)] = &informer{cache: watched, index: indexer}
	}
	return c, nil
}

func indexerOf(ctx context.Context, informers cache.Informers, kind client.Object) (cache.Informer, toolscache.Indexer, error) {
	watched, err := informers.GetInformer(ctx, kind)
	if err != nil {
		return nil, nil, fmt.Errorf("watching %T: %w", kind, err)
	}
	shared, is := watched.(toolscache.SharedIndexInformer)
	if !is {
		return nil, nil, fmt.Errorf("the cache of %T is a %T, which has no index", kind, watched)
	}
	return watched, shared.GetIndexer(), nil
}

// find waits, as a list does, until the cache knows all that there is.
func (c *Client) find(ctx context.Context, kind reflect.Type, namespace, field, value string) ([]any, error) {
	of := c.known[kind]
	if of == nil {
		return nil, fmt.Errorf("nothing watches %s", kind)
	}
	if !of.synced.Load() {
		if !toolscache.WaitForCacheSync(ctx.Done(), of.cache.HasSynced) {
			return nil, fmt.Errorf("waiting for the cache of %s: %w", kind, context.Cause(ctx))
		}
		of.synced.Store(true)
	}
	objects, err := of.index.ByIndex(fieldIndex(field), inNamespace(namespace, value))
	if err != nil {
		return nil, fmt.Errorf("looking up %s by %s: %w", kind, field, err)
	}
	return objects, nil
}

// fieldIndex and inNamespace are how controller-runtime names the index of a field, and its values in a namespace.
func fieldIndex(field string) string { return "field:" + field }

func inNamespace(namespace, value string) string { return namespace + "/" + value }
