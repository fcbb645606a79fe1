package statuspatch

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/testenv"
)

var env testenv.Env

func TestMain(m *testing.M) { os.Exit(testenv.Run(m, &env)) }

// showTime has a fraction of a second, which the API server does not keep.
var showTime = time.Date(2026, 1, 2, 20, 0, 0, 987654321, time.UTC)

func at(minute int) metav1.Time {
	return metav1.NewTime(showTime.Add(time.Duration(minute) * time.Minute))
}

// statuses are of one show, and each differs from each other in another way: what is set, taken away, emptied, longer, shorter.
func statuses() map[string]v1alpha1.LiveStreamStatus {
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "it <is> & stays", LastTransitionTime: at(0)}
	live := v1alpha1.LiveStreamStatus{
		State: v1alpha1.LiveStreamLive, ObservedGeneration: 1, Domain: "push.example.com", Client: "1.1.1.1", Since: new(metav1.NewMicroTime(showTime)),
		Pushes:          []v1alpha1.Push{{Sequence: "1", StartTime: new(at(0)), RecordedTime: new(at(0)), ClientIP: "1.1.1.1"}, {Sequence: "2", StartTime: new(at(1))}},
		Broadcast:       v1alpha1.Broadcast{ID: "b1", Sequences: []string{"1", "2"}, StartTime: new(at(0))},
		Workloads:       []v1alpha1.WorkloadStatus{{Name: "record", State: v1alpha1.WorkloadRunning, JobName: "show-record"}, {Name: "thumbnails", State: v1alpha1.WorkloadPending}},
		WorkloadSummary: "1/2", Conditions: []metav1.Condition{ready},
	}
	lost := *live.DeepCopy()
	lost.State, lost.Client = v1alpha1.LiveStreamInterrupted, ""
	lost.Pushes = []v1alpha1.Push{{Sequence: "2", EndTime: new(at(2)), ErrorCode: new(int32(12)), Reason: v1alpha1.PushReasonClientStopped}}
	lost.Workloads = lost.Workloads[:1]
	over := *lost.DeepCopy()
	over.State, over.Broadcast, over.Workloads, over.WorkloadSummary = v1alpha1.LiveStreamIdle, v1alpha1.Broadcast{}, nil, ""
	over.Conditions[0].Status, over.Conditions[0].Message = metav1.ConditionFalse, ""
	return map[string]v1alpha1.LiveStreamStatus{"nothing": {}, "live": live, "lost": lost, "over": over, "empty": {Pushes: []v1alpha1.Push{}}}
}

