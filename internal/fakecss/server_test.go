package fakecss

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

const (
	callbackKey = "KeyThatNobodySees"
	credential  = "txSecret=0123456789abcdef&txTime=6955B900"
	token       = "token-in-the-path"
)

// patience bounds what should come at once.
const patience = 20 * time.Second

// receiver is an operator's side: it keeps what it is posted, and answers what it is told to, 200 in the end.
type receiver struct {
	t       *testing.T
	url     string
	mu      sync.Mutex
	answers []http.HandlerFunc
	got     []provider.Callback
}

func newReceiver(t *testing.T, answers ...http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{t: t, answers: answers}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/callbacks/" + token
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(request.URL.Path, "/callbacks/") {
		r.t.Errorf("%s %s of %s: %v", request.Method, request.URL, request.Header.Get("Content-Type"), err)
	}
	callback, err := tencent.Parser{}.Parse(body, provider.Authentication{Required: true, Keys: []string{callbackKey}, Skew: time.Minute, Now: time.Now()})
	if err != nil {
		r.t.Errorf("%s: %v", body, err)
	}
	r.mu.Lock()
	r.got = append(r.got, callback)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"code":0}`) })
	if len(r.answers) > 0 {
		answer, r.answers = r.answers[0], r.answers[1:]
	}
	r.mu.Unlock()
	answer(w, request)
}

func (r *receiver) events() []*provider.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []*provider.Event
	for _, c := range r.got {
		events = append(events, c.Event)
	}
	return events
}

// bench is a server with its log.
type bench struct {
	*Server
	t    *testing.T
	mu   sync.Mutex
	text strings.Builder
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t}
	o.Domain, o.Key = "push.example.com", callbackKey
	o.Log = func(line string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.text.WriteString(line + "\n")
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	b.Server = server
	return b
}

func (b *bench) log() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// post asks the handler, and returns its answer.
func (b *bench) post(target, body string) *http.Response {
	b.t.Helper()
	recorder := httptest.NewRecorder()
	b.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, target, strings.NewReader(body)))
	return recorder.Result()
}

// ingest posts a form as nginx does, and returns status and Location.
func (b *bench) ingest(call, app, stream, id, rest string) (int, string) {
	b.t.Helper()
	response := b.post("/ingest", "app="+app+"&addr=203.0.113.7&clientid="+id+"&call="+call+"&name="+stream+rest)
	_ = response.Body.Close()
	return response.StatusCode, response.Header.Get("Location")
}

// tries waits for that many records.
func (b *bench) tries(count int) []Record {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	records, err := b.Until(ctx, func(records []Record) bool { return len(records) >= count })
	if err != nil {
		b.t.Fatal(err)
	}
	return records
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "not now")
	}
}

func TestAPublishReachesTheReceiver(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := newBench(t, Options{Callback: r.url})
	if code, location := b.ingest("publish", "live", "show", "1", "&type=live&"+credential); code != http.StatusOK || location != "" {
		t.Errorf("nginx is answered %d, Location %q", code, location)
	}
	b.tries(1)
	b.NextInterruption(Interruption{Code: 12})
	b.ingest("publish_done", "live", "show", "1", "&"+credential)
	records := b.tries(2)

	events := r.events()
	if len(events) != 2 {
		t.Fatalf("%d callbacks came", len(events))
	}
	start, stop := events[0], events[1]
	want := provider.Event{
		Kind: provider.Started, Domain: "push.example.com", App: "live", Stream: "show", Sequence: start.Sequence, AppID: defaultAppID,
		Time: start.Time, ClientIP: "203.0.113.7", Node: defaultNode, Region: "MainlandChina",
	}
	if diff := cmp.Diff(want, *start); diff != "" {
		t.Error(diff)
	}
	want.Kind, want.Time, want.Duration = provider.Interrupted, stop.Time, stop.Duration
	want.ErrorCode, want.Reason, want.Message = 12, "NetworkError", networkError
	if diff := cmp.Diff(want, *stop); diff != "" || stop.Duration == nil {
		t.Error(diff)
	}
	if got := records[0].Callback.StreamParam; got != credential {
		t.Errorf("stream_param = %q", got)
	}
}

func TestAnythingBut200IsTriedAgain(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	defer close(released)
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-released:
		}
	}
	broken := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	r := newReceiver(t, status(500), status(204), status(307, "Location", "/elsewhere"), hang, broken, status(201))
	b := newBench(t, Options{Callback: r.url, RetryEvery: time.Millisecond, Timeout: 300 * time.Millisecond})
	b.ingest("publish", "live", "show", "1", "&type=live")
	var got []int
	for _, record := range b.tries(7) {
		got = append(got, record.Status)
		if (record.Status == 0) != (record.Err != nil) {
			t.Errorf("try %d: status %d, error %v", record.Try, record.Status, record.Err)
		}
	}
	if diff := cmp.Diff([]int{500, 204, 307, 0, 0, 201, 200}, got); diff != "" {
		t.Error(diff)
	}
	if records := b.Records(); !errors.Is(records[3].Err, context.DeadlineExceeded) {
		t.Errorf("a receiver that hangs: %v", records[3].Err)
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, credential+r.URL.Path)
	}
	echoKey := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "not "+callbackKey)
	}
	broken := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	r := newReceiver(t, echo, echoKey, broken, status(401))
	b := newBench(t, Options{Callback: r.url, RetryEvery: time.Millisecond})
	b.ingest("publish", "live", "show", "1", "&type=live&"+credential)
	records := b.tries(5)
	secrets := []string{callbackKey, "0123456789abcdef", token}
	for _, record := range records {
		secrets = append(secrets, record.Callback.Sign)
	}
	text := b.log()
	for _, secret := range secrets {
		if secret == "" || strings.Contains(text, secret) {
			t.Errorf("the log has %q:\n%s", secret, text)
		}
	}
	if got := strings.Count(text, "\n"); got != 5 || !strings.Contains(text, `try=4 -> 401 "not now"`) {
		t.Errorf("%d lines:\n%s", got, text)
	}
}

func TestCloseDoesNotWaitForAReceiverThatHangs(t *testing.T) {
	t.Parallel()
	arrived, released := make(chan struct{}), make(chan struct{})
	defer close(released)
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-released
	})
	b := newBench(t, Options{Callback: r.url, Timeout: time.Hour})
	b.ingest("publish", "live", "show", "1", "&type=live")
	<-arrived
	b.Close()
	if records := b.Records(); len(records) != 0 {
		t.Errorf("a try that was broken off is on record: %v", records[0].Err)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		options Options
		want    string
	}{
		{Options{Domain: "a"}, "callback URL must be"},
		{Options{Domain: "a", Callback: "ftp://a/" + token}, "callback URL must be"},
		{Options{Domain: "a", Callback: "http://a/" + token + "\x7f"}, "reading the callback URL"},
		{Options{Callback: "http://a/"}, "domain is missing"},
		{Options{Domain: "a", Callback: "http://a/", Second: "third"}, "standby, replace or refuse"},
	} {
		s, err := New(tc.options)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), token) {
			t.Errorf("New(%+v): %v, want %q", tc.options, err, tc.want)
		}
	}
	if err := unwrapURL(&url.Error{URL: token, Err: io.EOF}); !errors.Is(err, io.EOF) || strings.Contains(err.Error(), token) {
		t.Error(err)
	}
}
