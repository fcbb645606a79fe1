package streamwatch

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
	"github.com/livestream-operator/livestream-operator/internal/trim"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// apiServer answers the n-th watch with the n-th script, and leaves the last open.
type apiServer struct {
	scripts []string

	mu sync.Mutex
	// asked are the parameters of the watches, in order.
	asked []url.Values
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/apis/livestream-operator.io/v1alpha1/livestreams" || r.URL.Query().Get("watch") != "true" {
		http.Error(w, "nothing but watches of LiveStreams is asked for", http.StatusNotFound)
		return
	}
	s.mu.Lock()
	n := len(s.asked)
	asked := r.URL.Query()
	asked.Del("timeoutSeconds")
	s.asked = append(s.asked, asked)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(s.scripts[min(n, len(s.scripts)-1)]))
	_ = http.NewResponseController(w).Flush()
	if n >= len(s.scripts)-1 {
		<-r.Context().Done()
	}
}

const head = `{"apiVersion":"livestream-operator.io/v1alpha1","kind":"LiveStream","metadata":{`

// told is an event of a LiveStream.
func told(kind, name string, version int) string {
	return fmt.Sprintf(`{"type":%q,"object":%s"managedFields":[{"manager":"kubectl"}],"name":%q,"namespace":"studio","resourceVersion":"%d"},"spec":{"appName":"live"}}}`+"\n", kind, head, name, version)
}

// complete is the bookmark that ends a list.
func complete(version int) string {
	return fmt.Sprintf(`{"type":"BOOKMARK","object":%s"annotations":{"k8s.io/initial-events-end":"true"},"resourceVersion":"%d"}}}`+"\n", head, version)
}

// follow has a cache follow the API server until it keeps what is wanted, and returns what they asked.
func follow(t *testing.T, server *apiServer, ours bool, until string) []url.Values {
	t.Helper()
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	scheme, config := newScheme(t), &rest.Config{Host: listening.URL, QPS: -1}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(v1alpha1.GroupVersion.WithKind("LiveStream"), meta.RESTScopeNamespace)
	options := cache.Options{Scheme: scheme, Mapper: mapper, ByObject: map[client.Object]cache.ByObject{&v1alpha1.LiveStream{}: {Transform: trim.Streams()}}}
	if ours {
		var err error
		if options.NewInformer, err = Informers(config, scheme); err != nil {
			t.Fatal(err)
		}
	}
	streams, err := cache.New(config, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = streams.Start(ctx)
	}()
	// Before the server closes: it waits for the watches.
	t.Cleanup(func() { stop(); <-stopped })
	testmedia.Eventually(t, "the cache keeps "+until, func() bool {
		var list v1alpha1.LiveStreamList
		err := streams.List(ctx, &list)
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name+" "+list.Items[i].ResourceVersion)
		}
		slices.Sort(names)
		return err == nil && strings.Join(names, ", ") == until
	})
	server.mu.Lock()
	defer server.mu.Unlock()
	return server.asked
}

func TestAWatchBeginsAnewWhereThatOfClientGoDoes(t *testing.T) {
	t.Parallel()
	begin := told("ADDED", "a", 1) + told("ADDED", "b", 2) + complete(5)
	const expired = `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 5 (9)","reason":"Expired","code":410}}` + "\n"
	for _, tc := range []struct {
		name    string
		scripts []string
		want    string
		watches int
	}{
		{"events and deletions", []string{begin + told("MODIFIED", "a", 6) + told("DELETED", "b", 7) + told("ADDED", "c", 8)}, "a 6, c 8", 1},
		{"an end", []string{begin + told("MODIFIED", "a", 6), told("DELETED", "b", 7)}, "a 6", 2},
		{"a cut", []string{begin + told("MODIFIED", "a", 6) + told("DELETED", "b", 7)[:100], told("DELETED", "b", 7)}, "a 6", 2},
		{"a version that is too old", []string{begin + expired, told("ADDED", "c", 8) + complete(9)}, "c 8", 2},
		{"a list that is cut", []string{told("ADDED", "x", 1), begin}, "a 1, b 2", 2},
		{"an event that is too long", []string{begin + `{"type":"ADDED","object":"` + strings.Repeat("x", 17<<20) + "\"}\n" + told("ADDED", "d", 7), told("ADDED", "c", 8) + complete(9)}, "c 8", 2},
		{"what is no event", []string{begin + "<html>\n", told("ADDED", "c", 8) + complete(9)}, "c 8", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			theirs := follow(t, &apiServer{scripts: tc.scripts}, false, tc.want)
			asked := follow(t, &apiServer{scripts: tc.scripts}, true, tc.want)
			if diff := gocmp.Diff(theirs, asked); diff != "" || len(asked) != tc.watches {
				t.Errorf("%d watches, want %d (-client-go +we):\n%s", len(asked), tc.watches, diff)
			}
		})
	}
}
