//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// observer sees everything, from watches of its own that no fault touches. It is of no use any more where it is broken.
type observer struct {
	mu     sync.Mutex
	worlds map[string]*history
	latest map[string]uint64
	broken error
}

// history is what was seen in a namespace.
type history struct {
	streams map[types.UID][]version
	jobs    map[types.UID]*job
	pods    map[types.UID]*corev1.Pod
	// found are violations that are certain at once, pairs those that have to wait for the watch of Jobs.
	found []violation
	pairs []pair

	// stopped says whether an interruption of the push was sent by now. Versions are judged as they come: what ends before its stop is
	// sent has ended wrongly. latest has the last one of each, by name.
	stopped func(stream, sequence string) bool
	latest  map[string]*v1alpha1.LiveStream
	// outlines has no more kept of versions than Jobs are judged by: there are too many.
	outlines bool
}

// version is a state of a LiveStream; gone says that it is the last one.
type version struct {
	revision uint64
	at       time.Time
	stream   *v1alpha1.LiveStream
	gone     bool
}

// job is a Job, with the revisions at which it was made and told to end.
type job struct {
	latest            *batchv1.Job
	created, deleting uint64
	createdAt         time.Time
	gone              bool
	// finishedFirst says that it had ended by itself when it was told to.
	finishedFirst bool
}

// pair is two live Pods of one workload, and when the second came.
type pair struct {
	first, second *corev1.Pod
	revision      uint64
}

func newObserver() *observer {
	return &observer{worlds: map[string]*history{}, latest: map[string]uint64{}}
}

// keys are where the API server keeps each kind in etcd.
var keys = map[string]string{
	"streams": "/registry/" + v1alpha1.GroupVersion.Group + "/livestreams/", "jobs": "/registry/jobs/", "pods": "/registry/pods/",
}

// watch sees all from now on, in etcd itself: the API server forgets what happened where it, or the storage of a kind whose CRD changes, is
// begun anew, and a version that was not seen is judged as if it had never been.
func (o *observer) watch(ctx context.Context, endpoint string) error {
	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Context: ctx, Logger: zap.NewNop()})
	if err != nil {
		return fmt.Errorf("connecting to etcd: %w", err)
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now, err := etcd.Get(asking, "/registry/", clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("asking etcd for its revision: %w", err)
	}
	for name, key := range keys {
		changes := etcd.Watch(ctx, key, clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1))
		go func() {
			if err := o.follow(name, changes); ctx.Err() == nil {
				o.breaks(fmt.Errorf("watching %s: %w", name, err))
			}
		}()
	}
	return nil
}

// follow sees what a watch tells, which goes on by itself where etcd was away, until it ends. It is an error where a version is missing.
func (o *observer) follow(name string, changes clientv3.WatchChan) error {
	last := map[string]*mvccpb.KeyValue{}
	for change := range changes {
		if err := change.Err(); err != nil {
			return err
		}
		for _, e := range change.Events {
			key, value, gone := string(e.Kv.Key), e.Kv, e.Type == clientv3.EventTypeDelete
			before, known := last[key]
			switch {
			case gone && !known:
				// It was there before the watch, and is nobody's.
				continue
			case gone:
				value = before
				delete(last, key)
			case known && e.Kv.Version != before.Version+1:
				return fmt.Errorf("version %d of %s comes after version %d", e.Kv.Version, key, before.Version)
			default:
				last[key] = value
			}
			object, err := stored(name, value.Value)
			if err != nil {
				return fmt.Errorf("reading %s: %w", key, err)
			}
			object.SetResourceVersion(strconv.FormatInt(e.Kv.ModRevision, 10))
			o.see(name, object, uint64(e.Kv.ModRevision), gone)
		}
	}
	return errors.New("it ended")
}

// stored is the object as etcd has it, which is enough for what is judged: no default is in it. Kinds of CRDs are JSON, all others protobuf.
func stored(name string, value []byte) (client.Object, error) {
	if name == "streams" {
		stream := &v1alpha1.LiveStream{}
		err := json.Unmarshal(value, stream)
		if err == nil && stream.APIVersion != v1alpha1.GroupVersion.String() {
			err = fmt.Errorf("it is stored as one of %q", stream.APIVersion)
		}
		return stream, err
	}
	object, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		return nil, err
	}
	known, is := object.(client.Object)
	if !is {
		return nil, fmt.Errorf("it is a %T", object)
	}
	return known, nil
}

// breaks says that from now on not all is seen.
func (o *observer) breaks(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken = errors.Join(o.broken, err)
}

func (o *observer) see(name string, object client.Object, revision uint64, gone bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest[name] = revision
	h := o.worlds[object.GetNamespace()]
	if h == nil {
		return
	}
	switch object := object.(type) {
	case *v1alpha1.LiveStream:
		h.seeStream(object, revision, gone)
	case *batchv1.Job:
		h.seeJob(object, revision, gone)
	case *corev1.Pod:
		h.seePod(object, revision, gone)
	}
}

