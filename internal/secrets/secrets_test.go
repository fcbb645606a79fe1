package secrets

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// server holds Secrets by namespace/name and counts how often it is asked for each.
type server struct {
	mu      sync.Mutex
	secrets map[string]map[string][]byte
	fails   error
	asked   map[string]int
	// slow holds answers up until it is closed.
	slow chan struct{}
}

func (s *server) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	s.mu.Lock()
	s.asked[key.String()]++
	s.mu.Unlock()
	if s.slow != nil {
		<-s.slow
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return s.fails
	}
	data, there := s.secrets[key.String()]
	if !there {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	into.(*corev1.Secret).Data = data
	return nil
}

func (s *server) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("the operator may not list Secrets")
}

func (s *server) put(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[name] = map[string][]byte{"key": []byte(value)}
}

type world struct {
	t      *testing.T
	server *server
	clock  *clocktesting.FakeClock
	reader *Reader
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s := &server{secrets: map[string]map[string][]byte{}, asked: map[string]int{}}
	clock := clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return &world{t: t, server: s, clock: clock, reader: &Reader{Client: s, Clock: clock, Keep: time.Minute, AgainAfter: 5 * time.Second, MaxKept: 3}}
}

func css(name string) v1alpha1.SecretKeyReference {
	return v1alpha1.SecretKeyReference{Name: name, Key: "key"}
}

type read func(context.Context, string, v1alpha1.SecretKeyReference) (string, error)

// expect reads and checks the value, or the error for which want is nil, and how often the server was asked in all.
func (w *world) expect(read read, name, value string, want error, asked int) {
	w.t.Helper()
	got, err := read(w.t.Context(), "studio", css(name))
	if got != value || !errors.Is(err, want) {
		w.t.Errorf("Secret %s: %q, %v; want %q, %v", name, got, err, value, want)
	}
	if n := w.server.asked["studio/"+name]; n != asked {
		w.t.Errorf("the server was asked %d times for Secret %s, want %d", n, name, asked)
	}
}

func TestWhatIsReadIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.put("studio/css", "one")
	w.expect(w.reader.Get, "css", "one", nil, 1)
	w.server.put("studio/css", "two")
	w.clock.Step(time.Minute - time.Nanosecond)
	w.expect(w.reader.Get, "css", "one", nil, 1)
	w.clock.Step(time.Nanosecond)
	w.expect(w.reader.Get, "css", "two", nil, 2)
	w.expect(w.reader.Get, "css", "two", nil, 2)
}

func TestEntriesOfOneSecretAreReadOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.secrets["studio/css"] = map[string][]byte{"old": []byte("one"), "new": []byte("two")}
	for entry, want := range map[string]string{"old": "one", "new": "two"} {
		got, err := w.reader.Get(t.Context(), "studio", v1alpha1.SecretKeyReference{Name: "css", Key: entry})
		if got != want || err != nil {
			t.Errorf("entry %s: %q, %v", entry, got, err)
		}
	}
	if n := w.server.asked["studio/css"]; n != 1 {
		t.Errorf("the server was asked %d times, want 1", n)
	}
}

func TestNamespacesAreKeptApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.put("studio/css", "one")
	w.server.put("other/css", "two")
	w.expect(w.reader.Get, "css", "one", nil, 1)
	if got, err := w.reader.Get(t.Context(), "other", css("css")); got != "two" || err != nil {
		t.Errorf("the namesake in another namespace: %q, %v", got, err)
	}
}

func TestRefreshReadsAgainAtALimitedRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.put("studio/css", "one")
	w.expect(w.reader.Refresh, "css", "one", nil, 1)
	w.server.put("studio/css", "two")
	w.clock.Step(5*time.Second - time.Nanosecond)
	w.expect(w.reader.Refresh, "css", "one", nil, 1)
	w.clock.Step(time.Nanosecond)
	w.expect(w.reader.Refresh, "css", "two", nil, 2)
	// What a refresh read is what Get uses, and counts its time from then.
	w.clock.Step(time.Minute - time.Nanosecond)
	w.expect(w.reader.Get, "css", "two", nil, 2)
	w.clock.Step(time.Nanosecond)
	w.expect(w.reader.Get, "css", "two", nil, 3)
	// A read by Get counts too.
	w.expect(w.reader.Refresh, "css", "two", nil, 3)
}

func TestMissingSecretIsKeptAsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect(w.reader.Get, "css", "", ErrUnavailable, 1)
	w.server.put("studio/css", "one")
	w.expect(w.reader.Get, "css", "", ErrUnavailable, 1)
	w.expect(w.reader.Refresh, "css", "", ErrUnavailable, 1)
	w.clock.Step(5 * time.Second)
	w.expect(w.reader.Refresh, "css", "one", nil, 2)
}

func TestFailureOfTheServerIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.put("studio/css", "one")
	w.server.fails = apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "css", errors.New("no"))
	w.expect(w.reader.Get, "css", "", w.server.fails, 1)
	if _, err := w.reader.Get(t.Context(), "studio", css("css")); errors.Is(err, ErrUnavailable) || !apierrors.IsForbidden(err) {
		t.Errorf("the server's failure reads %v", err)
	}
	w.server.fails = nil
	w.expect(w.reader.Get, "css", "one", nil, 3)
	// And it takes nothing away from what is kept.
	w.server.fails = errors.New("down")
	w.clock.Step(5 * time.Second)
	w.expect(w.reader.Refresh, "css", "", w.server.fails, 4)
	w.expect(w.reader.Get, "css", "one", nil, 4)
}

func TestValues(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, stored, want string
		err                error
	}{
		{"a value is what it is", "Key 1", "Key 1", nil},
		{"white space around it is cut", " \t\r\nKey1\n", "Key1", nil},
		{"an empty value is unavailable", "", "", ErrUnavailable},
		{"nothing but white space is unavailable", " \n", "", ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.server.put("studio/css", row.stored)
			w.expect(w.reader.Get, "css", row.want, row.err, 1)
		})
	}
	t.Run("an entry that is not there is unavailable, and no other is told", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.server.put("studio/css", "Sekr1t")
		_, err := w.reader.Get(t.Context(), "studio", v1alpha1.SecretKeyReference{Name: "css", Key: "Key"})
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "Sekr1t") || !strings.Contains(err.Error(), `Secret "css" has no entry "Key"`) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestAtMostMaxKeptAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.server.put(fmt.Sprintf("studio/css%d", i), "one")
		w.expect(w.reader.Get, fmt.Sprintf("css%d", i), "one", nil, 1)
	}
	// Reading one of them again takes no room from the others.
	w.clock.Step(5 * time.Second)
	w.expect(w.reader.Refresh, "css0", "one", nil, 2)
	w.expect(w.reader.Get, "css1", "one", nil, 1)
	w.expect(w.reader.Get, "css2", "one", nil, 1)
	for i := range 100 {
		name := fmt.Sprintf("more%d", i)
		w.server.put("studio/"+name, "one")
		w.expect(w.reader.Get, name, "one", nil, 1)
		if n := len(w.reader.kept); n > 3 {
			t.Fatalf("%d Secrets are kept, want 3 at most", n)
		}
	}
}

func TestReadersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.server.put(fmt.Sprintf("studio/css%d", i), "one")
	}
	var done sync.WaitGroup
	for i := range 50 {
		done.Go(func() {
			read := w.reader.Get
			if i%2 == 0 {
				read = w.reader.Refresh
			}
			if got, err := read(t.Context(), "studio", css(fmt.Sprintf("css%d", i%5))); got != "one" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	done.Wait()
}

func TestManyWhoAskAtOnceAreOneReadingAndOneWhoGoesStopsNobody(t *testing.T) {
	w := newWorld(t)
	w.server.put("studio/css", "value")
	w.server.slow = make(chan struct{})
	ref := v1alpha1.SecretKeyReference{Name: "css", Key: "key"}
	first, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := w.reader.Get(first, "studio", ref)
		gone <- err
	}()
	for asked := 0; asked == 0; runtime.Gosched() {
		w.server.mu.Lock()
		asked = w.server.asked["studio/css"]
		w.server.mu.Unlock()
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("Get() = %v for who gave up", err)
	}
	var others sync.WaitGroup
	for range 50 {
		others.Go(func() {
			if value, err := w.reader.Get(t.Context(), "studio", ref); value != "value" || err != nil {
				t.Errorf("Get() = %q, %v", value, err)
			}
		})
	}
	close(w.server.slow)
	others.Wait()
	// Who comes right after an answer finds it kept.
	if asked := w.server.asked["studio/css"]; asked > 2 {
		t.Errorf("the API server was asked %d times for 51 who asked at once", asked)
	}
}
