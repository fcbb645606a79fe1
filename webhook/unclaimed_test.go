package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/callbackpath"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

func (d *desk) domain() *v1alpha1.PushDomain {
	d.t.Helper()
	domain := &v1alpha1.PushDomain{}
	if err := env.Client.Get(d.t.Context(), client.ObjectKey{Namespace: d.namespace, Name: "shows"}, domain); err != nil {
		d.t.Fatal(err)
	}
	return domain
}

// remembers is what the push domain remembers of a stream.
func (d *desk) remembers(stream string) string {
	d.t.Helper()
	return shape(push.OfStream(d.domain().Status.UnclaimedPushes, push.Stream{App: "live", Name: stream}))
}

func TestAnUnclaimedPushIsInEtcdWhenItIsAcknowledged(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	unknown := d.push("a")
	unknown.Stream = "unknown"
	for _, step := range []struct {
		what string
		want string
		send func() int
	}{
		{"a start", "A", func() int { return d.post(unknown.Start(showTime)) }},
		{"the same start again", "A", func() int { return d.post(unknown.Start(showTime)) }},
		{"its interruption", "a", func() int { return d.post(unknown.Interruption(showTime, time.Second, 1, "stopped")) }},
		{"its late start", "a", func() int { return d.post(unknown.Start(showTime)) }},
	} {
		if status := step.send(); status != http.StatusOK {
			t.Errorf("%s is answered %d", step.what, status)
		}
		if got := d.remembers("unknown"); got != step.want {
			t.Errorf("after %s the push domain remembers %q, want %q", step.what, got, step.want)
		}
	}
}

func TestAThousandUnknownStreamsAreFewWrites(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before := d.domain().ResourceVersion
	began := time.Now()
	var all sync.WaitGroup
	work := make(chan int)
	for range 50 {
		all.Go(func() {
			for i := range work {
				p := d.push("a")
				p.Stream = fmt.Sprint("unknown-", i)
				if status := d.post(p.Start(showTime)); status != http.StatusOK {
					t.Errorf("unknown-%d is answered %d", i, status)
				}
			}
		})
	}
	for i := range 1000 {
		work <- i
	}
	close(work)
	all.Wait()
	after := d.domain()
	if len(after.Status.UnclaimedPushes) != push.MaxUnclaimed {
		t.Errorf("%d pushes are remembered, want %d", len(after.Status.UnclaimedPushes), push.MaxUnclaimed)
	}
	writes := len(d.versionsSince(before))
	if most := int(time.Since(began)/unclaimedEvery) + 3; writes > most {
		t.Errorf("%d writes in %s, want at most %d", writes, time.Since(began), most)
	}
	t.Logf("1000 unknown streams in %s: %d writes", time.Since(began).Round(time.Millisecond), writes)
}

// versionsSince are the resourceVersions that the push domain had since the given one, as a watch tells them.
func (d *desk) versionsSince(version string) []string {
	d.t.Helper()
	last := d.domain().ResourceVersion
	w, err := env.Client.Watch(d.t.Context(), &v1alpha1.PushDomainList{}, client.InNamespace(d.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version}})
	if err != nil {
		d.t.Fatal(err)
	}
	defer w.Stop()
	var versions []string
	for e := range w.ResultChan() {
		domain, ok := e.Object.(*v1alpha1.PushDomain)
		if !ok {
			d.t.Fatalf("the watch ends with %v", e.Object)
		}
		versions = append(versions, domain.ResourceVersion)
		if domain.ResourceVersion == last {
			break
		}
	}
	return versions
}

