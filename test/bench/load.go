package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// sender sends callbacks as CSS does, over connections that stay open. It shares the cores with what is measured, so its client
// is one without goroutines of its own for each connection.
type sender struct {
	receivers []*fasthttp.HostClient
	path      string
	next      atomic.Uint64
}

// connections is more than any benchmark has under way at once.
const connections = 1 << 16

// patience is CSS's.
const patience = 20 * time.Second

// idleAtMost is less than the receiver keeps a connection that nothing comes over: it would close one that the sender takes at that moment.
const idleAtMost = 45 * time.Second

// newSender sends to the receivers in turn.
func newSender(namespace string, replicas ...*process) *sender {
	s, dialer := &sender{path: path(namespace)}, &fasthttp.TCPDialer{}
	for _, r := range replicas {
		s.receivers = append(s.receivers, &fasthttp.HostClient{
			Addr: strings.TrimPrefix(r.callbacks, "http://"), MaxConns: connections, MaxIdleConnDuration: idleAtMost,
			// CSS sends again a minute later, not at once.
			MaxIdemponentCallAttempts: 1,
			// Its own has a thousand connections made at once at most.
			Dial: func(address string) (net.Conn, error) { return dialer.DialTimeout(address, patience) },
		})
	}
	return s
}

func (s *sender) close() {
	for _, r := range s.receivers {
		r.CloseIdleConnections()
	}
}

// post sends one callback once.
func (s *sender) post(ctx context.Context, body []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	receiver := s.receivers[s.next.Add(1)%uint64(len(s.receivers))]
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI("http://" + receiver.Addr + s.path)
	request.Header.SetMethod(http.MethodPost)
	request.Header.SetContentType("application/json")
	request.SetBodyRaw(body)
	if err := receiver.DoTimeout(request, response, patience); err != nil {
		return 0, fmt.Errorf("sending a callback: %w", err)
	}
	return response.StatusCode(), nil
}

// errRefused is a callback that is answered otherwise than 200: it is not acknowledged.
var errRefused = errors.New("a callback is refused")

// deliver sends one callback.
func (s *sender) deliver(ctx context.Context, body []byte) error {
	status, err := s.post(ctx, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%w: %d", errRefused, status)
	}
	return err
}

// oneByOne does what is due, one after the other, each not before the one before it is done.
func oneByOne(ctx context.Context, due []time.Duration, do func(i int) error) error {
	began := time.Now()
	for i, at := range due {
		if err := waitUntil(ctx, began.Add(at)); err != nil {
			return err
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// openLoop does what is due at its time, whether or not those before it are done, and waits for all.
func openLoop(ctx context.Context, due []time.Duration, do func(i int, due time.Time)) error {
	var group sync.WaitGroup
	defer group.Wait()
	began := time.Now()
	for i, at := range due {
		if err := waitUntil(ctx, began.Add(at)); err != nil {
			return err
		}
		group.Go(func() { do(i, began.Add(at)) })
	}
	return nil
}

// closedLoop has so many workers do one thing after the other until the time is over, and returns how many they did and how long it
// took them, in seconds. What is refused is not done, and no failure.
func closedLoop(ctx context.Context, workers int, during time.Duration, do func(worker, i int) error) (done, took float64, err error) {
	var count atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, workers)
	began := time.Now()
	for worker := range workers {
		group.Go(func() {
			for i := 0; time.Since(began) < during && ctx.Err() == nil; i++ {
				switch err := do(worker, i); {
				case err == nil:
					count.Add(1)
				case !errors.Is(err, errRefused):
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	took = time.Since(began).Seconds()
	select {
	case err = <-failed:
	default:
		err = ctx.Err()
	}
	return float64(count.Load()), took, err
}

func waitUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
