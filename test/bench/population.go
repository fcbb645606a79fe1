package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

const (
	callbackKey = "theCallbackKey0123456789"
	pushDomain  = "push.example.com"
	// modelNamespace holds the LiveStreams that others are copies of, one of each kind.
	modelNamespace = "bench-models"
)

// kind is what a stream of a population is like.
type kind string

const (
	// withJob has one workload, and is idle.
	withJob kind = "job"
	// suspended has it too, and its pushes are only recorded.
	suspended kind = "suspended"
	// onAir has it, is Live, and its Job and Pod run.
	onAir kind = "onair"
	// failing has one whose Pods end with an error after a second.
	failing kind = "failing"
)

// manifest is a LiveStream as somebody applies it: labels, one Job of usual size. A value of its environment is the stream's own, as those of real
// ones are: settings that are equal to the last letter take the operator less memory than anybody will have.
const manifest = `apiVersion: livestream-operator.io/v1alpha1
kind: LiveStream
metadata:
  name: %[1]s
  namespace: bench-models
  labels: {app.kubernetes.io/name: recorder, app.kubernetes.io/part-of: studio, app.kubernetes.io/managed-by: kustomize, team: media, tier: gold}
  annotations: {studio.example.com/contact: media-oncall@example.com, studio.example.com/runbook: "https://runbooks.example.com/recorder"}
spec:
  pushDomainRef: {name: shows}
  appName: live
  streamName: stream-of-%[1]s
  state: %[2]s
  reconnectWindowSeconds: %[4]d
  cleanStopWindowSeconds: 1
  workloads:
  - name: record
    job:
      metadata: {labels: {team: media}}
      spec:
        backoffLimit: 0
        template:
          metadata: {labels: {team: media}, annotations: {%[3]s}}
          spec:
            terminationGracePeriodSeconds: 30
            volumes:
            - {name: recordings, emptyDir: {sizeLimit: 20Gi}}
            - {name: config, configMap: {name: recorder, optional: true}}
            containers:
            - name: ffmpeg
              image: registry.example.com/media/ffmpeg:7.1.2
              args: [-hide_banner, -loglevel, warning, -i, $(LIVESTREAM_PLAYBACK_URL), -c, copy, -f, segment, -segment_time, "6", /recordings/$(LIVESTREAM_BROADCAST)-%%05d.ts]
              env:
              - {name: LOG_FORMAT, value: json}
              - {name: REGION, value: ap-guangzhou}
              - {name: ARCHIVE, value: archive/%[1]s}
              resources: {requests: {cpu: 500m, memory: 256Mi}, limits: {memory: 512Mi}}
              volumeMounts: [{name: recordings, mountPath: /recordings}, {name: config, mountPath: /etc/recorder, readOnly: true}]
`

// The digits are replaced in copies: a model is called like none of them, and as long as each.
const modelDigits = "9999999"

func (k kind) model() string { return string(k) + "-" + modelDigits }

// nameOf is the name of the i-th stream of a population of the kind.
func (k kind) nameOf(i int) string { return fmt.Sprintf("%s-%07d", k, i) }

// model is what is put for each copy, as the API server wrote it.
type model struct {
	kind    kind
	objects []keyValue
	// uids are of the LiveStream, the Job and the Pod.
	uids               []string
	jobName, broadcast string
}

// newModels has a running operator settle one LiveStream of each kind, and reads what became of them.
func (w *world) newModels(ctx context.Context) error {
	if err := w.newDomain(ctx, modelNamespace); err != nil {
		return err
	}
	operator, err := w.startOperator(ctx)
	if err != nil {
		return err
	}
	defer operator.kill()
	w.models = map[kind]model{}
	for k, annotations := range map[kind]string{withJob: "", suspended: "", onAir: "", failing: `fake.livestream-operator.io/exit-code: "1", fake.livestream-operator.io/run-seconds: "1"`} {
		state, window := "Active", 120
		switch k {
		case suspended:
			state = "Suspended"
		case onAir:
			// The most that there is: a storm that takes its time must find the broadcasts that it interrupted.
			window = 1800
		}
		path := filepath.Join(w.dir, string(k)+".yaml")
		if err := os.WriteFile(path, fmt.Appendf(nil, manifest, k.model(), state, annotations, window), 0o600); err != nil {
			return fmt.Errorf("writing a manifest: %w", err)
		}
		if output, err := w.installed.Kubectl(ctx, "apply", "-f", path); err != nil {
			return fmt.Errorf("applying a LiveStream: %w: %s", err, output)
		}
		if w.models[k], err = w.settle(ctx, operator, k); err != nil {
			return err
		}
	}
	return w.remove(ctx, modelNamespace)
}

