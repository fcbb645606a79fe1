package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	ctrl "sigs.k8s.io/controller-runtime"
)

// Server listens for callbacks on every replica. The manager starts it after the caches have synced; a plain
// controller-runtime Server would be started before, and would answer 404 for push domains that it does not know yet.
type Server struct {
	Address string
	Handler http.Handler
	// ConnectionsPerSource bounds the open connections of one address, or of one IPv6 /64; 0 bounds none.
	ConnectionsPerSource int

	listening atomic.Bool
}

// NeedLeaderElection is false: every replica receives.
func (s *Server) NeedLeaderElection() bool { return false }

// Ready is a health check that passes while callbacks are received.
func (s *Server) Ready(*http.Request) error {
	if !s.listening.Load() {
		return errors.New("callbacks are not received yet")
	}
	return nil
}

// Start receives until the context ends, and lets those that are being written get their answer.
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
		Handler:           s.Handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// Nothing is answered that the handler did not look at.
		DisableGeneralOptionsHandler: true,
	}
	ctrl.Log.WithName("receiver").Info("Receiving callbacks", "address", listener.Addr().String())
	s.listening.Store(true)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		s.listening.Store(false)
		return fmt.Errorf("receiving callbacks: %w", err)
	case <-ctx.Done():
	}
	s.listening.Store(false)
	// The manager's context has ended already.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("answering the last callbacks: %w", err)
	}
	return nil
}
