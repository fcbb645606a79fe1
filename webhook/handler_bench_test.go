package webhook

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
	"github.com/livestream-operator/livestream-operator/internal/versions"
)

// memory is an API server, and a cache of it, that takes no time. It holds one of each.
type memory struct {
	client.Client

	domain *v1alpha1.PushDomain
	stream *v1alpha1.LiveStream
	secret *corev1.Secret
	// written is the patch that was written last.
	written []byte
}

func (m *memory) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	switch object := object.(type) {
	case *v1alpha1.PushDomain:
		*object = *m.domain
	case *v1alpha1.LiveStream:
		*object = *m.stream
	case *corev1.Secret:
		*object = *m.secret
	default:
		return apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	return nil
}

func (m *memory) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch list := list.(type) {
	case *v1alpha1.PushDomainList:
		list.Items = []v1alpha1.PushDomain{*m.domain}
	case *v1alpha1.LiveStreamList:
		list.Items = []v1alpha1.LiveStream{*m.stream}
	}
	return nil
}

func (m *memory) Status() client.SubResourceWriter { return memoryWriter{memory: m} }

type memoryWriter struct {
	client.SubResourceWriter
	memory *memory
}

func (w memoryWriter) Patch(_ context.Context, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) (err error) {
	w.memory.written, err = patch.Data(object)
	return err
}

func newMemory(tb testing.TB) (*memory, *Handler) {
	tb.Helper()
	clock := testclock.NewFakePassiveClock(showTime)
	m := &memory{
		secret: &corev1.Secret{Data: map[string][]byte{"callbackKey": []byte(callbackKey)}},
		domain: &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: "shows", Namespace: "studio", UID: "d"}, Spec: v1alpha1.PushDomainSpec{
			Provider: v1alpha1.ProviderTencentCSS, Domain: "Test.Domain.com",
			Callback: v1alpha1.Callback{KeySecretRefs: []v1alpha1.SecretKeyReference{{Name: "css", Key: "callbackKey"}}},
		}},
		stream: (&desk{namespace: "studio"}).newStream("show"),
	}
	m.domain.Status.LastCallbackTime = new(metav1.NewTime(showTime))
	verified := verifiedCondition(true)
	verified.LastTransitionTime = metav1.NewTime(showTime)
	m.domain.Status.Conditions = []metav1.Condition{verified}
	m.stream.UID, m.stream.ResourceVersion, m.stream.Generation = "s", "1", 1
	o := plan.Observed{Now: showTime.Add(-time.Hour), Stream: m.stream, Domain: m.domain.Spec.Domain}
	m.stream.Status = plan.Report(o, plan.Compute(o), nil, nil)
	keys := &secrets.Reader{Client: m, Clock: clock, Keep: KeepSecrets, AgainAfter: SecretAgainAfter, MaxKept: MaxSecrets}
	store := NewStore(m, m, m, &versions.Written{Clock: clock}, clock)
	return m, NewHandler(m, keys, store, NewDomainStatus(m, m, m, clock), clock)
}

// BenchmarkCallback is what the receiver itself spends on a callback, without the API server and the network.
func BenchmarkCallback(b *testing.B) {
	push := css.Push{Domain: "test.domain.com", App: "live", Stream: "test_stream", Sequence: "6674468118806626493", AppID: 12345678, ClientIP: "119.29.94.245", Node: "100.121.160.92"}
	body := push.Start(showTime).Signed(callbackKey, showTime)
	for _, duplicate := range []bool{false, true} {
		name := "a start"
		if duplicate {
			name = "a duplicate"
		}
		b.Run(name, func(b *testing.B) {
			m, handler := newMemory(b)
			if duplicate {
				m.stream.Status.Pushes = []v1alpha1.Push{{Sequence: push.Sequence, StartTime: new(metav1.NewTime(showTime))}}
			}
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/callbacks/studio/shows", bytes.NewReader(body)))
				if w.Code != http.StatusOK {
					b.Fatalf("answered %d %s", w.Code, w.Body)
				}
			}
			if duplicate != (m.written == nil) {
				b.Errorf("written: %s", m.written)
			}
		})
	}
}

// BenchmarkRefusedStreams is the memory that the backlog takes when it is full of streams whose push was lost and came back.
//
//	go test ./webhook -run '^$' -bench RefusedStreams -benchtime 1x
func BenchmarkRefusedStreams(b *testing.B) {
	domain := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: "shows", Namespace: "studio", UID: "d"}}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		kept := newBacklog(testclock.NewFakePassiveClock(showTime))
		for i := range mostRefusedStreams {
			for _, kind := range []provider.EventKind{provider.Interrupted, provider.Started} {
				kept.keep(domain, provider.Event{
					Kind: kind, Domain: strings.Clone("push.example.com"), App: strings.Clone("live"), Stream: fmt.Sprintf("stream_%06d", i), Sequence: fmt.Sprintf("66744681188066%05d", i), Time: showTime,
					ClientIP: strings.Clone("119.29.94.245"), Node: strings.Clone("100.121.160.92"), Message: strings.Clone("the connection was lost"),
				})
			}
		}
		b.ReportMetric(float64(heap()-before)/mostRefusedStreams, "B/stream")
		runtime.KeepAlive(kept)
	}
}