func (w *world) settle(ctx context.Context, operator *operator, k kind) (model, error) {
	m := model{kind: k}
	stream := &v1alpha1.LiveStream{}
	name := client.ObjectKey{Namespace: modelNamespace, Name: k.model()}
	err := until(ctx, pollEvery, "the model is reconciled", func() (bool, error) {
		err := w.installed.API.Get(ctx, name, stream)
		return stream.Status.State == v1alpha1.LiveStreamIdle, err
	})
	if err != nil {
		return m, err
	}
	m.uids, m.objects = []string{string(stream.UID)}, []keyValue{{Key: []byte(streamKey(v1alpha1.GroupVersion.Group, modelNamespace, k.model()))}}
	if k == onAir {
		if err := w.putOnAir(ctx, operator, name, &m); err != nil {
			return m, err
		}
	}
	for i, object := range m.objects {
		if m.objects[i].Value, err = w.objectIn(ctx, object.Key, m); err != nil {
			return m, err
		}
	}
	return m, nil
}

// putOnAir starts a push and waits for its Pod.
func (w *world) putOnAir(ctx context.Context, operator *operator, name client.ObjectKey, m *model) error {
	event := css.Push{Domain: pushDomain, App: "live", Stream: "stream-of-" + name.Name, Sequence: modelSequence, AppID: 1, ClientIP: "119.29.94.245", Node: "100.121.160.92"}.Start(time.Now())
	status, _, err := css.Post(ctx, operator.receiver.callbacks+path(modelNamespace), event.Signed(callbackKey, time.Now()))
	if err != nil || status != 200 {
		return fmt.Errorf("putting the model on air: answered %d: %w", status, err)
	}
	stream := &v1alpha1.LiveStream{}
	err = until(ctx, pollEvery, "the model's Job runs", func() (bool, error) {
		err := w.installed.API.Get(ctx, name, stream)
		return stream.Status.WorkloadSummary == "1/1", err
	})
	if err != nil {
		return err
	}
	var jobs batchv1.JobList
	var pods corev1.PodList
	if err := errors.Join(w.installed.API.List(ctx, &jobs, client.InNamespace(modelNamespace)), w.installed.API.List(ctx, &pods, client.InNamespace(modelNamespace))); err != nil {
		return fmt.Errorf("reading the model's Job: %w", err)
	}
	if len(jobs.Items) != 1 || len(pods.Items) != 1 {
		return fmt.Errorf("the model has %d Jobs and %d Pods", len(jobs.Items), len(pods.Items))
	}
	m.jobName, m.broadcast = jobs.Items[0].Name, stream.Status.Broadcast.ID
	m.uids = append(m.uids, string(jobs.Items[0].UID), string(pods.Items[0].UID))
	m.objects = append(m.objects,
		keyValue{Key: []byte("/registry/jobs/" + modelNamespace + "/" + jobs.Items[0].Name)},
		keyValue{Key: []byte("/registry/pods/" + modelNamespace + "/" + pods.Items[0].Name)})
	return nil
}

// objectIn is the object as JSON. Jobs and Pods are stored in protobuf; the API server reads JSON too.
func (w *world) objectIn(ctx context.Context, key []byte, m model) ([]byte, error) {
	parts := strings.Split(string(key), "/")
	if len(parts) == 6 {
		return w.etcd.get(ctx, string(key))
	}
	path := map[string]string{"jobs": "/apis/batch/v1", "pods": "/api/v1"}[parts[2]]
	text, err := w.admin.Get().AbsPath(path, "namespaces", parts[3], parts[2], parts[4]).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the model's %s %s: %w", m.kind, parts[2], err)
	}
	return text, nil
}

func streamKey(group, namespace, name string) string {
	return "/registry/" + group + "/livestreams/" + namespace + "/" + name
}

func path(namespace string) string { return "/callbacks/" + namespace + "/shows" }

// sequence of the n-th push of the i-th stream, as long as CSS's own.
func sequence(i, n int) string { return fmt.Sprint(6_000_000_000_000_000_000 + i*10_000 + n) }

