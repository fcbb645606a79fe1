package webhook

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestASourceIsAnAddressOrAnIPv6Network(t *testing.T) {
	got := map[string]string{}
	want := map[string]string{
		"192.0.2.7:80":           "192.0.2.7/32",
		"[::ffff:192.0.2.7]:80":  "192.0.2.7/32",
		"[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":      "fe80::/64",
	}
	for text := range want {
		address, err := net.ResolveTCPAddr("tcp", text)
		if err != nil {
			t.Fatal(err)
		}
		got[text] = sourceOf(address).String()
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

// closed says whether the other side closes the connection without a word.
func closed(t *testing.T, connection net.Conn, within time.Duration) bool {
	t.Helper()
	_ = connection.SetReadDeadline(time.Now().Add(within))
	_, err := connection.Read(make([]byte, 1))
	var netErr net.Error
	switch {
	case errors.As(err, &netErr) && netErr.Timeout():
		return false
	case err == nil:
		t.Fatal("it answers, without a question")
	}
	return true
}

func TestASourceHasNoMoreConnectionsThanItMay(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })}
	go func() { _ = server.Serve(newPerSource(listener, 2)) }()
	t.Cleanup(func() { _ = server.Close() })
	dial := func(from string) net.Conn {
		t.Helper()
		connection, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		return connection
	}
	const atOnce = 5 * time.Second
	first, second := dial("127.0.0.1"), dial("127.0.0.1")
	if !closed(t, dial("127.0.0.1"), atOnce) {
		t.Error("a third connection of a source that may have two stays open")
	}
	if closed(t, dial("127.0.0.2"), 200*time.Millisecond) {
		t.Error("another source has no room for the first one's sake")
	}
	if closed(t, second, 200*time.Millisecond) {
		t.Error("the connections that there were are closed")
	}
	_ = first.Close()
	deadline := time.Now().Add(atOnce)
	for closed(t, dial("127.0.0.1"), 200*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed does not make room for the next one")
		}
	}
}
