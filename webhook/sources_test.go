package webhook

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
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

// answered says whether a request on the connection is answered; it is not where the other side closes it.
func answered(t *testing.T, connection net.Conn) bool {
	t.Helper()
	_ = connection.SetDeadline(time.Now().Add(30 * time.Second))
	// Who is closed at once may be told so while writing.
	_, _ = io.WriteString(connection, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("it is neither answered nor closed")
	}
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// refusedSoFar is what the metric says.
func refusedSoFar(t *testing.T) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "livestream_connections_refused_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("refused connections are not counted")
	return 0
}

func TestASourceHasNoMoreConnectionsThanItMay(t *testing.T) {
	fine := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	dialFrom := func(source, address string) net.Conn {
		t.Helper()
		connection, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		return connection
	}
	address := serve(t, &Server{Handler: fine, ConnectionsPerSource: 2})
	dial := func(source string) net.Conn { return dialFrom(source, address) }
	// That which found that it listens may not have left yet.
	first, second := dial("127.0.0.2"), dial("127.0.0.2")
	if !answered(t, first) || !answered(t, second) {
		t.Fatal("a source that may have two connections has not")
	}
	refused := refusedSoFar(t)
	if answered(t, dial("127.0.0.2")) {
		t.Error("a third connection of a source that may have two is answered")
	}
	if got := refusedSoFar(t) - refused; got != 1 {
		t.Errorf("%v refused connections are counted, want 1", got)
	}
	if !answered(t, dial("127.0.0.3")) {
		t.Error("another source has no room for the first one's sake")
	}
	if !answered(t, second) {
		t.Error("a connection that there was is closed")
	}
	_ = first.Close()
	for deadline := time.Now().Add(30 * time.Second); !answered(t, dial("127.0.0.2")); {
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed does not make room for the next one")
		}
	}
	boundless := serve(t, &Server{Handler: fine})
	var open []net.Conn
	for range 20 {
		open = append(open, dialFrom("127.0.0.2", boundless))
	}
	for i, connection := range open {
		if !answered(t, connection) {
			t.Fatalf("connection %d of a source is refused where nothing bounds them", i+1)
		}
	}
}
