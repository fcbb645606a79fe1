package trim

import (
	"fmt"
	"runtime"
	"testing"

	toolscache "k8s.io/client-go/tools/cache"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
)

// indexers are those that the cache has with the operator's fields: controller-runtime holds each value twice.
func indexers() toolscache.Indexers {
	field := func(value func(*v1alpha1.LiveStream) string) toolscache.IndexFunc {
		return func(object any) ([]string, error) {
			s := object.(*v1alpha1.LiveStream)
			return []string{s.Namespace + "/" + value(s), "__all_namespaces/" + value(s)}, nil
		}
	}
	return toolscache.Indexers{
		toolscache.NamespaceIndex:     toolscache.MetaNamespaceIndexFunc,
		"field:" + index.ByStream:     field(func(s *v1alpha1.LiveStream) string { return index.Bucket(index.KeyOf(s)) }),
		"field:" + index.ByPushDomain: field(func(s *v1alpha1.LiveStream) string { return s.Spec.PushDomainRef.Name }),
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkBytesPerStream tells what each further LiveStream takes from 10,000 to 100,000 of them: as a bare informer keeps it, and as the
// operator does.
//
//	go test ./internal/trim -run '^$' -bench BytesPerStream -benchtime 1x
func BenchmarkBytesPerStream(b *testing.B) {
	for _, image := range []string{"", "ffmpeg"} {
		for name, way := range map[string]struct {
			trim  func(any) (any, error)
			index toolscache.Indexers
		}{
			"bare":     {func(object any) (any, error) { return object, nil }, toolscache.Indexers{}},
			"operator": {Streams(), indexers()},
		} {
			b.Run(fmt.Sprintf("%s image=%q", name, image), func(b *testing.B) {
				for b.Loop() {
					store := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, way.index)
					fill := func(from, to int) {
						for i := from; i < to; i++ {
							if err := store.Add(trimmed(b, way.trim, decoded(b, stream(i, image)))); err != nil {
								b.Fatal(err)
							}
						}
					}
					fill(0, 10_000)
					at := heap()
					fill(10_000, 100_000)
					b.ReportMetric(float64(heap()-at)/90_000, "B/stream")
					runtime.KeepAlive(store)
				}
			})
		}
	}
}
