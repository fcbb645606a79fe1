package faultproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Proxy is a running proxy.
type Proxy struct {
	url, namespace string
	upstream       *url.URL
	transport      *http.Transport
	ca             []byte
	server         *http.Server

	mu       sync.Mutex
	rules    []*counted
	chooser  func(Call) *Rule
	calls    []Call
	faults   int
	released chan struct{}
	ended    chan struct{}
}

// New starts a proxy before the API server at upstream, which has a certificate of the authority ca. Lists and watches of all
// namespaces are confined to namespace, unless it is empty: several clients can then share an API server and not see each other.
func New(upstream string, ca []byte, namespace string) (*Proxy, error) {
	target, err := url.Parse(upstream)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("reading the API server's authority: no certificate in it")
	}
	certificate, own, err := newCertificate()
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the proxy's port: %w", err)
	}
	p := &Proxy{
		url: "https://" + listener.Addr().String(), namespace: namespace, upstream: target, ca: own, released: make(chan struct{}), ended: make(chan struct{}),
		transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			// Bodies pass as they are.
			DisableCompression: true,
		},
	}
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = p.server.ServeTLS(listener, "", "") }()
	return p, nil
}

// URL is where clients find the proxy, CA the authority by which they know it.
func (p *Proxy) URL() string { return p.url }

// CA is the certificate, in PEM, by which to know the proxy.
func (p *Proxy) CA() []byte { return p.ca }

// Close ends the proxy and all that passes through it.
func (p *Proxy) Close() error {
	p.Clear()
	err := p.server.Close()
	p.transport.CloseIdleConnections()
	return err
}

// CloseIdle closes the connections of clients that nothing goes over.
func (p *Proxy) CloseIdle() {
	p.server.SetKeepAlivesEnabled(false)
	p.server.SetKeepAlivesEnabled(true)
}

// ServeHTTP passes a call on, or has it go wrong.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Read first: the client's end is noticed only by who has read all that it sent.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		drop(w)
	}
	call := callOf(r, time.Now())
	place, rule, count := p.enter(call)
	fault := Fault{}
	if rule != nil {
		fault = rule.Fault
		if !fault.comesLater() {
			count()
		}
	}
	if rule != nil && !rule.After && p.before(w, r, call, fault, count) {
		return
	}
	response, err := p.forward(r, body, call, fault, count)
	if err != nil {
		if r.Context().Err() == nil {
			refuse(w, http.StatusBadGateway, 0)
		}
		return
	}
	defer func() { _ = response.Body.Close() }()
	p.answered(place, response.StatusCode)
	if call.Verb == "watch" && response.StatusCode == http.StatusOK {
		p.stream(w, r, response, fault.Watch, count)
		return
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		drop(w)
	}
	if rule != nil && rule.After && p.before(w, r, call, fault, count) {
		return
	}
	pass(w, response, answer, fault.Truncate)
}

func pass(w http.ResponseWriter, response *http.Response, answer []byte, truncate bool) {
	copyHeader(w, response)
	if !truncate {
		_, _ = w.Write(answer)
		return
	}
	_, _ = w.Write(answer[:len(answer)/2])
	drop(w)
}

// before does what a fault does instead of passing the call, or its answer, on; and says whether it did.
func (p *Proxy) before(w http.ResponseWriter, r *http.Request, call Call, fault Fault, count func()) bool {
	if fault.Run != nil {
		fault.Run(call)
	}
	p.pause(r.Context(), fault.Stall)
	switch {
	case fault.Drop:
		drop(w)
	case fault.Status != 0:
		refuse(w, fault.Status, fault.RetryAfter)
	case fault.At != "" && call.Verb == "watch" && r.URL.Query().Get("sendInitialEvents") == "true":
		count()
		refuse(w, http.StatusUnprocessableEntity, 0)
	default:
		return false
	}
	return true
}

// pause waits, until the client goes or the rules are cleared at most.
func (p *Proxy) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	p.mu.Lock()
	released := p.released
	p.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-released:
	case <-ctx.Done():
	}
}

func (p *Proxy) forward(r *http.Request, body []byte, call Call, fault Fault, count func()) (*http.Response, error) {
	target := *r.URL
	target.Scheme, target.Host = p.upstream.Scheme, p.upstream.Host
	if call.Verb == "list" || call.Verb == "watch" {
		target.Path = confined(target.Path, p.namespace)
	}
	if query := target.Query(); fault.At != "" && call.Verb == "list" && query.Has("resourceVersion") {
		count()
		query.Set("resourceVersion", fault.At)
		query.Set("resourceVersionMatch", "Exact")
		target.RawQuery = query.Encode()
	}
	ctx := r.Context()
	if call.Writes() {
		// What was sent is carried out, also when who sent it dies of it.
		ctx = context.WithoutCancel(ctx)
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body)) //nolint:gosec // passing on is what it is for
	if err != nil {
		return nil, err
	}
	request.Header = r.Header.Clone()
	if call.Verb == "watch" {
		// Its events are told from each other.
		request.Header.Del("Accept-Encoding")
	}
	return p.transport.RoundTrip(request)
}

func copyHeader(w http.ResponseWriter, response *http.Response) {
	for name, values := range response.Header {
		if name == "Content-Length" {
			continue
		}
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
}

// drop closes the connection as it is.
func drop(w http.ResponseWriter) {
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = connection.Close()
	}
	panic(http.ErrAbortHandler)
}

// refuse answers as the API server would.
func refuse(w http.ResponseWriter, code, retryAfter int) {
	reasons := map[int]metav1.StatusReason{
		http.StatusConflict: metav1.StatusReasonConflict, http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusGone: metav1.StatusReasonExpired,
		http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests, http.StatusInternalServerError: metav1.StatusReasonInternalError,
		http.StatusServiceUnavailable: metav1.StatusReasonServiceUnavailable, http.StatusUnprocessableEntity: metav1.StatusReasonInvalid,
	}
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reasons[code], Message: "the fault proxy refuses this call", //nolint:gosec // a status
	}
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(retryAfter)} //nolint:gosec // a few seconds
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(status) //nolint:errchkjson // strings and numbers
}
