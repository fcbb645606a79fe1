package fakecss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/css"
)

// longestAnswer bounds what is kept of an answer, in bytes.
const longestAnswer = 4 << 10

// run sends what is due, until it is closed.
func (s *Server) run(ctx context.Context) {
	for {
		var due []*delivery
		var orders []order
		var wake time.Time
		s.apply(func(e *engine, now time.Time) {
			e.pass(now)
			due, orders, wake = e.queue.take(now), e.orders, e.wake()
			e.orders = nil
		})
		for _, d := range due {
			s.done.Go(func() { s.try(ctx, d) })
		}
		for _, o := range orders {
			s.done.Go(func() { s.carryOut(ctx, o) })
		}
		if !s.wait(ctx, wake) {
			return
		}
	}
}

// wait until the time, if there is one, or until there is something new; false when the server closes.
func (s *Server) wait(ctx context.Context, until time.Time) bool {
	var alarm <-chan time.Time
	if !until.IsZero() {
		timer := s.options.Clock.NewTimer(until.Sub(s.options.Clock.Now()))
		defer timer.Stop()
		alarm = timer.C()
	}
	select {
	case <-ctx.Done():
		return false
	case <-s.woken:
	case <-alarm:
	}
	return true
}

// ErrNotBound is in the Record of a callback that has nowhere to go.
var ErrNotBound = errors.New("no rule of the API binds a template with a URL for it")

// try sends a callback once.
func (s *Server) try(ctx context.Context, d *delivery) {
	to, key := s.target(d.callback)
	c := signed(d.callback, key, s.options.Clock.Now())
	r := Record{Callback: c, Body: encode(c), key: key}
	if to == "" {
		r = Record{Callback: d.callback, Err: ErrNotBound}
	} else {
		r.Status, r.Answer, r.Err = s.post(ctx, to, r.Body)
	}
	if ctx.Err() != nil {
		return
	}
	s.do(func(e *engine, now time.Time) {
		s.record(d, r)
		// What has nowhere to go is not tried again.
		e.queue.answered(d, r.Status == http.StatusOK || to == "", now)
	})
}

// target is where a callback goes and what signs it.
func (s *Server) target(c css.Callback) (to, key string) {
	if s.options.Callback != "" {
		return s.options.Callback, s.options.Key
	}
	for _, r := range s.options.API.Rules() {
		if !strings.EqualFold(r.DomainName, c.App) || r.AppName != c.AppName {
			continue
		}
		for _, t := range s.options.API.Templates() {
			switch {
			case t.TemplateID != r.TemplateID:
			case c.EventType == 1:
				return t.StreamBeginNotifyURL, t.CallbackKey
			default:
				return t.StreamEndNotifyURL, t.CallbackKey
			}
		}
	}
	return "", ""
}

func (s *Server) post(ctx context.Context, to string, body []byte) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("preparing a callback: %w", unwrapURL(err))
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("sending a callback: %w", unwrapURL(err))
	}
	defer func() { _ = response.Body.Close() }()
	// The body does not matter to CSS: an answer that breaks off is one.
	text, _ := io.ReadAll(io.LimitReader(response.Body, longestAnswer))
	return response.StatusCode, string(bytes.TrimSpace(text)), nil
}

// unwrapURL takes the URL out of an error: its path may hold a token.
func unwrapURL(err error) error {
	if of, is := errors.AsType[*url.Error](err); is {
		return of.Err
	}
	return err
}

// carryOut asks nginx's control module for something.
func (s *Server) carryOut(ctx context.Context, o order) {
	target, query := s.options.Controls[o.client.server], url.Values{}
	switch o.do {
	case movePusher:
		target += "/redirect/publisher"
		query.Set("newname", o.newName)
	case cutPusher:
		target += "/drop/publisher"
	case dropPlayers:
		if s.options.PlayControl == "" {
			return
		}
		target = s.options.PlayControl + "/drop/subscriber"
		query.Set("srv", s.options.PlayServer)
		o.app, o.stream = o.name.app, o.name.stream
	}
	query.Set("app", o.app)
	query.Set("name", o.stream)
	if o.client.id != "" {
		query.Set("clientid", o.client.id)
	}
	count, err := s.control(ctx, target+"?"+query.Encode())
	switch {
	case ctx.Err() != nil || o.do == dropPlayers && err == nil:
	case err != nil:
		s.options.Log(fmt.Sprintf("cannot %s of %s/%s: %v", o.do, o.name.app, o.name.stream, err))
		fallthrough
	case count == "0":
		s.do(func(e *engine, now time.Time) { e.orderFailed(o, now) })
	}
}

// control is what nginx answers: how many connections it was.
func (s *Server) control(ctx context.Context, target string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("preparing a request to nginx: %w", err)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return "", fmt.Errorf("asking nginx: %w", unwrapURL(err))
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, longestAnswer))
	if err != nil {
		return "", fmt.Errorf("reading nginx's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("nginx answers %s", response.Status)
	}
	return string(text), nil
}
