package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// sender sends callbacks as CSS does, over connections that stay open.
type sender struct {
	client *http.Client
	urls   []string
	next   atomic.Uint64
}

// connections is more than any benchmark has under way at once.
const connections = 4096

// patience is CSS's.
const patience = 20 * time.Second

// newSender sends to the receivers in turn.
func newSender(namespace string, replicas ...*process) *sender {
	s := &sender{client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections}}}
	for _, r := range replicas {
		s.urls = append(s.urls, r.callbacks+path(namespace))
	}
	return s
}

func (s *sender) close() { s.client.CloseIdleConnections() }

// post sends one callback once.
func (s *sender) post(ctx context.Context, body []byte) (int, error) {
	url := s.urls[s.next.Add(1)%uint64(len(s.urls))]
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("preparing a callback: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("sending a callback: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
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
