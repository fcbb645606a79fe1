package index

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// informers have one of LiveStreams with the index of a cache, which nothing fills but a test.
type informers struct {
	cache.Informers
	shared
}

func (i informers) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	if _, is := object.(*v1alpha1.LiveStream); !is {
		return nil, errors.New("no such kind")
	}
	return i.shared, nil
}

type shared struct {
	toolscache.SharedIndexInformer
	indexer toolscache.Indexer
	synced  func() bool
}

func (s shared) GetIndexer() toolscache.Indexer { return s.indexer }

func (s shared) HasSynced() bool { return s.synced() }

func inCache(t *testing.T, synced func() bool, streams ...v1alpha1.LiveStream) informers {
	t.Helper()
	indexer := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, toolscache.Indexers{fieldIndex(ByPushDomain): func(object any) ([]string, error) {
		s := object.(*v1alpha1.LiveStream)
		return []string{inNamespace(s.Namespace, s.Spec.PushDomainRef.Name)}, nil
	}})
	for i := range streams {
		if err := indexer.Add(&streams[i]); err != nil {
			t.Fatal(err)
		}
	}
	return informers{shared: shared{indexer: indexer, synced: synced}}
}

func of(namespace, name, domain string) v1alpha1.LiveStream {
	s := stream(name, 0)
	s.Namespace, s.Spec.PushDomainRef.Name = namespace, domain
	return s
}

func namesBy(t *testing.T, reader client.Reader, namespace, domain string) ([]string, error) {
	t.Helper()
	found, err := Find[v1alpha1.LiveStream](t.Context(), reader, &v1alpha1.LiveStreamList{}, namespace, ByPushDomain, domain)
	var names []string
	for _, s := range found {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names, err
}

func always() bool { return true }

func TestFindFindsThoseOfTheNamespaceAndTheValue(t *testing.T) {
	t.Parallel()
	known, err := NewClient(t.Context(), nil, inCache(t, always, of("live", "a", "push"), of("live", "b", "push"), of("live", "c", "another"), of("elsewhere", "d", "push")), &v1alpha1.LiveStream{})
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string][]string{"push": {"a", "b"}, "another": {"c"}, "none": nil} {
		got, err := namesBy(t, known, "live", domain)
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("of %q (-want +got): %v\n%s", domain, err, diff)
		}
	}
}

func TestFindHandsOutTheCachesOwn(t *testing.T) {
	t.Parallel()
	watched := inCache(t, always, of("live", "a", "push"))
	known, err := NewClient(t.Context(), nil, watched, &v1alpha1.LiveStream{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find[v1alpha1.LiveStream](t.Context(), known, &v1alpha1.LiveStreamList{}, "live", ByPushDomain, "push")
	if err != nil || len(found) != 1 || any(found[0]) != watched.indexer.List()[0] {
		t.Errorf("found %v, %v, want the cache's", found, err)
	}
}

// Before, a cache would know a part of what there is.
func TestFindWaitsUntilTheCacheHasSynced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		known, err := NewClient(t.Context(), nil, inCache(t, func() bool { return time.Since(began) > time.Minute }, of("live", "a", "push")), &v1alpha1.LiveStream{})
		if err != nil {
			t.Fatal(err)
		}
		if names, err := namesBy(t, known, "live", "push"); len(names) != 1 || err != nil || time.Since(began) < time.Minute {
			t.Errorf("found %v, %v after %s, want one after a minute", names, err, time.Since(began))
		}
		impatient, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		if known, err = NewClient(t.Context(), nil, inCache(t, func() bool { return false }), &v1alpha1.LiveStream{}); err != nil {
			t.Fatal(err)
		}
		if _, err := Find[v1alpha1.LiveStream](impatient, known, &v1alpha1.LiveStreamList{}, "live", ByPushDomain, "push"); err == nil {
			t.Error("a cache that never syncs finds nothing, and does not say why")
		}
	})
}

func TestFindSaysWhatItCannotLookUp(t *testing.T) {
	t.Parallel()
	known, err := NewClient(t.Context(), nil, inCache(t, always), &v1alpha1.LiveStream{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Find[v1alpha1.LiveStream](t.Context(), known, &v1alpha1.LiveStreamList{}, "live", "size", "1"); err == nil {
		t.Error("it finds by an index that there is not")
	}
	if _, err := Find[corev1.Pod](t.Context(), known, &corev1.PodList{}, "live", "size", "1"); err == nil {
		t.Error("it finds Pods, which nothing watches")
	}
	if _, err := NewClient(t.Context(), nil, inCache(t, always), &corev1.Pod{}); err == nil {
		t.Error("it hides that Pods cannot be watched")
	}
}

// Of what is no Client it lists, which tests and the API server itself are asked by.
func TestFindListsWhereNoCacheIsKnown(t *testing.T) {
	t.Parallel()
	all := everything{lister{streams: []v1alpha1.LiveStream{of("live", "a", "push"), of("live", "b", "push")}}}
	got, err := namesBy(t, all, "live", "push")
	if diff := gocmp.Diff([]string{"a", "b"}, got); diff != "" || err != nil {
		t.Errorf("(-want +got): %v\n%s", err, diff)
	}
	if _, err := namesBy(t, refusing{}, "live", "push"); err == nil {
		t.Error("it hides that the list failed")
	}
	if _, err := Find[v1alpha1.PushDomain](t.Context(), all, &v1alpha1.LiveStreamList{}, "live", ByPushDomain, "push"); err == nil {
		t.Error("it takes a list of another kind")
	}
}

type refusing struct{ client.Reader }

func (refusing) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("no")
}