// begin is an error where not all would be seen.
func (o *observer) begin(namespace string, stopped func(stream, sequence string) bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.worlds[namespace] = &history{
		streams: map[types.UID][]version{}, jobs: map[types.UID]*job{}, pods: map[types.UID]*corev1.Pod{}, latest: map[string]*v1alpha1.LiveStream{}, stopped: stopped,
	}
	return o.broken
}

// outlines has no more kept of a world's LiveStreams than Jobs are judged by.
func (o *observer) outlines(namespace string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.worlds[namespace].outlines = true
}

// last is the latest version of a LiveStream; nil when it is not there.
func (o *observer) last(namespace, name string) *v1alpha1.LiveStream {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.worlds[namespace].latest[name]
}

// end returns what was seen, which nobody else uses any more.
func (o *observer) end(namespace string) *history {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.worlds[namespace]
	delete(o.worlds, namespace)
	return h
}

// caughtUp waits until the observer has seen the revision of each kind.
func (o *observer) caughtUp(ctx context.Context, revisions map[string]uint64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		behind := false
		o.mu.Lock()
		for name, revision := range revisions {
			behind = behind || o.latest[name] < revision
		}
		broken := o.broken
		o.mu.Unlock()
		if broken != nil || !behind {
			return broken
		}
		<-time.After(10 * time.Millisecond)
	}
	return ctx.Err()
}

func (h *history) seeStream(s *v1alpha1.LiveStream, revision uint64, gone bool) {
	if before := h.latest[s.Name]; before != nil && before.UID == s.UID && len(h.found) < mostFound {
		h.found = append(h.found, compare(before, s, h.stopped)...)
	}
	h.latest[s.Name] = s
	if gone {
		delete(h.latest, s.Name)
	}
	switch {
	case !h.outlines:
		h.streams[s.UID] = append(h.streams[s.UID], version{revision: revision, at: time.Now(), stream: s, gone: gone})
	case len(s.Spec.Workloads) > 0:
		h.streams[s.UID] = append(h.streams[s.UID], version{revision: revision, at: time.Now(), stream: outline(s), gone: gone})
	}
}

// mostFound is enough to read.
const mostFound = 1000

// outline is what Jobs are judged by.
func outline(s *v1alpha1.LiveStream) *v1alpha1.LiveStream {
	o := &v1alpha1.LiveStream{}
	o.Name, o.DeletionTimestamp, o.Status.Broadcast.ID = s.Name, s.DeletionTimestamp, s.Status.Broadcast.ID
	for _, p := range s.Status.Pushes {
		if p.EndTime == nil {
			o.Status.Pushes = append(o.Status.Pushes, v1alpha1.Push{Sequence: p.Sequence})
		}
	}
	return o
}

func (h *history) seeJob(j *batchv1.Job, revision uint64, gone bool) {
	known := h.jobs[j.UID]
	if known == nil {
		known = &job{created: revision, createdAt: time.Now()}
		h.jobs[j.UID] = known
	}
	if known.deleting == 0 && (gone || j.DeletionTimestamp != nil) {
		known.deleting = revision
		known.finishedFirst = known.latest != nil && !active(known.latest)
	}
	known.latest, known.gone = j, gone
	if !active(j) || gone {
		return
	}
	for uid, other := range h.jobs {
		if uid != j.UID && !other.gone && active(other.latest) && ofOne(j, other.latest, v1alpha1.LabelBroadcast) {
			h.found = append(h.found, violation{doubled, fmt.Sprintf("Jobs %s and %s of one broadcast are both active", other.latest.Name, j.Name)})
		}
	}
}

func (h *history) seePod(p *corev1.Pod, revision uint64, gone bool) {
	if gone || !livePod(p) {
		delete(h.pods, p.UID)
		return
	}
	if _, known := h.pods[p.UID]; !known && p.Labels[v1alpha1.LabelRun] == "" {
		for _, other := range h.pods {
			if other.Labels[v1alpha1.LabelRun] == "" && ofOne(p, other) {
				h.pairs = append(h.pairs, pair{other, p, revision})
			}
		}
	}
	h.pods[p.UID] = p
}

// ofOne says whether both are of one workload of one stream, and have the same of these labels.
func ofOne(a, b client.Object, labels ...string) bool {
	for _, label := range append(labels, v1alpha1.LabelLiveStream, v1alpha1.LabelWorkload) {
		if a.GetLabels()[label] == "" || a.GetLabels()[label] != b.GetLabels()[label] {
			return false
		}
	}
	return true
}

// active says whether a Job has, or may get, a Pod that nobody told to end.
func active(j *batchv1.Job) bool {
	if j.DeletionTimestamp != nil || j.Labels[bystander] != "" {
		return false
	}
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	return true
}

func livePod(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && p.Labels[bystander] == "" && (p.Status.Phase == corev1.PodPending || p.Status.Phase == corev1.PodRunning)
}
