package faultproxy

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// upstream is an API server that answers the same to all, and remembers what it was asked.
type upstream struct {
	mu    sync.Mutex
	asked []string
	// events are the lines of every watch; it stays open after them.
	events []string
	// answer has the content type in the first place.
	contentType, answer string
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.asked = append(u.asked, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization"))
	u.mu.Unlock()
	w.Header().Set("Content-Type", u.contentType)
	if r.URL.Query().Get("watch") == "" {
		_, _ = io.WriteString(w, u.answer)
		return
	}
	for _, event := range u.events {
		_, _ = io.WriteString(w, event)
		_ = http.NewResponseController(w).Flush()
	}
	<-r.Context().Done()
}

func (u *upstream) requests() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.asked...)
}

func newProxy(t *testing.T, u *upstream, namespace string) (*Proxy, *kubernetes.Clientset) {
	t.Helper()
	if u.contentType == "" {
		u.contentType = "application/json"
	}
	server := httptest.NewTLSServer(u)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	p, err := New(server.URL, ca, namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	clients, err := kubernetes.NewForConfig(&rest.Config{Host: p.URL(), BearerToken: "its-own", TLSClientConfig: rest.TLSClientConfig{CAData: p.CA()}, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return p, clients
}

const configMap = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"n"}}`

func get(t *testing.T, clients *kubernetes.Clientset) error {
	t.Helper()
	// No retry of the client's own.
	return clients.CoreV1().RESTClient().Get().AbsPath("/api/v1/namespaces/n/configmaps/a").MaxRetries(0).Do(t.Context()).Error()
}

func TestWhatIsNotHitPassesWithTheClientsOwnCredentials(t *testing.T) {
	u := &upstream{answer: configMap}
	p, clients := newProxy(t, u, "")
	if err := get(t, clients); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GET /api/v1/namespaces/n/configmaps/a Bearer its-own"}, u.requests()); diff != "" {
		t.Error(diff)
	}
	want := []Call{{Verb: "get", Resource: "configmaps", Namespace: "n", Name: "a", Status: 200}}
	if diff := cmp.Diff(want, p.Calls(), cmpopts.IgnoreFields(Call{}, "At", "UserAgent")); diff != "" {
		t.Error(diff)
	}
}

func TestARuleHitsTheNthCallThatFits(t *testing.T) {
	u := &upstream{answer: configMap}
	p, clients := newProxy(t, u, "")
	hits := p.Add(Rule{Verb: "get", Resource: "configmaps", Nth: 2, Times: 2, Fault: Fault{Status: http.StatusConflict}})
	var conflicts []bool
	for range 4 {
		conflicts = append(conflicts, apierrors.IsConflict(get(t, clients)))
	}
	if diff := cmp.Diff([]bool{false, true, true, false}, conflicts); diff != "" {
		t.Error(diff)
	}
	if hits() != 2 || p.Faults() != 2 || len(u.requests()) != 2 {
		t.Errorf("%d hits, %d faults, %d requests came through", hits(), p.Faults(), len(u.requests()))
	}
}

func TestARefusalIsWhatAnAPIServerSays(t *testing.T) {
	for code, is := range map[int]func(error) bool{
		409: apierrors.IsConflict, 429: apierrors.IsTooManyRequests, 500: apierrors.IsInternalError, 503: apierrors.IsServiceUnavailable, 403: apierrors.IsForbidden,
	} {
		p, clients := newProxy(t, &upstream{answer: configMap}, "")
		p.Add(Rule{Times: -1, Fault: Fault{Status: code}})
		if err := get(t, clients); !is(err) {
			t.Errorf("%d is %v", code, err)
		}
	}
}

func TestARetryAfterIsTold(t *testing.T) {
	p, clients := newProxy(t, &upstream{answer: configMap}, "")
	p.Add(Rule{Fault: Fault{Status: http.StatusTooManyRequests, RetryAfter: 7}})
	if seconds, told := apierrors.SuggestsClientDelay(get(t, clients)); !told || seconds != 7 {
		t.Errorf("it suggests %d, %v", seconds, told)
	}
}

func TestACallIsLostBeforeOrAfterItIsCarriedOut(t *testing.T) {
	for after, want := range map[bool]int{false: 0, true: 1} {
		u := &upstream{answer: configMap}
		p, clients := newProxy(t, u, "")
		p.Add(Rule{Verb: "create", After: after, Fault: Fault{Drop: true}})
		err := clients.CoreV1().RESTClient().Post().AbsPath("/api/v1/namespaces/n/configmaps").Body([]byte(configMap)).MaxRetries(0).Do(t.Context()).Error()
		if err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
			t.Errorf("after %v: the error is %v", after, err)
		}
		if got := len(u.requests()); got != want {
			t.Errorf("after %v: %d requests came through", after, got)
		}
	}
}

func TestAnAnswerIsCutInTheMiddle(t *testing.T) {
	u := &upstream{answer: configMap}
	p, clients := newProxy(t, u, "")
	p.Add(Rule{After: true, Fault: Fault{Truncate: true}})
	if err := get(t, clients); err == nil {
		t.Error("half an answer is an answer")
	}
}

func TestAStallEndsWithTheRules(t *testing.T) {
	p, clients := newProxy(t, &upstream{answer: configMap}, "")
	reached := make(chan struct{})
	p.Add(Rule{Fault: Fault{Run: func(Call) { close(reached) }, Stall: time.Hour}})
	done := make(chan error, 1)
	go func() { done <- get(t, clients) }()
	<-reached
	select {
	case err := <-done:
		t.Fatalf("it did not stall: %v", err)
	default:
	}
	// The stall begins right after the call was announced.
	for {
		p.Clear()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestListsAndWatchesOfAllNamespacesAreConfined(t *testing.T) {
	u := &upstream{answer: `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}`}
	_, clients := newProxy(t, u, "mine")
	if _, err := clients.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.CoreV1().Pods("other").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"GET /api/v1/namespaces/mine/pods Bearer its-own", "GET /api/v1/namespaces/other/pods Bearer its-own"}
	if diff := cmp.Diff(want, u.requests()); diff != "" {
		t.Error(diff)
	}
}

func TestAListOfThePast(t *testing.T) {
	u := &upstream{answer: `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}`}
	p, clients := newProxy(t, u, "")
	hits := p.Add(Rule{Resource: "pods", Times: -1, Fault: Fault{At: "7"}})
	for _, version := range []string{"0", ""} {
		if _, err := clients.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{ResourceVersion: version}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := clients.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true})
	if !apierrors.IsInvalid(err) {
		t.Errorf("a watch that begins with a list is answered %v", err)
	}
	if diff := cmp.Diff([]string{"GET /api/v1/pods?resourceVersion=7&resourceVersionMatch=Exact Bearer its-own", "GET /api/v1/pods Bearer its-own"}, u.requests()); diff != "" {
		t.Error(diff)
	}
	// A list of the newest is not of the past.
	if hits() != 2 {
		t.Errorf("%d calls are counted, want the list and the watch", hits())
	}
}

func event(kind, name string) string {
	return fmt.Sprintf(`{"type":%q,"object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":%q}}}`+"\n", kind, name)
}

func TestWhatGoesWrongWithAWatch(t *testing.T) {
	for name, c := range map[string]struct {
		fault Watch
		want  []string
		// counted is whether it went wrong.
		counted bool
	}{
		"nothing":                      {Watch{}, []string{"ADDED a", "BOOKMARK b", "MODIFIED c", "DELETED d"}, false},
		"an event is lost":             {Watch{Lose: 2}, []string{"ADDED a", "BOOKMARK b", "DELETED d"}, true},
		"it is cut":                    {Watch{Cut: 2}, []string{"ADDED a", "BOOKMARK b", "closed"}, true},
		"the event does not come":      {Watch{Cut: 4}, []string{"ADDED a", "BOOKMARK b", "MODIFIED c", "DELETED d"}, false},
		"it is too old":                {Watch{Gone: 2}, []string{"ADDED a", "BOOKMARK b", "ERROR 410", "closed"}, true},
		"it is late":                   {Watch{Lag: 50 * time.Millisecond}, []string{"ADDED a", "BOOKMARK b", "MODIFIED c", "DELETED d"}, true},
		"an event is lost for a while": {Watch{Lose: 2, Life: 100 * time.Millisecond}, []string{"ADDED a", "BOOKMARK b", "DELETED d", "ERROR 410", "closed"}, true},
		"it is frozen and goes on":     {Watch{Freeze: 50 * time.Millisecond, FreezeAt: 2}, []string{"ADDED a", "BOOKMARK b", "MODIFIED c", "DELETED d"}, true},
		"it is frozen and stays so":    {Watch{Freeze: time.Hour, FreezeAt: 2}, []string{"ADDED a", "BOOKMARK b", "silent"}, true},
		"it is frozen from the first":  {Watch{Freeze: time.Hour}, []string{"silent"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &upstream{events: []string{event("ADDED", "a"), event("BOOKMARK", "b"), event("MODIFIED", "c"), event("DELETED", "d")}}
			p, clients := newProxy(t, u, "")
			hits := p.Add(Rule{Verb: "watch", Fault: Fault{Watch: c.fault}})
			if diff := cmp.Diff(c.want, watched(t, clients, len(c.want))); diff != "" {
				t.Error(diff)
			}
			if counted := hits() == 1 && p.Faults() == 1; counted != c.counted {
				t.Errorf("%d hits of %d faults", hits(), p.Faults())
			}
		})
	}
}

func TestWatchesEndWhenTheyAreToldTo(t *testing.T) {
	p, clients := newProxy(t, &upstream{events: []string{event("ADDED", "a")}}, "")
	watch, err := clients.CoreV1().ConfigMaps("").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if first := <-watch.ResultChan(); nameOf(first.Object) != "a" {
		t.Fatalf("the first event is %v", first)
	}
	p.EndWatches()
	if e, open := <-watch.ResultChan(); open {
		t.Errorf("after its end the watch says %v", e)
	}
}

// watched are the first events of a watch; after the last one, that it is closed, or silent for a while.
func watched(t *testing.T, clients *kubernetes.Clientset, count int) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := clients.CoreV1().ConfigMaps("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < count {
		select {
		case e, open := <-watch.ResultChan():
			if !open {
				return append(got, "closed")
			}
			got = append(got, strings.TrimSpace(fmt.Sprint(e.Type, " ", nameOf(e.Object))))
		case <-time.After(300 * time.Millisecond):
			return append(got, "silent")
		}
	}
	return got
}

func nameOf(object any) string {
	if status, is := object.(*metav1.Status); is {
		return fmt.Sprint(status.Code)
	}
	if named, is := object.(metav1.Object); is {
		return named.GetName()
	}
	return fmt.Sprintf("%T", object)
}

func TestTheEndOfAnOldWatchIsReadInProtobufToo(t *testing.T) {
	// No event of the API server is needed: the end comes before it.
	first := "\x00\x00\x00\x07\x0a\x05ADDED"
	u := &upstream{events: []string{first}, contentType: "application/vnd.kubernetes.protobuf;stream=watch"}
	p, _ := newProxy(t, u, "")
	p.Add(Rule{Verb: "watch", Fault: Fault{Watch: Watch{Gone: 1}}})
	clients, err := kubernetes.NewForConfig(&rest.Config{
		Host: p.URL(), TLSClientConfig: rest.TLSClientConfig{CAData: p.CA()}, ContentConfig: rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ERROR 410", "closed"}, watched(t, clients, 2)); diff != "" {
		t.Error(diff)
	}
}

func TestAChooserDecidesWhereNoRuleDoes(t *testing.T) {
	p, clients := newProxy(t, &upstream{answer: configMap}, "")
	p.Choose(func(c Call) *Rule {
		if c.Verb != "get" {
			return nil
		}
		return &Rule{Fault: Fault{Status: http.StatusServiceUnavailable}}
	})
	if err := get(t, clients); !apierrors.IsServiceUnavailable(err) {
		t.Error(err)
	}
	p.Clear()
	if err := get(t, clients); err != nil {
		t.Error(err)
	}
}

func TestTheVerbsOfCalls(t *testing.T) {
	for request, want := range map[string]string{
		"GET /api/v1/namespaces/n/pods/p":                                               "get pods",
		"GET /api/v1/namespaces/n/pods":                                                 "list pods",
		"GET /api/v1/pods?watch=true":                                                   "watch pods",
		"POST /apis/batch/v1/namespaces/n/jobs":                                         "create jobs",
		"PATCH /apis/livestream-operator.io/v1alpha1/namespaces/n/livestreams/s/status": "patch livestreams/status",
		"PUT /apis/apps/v1/namespaces/n/deployments/d/scale":                            "update deployments/scale",
		"DELETE /apis/batch/v1/namespaces/n/jobs/j":                                     "delete jobs",
		"DELETE /apis/batch/v1/namespaces/n/jobs":                                       "deletecollection jobs",
		"GET /api/v1/namespaces/n":                                                      "get namespaces",
		"GET /apis":                                                                     "get ",
		"GET /apis/batch/v1":                                                            "get ",
	} {
		method, target, _ := strings.Cut(request, " ")
		if got := callOf(httptest.NewRequest(method, target, http.NoBody), time.Time{}).Key(); got != want {
			t.Errorf("%s is %q, want %q", request, got, want)
		}
	}
}

func TestAnAuthorityIsNeeded(t *testing.T) {
	if _, err := New("https://127.0.0.1:1", []byte("none"), ""); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the error is %v", err)
	}
}
