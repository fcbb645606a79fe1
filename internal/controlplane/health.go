package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// missingLooks is how many looks in a row may miss a process before it counts as ended.
const missingLooks = 3

// logTail is how much of a component's log an error quotes.
const logTail = 2048

// startAndWait starts the components together and waits until all of them are healthy.
func (c *Cluster) startAndWait(ctx context.Context, names []string) error {
	logBegins := map[string]int64{}
	for _, name := range names {
		offset, err := c.start(name)
		if err != nil {
			return err
		}
		logBegins[name] = offset
	}
	return c.waitHealthy(ctx, names, logBegins)
}

// errEnded means that a component that was waited for has ended.
var errEnded = errors.New("it has ended")

// waitHealthy fails early if a component ends meanwhile, quoting its log from where logBegins says.
func (c *Cluster) waitHealthy(ctx context.Context, names []string, logBegins map[string]int64) error {
	for _, name := range names {
		var last error
		// A process has no command line for a moment while it starts, so one look that does not find it means nothing.
		missing := 0
		err := poll(ctx, func() (bool, error) {
			if last = c.healthy(ctx, name); last == nil {
				return true, nil
			}
			running, err := processes(c.dir)
			if missing++; err != nil || len(running[name]) > 0 {
				missing = 0
			}
			if missing > missingLooks {
				err = errEnded
			}
			return false, err
		})
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("waiting for %s: %w", name, err)
		}
		if err != nil {
			return fmt.Errorf("waiting for %s: %w; last answer: %w; its log %s ends with:\n%s",
				name, err, last, c.Log(name), tail(c.Log(name), logBegins[name]))
		}
	}
	return nil
}

// healthy asks the component itself.
func (c *Cluster) healthy(ctx context.Context, component string) error {
	_, err := c.request(ctx, http.MethodGet, c.healthURL(component), nil)
	return err
}

// request returns the body of an answer that is 200 or 201; any other is an error with what the server said.
func (c *Cluster) request(ctx context.Context, method, url string, body io.Reader) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("preparing the request for %s: %w", url, err)
	}
	if strings.HasPrefix(url, "https:") {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the control plane: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		return nil, &answerError{url: url, code: response.StatusCode, text: string(text)}
	}
	return text, nil
}

// answerError is an answer that is not the wished one.
type answerError struct {
	url  string
	code int
	text string
}

func (e *answerError) Error() string {
	return fmt.Sprintf("%s answers %d: %s", e.url, e.code, strings.TrimSpace(e.text))
}

func certificates(text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("the certificate authority of the control plane cannot be read")
	}
	return pool, nil
}

func transport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}
}

// tail is the end of the file, from offset on at the earliest.
func tail(path string, offset int64) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	if _, err := file.Seek(max(offset, info.Size()-logTail), io.SeekStart); err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
