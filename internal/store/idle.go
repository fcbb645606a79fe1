package store

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// idleTransport gives up answers that stand still: a proxy may keep a connection for ever that nothing comes from. How long the header of an
// answer may take is for the transport beneath.
type idleTransport struct {
	http.RoundTripper

	within time.Duration
}

func (t idleTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	answer, err := t.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return answer, err
	}
	answer.Body = &idleBody{answer.Body, t.within, cancel}
	return answer, nil
}

type idleBody struct {
	io.ReadCloser

	within time.Duration
	cancel context.CancelFunc
}

func (b *idleBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.within, b.cancel)
	n, err := b.ReadCloser.Read(p)
	if !timer.Stop() && err != nil && err != io.EOF { //nolint:errorlint // io.Reader wants it bare
		err = fmt.Errorf("nothing came for %s", b.within)
	}
	return n, err
}

func (b *idleBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
