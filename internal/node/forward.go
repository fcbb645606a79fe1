package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// refusedWait is how long nothing is accepted after that failed, as where descriptors ran out.
const refusedWait = 100 * time.Millisecond

// Forward passes each connection on to where it is to go, until the listener is closed. What fails is said, and its connection closed.
func Forward(listener net.Listener, to func() (string, error), failed func(error)) {
	for {
		in, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failed(fmt.Errorf("accepting a connection: %w", err))
			<-time.After(refusedWait)
			continue
		}
		go func() {
			defer func() { _ = in.Close() }()
			if err := pass(in, to); err != nil {
				failed(err)
			}
		}()
	}
}

func pass(in net.Conn, to func() (string, error)) error {
	address, err := to()
	if err != nil {
		return err
	}
	out, err := net.DialTimeout("tcp", address, 5*time.Second) //nolint:noctx // bounded
	if err != nil {
		return fmt.Errorf("passing a connection on: %w", err)
	}
	defer func() { _ = out.Close() }()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(way[1], way[0])
			ended <- struct{}{}
		}()
	}
	// Either side's end is the end: nobody here half-closes.
	<-ended
	return nil
}
