package main

import (
	"context"
	"crypto/md5" //nolint:gosec // CSS's signature is MD5
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
)

// What the bare handler is told by its environment.
const (
	handlerAddress   = "BENCH_ADDRESS"
	handlerNamespace = "BENCH_NAMESPACE"
)

// serveBareHandler is the least that a receiver of callbacks has to do: read, check the signature, write once. It knows which object a
// stream is without looking, keeps no cache, checks nothing else, and starts nothing.
func serveBareHandler(ctx context.Context) error {
	b, err := newBare(os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /", func(rw http.ResponseWriter, r *http.Request) {
		if err := takeBarely(r, b, os.Getenv(handlerNamespace)); err != nil {
			http.Error(rw, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(rw, `{"code":0}`)
	})
	return serveReference(ctx, mux)
}

// serveReference serves on handlerAddress until the context ends.
func serveReference(ctx context.Context, handler http.Handler) error {
	server := &http.Server{Addr: os.Getenv(handlerAddress), Handler: handler, ReadHeaderTimeout: time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

func takeBarely(r *http.Request, b *bare, namespace string) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	name, patch, err := barePatch(body)
	if err != nil {
		return err
	}
	return b.write(r.Context(), namespace, name, patch)
}

// barePatch is what the bare handler writes because of a callback, and which LiveStream that is of.
func barePatch(body []byte) (name string, patch []byte, err error) {
	var c css.Callback
	if err := json.Unmarshal(body, &c); err != nil {
		return "", nil, fmt.Errorf("parsing: %w", err)
	}
	sum := md5.Sum([]byte(callbackKey + strconv.FormatInt(c.T, 10))) //nolint:gosec // CSS's signature is MD5
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(c.Sign)) != 1 {
		return "", nil, errors.New("the signature does not fit")
	}
	p := v1alpha1.Push{Sequence: c.Sequence, ClientIP: c.UserIP, Node: c.Node, Region: v1alpha1.RegionMainlandChina, RecordedTime: new(metav1.Now())}
	at := metav1.Unix(c.EventTime, 0)
	p.StartTime = &at
	if c.EventType == 0 {
		p.EndTime, p.ErrorCode, p.Reason, p.Message = &at, &c.ErrorCode, v1alpha1.PushReasonClientStopped, c.ErrorMessage
	}
	if patch, err = json.Marshal(map[string]any{"status": map[string]any{"pushes": []v1alpha1.Push{p}}}); err != nil {
		return "", nil, fmt.Errorf("encoding: %w", err)
	}
	return strings.TrimPrefix(c.StreamID, "stream-of-"), patch, nil
}

// startBareHandler starts this program as a bare handler for the twins of a namespace.
func (w *world) startBareHandler(ctx context.Context, namespace string) (*process, error) {
	return w.startReference(ctx, "handler", handlerNamespace+"="+namespace)
}

// startReference starts this program in a mode that serves on handlerAddress, and waits until it is ready.
func (w *world) startReference(ctx context.Context, mode string, environment ...string) (*process, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	p, err := start(w.profiles, mode, append(environment, "KUBECONFIG="+w.bareConf, handlerAddress+"="+addresses[0]), self, "-mode="+mode)
	if err != nil {
		return nil, err
	}
	w.running = append(w.running, p)
	address := "http://" + addresses[0]
	p.callbacks, p.probes, p.profiles = address, address, address
	return p, p.ready(ctx)
}
