package operator

import (
	"context"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/streamwatch"
	"github.com/livestream-operator/livestream-operator/internal/testenv"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
	"github.com/livestream-operator/livestream-operator/internal/trim"
)

var env testenv.Env

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m, &env))
}

// seen is what a cache told of one namespace, by name: each object as it was added, changed and deleted.
type seen struct {
	cache     cache.Cache
	namespace string

	mu  sync.Mutex
	all map[string][]any
}

type change struct{ Old, New *v1alpha1.LiveStream }

type deletion struct{ Last *v1alpha1.LiveStream }

func watched(t *testing.T, of cache.Cache, namespace string) *seen {
	t.Helper()
	s := &seen{cache: of, namespace: namespace, all: map[string][]any{}}
	informer, err := of.GetInformer(t.Context(), &v1alpha1.LiveStream{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(stream *v1alpha1.LiveStream, what any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if stream.Namespace == namespace {
			s.all[stream.Name] = append(s.all[stream.Name], what)
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { add(object.(*v1alpha1.LiveStream), object) },
		UpdateFunc: func(before, after any) {
			add(after.(*v1alpha1.LiveStream), change{before.(*v1alpha1.LiveStream), after.(*v1alpha1.LiveStream)})
		},
		DeleteFunc: func(object any) {
			if last, is := object.(*v1alpha1.LiveStream); is {
				add(last, deletion{last})
			}
		},
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// count is how much was told.
func (s *seen) count() (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, told := range s.all {
		count += len(told)
	}
	return count
}

func (s *seen) list(t *testing.T) map[string]v1alpha1.LiveStream {
	t.Helper()
	var list v1alpha1.LiveStreamList
	if err := s.cache.List(t.Context(), &list, client.InNamespace(s.namespace)); err != nil {
		t.Fatal(err)
	}
	all := map[string]v1alpha1.LiveStream{}
	for i := range list.Items {
		all[list.Items[i].Name] = list.Items[i]
	}
	return all
}

// start runs it until the test ends.
func start(t *testing.T, what interface{ Start(context.Context) error }, of cache.Cache) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := what.Start(ctx); err != nil {
			t.Errorf("running a cache: %v", err)
		}
	}()
	t.Cleanup(func() { stop(); <-stopped })
	if !of.WaitForCacheSync(ctx) {
		t.Fatal("the cache does not sync")
	}
}

// changeAny makes a change of a stream at random.
func changeAny(t *testing.T, r *rand.Rand, namespace string) {
	t.Helper()
	ctx := t.Context()
	s := &v1alpha1.LiveStream{}
	key := client.ObjectKey{Namespace: namespace, Name: fmt.Sprint("show-", r.Intn(6))}
	if err := env.Client.Get(ctx, key, s); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	} else if err != nil {
		s.Name, s.Namespace = key.Name, key.Namespace
		s.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"kind":"LiveStream","spec":{"a":"\"}]\\"}}`, "on-call": "<&\u2028>"}
		s.Spec.PushDomainRef.Name, s.Spec.AppName, s.Spec.StreamName, s.Spec.ReconnectWindowSeconds = "shows", "live", key.Name, new(int32(0))
		if err := env.Client.Create(ctx, s); err != nil {
			t.Fatal(err)
		}
		return
	}
	before, now := s.DeepCopy(), metav1.NewMicroTime(time.Date(2026, 1, 2, 20, 0, r.Intn(60), 1000*r.Intn(1000), time.UTC))
	patch := env.Client.Patch
	switch r.Intn(8) {
	case 0:
		if err := env.Client.Delete(ctx, s); err != nil {
			t.Fatal(err)
		}
		return
	case 1:
		s.Labels = map[string]string{"team": fmt.Sprint(r.Intn(3))}
	case 2:
		if s.DeletionTimestamp == nil {
			s.Finalizers = []string{"example.com/wait"}
		}
	case 3:
		s.Finalizers = nil
	default:
		patch = func(ctx context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
			return env.Client.Status().Patch(ctx, object, patch)
		}
		s.Status.State, s.Status.Since, s.Status.WorkloadSummary = v1alpha1.LiveStreamLive, &now, fmt.Sprintf("%d/2", r.Intn(3))
		s.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Reconciled", Message: fmt.Sprint("\"", r.Intn(3), "\"\n"), LastTransitionTime: metav1.NewTime(now.Time)}}
		s.Status.Pushes = append(s.Status.Pushes[:min(len(s.Status.Pushes), r.Intn(5))], v1alpha1.Push{Sequence: fmt.Sprint(r.Int63()), StartTime: new(metav1.NewTime(now.Time)), DurationMilliseconds: new(r.Int63())})
	}
	if err := patch(ctx, s, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func TestTheCacheOfLiveStreamsTellsAndKeepsWhatThatOfClientGoDoes(t *testing.T) {
	namespace, r := env.Namespace(t), rand.New(rand.NewSource(1))
	// Some are listed, and the others come.
	for range 10 {
		changeAny(t, r, namespace)
	}
	mapper, err := newMapper(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	manager, err := newManager(env.Config, mapper, Options{MetricsAddress: none, ProbeAddress: none})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := cache.New(env.Config, cache.Options{
		Scheme: env.Scheme, DefaultUnsafeDisableDeepCopy: new(true), ByObject: map[client.Object]cache.ByObject{&v1alpha1.LiveStream{}: {Transform: trim.Streams()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	informers, err := streamwatch.Informers(env.Config, env.Scheme)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := cache.New(env.Config, cache.Options{Scheme: env.Scheme, NewInformer: informers})
	if err != nil {
		t.Fatal(err)
	}
	want, got, raw := watched(t, theirs, namespace), watched(t, manager.GetCache(), namespace), watched(t, whole, namespace)
	start(t, theirs, theirs)
	start(t, manager, manager.GetCache())
	start(t, whole, whole)
	for range 300 {
		changeAny(t, r, namespace)
	}
	var live v1alpha1.LiveStreamList
	if err := env.Client.List(t.Context(), &live, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	testmedia.Eventually(t, "all caches come to the same end", func() bool {
		return caughtUp(live.Items, want.list(t)) && caughtUp(live.Items, got.list(t)) && caughtUp(live.Items, raw.list(t)) && want.count() == got.count()
	})
	if diff := gocmp.Diff(want.list(t), got.list(t)); diff != "" {
		t.Errorf("what is kept (-client-go +operator):\n%s", diff)
	}
	if diff := gocmp.Diff(want.all, got.all); diff != "" || want.count() < 200 {
		t.Errorf("what was told, %d events (-client-go +operator):\n%s", want.count(), diff)
	}
	for name, s := range raw.list(t) {
		if len(live.Items[0].ManagedFields) == 0 || len(s.ManagedFields) > 0 {
			t.Errorf("%s was left to client-go's decoder: this API server writes it in another way", name)
		}
	}
}

// caughtUp tells whether the cache has these versions.
func caughtUp(live []v1alpha1.LiveStream, all map[string]v1alpha1.LiveStream) bool {
	want, got := map[string]string{}, map[string]string{}
	for i := range live {
		want[live[i].Name] = live[i].ResourceVersion
	}
	for name, s := range all {
		got[name] = s.ResourceVersion
	}
	return maps.Equal(want, got)
}