// modelSequence is of the push of a model that is on air; copies have their own.
var modelSequence = sequence(88_888_888, 0)

// newDomain makes a namespace with a push domain.
func (w *world) newDomain(ctx context.Context, namespace string) error {
	w.populated[namespace] = true
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "css", Namespace: namespace}, StringData: map[string]string{"callbackKey": callbackKey, "playbackKey": "thePlaybackKey0123456789"}},
		&v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: "shows", Namespace: namespace}, Spec: v1alpha1.PushDomainSpec{
			Provider: v1alpha1.ProviderTencentCSS, Domain: pushDomain,
			Callback: v1alpha1.Callback{KeySecretRefs: []v1alpha1.SecretKeyReference{{Name: "css", Key: "callbackKey"}}},
			Playback: v1alpha1.Playback{Domain: "play.example.com", KeySecretRef: v1alpha1.SecretKeyReference{Name: "css", Key: "playbackKey"}},
		}},
	} {
		// The namespace of a benchmark that failed is still there, empty.
		if err := w.installed.API.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("making %T %s: %w", object, namespace, err)
		}
	}
	return until(ctx, pollEvery, "the namespace has its service account", func() (bool, error) {
		err := w.installed.API.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil, err
	})
}

// population is a namespace with streams that differ in their names, and what bears them, alone, and bare twins of the first of them.
type population struct {
	w         *world
	kind      kind
	namespace string
	count     int
	// twinned is how many have a bare twin.
	twinned int
	// told is how many events each stream has been sent.
	told []int
	// twins are what the reference has made of its objects so far; nil where this is not the reference's view.
	twins map[int]*v1alpha1.LiveStream
	// barely says that it writes no more than the bare handler does.
	barely bool
	// ready are requests that were made before the time that counts.
	ready chan request
	// turn is whose it is: streams are taken one after the other, so that each has long been at rest when it is its turn again.
	turn   atomic.Int64
	making sync.Mutex
}

// readyAtMost is more than a block takes.
const readyAtMost = 4096

// newPopulation makes streams that are settled: an operator that sees them has nothing to write.
func (w *world) newPopulation(ctx context.Context, name string, k kind, count int) (*population, error) {
	p := &population{w: w, kind: k, namespace: "bench-" + name, twinned: count, ready: make(chan request, readyAtMost)}
	if err := w.newDomain(ctx, p.namespace); err != nil {
		return nil, err
	}
	return p, p.grow(ctx, count)
}

// grow adds streams until there are so many.
func (p *population) grow(ctx context.Context, count int) error {
	m := p.w.models[p.kind]
	err := p.w.etcd.putAll(ctx, p.count, count-p.count, func(i int) []keyValue { return m.copyTo(p.namespace, i, i < p.twinned) })
	if err != nil {
		return fmt.Errorf("putting streams into etcd: %w", err)
	}
	p.count = count
	for len(p.told) < count {
		told := 0
		if p.kind == onAir {
			told = 1
		}
		p.told = append(p.told, told)
	}
	return nil
}

// copyTo is what the i-th copy of the model in the namespace consists of, its bare twin, where it has one, last.
func (m model) copyTo(namespace string, i int, twinned bool) []keyValue {
	name, uid := m.kind.nameOf(i), uidOf(namespace, i, 0)
	replace := []string{modelNamespace, namespace, m.kind.model(), name, m.uids[0], uid}
	if m.jobName != "" {
		jobName := workload.JobName(name, apiUID(uid), "record", m.broadcast, 0)
		replace = append([]string{modelSequence, sequence(i, 0), m.jobName, jobName, m.uids[1], uidOf(namespace, i, 1), m.uids[2], uidOf(namespace, i, 2)}, replace...)
	}
	replacer := strings.NewReplacer(replace...)
	copies := make([]keyValue, 0, len(m.objects)+1)
	for _, object := range m.objects {
		copies = append(copies, keyValue{Key: []byte(replacer.Replace(string(object.Key))), Value: []byte(replacer.Replace(string(object.Value)))})
	}
	if !twinned {
		return copies
	}
	twin := strings.ReplaceAll(string(copies[0].Value), v1alpha1.GroupVersion.String(), bareGroup.String())
	return append(copies, keyValue{Key: []byte(streamKey(bareGroup.Group, namespace, name)), Value: []byte(twin)})
}

