package controllers

import (
	"context"
	"testing"
	"time"

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

// A Job starts on the API server's word: a read, or the answer to a write a moment ago, of this process or of a receiver.
func TestStreamIsReadBeforeAJobStartsUnlessItWasWrittenJustNow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		// ago is when the push was recorded, by the clock of another process.
		ago   time.Duration
		note  func(b *bench, stream *v1alpha1.LiveStream)
		reads int
	}{
		{"another process wrote it", recordedJustNow - time.Millisecond, func(*bench, *v1alpha1.LiveStream) {}, 0},
		{"another process wrote it longer ago", recordedJustNow, func(*bench, *v1alpha1.LiveStream) {}, 1},
		{"another process wrote it, and its clock is ahead", -time.Second, func(*bench, *v1alpha1.LiveStream) {}, 1},
		{"this process wrote it", recordedJustNow, func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, stream.ResourceVersion, b.clock.Now())
		}, 0},
		{"this process wrote it a second ago", recordedJustNow, func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, stream.ResourceVersion, b.clock.Now().Add(-versions.Within))
		}, 1},
		{"this process wrote the version before", recordedJustNow, func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, "1", b.clock.Now())
		}, 1},
		{"the cache is behind", recordedJustNow, func(b *bench, stream *v1alpha1.LiveStream) {
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
			b.clock.SetTime(b.clock.Now().Add(tc.ago))
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
