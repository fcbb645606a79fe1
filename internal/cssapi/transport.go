package cssapi

import (
	"errors"
	"io"
	"net/http"
)

// longestAnswer bounds an answer in bytes; a page of the online list has some 20 KiB. The SDK reads all of it into memory.
const longestAnswer = 4 << 20

var (
	errTooLong  = errors.New("the answer is longer than 4 MiB; check that spec.api.endpoint is CSS's API")
	errRedirect = errors.New("the answer is a redirect, which CSS's API never sends; check spec.api.endpoint")
)

// bounded is a transport that takes no answer that a server could harm with: none that is endless, unpacks to a multiple of its
// size, or leads elsewhere.
type bounded struct{ transport http.RoundTripper }

func newTransport() http.RoundTripper {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{}
	}
	transport = transport.Clone()
	transport.DisableCompression = true
	return bounded{transport}
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 == 3 {
		_ = response.Body.Close()
		return nil, errRedirect
	}
	response.Body = &limited{ReadCloser: response.Body, left: longestAnswer}
	return response, nil
}

// limited fails where io.LimitReader would end: half an answer is none.
type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooLong
	}
	return n, err
}
