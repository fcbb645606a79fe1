package webhook

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/css"
)

// manyConnections opens connections that each begin to say something.
func manyConnections(t *testing.T, address string, many int, say string) []net.Conn {
	t.Helper()
	connections := make([]net.Conn, many)
	var group sync.WaitGroup
	next := make(chan int)
	for range 16 {
		group.Go(func() {
			for i := range next {
				connection, err := net.DialTimeout("tcp", address, 30*time.Second)
				if err != nil {
					t.Errorf("connection %d of %d did not come to be: %v", i+1, many, err)
					continue
				}
				connections[i] = connection
				t.Cleanup(func() { _ = connection.Close() })
				if _, err := io.WriteString(connection, say); err != nil {
					t.Errorf("connection %d of %d said nothing: %v", i+1, many, err)
				}
			}
		})
	}
	for i := range many {
		next <- i
	}
	close(next)
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return connections
}

// isOpen says whether nothing came on the connection, not even its end. It reads what there is: sockets of Go do not block.
func isOpen(connection net.Conn) bool {
	raw, err := connection.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	err = raw.Control(func(socket uintptr) { _, _, peeked = syscall.Recvfrom(int(socket), make([]byte, 1), syscall.MSG_PEEK) })
	return err == nil && errors.Is(peeked, syscall.EAGAIN)
}

// descriptors makes sure that there are as many to be had, and skips where there are not.
func descriptors(t *testing.T, many uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Skipf("the limit of descriptors cannot be read: %v", err)
	}
	if limit.Cur >= many {
		return
	}
	raised := limit
	raised.Cur, raised.Max = many, max(many, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		t.Skipf("%d descriptors are needed, and only %d are to be had: %v", many, limit.Cur, err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) })
}

// staysHealthy sends good callbacks, and none may wait for the others' sake.
func (d *desk) staysHealthy(while string) {
	d.t.Helper()
	for i := range 20 {
		began := time.Now()
		status, answer, err := css.Post(d.t.Context(), d.url+d.path(), d.push(fmt.Sprintf("%d-%d", len(while), i)).Start(showTime).Signed(callbackKey, showTime))
		if err != nil || status != http.StatusOK {
			d.t.Fatalf("while there are %s, a good callback is answered %d %s, %v", while, status, answer, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			d.t.Errorf("while there are %s, a good callback takes %s", while, took)
		}
	}
}

// throng is many connections of one kind.
type throng struct {
	what string
	many int
	say  string
	// answered says that they are to be answered before they count.
	answered bool
	// held is how long the receiver holds them.
	held time.Duration
}

// staysHealthyBeside has good callbacks answered while all of the throng are held, and returns those. A machine that took longer for it
// than they are held has shown nothing; it gets three tries.
func (d *desk) staysHealthyBeside(address string, c throng) []net.Conn {
	d.t.Helper()
	var took time.Duration
	for range 3 {
		began := time.Now()
		connections := manyConnections(d.t, address, c.many, c.say)
		for i := range connections {
			if c.answered && !read(connections[i]) {
				d.t.Fatalf("connection %d of %s is not answered", i+1, c.what)
			}
		}
		// Connections are accepted in turn: when a new one is answered, no other waits for that any more.
		if got := speak(d.t, address, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"); got != http.StatusNotFound {
			d.t.Fatalf("while there are %s, a new connection is answered %d", c.what, got)
		}
		d.staysHealthy(c.what)
		closed := 0
		for _, connection := range connections {
			if !isOpen(connection) {
				closed++
			}
		}
		if took = time.Since(began); closed == 0 {
			return connections
		}
		if took < c.held {
			d.t.Fatalf("%d of %s were closed within %s", closed, c.what, took)
		}
		for _, connection := range connections {
			_ = connection.Close()
		}
	}
	d.t.Fatalf("this machine takes %s for 20 callbacks beside %s, which are held for %s: nothing is shown", took, c.what, c.held)
	return nil
}

// read reads an answer.
func read(connection net.Conn) bool {
	_ = connection.SetReadDeadline(time.Now().Add(30 * time.Second))
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return err == nil
}

func TestGoodCallbacksAreAnsweredWhateverOthersHoldOpen(t *testing.T) {
	d := newDesk(t)
	address := d.listens()
	head := "POST " + d.path() + " HTTP/1.1\r\nHost: a\r\n"
	descriptors(t, 12_000)
	for _, slow := range []throng{
		{what: "1,000 slow headers", many: 1000, say: head + "X: ", held: readHeaderTimeout},
		{what: "1,000 slow bodies", many: 1000, say: head + "Content-Length: 600\r\n\r\n{", held: readTimeout},
	} {
		connections := d.staysHealthyBeside(address, slow)
		longest := time.Now().Add(slow.held + 20*time.Second)
		for i, connection := range connections {
			_ = connection.SetReadDeadline(longest)
			if _, err := io.Copy(io.Discard, connection); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("connection %d of %s is held for longer than %s", i+1, slow.what, slow.held)
			}
			_ = connection.Close()
		}
	}
	d.staysHealthyBeside(address, throng{what: "5,000 idle connections that said something before", many: 5000, say: "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", answered: true, held: idleTimeout})
}
