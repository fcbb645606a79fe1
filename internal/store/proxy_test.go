package store

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// target is a server with a bucket, and its credentials.
type target struct{ Endpoint, Bucket, AccessKeyID, SecretAccessKey string }

// server is a MinIO where it is built, or else a fake, which shows the same of everything but signatures.
func server(t *testing.T) target {
	t.Helper()
	if m := testmedia.StartMinIO(t); m != nil {
		return target{m.Endpoint, m.Bucket, m.AccessKeyID, m.SecretAccessKey}
	}
	t.Log("MinIO is not built (make bin/tools/minio): this is against a fake")
	_, at := newFakeS3(t)
	return at
}

func (at target) options() S3Options {
	return S3Options{Endpoint: at.Endpoint, Bucket: at.Bucket, AccessKeyID: at.AccessKeyID, SecretAccessKey: at.SecretAccessKey}
}

func open(t *testing.T, o S3Options) *S3 {
	t.Helper()
	s, err := NewS3(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// through is the target with a proxy before it: fault sees each request, and says whether it has answered it.
func (at target) through(t *testing.T, fault func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool) target {
	t.Helper()
	to, err := url.Parse(at.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	forward := &httputil.ReverseProxy{
		// The Host stays: it is signed.
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host },
		Transport:    transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fault(w, r, forward) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		proxy.Close()
		transport.CloseIdleConnections()
	})
	at.Endpoint = proxy.URL
	return at
}

// isBody says whether a request brings content: an object, or a part of one.
func isBody(r *http.Request) bool { return r.Method == http.MethodPut }

// times is true that many times.
func times(n int64) func() bool {
	var left atomic.Int64
	left.Store(n)
	return func() bool { return left.Add(-1) >= 0 }
}

// cut breaks the connection without an answer.
func cut() { panic(http.ErrAbortHandler) }

// changed flips a bit of what is read.
type changed struct {
	io.ReadCloser
	done bool
}

func (c *changed) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 && !c.done {
		p[n/2] ^= 1
		c.done = true
	}
	return n, err
}

// halfway breaks off after half of an answer.
type halfway struct {
	http.ResponseWriter
	left int
}

func (h *halfway) Write(p []byte) (int, error) {
	if h.left -= len(p); h.left < 0 {
		_, _ = h.ResponseWriter.Write(p[:len(p)+h.left])
		_ = http.NewResponseController(h.ResponseWriter).Flush()
		cut()
	}
	return h.ResponseWriter.Write(p)
}

// leaping is a clock on which who waits has waited.
type leaping struct {
	clock.RealClock
	mu     sync.Mutex
	now    time.Time
	pauses []time.Duration
}

func newLeaping() *leaping { return &leaping{now: time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)} }

func (l *leaping) Now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *leaping) Since(at time.Time) time.Duration { return l.Now().Sub(at) }

func (l *leaping) NewTimer(d time.Duration) clock.Timer {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
	l.pauses = append(l.pauses, d)
	return l.RealClock.NewTimer(0)
}