func TestAPushThatEndedOnItsLiveStreamIsNoLongerUnclaimed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.push("a")
	p.Stream = "later"
	d.post(p.Start(showTime))
	stream := d.newStream("later")
	stream.Spec.StreamName = "later"
	d.create(stream)
	d.knows("later")
	d.eventually("the cache has the unclaimed push", func() bool {
		domain := &v1alpha1.PushDomain{}
		return d.handler.Cache.Get(t.Context(), client.ObjectKeyFromObject(d.domain()), domain) == nil && len(domain.Status.UnclaimedPushes) == 1
	})
	d.post(p.Interruption(showTime, time.Second, 1, "stopped"))
	if got := d.remembers("later"); got != "a" {
		t.Errorf("the push domain remembers %q: the next LiveStream of the stream would claim it", got)
	}
	if got := shape(d.stream("later").Status.Pushes); got != "a" {
		t.Errorf("the LiveStream has %q, want the end", got)
	}
}

func TestEveryLiveStreamOfAStreamKnowsItsPushes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.create(d.newStream("younger"))
	d.knows("younger")
	d.post(d.push("a").Start(showTime))
	for _, name := range []string{"show", "younger"} {
		if got := shape(d.stream(name).Status.Pushes); got != "A" {
			t.Errorf("%s knows %q, want A: it may have to take over", name, got)
		}
	}
}

func TestASecretPathIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(domain *v1alpha1.PushDomain) {
		domain.Spec.Callback.PathTokenSecretRef = v1alpha1.SecretKeyReference{Name: "css", Key: "callbackKey"}
	})
	domain := d.domain()
	right := callbackpath.Of(domain, callbackKey)
	for path, want := range map[string]int{
		right: http.StatusOK, d.path(): http.StatusNotFound, right + "0": http.StatusNotFound, right[:len(right)-1]: http.StatusNotFound,
		callbackpath.Of(domain, "another token"): http.StatusNotFound,
	} {
		if status := d.postTo(path, d.push("a").Start(showTime)); status != want {
			t.Errorf("%s is answered %d, want %d", path, status, want)
		}
	}
}

// Where a LiveStream is made for the stream it is told of the push by the next try.
func TestAStartBeyondTheLivePushesOfAnUnknownStreamComesAgainWhereALiveStreamIsMade(t *testing.T) {
	t.Parallel()
	for policy, want := range map[v1alpha1.UnknownStreamPolicy]int{v1alpha1.UnknownStreamCreate: http.StatusServiceUnavailable, v1alpha1.UnknownStreamIgnore: http.StatusOK} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(domain *v1alpha1.PushDomain) { domain.Spec.UnknownStreams.Policy = policy })
			domain := d.domain()
			for i := range push.MaxLive {
				p := v1alpha1.Push{Sequence: fmt.Sprint(i), StartTime: new(metav1.NewTime(showTime)), RecordedTime: new(metav1.NewTime(showTime))}
				domain.Status.UnclaimedPushes = append(domain.Status.UnclaimedPushes, v1alpha1.UnclaimedPush{AppName: "live", StreamName: "unknown", Push: p})
			}
			if err := env.Client.Status().Update(t.Context(), domain); err != nil {
				t.Fatal(err)
			}
			p := d.push("one too many")
			p.Stream = "unknown"
			if status := d.post(p.Start(showTime)); status != want {
				t.Errorf("answered %d, want %d", status, want)
			}
			if got := len(d.domain().Status.UnclaimedPushes); got != push.MaxLive {
				t.Errorf("%d pushes are remembered, want %d", got, push.MaxLive)
			}
		})
	}
}

func TestAPathTokenThatWasMissingIsTakenOnceItIsThere(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(domain *v1alpha1.PushDomain) {
		domain.Spec.Callback.PathTokenSecretRef = v1alpha1.SecretKeyReference{Name: "css", Key: "pathToken"}
	})
	var reads atomic.Int32
	d.handler.Secrets.Client = interceptor.NewClient(env.Client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			reads.Add(1)
			return c.Get(ctx, key, object, options...)
		},
	})
	const token = "thePathToken0123456789"
	path := callbackpath.Of(d.domain(), token)
	for range 20 {
		if status := d.postTo(path, d.push("a").Start(showTime)); status != http.StatusServiceUnavailable {
			t.Fatalf("answered %d without a token, want 503", status)
		}
	}
	if reads.Load() != 1 {
		t.Errorf("the Secret was read %d times within %s, want once", reads.Load(), SecretAgainAfter)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "css", Namespace: d.namespace}}
	if err := env.Client.Patch(t.Context(), secret, client.RawPatch(types.MergePatchType, []byte(`{"stringData":{"pathToken":"`+token+`"}}`))); err != nil {
		t.Fatal(err)
	}
	d.clock.(*testclock.FakePassiveClock).SetTime(showTime.Add(SecretAgainAfter))
	if status := d.postTo(path, d.push("a").Start(showTime)); status != http.StatusOK {
		t.Errorf("answered %d once the token is there", status)
	}
}

