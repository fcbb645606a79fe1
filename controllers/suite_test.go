package controllers

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/notices"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
	"github.com/livestream-operator/livestream-operator/internal/testenv"
)

var env testenv.Env

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m, &env))
}

// bench runs one reconciler by hand against the API server, with a clock of its own.
type bench struct {
	t          testing.TB
	namespace  string
	clock      *testclock.FakePassiveClock
	reconciler *LiveStreamReconciler
	domains    *PushDomainReconciler
	poller     *OnlinePoller
	scaler     *Scaler
	events     *events.FakeRecorder
	// streamsAgain and domainsAgain get what the poller brings to the reconcilers.
	streamsAgain, domainsAgain chan event.GenericEvent
}

var showTime = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)

// liveReader answers the indexed lists that reconcilers make from the API server itself, so that a test needs no cache and
// never waits for one.
type liveReader struct{ client.WithWatch }

func (r liveReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if err := r.WithWatch.Get(ctx, key, object, opts...); err != nil {
		return err
	}
	return lend(ctx, object)
}

func (r liveReader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	fields := options.FieldSelector
	options.FieldSelector = nil
	if err := r.WithWatch.List(ctx, list, &options); err != nil {
		return err
	}
	if fields != nil {
		choose(list, fields)
	}
	return apimeta.EachListItem(list, func(item runtime.Object) error { return lend(ctx, item.(client.Object)) })
}

// choose keeps what the index would find.
func choose(list client.ObjectList, fields fields.Selector) {
	switch list := list.(type) {
	case *v1alpha1.LiveStreamList:
		list.Items = filter(list.Items, func(s *v1alpha1.LiveStream) bool {
			value, byStream := fields.RequiresExactMatch(index.ByStream)
			name, byDomain := fields.RequiresExactMatch(index.ByPushDomain)
			target, byTarget := fields.RequiresExactMatch(targetIndex)
			return byStream && index.Bucket(index.KeyOf(s)) == value || byDomain && s.Spec.PushDomainRef.Name == name ||
				byTarget && slices.ContainsFunc(plan.TargetsOf(s, s.Spec.LiveStreamSettings), func(ref plan.TargetRef) bool { return ref.Key() == target })
		})
	case *v1alpha1.PushDomainList:
		host, _ := fields.RequiresExactMatch(index.ByHost)
		list.Items = filter(list.Items, func(d *v1alpha1.PushDomain) bool { return index.Host(d.Spec.Domain) == host })
	case *batchv1.JobList:
		name, _ := fields.RequiresExactMatch(ownerIndex)
		list.Items = filter(list.Items, func(j *batchv1.Job) bool { return j.Labels[v1alpha1.LabelLiveStream] == name })
	case *corev1.PodList:
		name, _ := fields.RequiresExactMatch(ownerIndex)
		list.Items = filter(list.Items, func(p *corev1.Pod) bool { return p.Labels[v1alpha1.LabelLiveStream] == name })
	}
}

// Each and Count are what the cache knows of all LiveStreams.
func (r liveReader) Each(see func(*v1alpha1.LiveStream)) {
	var streams v1alpha1.LiveStreamList
	if err := r.WithWatch.List(context.Background(), &streams); err != nil {
		panic(err)
	}
	for i := range streams.Items {
		see(&streams.Items[i])
	}
}

func (r liveReader) Count(namespace, pushDomain string) (int, error) {
	var streams v1alpha1.LiveStreamList
	err := r.WithWatch.List(context.Background(), &streams, client.InNamespace(namespace))
	return len(filter(streams.Items, func(s *v1alpha1.LiveStream) bool { return s.Spec.PushDomainRef.Name == pushDomain })), err
}

func filter[T any](items []T, keep func(*T) bool) []T {
	var kept []T
	for i := range items {
		if keep(&items[i]) {
			kept = append(kept, items[i])
		}
	}
	return kept
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	b := &bench{t: tb, namespace: env.Namespace(tb), clock: testclock.NewFakePassiveClock(showTime), events: events.NewFakeRecorder(10000)}
	b.streamsAgain, b.domainsAgain = make(chan event.GenericEvent, 10000), make(chan event.GenericEvent, 10000)
	b.restart(env.Client)
	return b
}

// restart makes the operator anew: it remembers nothing, and reaches the API server through the given client.
func (b *bench) restart(through client.WithWatch) {
	reader := liveReader{through}
	keys := &secrets.Reader{Client: env.Client, Clock: b.clock, Keep: time.Minute, AgainAfter: time.Second, MaxKept: 10}
	b.poller = &OnlinePoller{Cache: reader, Secrets: keys, Clock: b.clock, Hosts: []string{"127.0.0.1"}, Streams: b.streamsAgain, Domains: b.domainsAgain}
	b.scaler = &Scaler{Client: reader, Live: env.Client, Clock: b.clock}
	b.reconciler = &LiveStreamReconciler{Client: reader, Live: env.Client, Secrets: keys, Scaler: b.scaler, Truth: b.poller, Tell: notices.NewTeller(b.events, 0), Clock: b.clock, WorkerImage: "worker", Restarts: NewRestarts(b.clock, b.streamsAgain)}
	b.domains = &PushDomainReconciler{
		Client: reader, Live: env.Client, Streams: reader, Secrets: keys, Truth: b.poller, Clock: b.clock,
		Setup: &CallbackSetup{Poller: b.poller, Secrets: keys, Clock: b.clock},
	}
}

