package streamwatch

import (
	"bytes"
	_ "embed"
	"io"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	restwatch "k8s.io/client-go/rest/watch"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/trim"
)

// event is of a LiveStream on air that kubectl applied, as an API server sent it.
//
//go:embed testdata/event.json
var event []byte

func newScheme(tb testing.TB) *runtime.Scheme {
	tb.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			tb.Fatal(err)
		}
	}
	return scheme
}

// over reads the body of a watch as a client with these serializers does.
func over(tb testing.TB, serializers runtime.NegotiatedSerializer, body io.ReadCloser) watch.Decoder {
	tb.Helper()
	objects, events, framer, err := runtime.NewClientNegotiator(serializers, v1alpha1.GroupVersion).StreamDecoder(runtime.ContentTypeJSON, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return restwatch.NewDecoder(streaming.NewDecoder(framer.NewFrameReader(body), events), objects)
}

// again is a body that says the same without end.
type again struct {
	text []byte
	rest *bytes.Reader
}

func (a *again) Read(into []byte) (int, error) {
	if a.rest.Len() == 0 {
		a.rest.Reset(a.text)
	}
	return a.rest.Read(into)
}

func (*again) Close() error { return nil }

// BenchmarkEvent takes an event from its bytes to what the cache keeps: as client-go decodes it, and as the operator does.
//
//	go test ./internal/streamwatch -run '^$' -bench Event -cpu 1
func BenchmarkEvent(b *testing.B) {
	theirs := serializer.NewCodecFactory(newScheme(b)).WithoutConversion()
	for _, tc := range []struct {
		name        string
		serializers runtime.NegotiatedSerializer
	}{{"client-go", theirs}, {"operator", serializers{theirs}}} {
		b.Run(tc.name, func(b *testing.B) {
			decoder, keep := over(b, tc.serializers, &again{event, bytes.NewReader(nil)}), trim.Streams()
			b.ReportAllocs()
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				_, object, err := decoder.Decode()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := keep(object); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
