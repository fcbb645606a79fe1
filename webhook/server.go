package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
)

// Server listens for callbacks on every replica. The manager starts it after the caches have synced; a plain
// controller-runtime Server would be started before, and would answer 404 for push domains that it does not know yet.
type Server struct {
	Address string
	Handler http.Handler
	// ConnectionsPerSource bounds the open connections of one address, or of one IPv6 /64; 0 bounds none.
	ConnectionsPerSource int
	// ShutdownDelay is for how long callbacks are received after the end of Start's context, while senders are still led here; 0 is not at all.
	ShutdownDelay time.Duration

	ready atomic.Bool
	open  atomic.Int64
}

// NeedLeaderElection is false: every replica receives.
func (s *Server) NeedLeaderElection() bool { return false }

// Ready is a health check that passes while callbacks are received, until the end has begun.
func (s *Server) Ready(*http.Request) error {
	if !s.ready.Load() {
		return errors.New("callbacks are not received yet, or soon no more")
	}
	return nil
}

// Start receives until ShutdownDelay after the end of the context, and lets those that are being written by then get their answer.
func (s *Server) Start(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listening for callbacks on %q: %w", s.Address, err)
	}
	if s.ConnectionsPerSource > 0 {
		listener = newPerSource(listener, s.ConnectionsPerSource)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         s.count,
		// Nothing is answered that the handler did not look at.
		DisableGeneralOptionsHandler: true,
	}
	ctrl.Log.WithName("receiver").Info("Receiving callbacks", "address", listener.Addr().String())
	s.ready.Store(true)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		s.ready.Store(false)
		return fmt.Errorf("receiving callbacks: %w", err)
	case <-ctx.Done():
	}
	s.ready.Store(false)
	// A Service, a proxy and a load balancer need a moment to hear of it. Who is refused meanwhile comes again after a minute.
	select {
	case err := <-failed:
		return fmt.Errorf("receiving callbacks: %w", err)
	case <-time.After(s.ShutdownDelay):
	}
	// The manager's context has ended already.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("answering the last callbacks: %w", err)
	}
	return nil
}

func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// serve ends each connection with its answer once the end has begun, as one that is kept open would be closed under its next callback, and where too
// many are open.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.ready.Load() || s.open.Load() > maxKept {
		w.Header().Set("Connection", "close")
	}
	s.Handler.ServeHTTP(w, r)
}
