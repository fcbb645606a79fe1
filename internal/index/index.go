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

// PushDomains lists the PushDomains of the namespace with the given host name: mostly one. What they say of a stream is said of
// the same stream.
func PushDomains(ctx context.Context, reader client.Reader, namespace, host string) ([]v1alpha1.PushDomain, error) {
	var domains v1alpha1.PushDomainList
	if err := reader.List(ctx, &domains, client.InNamespace(namespace), client.MatchingFields{ByHost: Host(host)}); err != nil {
		return nil, fmt.Errorf("listing the PushDomains of %q: %w", host, err)
	}
	// Always the same one first, for who asks through one of them.
	sort(domains.Items, func(a, b v1alpha1.PushDomain) int { return cmp.Compare(a.Name, b.Name) })
	return domains.Items, nil
}

// Holders lists the LiveStreams of one stream, whichever PushDomain of the host they refer to, the one that keeps it first: the
// one created first, by name among those of one second. Those that are being deleted have let go.
func Holders(ctx context.Context, reader client.Reader, namespace, host, app, name string) ([]v1alpha1.LiveStream, error) {
	domains, err := PushDomains(ctx, reader, namespace, host)
	if err != nil {
		return nil, err
	}
	var holders []v1alpha1.LiveStream
	for i := range domains {
		var streams v1alpha1.LiveStreamList
		key := StreamKey(domains[i].Name, app, name)
		if err := reader.List(ctx, &streams, client.InNamespace(namespace), client.MatchingFields{ByStream: Bucket(key)}); err != nil {
			return nil, fmt.Errorf("listing the LiveStreams of the stream: %w", err)
		}
		for j := range streams.Items {
			if s := &streams.Items[j]; s.DeletionTimestamp.IsZero() && s.Spec.StreamName == name && s.Spec.AppName == app && s.Spec.PushDomainRef.Name == domains[i].Name {
				holders = append(holders, *s)
			}
		}
	}
	sort(holders, byAge)
	return holders, nil
}

// sort leaves one alone, as there mostly is: SortFunc takes objects by value, for which the goroutine's stack is grown even then.
func sort[T any](objects []T, compare func(a, b T) int) {
	if len(objects) > 1 {
		slices.SortFunc(objects, compare)
	}
}

func byAge(a, b v1alpha1.LiveStream) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}