func TestOfMoreEventsThanAreKeptNoInterruptionIsLost(t *testing.T) {
	t.Parallel()
	event := func(kind provider.EventKind, stream string) *unclaimedEvent {
		return &unclaimedEvent{event: provider.Event{Kind: kind, Stream: stream}, done: make(chan error, 1)}
	}
	told := func(e *unclaimedEvent) error {
		select {
		case err := <-e.done:
			return err
		default:
			return errStore
		}
	}
	stop, first, second := event(provider.Interrupted, "a"), event(provider.Started, "b"), event(provider.Started, "c")
	waiting := dropOne([]*unclaimedEvent{stop, first, second})
	if len(waiting) != 2 || waiting[0] != stop || waiting[1] != second || told(first) != nil {
		t.Errorf("waiting = %+v, want the stop and the later start", waiting)
	}
	last := event(provider.Interrupted, "d")
	waiting = dropOne([]*unclaimedEvent{stop, last})
	if len(waiting) != 1 || waiting[0] != stop || !errors.Is(told(last), errTooManyAtOnce) {
		t.Errorf("waiting = %+v, want the first stop; the other is to come again", waiting)
	}
}

// staleReader is a cache that still shows a push domain as it was.
type staleReader struct {
	client.Reader

	domain *v1alpha1.PushDomain
}

func (r staleReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if domain, is := object.(*v1alpha1.PushDomain); is {
		r.domain.DeepCopyInto(domain)
		return nil
	}
	return r.Reader.Get(ctx, key, object, opts...)
}

func TestAnUnclaimedEventIsNotWrittenToAPushDomainThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	old := d.domain()
	anew := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: old.Name, Namespace: old.Namespace}, Spec: *old.Spec.DeepCopy()}
	anew.Spec.Domain = "another.domain.com"
	if err := env.Client.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	d.create(anew)
	unknown := d.push("a")
	unknown.Stream = "unknown"
	d.handler.Cache = staleReader{d.handler.Cache, old}
	if status := d.post(unknown.Start(showTime)); status != http.StatusServiceUnavailable {
		t.Errorf("answered %d, want 503: it is to come again", status)
	}
	if got := d.remembers("unknown"); got != "" {
		t.Errorf("the PushDomain of %s remembers %q of a stream of %s", anew.Spec.Domain, got, old.Spec.Domain)
	}
}

// The next LiveStream of the stream may be there, or hear of it from the PushDomain.
func TestAnEventGoesIntoNoLiveStreamThatIsBeingDeleted(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	stream := d.stream("show")
	stream.Finalizers = []string{"example.com/wait"}
	if err := env.Client.Update(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	d.caughtUp(stream)
	queue := d.busy()
	answer := d.later(d.push("a").Start(showTime))
	d.eventually("it waits", func() bool { return d.waiting() == 1 })
	if err := env.Client.Delete(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	d.caughtUp(d.stream("show"))
	queue.leave()
	if status := <-answer; status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	if got := shape(d.stream("show").Status.Pushes); got != "" {
		t.Errorf("the LiveStream that is being deleted has %q", got)
	}
	if got := d.remembers("test_stream"); got != "A" {
		t.Errorf("the PushDomain remembers %q, want A", got)
	}
}