func (b *bench) create(objects ...client.Object) {
	b.t.Helper()
	for _, o := range objects {
		if o.GetNamespace() == "" {
			o.SetNamespace(b.namespace)
		}
		if err := env.Client.Create(b.t.Context(), o); err != nil {
			b.t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
		}
	}
}

// show creates a push domain with a key and a stream, with all that its workers mount, and reconciles both once.
func (b *bench) show(mutate ...func(*v1alpha1.LiveStream)) *v1alpha1.LiveStream {
	b.t.Helper()
	stream := newStream("show")
	for _, m := range mutate {
		m(stream)
	}
	b.create(newSecret(), newDomain(), stream, bucketSecret(), pushSecret())
	b.reconcileDomain()
	b.reconcile("show")
	return stream
}

func newSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "css"}, StringData: map[string]string{"callbackKey": "test", "playbackKey": "somestring"}}
}

func newDomain() *v1alpha1.PushDomain {
	return &v1alpha1.PushDomain{
		ObjectMeta: metav1.ObjectMeta{Name: "shows"},
		Spec: v1alpha1.PushDomainSpec{
			Provider: v1alpha1.ProviderTencentCSS, Domain: "push.example.com",
			Callback: v1alpha1.Callback{KeySecretRefs: []v1alpha1.SecretKeyReference{{Name: "css", Key: "callbackKey"}}},
			Playback: v1alpha1.Playback{Domain: "play.example.com", KeySecretRef: v1alpha1.SecretKeyReference{Name: "css", Key: "playbackKey"}},
		},
	}
}

func newStream(name string) *v1alpha1.LiveStream {
	stream := &v1alpha1.LiveStream{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.LiveStreamSpec{PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: "test"},
	}
	w := v1alpha1.Workload{Name: "record", Job: &batchv1.JobTemplateSpec{}}
	w.Job.Spec.Template.Spec.Containers = []corev1.Container{{Name: "ffmpeg", Image: "ffmpeg", Args: []string{"-i", "$(LIVESTREAM_PLAYBACK_URL)"}}}
	stream.Spec.Workloads = []v1alpha1.Workload{w}
	return stream
}

func (b *bench) reconcile(name string) ctrl.Result {
	b.t.Helper()
	ctx, lent := lending(b.t.Context())
	result, err := b.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: name}})
	if err != nil {
		b.t.Fatalf("reconciling %s: %v", name, err)
	}
	lent.unchanged(b.t)
	b.checkStream(name)
	return result
}

func (b *bench) reconcileDomain() ctrl.Result {
	b.t.Helper()
	ctx, lent := lending(b.t.Context())
	result, err := b.domains.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "shows"}})
	if err != nil {
		b.t.Fatalf("reconciling the push domain: %v", err)
	}
	lent.unchanged(b.t)
	b.checkDomain("shows")
	return result
}

func (b *bench) stream(name string) *v1alpha1.LiveStream {
	b.t.Helper()
	stream := &v1alpha1.LiveStream{}
	if err := env.Client.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, stream); err != nil {
		b.t.Fatal(err)
	}
	return stream
}

// record writes an event as the receiver does.
func (b *bench) record(name string, e provider.Event) {
	b.t.Helper()
	stream := b.stream(name)
	before := stream.DeepCopy()
	pushes, _, err := push.Apply(stream.Status.Pushes, e, b.clock.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	stream.Status.Pushes = pushes
	if err := env.Client.Status().Patch(b.t.Context(), stream, client.MergeFrom(before)); err != nil {
		b.t.Fatalf("recording %+v: %v", e, err)
	}
}

func (b *bench) starts(sequence string) provider.Event {
	return provider.Event{Kind: provider.Started, Sequence: sequence, Time: b.clock.Now(), ClientIP: "119.29.94.245", Width: 1280, Height: 720}
}

func (b *bench) ends(sequence string, code int32, reason v1alpha1.PushReason) provider.Event {
	return provider.Event{Kind: provider.Interrupted, Sequence: sequence, Time: b.clock.Now(), ErrorCode: code, Reason: reason, Message: "as told"}
}

func (b *bench) jobs() []batchv1.Job {
	b.t.Helper()
	var jobs batchv1.JobList
	if err := env.Client.List(b.t.Context(), &jobs, client.InNamespace(b.namespace)); err != nil {
		b.t.Fatal(err)
	}
	return jobs.Items
}

func (b *bench) onlyJob() *batchv1.Job {
	b.t.Helper()
	jobs := b.jobs()
	if len(jobs) != 1 {
		b.t.Fatalf("there are %d Jobs, want 1", len(jobs))
	}
	return &jobs[0]
}

// podReady plays the Job controller and the kubelet.
func (b *bench) podReady(job *batchv1.Job) *corev1.Pod {
	b.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: job.Name + "-x", Labels: job.Spec.Template.Labels,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
	}, Spec: job.Spec.Template.Spec}
	b.create(pod)
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(b.clock.Now())}}
	if err := env.Client.Status().Update(b.t.Context(), pod); err != nil {
		b.t.Fatal(err)
	}
	return pod
}

func (b *bench) pass(d time.Duration) { b.clock.SetTime(b.clock.Now().Add(d)) }

// staleReader is a cache that still has an old version of a LiveStream.
type staleReader struct {
	liveReader
	stale *v1alpha1.LiveStream
}

func (r staleReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if stream, ok := object.(*v1alpha1.LiveStream); ok && key == client.ObjectKeyFromObject(r.stale) {
		r.stale.DeepCopyInto(stream)
		return nil
	}
	return r.liveReader.Get(ctx, key, object, opts...)
}