// decoded is the i-th copy's LiveStream.
func (m model) decoded(namespace string, i int) (*v1alpha1.LiveStream, error) {
	stream := &v1alpha1.LiveStream{}
	if err := json.Unmarshal(m.copyTo(namespace, i, false)[0].Value, stream); err != nil {
		return nil, fmt.Errorf("reading a copy: %w", err)
	}
	return stream, nil
}

// remove takes all of a namespace's streams, Jobs and Pods away at once.
func (w *world) remove(ctx context.Context, namespace string) error {
	for _, of := range []string{
		v1alpha1.GroupVersion.Group + "/livestreams", bareGroup.Group + "/livestreams", v1alpha1.GroupVersion.Group + "/pushdomains", "jobs", "pods", "events",
	} {
		if err := w.etcd.removeAll(ctx, "/registry/"+of+"/"+namespace+"/"); err != nil {
			return err
		}
	}
	delete(w.populated, namespace)
	return nil
}

// nextEvent is the next callback of the i-th stream: a start, its stop, the next start, and so on.
func (p *population) nextEvent(i int, now time.Time) []byte {
	n := p.told[i]
	p.told[i]++
	return p.event(i, n).Signed(callbackKey, now)
}

// event is the n-th event of the i-th stream.
func (p *population) event(i, n int) css.Callback {
	pushed := css.Push{Domain: pushDomain, App: "live", Stream: "stream-of-" + p.kind.nameOf(i), Sequence: sequence(i, n/2), AppID: 1, ClientIP: "119.29.94.245", Node: "100.121.160.92"}
	if n%2 == 0 {
		return pushed.Start(time.Now())
	}
	return pushed.Interruption(time.Now(), time.Minute, 1, "The push client actively stopped the push")
}

// take is the stream whose turn it is.
func (p *population) take() int { return int((p.turn.Add(1) - 1) % int64(p.count)) }

// request is the body of a callback, or of a patch.
type request struct {
	stream int
	body   []byte
}

// prepare makes so many requests ready, so that what they take to make is in no figure.
func (p *population) prepare(count int) error {
	for len(p.ready) < min(count, cap(p.ready)) {
		r, err := p.make()
		if err != nil {
			return err
		}
		p.ready <- r
	}
	return nil
}

// next is a request for the stream whose turn it is.
func (p *population) next() (request, error) {
	select {
	case r := <-p.ready:
		return r, nil
	default:
		return p.make()
	}
}

func (p *population) make() (request, error) {
	p.making.Lock()
	defer p.making.Unlock()
	i, now := p.take(), time.Now()
	r := request{stream: i, body: p.nextEvent(i, now)}
	if p.twins == nil {
		return r, nil
	}
	var err error
	if p.barely {
		_, r.body, err = barePatch(r.body)
		return r, err
	}
	if p.twins[i] == nil {
		if p.twins[i], err = p.w.models[p.kind].decoded(p.namespace, i); err != nil {
			return r, err
		}
	}
	r.body, err = patchFor(p.twins[i], r.body, now)
	return r, err
}

// send sends the next callback, which has to be taken.
func (p *population) send(ctx context.Context, s *sender) error {
	r, err := p.next()
	if err != nil {
		return err
	}
	return s.deliver(ctx, r.body)
}

// twin is the reference's view of the population.
func (p *population) twin() *population {
	return &population{w: p.w, kind: p.kind, namespace: p.namespace, count: p.count, told: slices.Clone(p.told), twins: map[int]*v1alpha1.LiveStream{}, ready: make(chan request, readyAtMost)}
}

// write writes into the next bare twin what its stream's next callback says.
func (p *population) write(ctx context.Context, b *bare) error {
	r, err := p.next()
	if err != nil {
		return err
	}
	return b.write(ctx, p.namespace, p.kind.nameOf(r.stream), r.body)
}

func jobLike(job *batchv1.Job, namespace, name string, labels map[string]string) ([]byte, error) {
	like := job.DeepCopy()
	like.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, Annotations: job.Annotations}
	like.Status, like.Spec.Selector = batchv1.JobStatus{}, nil
	for _, key := range []string{"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"} {
		delete(like.Spec.Template.Labels, key)
	}
	for key := range job.Labels {
		delete(like.Spec.Template.Labels, key)
	}
	maps.Copy(like.Spec.Template.Labels, labels)
	return json.Marshal(like)
}