func newStream(t *testing.T, namespace, name string) *v1alpha1.LiveStream {
	t.Helper()
	stream := &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	stream.Spec.PushDomainRef.Name, stream.Spec.AppName, stream.Spec.StreamName = "shows", "live", name
	if err := env.Client.Create(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	return stream
}

func latest(t *testing.T, of *v1alpha1.LiveStream) *v1alpha1.LiveStream {
	t.Helper()
	stream := &v1alpha1.LiveStream{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(of), stream); err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestAStatusIsWrittenAndReturnedAsTheAPIServerKeepsIt(t *testing.T) {
	t.Parallel()
	namespace := env.Namespace(t)
	for from, before := range statuses() {
		for to, after := range statuses() {
			t.Run("from "+from+" to "+to, func(t *testing.T) {
				t.Parallel()
				stream := newStream(t, namespace, from+"-"+to)
				first, err := Write(t.Context(), env.Client, stream, &before)
				if err != nil {
					t.Fatal(err)
				}
				kept := first.DeepCopy()
				second, err := Write(t.Context(), env.Client, first, &after)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(kept, first); diff != "" {
					t.Errorf("the LiveStream that it was written on changed (-before +after):\n%s", diff)
				}
				now := latest(t, stream)
				if diff := gocmp.Diff(now.Status, second.Status); diff != "" || now.ResourceVersion != second.ResourceVersion {
					t.Errorf("version %s is returned, the API server has %s with (-kept +returned):\n%s", second.ResourceVersion, now.ResourceVersion, diff)
				}
				// Written on what had never been.
				fresh, err := Write(t.Context(), env.Client, newStream(t, namespace, from+"-"+to+"-at-once"), &after)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(fresh.Status, now.Status); diff != "" {
					t.Errorf("something of what was is left (-fresh +written on it):\n%s", diff)
				}
			})
		}
	}
}

func TestAPatchMakesOfALiveStreamWhatTheAPIServerMakesOfIt(t *testing.T) {
	t.Parallel()
	namespace := env.Namespace(t)
	for name, tc := range map[string]struct{ before, status string }{
		"pushes alone":           {"live", `{"pushes":[{"sequence":"9"}]}`},
		"fewer of a kind":        {"live", `{"workloads":[{"name":"record","state":"Pending"}],"workloadSummary":"0/1"}`},
		"what is null":           {"live", `{"client":null,"broadcast":null,"since":null,"workloads":null}`},
		"a part of a part":       {"live", `{"broadcast":{"id":"b1","sequences":null}}`},
		"a part of another":      {"live", `{"broadcast":{"id":"b2","startTime":"2026-01-02T21:00:00Z"},"lastError":"none"}`},
		"of a part that is not":  {"over", `{"broadcast":{"id":"b2","sequences":null,"startTime":"2026-01-02T21:00:00Z"}}`},
		"where there is nothing": {"nothing", `{"state":"Live","client":null,"pushes":[{"sequence":"9"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := statuses()[tc.before]
			stream, err := Write(t.Context(), env.Client, newStream(t, namespace, strings.ReplaceAll(name, " ", "-")), &before)
			if err != nil {
				t.Fatal(err)
			}
			patch, err := json.Marshal(document{Metadata: On(stream), Status: json.RawMessage(tc.status)})
			if err != nil {
				t.Fatal(err)
			}
			version, err := Send(t.Context(), env.Client, stream, patch)
			if err != nil {
				t.Fatal(err)
			}
			applied, err := Applied(stream, patch, version)
			if err != nil {
				t.Fatal(err)
			}
			if now := latest(t, stream); now.ResourceVersion != version || !gocmp.Equal(now.Status, applied.Status) || applied.ResourceVersion != version {
				t.Errorf("version %s is told, the API server has %s with (-kept +applied):\n%s", version, now.ResourceVersion, gocmp.Diff(now.Status, applied.Status))
			}
		})
	}
}

func TestAStatusIsNotWrittenOnWhatItWasNotDecidedOn(t *testing.T) {
	t.Parallel()
	namespace := env.Namespace(t)
	live := statuses()["live"]
	for name, spoil := range map[string]func(t *testing.T, stream *v1alpha1.LiveStream){
		"somebody else wrote it": func(t *testing.T, stream *v1alpha1.LiveStream) {
			t.Helper()
			lost := statuses()["lost"]
			if _, err := Write(t.Context(), env.Client, stream, &lost); err != nil {
				t.Fatal(err)
			}
		},
		"it is another one of the name": func(t *testing.T, stream *v1alpha1.LiveStream) {
			t.Helper()
			if err := env.Client.Delete(t.Context(), stream); err != nil {
				t.Fatal(err)
			}
			newStream(t, stream.Namespace, stream.Name)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := newStream(t, namespace, strings.ReplaceAll(name, " ", "-"))
			spoil(t, stream)
			kept := latest(t, stream)
			if _, err := Write(t.Context(), env.Client, stream, &live); !apierrors.IsConflict(err) {
				t.Errorf("Write() = %v, want a conflict", err)
			}
			if diff := gocmp.Diff(kept, latest(t, stream)); diff != "" {
				t.Errorf("it was written (-before +after):\n%s", diff)
			}
		})
	}
	gone := newStream(t, namespace, "gone")
	if err := env.Client.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), env.Client, gone, &live); !apierrors.IsNotFound(err) {
		t.Errorf("where it is gone Write() = %v, want NotFound", err)
	}
}

// heard keeps what was sent and what was answered.
type heard struct {
	mu             sync.Mutex
	sent, answered [][]byte
}

func (h *heard) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPatch {
			return next.RoundTrip(r)
		}
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
		response, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		answered, err := io.ReadAll(response.Body)
		response.Body = io.NopCloser(bytes.NewReader(answered))
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sent, h.answered = append(h.sent, sent), append(h.answered, answered)
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestOnlyWhatDiffersIsSentAndTheStatusIsNotSentBack(t *testing.T) {
	t.Parallel()
	h := &heard{}
	config := rest.CopyConfig(env.Config)
	config.Wrap(h.wrap)
	writer, err := client.New(config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	live := statuses()["live"]
	stream, err := Write(t.Context(), writer, newStream(t, env.Namespace(t), "show"), &live)
	if err != nil {
		t.Fatal(err)
	}
	next := *stream.Status.DeepCopy()
	next.Client, next.Resolution = "", "1920x1080"
	if _, err := Write(t.Context(), writer, stream, &next); err != nil {
		t.Fatal(err)
	}
	want := `{"metadata":{"resourceVersion":"` + stream.ResourceVersion + `"},"status":{"client":null,"resolution":"1920x1080"}}`
	if len(h.sent) != 2 || string(h.sent[1]) != want {
		t.Errorf("%q was sent, want last\n%s", h.sent, want)
	}
	for _, answer := range h.answered {
		if bytes.Contains(answer, []byte(`show-record`)) || !bytes.Contains(answer, []byte(stream.UID)) {
			t.Errorf("the answer is %q, want metadata alone", answer)
		}
	}
}
