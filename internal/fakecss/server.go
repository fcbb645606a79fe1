package fakecss

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

const (
	defaultRetries    = 12
	defaultRetryEvery = time.Minute
	defaultTimeout    = 20 * time.Second
	defaultAppID      = 12345678
	defaultSetID      = 2
	defaultNode       = "192.0.2.10"
)

// Options of a Server. Domain is needed, and Callback or API.
type Options struct {
	// Callback is the URL that callbacks are posted to, Key what they are signed with; unsigned when empty. Without a Callback
	// they go where the rules and templates say that were made through the API, at once and not after CSS's 5 to 10 minutes.
	Callback, Key string
	// Domain is the push domain, Node the address of the ingest node.
	Domain, Node string
	AppID        int64
	SetID        int
	// Feeds maps an application of an ingest, or SERVER/APPLICATION, to the application that CSS has. Others keep their name.
	Feeds map[string]string
	// Second is what becomes of a pusher on a name that another holds; Standby when empty.
	Second Second
	// ErrorCode of an interruption of which nothing else was said; 1, a client that stopped, when 0.
	ErrorCode int32
	// Resume is how long a connection that the network dropped may stay away without an event: 70 s for CSS; 0 is not at all.
	Resume time.Duration
	// SilentAfter ends a push whose ingest posts updates and then none for that long; 0 is never.
	SilentAfter time.Duration
	// Retries, RetryEvery and Timeout of a try are 12, a minute and 20 s, as CSS's, when they are 0.
	Retries             int
	RetryEvery, Timeout time.Duration
	Chaos               Chaos
	// Play is the RTMP server that players see, as rtmp://127.0.0.1:1936: what is played is relayed there. When it is empty,
	// players are at the ingest.
	Play string
	// Controls are URLs of nginx's rtmp_control, by the server's name, which is "" where there is one: a standby takes over by
	// them. PlayControl is that of Play, and PlayServer which of its RTMP servers: players are let go by it when a stream ends.
	Controls                map[string]string
	PlayControl, PlayServer string
	// API follows what is on air, if it is given.
	API *csstest.Server
	// Clock and Sequence are for tests.
	Clock    clock.WithTicker
	Sequence func() string
	// Log takes one line per try, without secrets.
	Log func(line string)
}

// Second is what CSS does with a second pusher on a name: it depends on the account, and the documents tell of all three.
type Second string

const (
	// Standby takes over when the first ends.
	Standby Second = "standby"
	// Replace ends the first, with errcode 21. It needs the control of the ingest.
	Replace Second = "replace"
	// Refuse does not let it in: an interruption with errcode 18, of a push that never started.
	Refuse Second = "refuse"
)

func (o Options) movable(server string) bool { return o.Controls[server] != "" }

func (o Options) withDefaults() Options {
	o.ErrorCode = or(o.ErrorCode, cleanStop)
	o.Retries = or(o.Retries, defaultRetries)
	o.RetryEvery, o.Timeout = or(o.RetryEvery, defaultRetryEvery), or(o.Timeout, defaultTimeout)
	o.AppID, o.SetID, o.Node = or(o.AppID, defaultAppID), or(o.SetID, defaultSetID), or(o.Node, defaultNode)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Sequence == nil {
		o.Sequence = randomSequence
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	return o
}

func or[T comparable](value, unset T) T {
	var zero T
	if value == zero {
		return unset
	}
	return value
}

// randomSequence is new in every run: the operator remembers those of the last.
func randomSequence() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return strconv.FormatUint(binary.BigEndian.Uint64(b[:])>>1, 10)
}

// Record is one try of a callback, or a callback that chaos lost.
type Record struct {
	Time time.Time
	// Callback is what was sent, and Body its bytes. They hold the signature and the publisher's credential.
	Callback css.Callback
	Body     []byte
	// Number counts the callbacks of the stream; Copy those of the callback; Try its sendings. All begin with 1.
	Number, Copy, Try int
	Lost              bool
	// Status of the answer, 0 where Err says why there is none.
	Status int
	Answer string
	Err    error
	key    string
}

// Push is a push on air.
type Push struct {
	App, Stream, Sequence, ClientIP string
	Began                           time.Time
	// Played says that it is the one that players see; Waiting that its connection is lost and may come back.
	Played, Waiting bool
}

// Server is a fake CSS. It is safe for concurrent use.
type Server struct {
	options Options
	http    *http.Client
	stop    context.CancelFunc
	done    sync.WaitGroup
	woken   chan struct{}

	mu      sync.Mutex
	engine  *engine
	records []Record
	// grown is closed and made anew when records grow.
	grown chan struct{}
}

