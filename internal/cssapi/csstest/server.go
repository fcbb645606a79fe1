// Package csstest is an API server of Tencent Cloud CSS for tests: the protocol of the real one, streams that are on air when the
// test says so, and failures on demand.
package csstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	kjson "sigs.k8s.io/json"

	"github.com/livestream-operator/livestream-operator/internal/cssapi"
)

const version = "2018-08-01"

// The actions that the server has.
const (
	StreamState    = "DescribeLiveStreamState"
	OnlineList     = "DescribeLiveStreamOnlineList"
	CreateTemplate = "CreateLiveCallbackTemplate"
	ModifyTemplate = "ModifyLiveCallbackTemplate"
	ListTemplates  = "DescribeLiveCallbackTemplates"
	CreateRule     = "CreateLiveCallbackRule"
	ListRules      = "DescribeLiveCallbackRules"
)

// Server is the fake. It is an http.Handler and safe for concurrent use.
type Server struct {
	url         string
	credentials cssapi.Credentials
	clock       clock.PassiveClock
	closing     chan struct{}

	mu        sync.Mutex
	requests  int
	streams   map[streamKey][]time.Time
	forbidden map[streamKey]bool
	frozen    map[streamKey][]time.Time
	templates []Template
	rules     []Rule
	failures  map[string][]*failing
	calls     map[string]int
	limits    map[string]*limit
}

type streamKey struct{ domain, app, stream string }

func keyOf(domain, app, stream string) streamKey {
	return streamKey{strings.ToLower(domain), app, stream}
}

type failing struct {
	left int
	how  Failure
}

type limit struct {
	perSecond, used int
	second          int64
}

// apiError is an error as the API tells it, within an answer of HTTP 200.
type apiError struct{ Code, Message string }

// New is a server that takes the given credentials, for the caller to serve; it has no Endpoint of its own.
func New(credentials cssapi.Credentials) *Server {
	return &Server{
		credentials: credentials, clock: clock.RealClock{}, closing: make(chan struct{}),
		streams: map[streamKey][]time.Time{}, forbidden: map[streamKey]bool{},
		failures: map[string][]*failing{}, calls: map[string]int{}, limits: map[string]*limit{},
	}
}

// NewServer starts a server that takes the given credentials, until the test ends.
func NewServer(tb testing.TB, credentials cssapi.Credentials) *Server {
	tb.Helper()
	s := New(credentials)
	server := httptest.NewServer(s)
	s.url = server.URL
	tb.Cleanup(func() {
		close(s.closing)
		server.Close()
	})
	return s
}

// Endpoint is what spec.api.endpoint of a PushDomain takes.
func (s *Server) Endpoint() string { return s.url }

// SetClock makes the server live by another clock. It has to be called before the first request.
func (s *Server) SetClock(c clock.PassiveClock) { s.clock = c }

// SetCredentials makes the server take other credentials from now on.
func (s *Server) SetCredentials(credentials cssapi.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentials = credentials
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10<<20))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	action := r.Header.Get("X-TC-Action")
	s.mu.Lock()
	s.calls[action]++
	s.requests++
	id := fmt.Sprintf("request-%d", s.requests)
	how := s.failure(action)
	answer, refusal := any(nil), (*apiError)(nil)
	if how == (Failure{}) {
		answer, refusal = s.answer(r, action, body)
	}
	s.mu.Unlock()
	switch {
	case how.Hang:
		select {
		case <-r.Context().Done():
		case <-s.closing:
		}
		return
	case how.Status != 0:
		http.Error(w, how.Body, how.Status)
		return
	case how.Body != "":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, how.Body)
		return
	case how.Code != "":
		refusal = &apiError{how.Code, how.Message}
	}
	write(w, id, answer, refusal)
}

func write(w http.ResponseWriter, id string, answer any, refusal *apiError) {
	response := map[string]any{}
	text, err := json.Marshal(answer)
	if refusal == nil && err == nil {
		err = json.Unmarshal(text, &response)
	} else if refusal != nil {
		response["Error"] = refusal
	}
	response["RequestId"] = id
	if err == nil {
		text, err = json.Marshal(map[string]any{"Response": response})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the caller is gone then
}

// answer checks a request as the API does, and carries it out.
func (s *Server) answer(r *http.Request, action string, body []byte) (any, *apiError) {
	if r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "" {
		return nil, &apiError{"InvalidRequest", "This server takes POST / without a query."}
	}
	if contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); contentType != "application/json" {
		return nil, &apiError{"UnsupportedProtocol", "This server takes application/json."}
	}
	if refusal := s.authorize(r, body); refusal != nil {
		return nil, refusal
	}
	if r.Header.Get("X-TC-Version") != version {
		return nil, &apiError{"NoSuchVersion", "The API version is not found."}
	}
	act, known := actions[action]
	if !known {
		return nil, &apiError{"InvalidAction", "The API action is invalid or not found."}
	}
	if l := s.limits[action]; l != nil && l.exceeded(s.clock.Now()) {
		return nil, &apiError{"RequestLimitExceeded", fmt.Sprintf("Your current request times equals to `%d` in a second, which exceeds the frequency limit `%d` for a second. Please reduce the frequency of calls.", l.used, l.perSecond)}
	}
	return act(s, body)
}

func (l *limit) exceeded(now time.Time) bool {
	if now.Unix() != l.second {
		l.second, l.used = now.Unix(), 0
	}
	l.used++
	return l.used > l.perSecond
}

var actions = map[string]func(*Server, []byte) (any, *apiError){
	StreamState:    (*Server).streamState,
	OnlineList:     (*Server).onlineList,
	CreateTemplate: (*Server).createTemplate,
	ModifyTemplate: (*Server).modifyTemplate,
	ListTemplates:  (*Server).listTemplates,
	CreateRule:     (*Server).createRule,
	ListRules:      (*Server).listRules,
}

// decode reads the parameters of an action; like the API it tells upper from lower case, and refuses what it does not have.
func decode(body []byte, into any) *apiError {
	unknown, err := kjson.UnmarshalStrict(body, into)
	switch {
	case err != nil:
		return &apiError{"InvalidParameter", "The parameters cannot be read: " + err.Error()}
	case len(unknown) > 0:
		return &apiError{"UnknownParameter", "A parameter is not recognized: " + unknown[0].Error()}
	}
	return nil
}

func missing(name string) *apiError {
	return &apiError{"MissingParameter", "The request is missing a required parameter `" + name + "`."}
}
