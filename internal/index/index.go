// Package index names the cache indexes that both the receiver and the reconcilers look up LiveStreams by.
package index

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

const (
	// ByStream finds the LiveStreams of one stream, and a few others; its value is Bucket's. Look-ups add the namespace.
	ByStream = "stream"
	// ByPushDomain finds the LiveStreams that refer to a PushDomain; its value is the PushDomain's name.
	ByPushDomain = "pushDomain"
	// ByHost finds the PushDomains of one host name; its value is Host's.
	ByHost = "host"
)

// Host is a push domain's host name as it is compared.
func Host(domain string) string { return strings.ToLower(domain) }

// StreamKey identifies a stream within a namespace. None of its parts can hold a line break.
func StreamKey(pushDomain, app, stream string) string {
	return pushDomain + "\n" + app + "\n" + stream
}

// buckets is how many values the index of streams has: a value of its own for each LiveStream would take more memory than the LiveStream.
const buckets = 1 << 14

// Bucket is what the index of streams holds of a StreamKey.
func Bucket(key string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // a hash never fails
	return strconv.FormatUint(uint64(h.Sum32()%buckets), 36)
}

// KeyOf is the StreamKey of a LiveStream.
func KeyOf(stream *v1alpha1.LiveStream) string {
	return StreamKey(stream.Spec.PushDomainRef.Name, stream.Spec.AppName, stream.Spec.StreamName)
}

// Add registers the indexes. It has to be called before the cache starts.
func Add(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		of    client.Object
		field string
		value func(client.Object) string
	}{
		{&v1alpha1.LiveStream{}, ByStream, ofStream(func(s *v1alpha1.LiveStream) string { return Bucket(KeyOf(s)) })},
		{&v1alpha1.LiveStream{}, ByPushDomain, ofStream(func(s *v1alpha1.LiveStream) string { return s.Spec.PushDomainRef.Name })},
		{&v1alpha1.PushDomain{}, ByHost, hostOf},
	} {
		extract := func(object client.Object) []string {
			if value := index.value(object); value != "" {
				return []string{value}
			}
			return nil
		}
		if err := indexer.IndexField(ctx, index.of, index.field, extract); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", index.of, index.field, err)
		}
	}
	return nil
}

func ofStream(value func(*v1alpha1.LiveStream) string) func(client.Object) string {
	return func(object client.Object) string {
		if stream, ok := object.(*v1alpha1.LiveStream); ok {
			return value(stream)
		}
		return ""
	}
}

func hostOf(object client.Object) string {
	if domain, ok := object.(*v1alpha1.PushDomain); ok {
		return Host(domain.Spec.Domain)
	}
	return ""
}

// PushDomains finds the PushDomains of the namespace with the given host name: mostly one. What they say of a stream is said of
// the same stream.
func PushDomains(ctx context.Context, reader client.Reader, namespace, host string) ([]*v1alpha1.PushDomain, error) {
	domains, err := Find[v1alpha1.PushDomain](ctx, reader, &v1alpha1.PushDomainList{}, namespace, ByHost, Host(host))
	if err != nil {
		return nil, fmt.Errorf("finding the PushDomains of %q: %w", host, err)
	}
	// Always the same one first, for who asks through one of them.
	slices.SortFunc(domains, func(a, b *v1alpha1.PushDomain) int { return cmp.Compare(a.Name, b.Name) })
	return domains, nil
}

// Holders finds the LiveStreams of one stream, whichever PushDomain of the host they refer to, the one that keeps it first: the
// one created first, by name among those of one second. Those that are being deleted have let go.
func Holders(ctx context.Context, reader client.Reader, namespace, host, app, name string) ([]*v1alpha1.LiveStream, error) {
	domains, err := PushDomains(ctx, reader, namespace, host)
	if err != nil {
		return nil, err
	}
	return HoldersOf(ctx, reader, domains, app, name)
}

// HoldersOf is Holders where the PushDomains of the host are known.
func HoldersOf(ctx context.Context, reader client.Reader, domains []*v1alpha1.PushDomain, app, name string) ([]*v1alpha1.LiveStream, error) {
	var holders []*v1alpha1.LiveStream
	for _, domain := range domains {
		streams, err := Find[v1alpha1.LiveStream](ctx, reader, &v1alpha1.LiveStreamList{}, domain.Namespace, ByStream, Bucket(StreamKey(domain.Name, app, name)))
		if err != nil {
			return nil, fmt.Errorf("finding the LiveStreams of the stream: %w", err)
		}
		for _, s := range streams {
			if s.DeletionTimestamp.IsZero() && s.Spec.StreamName == name && s.Spec.AppName == app && s.Spec.PushDomainRef.Name == domain.Name {
				holders = append(holders, s)
			}
		}
	}
	slices.SortFunc(holders, byAge)
	return holders, nil
}

func byAge(a, b *v1alpha1.LiveStream) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}
