package webhook

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
	"github.com/livestream-operator/livestream-operator/internal/testenv"
)

var (
	env testenv.Env
	// logged is all that was logged, at every level.
	logged syncBuffer
)

type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	// deaf leaves out what is logged: a test that measures memory must not measure its own log.
	deaf atomic.Bool
}

func (b *syncBuffer) add(prefix, text string) {
	if b.deaf.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintln(&b.text, prefix, text)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(funcr.New(logged.add, funcr.Options{Verbosity: 10}))
	os.Exit(testenv.Run(m, &env))
}

const callbackKey = "theCallbackKey0123456789"

var showTime = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)

// desk is a receiver with caches and clock of its own, as a replica has them.
type desk struct {
	t         *testing.T
	namespace string
	clock     clock.PassiveClock
	handler   *Handler
	url       string
}

func newCache(t *testing.T) cache.Cache {
	t.Helper()
	c, err := cache.New(env.Config, cache.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	t.Cleanup(func() { cancel(); <-stopped })
	if err := index.Add(ctx, c); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetInformer(ctx, &v1alpha1.PushDomain{}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(stopped)
		if err := c.Start(ctx); err != nil {
			t.Errorf("running the cache: %v", err)
		}
	}()
	if !c.WaitForCacheSync(ctx) {
		t.Fatal("the cache does not sync")
	}
	return c
}

// newDesk opens a receiver in a namespace with the push domain "shows" and the stream "show".
func newDesk(t *testing.T, mutate ...func(*v1alpha1.PushDomain)) *desk {
	t.Helper()
	d := openDesk(t, env.Namespace(t), testclock.NewFakePassiveClock(showTime))
	domain := &v1alpha1.PushDomain{
		ObjectMeta: metav1.ObjectMeta{Name: "shows", Namespace: d.namespace},
		Spec: v1alpha1.PushDomainSpec{
			Provider: v1alpha1.ProviderTencentCSS, Domain: "Test.Domain.com", AppID: 12345678,
			Callback: v1alpha1.Callback{KeySecretRefs: []v1alpha1.SecretKeyReference{{Name: "css", Key: "callbackKey"}}},
		},
	}
	for _, m := range mutate {
		m(domain)
	}
	d.create(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "css", Namespace: d.namespace}, StringData: map[string]string{"callbackKey": callbackKey}},
		domain, d.newStream("show"))
	d.knows("show")
	return d
}

func openDesk(t *testing.T, namespace string, now clock.PassiveClock) *desk {
	t.Helper()
	c := newCache(t)
	keys := &secrets.Reader{Client: env.Client, Clock: now, Keep: KeepSecrets, AgainAfter: SecretAgainAfter, MaxKept: MaxSecrets}
	reader, err := client.New(env.Config, client.Options{Scheme: env.Scheme, Cache: &client.CacheOptions{Reader: c}})
	if err != nil {
		t.Fatal(err)
	}
	found, err := index.NewClient(t.Context(), reader, c, &v1alpha1.PushDomain{}, &v1alpha1.LiveStream{})
	if err != nil {
		t.Fatal(err)
	}
	store := NewStore(found, env.Client, env.Client, nil, now)
	d := &desk{t: t, namespace: namespace, clock: now}
	d.handler = NewHandler(c, keys, store, NewDomainStatus(c, env.Client, env.Client, now), now)
	store.Domains = d.handler.Domains
	server := httptest.NewServer(d.handler)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func (d *desk) create(objects ...client.Object) {
	d.t.Helper()
	for _, o := range objects {
		if err := env.Client.Create(d.t.Context(), o); err != nil {
			d.t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
		}
	}
}

func (d *desk) newStream(name string) *v1alpha1.LiveStream {
	return &v1alpha1.LiveStream{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: d.namespace},
		Spec:       v1alpha1.LiveStreamSpec{PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: "test_stream"},
	}
}

// knows waits until the receiver's cache has the stream and its push domain.
func (d *desk) knows(stream string) {
	d.t.Helper()
	d.eventually("the cache knows the stream", func() bool {
		ctx := d.t.Context()
		return d.handler.Cache.Get(ctx, client.ObjectKey{Namespace: d.namespace, Name: stream}, &v1alpha1.LiveStream{}) == nil &&
			d.handler.Cache.Get(ctx, client.ObjectKey{Namespace: d.namespace, Name: "shows"}, &v1alpha1.PushDomain{}) == nil
	})
}

func (d *desk) eventually(what string, holds func() bool) {
	d.t.Helper()
	eventually(d.t, what, holds)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		}
	}
}

func (d *desk) path() string { return "/callbacks/" + d.namespace + "/shows" }

func (d *desk) push(sequence string) css.Push {
	return css.Push{Domain: "test.domain.com", App: "live", Stream: "test_stream", Sequence: sequence, AppID: 12345678, ClientIP: "1.1.1.1", Node: "42.81.194.37"}
}

// post sends the callback, signed at the receiver's time, and returns the status.
func (d *desk) post(c css.Callback) int {
	d.t.Helper()
	return d.postTo(d.path(), c)
}

func (d *desk) postTo(path string, c css.Callback) int {
	d.t.Helper()
	status, answer, err := css.Post(d.t.Context(), d.url+path, c.Signed(callbackKey, d.clock.Now()))
	if err != nil {
		d.t.Fatal(err)
	}
	if status == http.StatusOK && answer != `{"code":0}` {
		d.t.Errorf("the body of a 200 is %s", answer)
	}
	return status
}

func (d *desk) stream(name string) *v1alpha1.LiveStream {
	d.t.Helper()
	stream := &v1alpha1.LiveStream{}
	if err := env.Client.Get(d.t.Context(), client.ObjectKey{Namespace: d.namespace, Name: name}, stream); err != nil {
		d.t.Fatal(err)
	}
	return stream
}

// shape is the pushes in one line: what is live is upper case.
func shape(pushes []v1alpha1.Push) string {
	var words []string
	for _, p := range pushes {
		if p.EndTime == nil {
			words = append(words, strings.ToUpper(p.Sequence))
		} else {
			words = append(words, p.Sequence)
		}
	}
	return strings.Join(words, " ")
}
