package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve runs the server on a free port until the test ends, and returns its address.
func serve(t *testing.T, server *Server) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := serveUntil(ctx, t, server)
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the receiver ended with %v", err)
		}
	})
	return server.Address
}

// serveUntil starts a server at an address that is free, and tells how it ends.
func serveUntil(ctx context.Context, t *testing.T, server *Server) <-chan error {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.Address = free.Addr().String()
	_ = free.Close()
	done := make(chan error, 1)
	go func() { done <- server.Start(ctx) }()
	eventually(t, "the receiver listens", func() bool {
		connection, err := net.Dial("tcp", server.Address)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	return done
}

// listens runs the receiver as the manager does, with its bounds, and returns its address.
func (d *desk) listens() string {
	d.t.Helper()
	address := serve(d.t, &Server{Handler: d.handler})
	d.url = "http://" + address
	return address
}

// wire is a request byte by byte, and how it may be answered; 0 is: the connection is closed.
type wire struct {
	name string
	text string
	want []int
}

func raw(d *desk) []wire {
	body := string(d.push("wire").Start(showTime).Signed("another", showTime))
	path := d.path()
	head := "POST " + path + " HTTP/1.1\r\nHost: a\r\n"
	sized := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = zip.Write(make([]byte, 32<<20))
	_ = zip.Close()
	return []wire{
		{"as it should be, but for the key", head + sized + "\r\n" + body, []int{401}},
		{"in chunks", head + "Transfer-Encoding: chunked\r\n\r\n" + chunked, []int{401}},
		{"HTTP/1.0", "POST " + path + " HTTP/1.0\r\n" + sized + "\r\n" + body, []int{401}},
		{"HTTP/1.0 in chunks", "POST " + path + " HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, []int{400, 501}},
		{"HTTP/0.9", "GET " + path + "\r\n", []int{400}},
		{"HTTP/1.2", "POST " + path + " HTTP/1.2\r\nHost: a\r\n" + sized + "\r\n" + body, []int{400, 401, 505}},
		{"HTTP/3.0", "POST " + path + " HTTP/3.0\r\nHost: a\r\n\r\n", []int{505}},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 404, 405, 505, 0}},
		{"an upgrade to HTTP/2", head + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n" + sized + "\r\n" + body, []int{401}},
		{"an upgrade to a web socket", strings.Replace(head, "POST", "GET", 1) + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", []int{405}},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		{"rubbish", "\x00\x01\x02\r\n\r\n", []int{400}},
		{"a proxy's header", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + head + sized + "\r\n" + body, []int{400}},
		{"nothing but line breaks", "\r\n\r\n\r\n", []int{400}},
		{"no host", "POST " + path + " HTTP/1.1\r\n" + sized + "\r\n" + body, []int{400}},
		{"two hosts", head + "Host: b\r\n" + sized + "\r\n" + body, []int{400}},
		{"a host with a path", "POST " + path + " HTTP/1.1\r\nHost: a/b\r\n" + sized + "\r\n" + body, []int{400, 401}},
		{"another host, by address", "POST http://evil.example.com" + path + " HTTP/1.1\r\nHost: a\r\n" + sized + "\r\n" + body, []int{401}},
		{"a tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", []int{400, 404, 405}},
		{"options of everything", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", []int{400, 404, 405}},
		{"a method with a blank", "PO ST " + path + " HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}},
		{"a method that is none", "P@ST " + path + " HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}},
		{"only the head", "HEAD " + path + " HTTP/1.1\r\nHost: a\r\n\r\n", []int{405}},
		{"a path with a NUL", "POST " + path + "\x00 HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}},
		{"a path with a broken escape", "POST " + path + "%zz HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}},
		{"a path of 64 KB", "POST /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", []int{400, 414, 431}},
		{"headers of 64 KB", head + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", []int{431}},
		{"ten thousand headers", head + strings.Repeat("X: y\r\n", 10000) + "\r\n", []int{431}},
		{"a header without a colon", head + "X\r\n\r\n", []int{400}},
		{"a header with a blank before its colon", head + "Content-Length : 5\r\n\r\nhello", []int{400}},
		{"a header with a NUL", head + "X: \x00\r\n\r\n", []int{400}},
		{"a header that goes on in another line", head + sized + "X: a\r\n b\r\n\r\n" + body, []int{400, 401}},
		{"length and chunks", head + sized + "Transfer-Encoding: chunked\r\n\r\n" + chunked, []int{400, 401}},
		{"length and chunks, with another request behind", head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + head + sized + "\r\n" + body, []int{400}},
		{"chunks twice", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, []int{400, 501}},
		{"chunks that are no chunks", head + "Transfer-Encoding: xchunked\r\n\r\n" + chunked, []int{400, 501}},
		{"chunks and identity", head + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunked, []int{400, 501}},
		{"chunks by a tab", head + "Transfer-Encoding:\x0bchunked\r\n\r\n" + chunked, []int{400, 501}},
		{"two lengths that differ", head + "Content-Length: 5\r\n" + sized + "\r\n" + body, []int{400}},
		{"a length with a plus", head + "Content-Length: +5\r\n\r\nhello", []int{400}},
		{"a negative length", head + "Content-Length: -5\r\n\r\nhello", []int{400}},
		{"a list of lengths", head + "Content-Length: 5, 5\r\n\r\nhello", []int{400}},
		{"a length in hexadecimal", head + "Content-Length: 0x5\r\n\r\nhello", []int{400}},
		{"a length beyond 64 bits", head + "Content-Length: 99999999999999999999\r\n\r\nhello", []int{400}},
		{"a length beyond what comes", head + "Content-Length: 600\r\n\r\nhello", []int{400}},
		{"a terabyte to come", head + "Content-Length: 1099511627776\r\n\r\n" + strings.Repeat("x", 70<<10), []int{413}},
		{"a chunk beyond 64 bits", head + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx", []int{400}},
		{"a chunk of a negative length", head + "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", []int{400}},
		{"a chunk that is longer than it says", head + "Transfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n0\r\n\r\n", []int{400}},
		{"chunks without an end", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", []int{400}},
		{"more chunks than there may be", head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", maxBodyBytes+10), []int{400, 413}},
		{"a chunk with a long extension", head + "Transfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("x", 8<<10) + "\r\nhello\r\n0\r\n\r\n", []int{400}},
		{"an expectation that nobody has", head + "Expect: a-miracle\r\n" + sized + "\r\n" + body, []int{417}},
		{"a gzip bomb", head + "Content-Encoding: gzip\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", bomb.Len()) + bomb.String(), []int{400}},
	}
}

// speak sends the text and returns the status of the first answer. Where none comes it says that nothing follows; not before: a
// sender that is gone needs no answer.
func speak(t *testing.T, address, text string) int {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	// Who answers before all is read may close; what it said is still there.
	_, _ = io.WriteString(connection, text)
	_ = connection.SetReadDeadline(time.Now().Add(time.Second))
	reader := bufio.NewReader(connection)
	if _, err := reader.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
		_ = connection.(*net.TCPConn).CloseWrite()
		_ = connection.SetReadDeadline(time.Now().Add(30 * time.Second))
	}
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func TestBadRequestsAreRefusedByteByByte(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	address := d.listens()
	before := d.stream("show").ResourceVersion
	for _, row := range raw(d) {
		t.Run(row.name, func(t *testing.T) {
			if got := speak(t, address, row.text); !slices.Contains(row.want, got) {
				t.Errorf("answered %d, want one of %v", got, row.want)
			}
		})
	}
	if after := d.stream("show").ResourceVersion; after != before {
		t.Error("a bad request changed the stream")
	}
	good := string(d.push("a").Start(showTime).Signed(callbackKey, showTime))
	for _, version := range []string{"HTTP/1.0", "HTTP/1.1"} {
		text := fmt.Sprintf("POST %s %s\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nContent-Length: %d\r\n\r\n%s", d.path(), version, len(good), good)
		if got := speak(t, address, text); got != http.StatusOK {
			t.Errorf("%s is answered %d after all that", version, got)
		}
	}
}

// held is what the process holds: bytes after a collection, goroutines, descriptors.
type held struct {
	heap                   uint64
	goroutines, descriptor int
}

func holds(t *testing.T) held {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("there are no descriptors to count: %v", err)
	}
	return held{m.HeapAlloc, runtime.NumGoroutine(), len(open)}
}

// refusals are 200,000, and as many as REFUSALS says where it is set: a million takes some two minutes.
func refusals(t *testing.T) int {
	t.Helper()
	text := os.Getenv("REFUSALS")
	if text == "" {
		return 200_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1000 {
		t.Fatalf("REFUSALS=%q is no number of requests", text)
	}
	return n
}

func TestHundredsOfThousandsOfRefusalsLeaveNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	refusals := refusals(t)
	d := newDesk(t)
	address := d.listens()
	logged.deaf.Store(true)
	t.Cleanup(func() { logged.deaf.Store(false) })
	var texts []string
	for _, row := range slices.Concat(bodies(d), moreBodies(d)) {
		if row.status != http.StatusRequestEntityTooLarge && len(row.body) < 4096 {
			texts = append(texts, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", d.path(), len(row.body), row.body))
		}
	}
	bombard(t, address, texts, 2000)
	before := holds(t)
	bombard(t, address, texts, refusals)
	d.eventually("the goroutines and descriptors of the connections are gone", func() bool {
		after := holds(t)
		return after.goroutines <= before.goroutines+10 && after.descriptor <= before.descriptor+10
	})
	if after := holds(t); after.heap > before.heap+16<<20 {
		t.Errorf("%d refusals left %d bytes behind", refusals, after.heap-before.heap)
	}
	d.staysHealthy("no others any more, but have been many")
}

// bombard sends requests one after the other on a few connections, and reads each answer.
func bombard(t *testing.T, address string, texts []string, many int) {
	t.Helper()
	const connections = 8
	var group sync.WaitGroup
	for c := range connections {
		group.Go(func() {
			connection, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = connection.Close() }()
			reader := bufio.NewReader(connection)
			for i := range many / connections {
				if _, err := io.WriteString(connection, texts[(c+i)%len(texts)]); err != nil {
					t.Error(err)
					return
				}
				answer, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				if answer.StatusCode < 400 || answer.StatusCode >= 500 {
					t.Errorf("answered %d", answer.StatusCode)
					return
				}
			}
		})
	}
	group.Wait()
}
