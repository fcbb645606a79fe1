package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// serveInformer is a plain typed informer of all LiveStreams, as client-go makes one: what it takes to know them, and nothing else. It tells how
// many it knows, and what its heap holds.
func serveInformer(ctx context.Context) error {
	b, err := newBare(os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	source := cache.NewListWatchFromClient(b.operators, "livestreams", metav1.NamespaceAll, fields.Everything())
	informer := cache.NewSharedIndexInformer(source, &v1alpha1.LiveStream{}, 0, cache.Indexers{})
	go informer.RunWithContext(ctx)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
		if !informer.HasSynced() {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /count", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(rw, len(informer.GetStore().ListKeys()))
	})
	mux.HandleFunc("GET /debug/pprof/heap", func(rw http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		_, _ = fmt.Fprintf(rw, "# HeapAlloc = %d\n", m.HeapAlloc)
	})
	return serveReference(ctx, mux)
}

// startInformer starts this program as a bare informer, and waits until it knows all.
func (w *world) startInformer(ctx context.Context) (*process, error) {
	return w.startReference(ctx, "informer")
}

// knows is how many LiveStreams the informer has.
func (p *process) knows(ctx context.Context) (int, error) {
	text, err := fetch(ctx, p.probes+"/count")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}
