package controllers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// addressed gives a Pod that runs an address.
func (b *bench) addressed(pod *corev1.Pod, ip string) {
	b.t.Helper()
	before := pod.DeepCopy()
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	if err := env.Client.Status().Patch(b.t.Context(), pod, client.MergeFrom(before)); err != nil {
		b.t.Fatal(err)
	}
}

func TestHowAWorkerGetsOnIsInTheStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded)
	b.live("show", "A")
	job := b.onlyJob()
	b.podReady(job)
	b.addressed(b.podOf(job), "10.1.2.3")
	asked, said := "", `{"mediaSeconds":61.2,"kbps":2400,"storedBytes":18300000,"secondsSinceMedia":0.4}`
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Host + r.URL.Path
		_, _ = fmt.Fprint(w, said)
	}))
	defer worker.Close()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(worker.URL, "http://"))
	}}
	again := make(chan event.GenericEvent, 10)
	poller := &ProgressPoller{Cache: inNamespace{env.Client, b.namespace}, HTTP: &http.Client{Transport: transport}, Streams: again}
	b.reconciler.Progress = poller
	message := func() string {
		t.Helper()
		b.settle("show")
		return b.stream("show").Status.Workloads[0].Message
	}
	if got := message(); got != "" {
		t.Errorf("before anybody asked: %q", got)
	}
	if err := poller.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked != "10.1.2.3:9090/progress" || len(again) != 1 || (<-again).Object.GetName() != "show" {
		t.Errorf("asked %q; %d streams are looked at again", asked, len(again))
	}
	const told = "1m1s of media, 2400 kbit/s, 18.3 MB stored"
	if got := message(); got != told {
		t.Errorf("message = %q", got)
	}
	// A worker that says nothing, or nonsense, changes nothing; nor does a new leader, who has asked nobody yet.
	for _, said = range []string{"", "no JSON", strings.Repeat("[", 1<<20)} {
		if err := poller.Poll(t.Context()); err != nil || len(again) != 0 {
			t.Fatalf("%v; %d streams are looked at again", err, len(again))
		}
		if got := message(); got != told {
			t.Errorf("message = %q", got)
		}
	}
	version := b.stream("show").ResourceVersion
	b.settle("show")
	if b.stream("show").ResourceVersion != version {
		t.Error("a pass with nothing new writes")
	}
}

// inNamespace keeps what runs beside it away.
type inNamespace struct {
	client.Reader

	namespace string
}

func (i inNamespace) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return i.Reader.List(ctx, list, append(options, client.InNamespace(i.namespace))...)
}