// New starts a server: serve its Handler to the ingest, and Close it.
func New(o Options) (*Server, error) {
	target, err := url.Parse(o.Callback)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the callback URL: %w", unwrapURL(err))
	case o.Callback == "" && o.API != nil:
	case target.Scheme != "http" && target.Scheme != "https" || target.Host == "":
		return nil, errors.New("the callback URL must be one of http or https")
	case o.Domain == "":
		return nil, errors.New("the push domain is missing")
	case o.Second != "" && o.Second != Standby && o.Second != Replace && o.Second != Refuse:
		return nil, fmt.Errorf("what a second pusher does is %s, %s or %s, not %q", Standby, Replace, Refuse, o.Second)
	}
	o = o.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{
		options: o, engine: newEngine(o), stop: stop, woken: make(chan struct{}, 1), grown: make(chan struct{}),
		// A redirect is not 200, and so it is retried like any other answer.
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	s.done.Go(func() { s.run(ctx) })
	return s, nil
}

// Close stops sending. Tries that wait are dropped.
func (s *Server) Close() {
	s.stop()
	s.done.Wait()
	s.http.CloseIdleConnections()
}

// Records are the tries so far, in the order in which they ended.
func (s *Server) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Until waits for records that are as wanted, and returns them.
func (s *Server) Until(ctx context.Context, wanted func([]Record) bool) ([]Record, error) {
	for {
		s.mu.Lock()
		records, grown := slices.Clone(s.records), s.grown
		s.mu.Unlock()
		if wanted(records) {
			return records, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return records, fmt.Errorf("waiting for callbacks, with %d tries so far: %w", len(records), ctx.Err())
		}
	}
}

// Pushes are those on air.
func (s *Server) Pushes() []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	pushes := make([]Push, 0, len(s.engine.pushes))
	for _, p := range s.engine.pushes {
		pushes = append(pushes, Push{p.name.app, p.name.stream, p.sequence, addressOf(p.address), p.began, p.played, p.lost != nil})
	}
	return pushes
}

// NextInterruption says how the next interruptions are. Those that were said before come first.
func (s *Server) NextInterruption(how Interruption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine.next = append(s.engine.next, how)
}

// ErrNotOnAir means that there is no such push.
var ErrNotOnAir = errors.New("no such push is on air")

// Cut ends the push that is played, as its errcode says. It needs the control of the ingest.
func (s *Server) Cut(how Interruption) error {
	if len(s.options.Controls) == 0 {
		return errors.New("cutting a push needs the control URL of the ingest")
	}
	found := false
	s.do(func(e *engine, _ time.Time) { found = e.cutOff(how) })
	if !found {
		return ErrNotOnAir
	}
	return nil
}

// do lets the engine do something, and what it has to do next be looked at.
func (s *Server) do(what func(e *engine, now time.Time)) {
	s.apply(what)
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// apply lets the engine do something, and tells the API what is on air now.
func (s *Server) apply(what func(e *engine, now time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what(s.engine, s.options.Clock.Now())
	for _, d := range s.engine.lost {
		s.record(d, Record{Callback: d.callback, Lost: true})
	}
	s.engine.lost = nil
	for of := range s.engine.changed {
		switch began := s.engine.onAir(of); {
		case s.options.API == nil:
		case len(began) > 0:
			s.options.API.SetOnline(s.options.Domain, of.app, of.stream, began...)
		default:
			s.options.API.SetOffline(s.options.Domain, of.app, of.stream)
		}
	}
	clear(s.engine.changed)
}

// record keeps and logs a try. It is called with the lock.
func (s *Server) record(d *delivery, r Record) {
	r.Time, r.Number, r.Copy, r.Try = s.options.Clock.Now(), d.number, d.copy, d.try
	s.records = append(s.records, r)
	close(s.grown)
	s.grown = make(chan struct{})
	s.options.Log(r.line())
}

// line tells of a try what may be told: neither key, sign nor stream_param, nor the callback URL, which may hold a token.
func (r Record) line() string {
	c := r.Callback
	text := fmt.Sprintf("%s event_type=%d errcode=%d %s/%s sequence=%s", r.Time.UTC().Format(time.RFC3339), c.EventType, c.ErrorCode, c.AppName, c.StreamID, c.Sequence)
	if r.Lost {
		return text + " lost"
	}
	text += fmt.Sprintf(" copy=%d try=%d -> ", r.Copy, r.Try)
	if r.Err != nil {
		return text + r.Err.Error()
	}
	for _, secret := range []string{r.key, c.Sign, c.StreamParam} {
		if secret != "" && strings.Contains(r.Answer, secret) {
			return text + strconv.Itoa(r.Status) + " (the answer repeats a secret)"
		}
	}
	return text + fmt.Sprintf("%d %.200q", r.Status, r.Answer)
}
