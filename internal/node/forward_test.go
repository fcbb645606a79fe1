package node

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// exhausted has no descriptor for the first connection.
type exhausted struct {
	net.Listener
	was bool
}

func (e *exhausted) Accept() (net.Conn, error) {
	if !e.was {
		e.was = true
		return nil, syscall.EMFILE
	}
	return e.Listener.Accept()
}

func TestForwardingOutlivesAnAcceptThatFails(t *testing.T) {
	t.Parallel()
	listen := func() net.Listener {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener
	}
	from, to := listen(), listen()
	go func() {
		if out, err := to.Accept(); err == nil {
			_, _ = io.WriteString(out, "here")
			_ = out.Close()
		}
	}()
	said, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		Forward(&exhausted{Listener: from}, func() (string, error) { return to.Addr().String(), nil }, func(err error) { said <- err })
	}()
	in, err := net.Dial("tcp", from.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	_ = in.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(in); err != nil || string(got) != "here" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := <-said; !errors.Is(err, syscall.EMFILE) {
		t.Errorf("said is %v", err)
	}
	_ = from.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it goes on after its listener is closed")
	}
}
