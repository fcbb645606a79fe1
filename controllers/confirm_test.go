package controllers

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/versions"
)

// isStream says whether the object is a LiveStream, or the metadata of one.
func isStream(object client.Object) bool {
	_, whole := object.(*v1alpha1.LiveStream)
	m, isMetadata := object.(*metav1.PartialObjectMetadata)
	return whole || isMetadata && m.Kind == "LiveStream"
}

// A Job starts on the API server's word: a read, or the answer to a write of this process that is less than a second old.
func TestStreamIsReadBeforeAJobStartsUnlessThisProcessJustWroteIt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		note  func(b *bench, stream *v1alpha1.LiveStream)
		reads int
	}{
		{"it was written by another process", func(*bench, *v1alpha1.LiveStream) {}, 1},
		{"this process wrote it", func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, stream.ResourceVersion, b.clock.Now())
		}, 0},
		{"this process wrote it a second ago", func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, stream.ResourceVersion, b.clock.Now().Add(-versions.Within))
		}, 1},
		{"this process wrote the version before", func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, "1", b.clock.Now())
		}, 1},
		{"the cache is behind", func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Client = staleReader{liveReader{env.Client}, stream}
			edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Labels = map[string]string{"changed": "since"} })
		}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.reconciler.Written = &versions.Written{Clock: b.clock}
			b.show()
			b.record("show", b.starts("1"))
			tc.note(b, b.stream("show"))
			reads := 0
			b.reconciler.Live = interceptor.NewClient(env.Client, interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
					if isStream(object) {
						reads++
					}
					return c.Get(ctx, key, object, opts...)
				},
			})
			b.reconcile("show")
			b.onlyJob()
			if reads != tc.reads {
				t.Errorf("the LiveStream was read %d times, want %d", reads, tc.reads)
			}
		})
	}
}
