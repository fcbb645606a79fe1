//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// observer sees everything, from watches of its own that no fault touches.
type observer struct {
	mu     sync.Mutex
	worlds map[string]*history
	latest map[string]uint64
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

func (o *observer) watch(ctx context.Context, api client.WithWatch) error {
	for name, list := range map[string]client.ObjectList{"streams": &v1alpha1.LiveStreamList{}, "jobs": &batchv1.JobList{}, "pods": &corev1.PodList{}} {
		w, err := api.Watch(ctx, list)
		if err != nil {
			return fmt.Errorf("watching %s: %w", name, err)
		}
		go o.follow(ctx, api, name, list, w)
	}
	return nil
}

// follow goes on where a watch ended.
func (o *observer) follow(ctx context.Context, api client.WithWatch, name string, list client.ObjectList, w watch.Interface) {
	for ctx.Err() == nil {
		tooOld := false
		for event := range w.ResultChan() {
			o.see(name, event)
			tooOld = tooOld || event.Type == watch.Error && isTooOld(apierrors.FromObject(event.Object))
		}
		if tooOld {
			o.listAnew(ctx, api, name, list)
		}
		o.mu.Lock()
		from := strconv.FormatUint(o.latest[name], 10)
		o.mu.Unlock()
		next, err := api.Watch(ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: from}})
		if isTooOld(err) {
			o.listAnew(ctx, api, name, list)
		}
		if err != nil {
			<-time.After(50 * time.Millisecond)
			continue
		}
		w = next
	}
}

func isTooOld(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

// listAnew sees what is there where an API server that was started anew does not know what happened before.
func (o *observer) listAnew(ctx context.Context, api client.Client, name string, list client.ObjectList) {
	fresh, is := list.DeepCopyObject().(client.ObjectList)
	if !is || api.List(ctx, fresh) != nil {
		return
	}
	objects, err := meta.ExtractList(fresh)
	if err != nil {
		return
	}
	there := map[types.UID]bool{}
	for _, object := range objects {
		o.see(name, watch.Event{Type: watch.Modified, Object: object})
		if object, is := object.(client.Object); is {
			there[object.GetUID()] = true
		}
	}
	revision, _ := strconv.ParseUint(fresh.GetResourceVersion(), 10, 64)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest[name] = revision
	for _, h := range o.worlds {
		h.forget(name, there, revision)
	}
}

// forget sees the end of what is not there any more.
func (h *history) forget(name string, there map[types.UID]bool, revision uint64) {
	for uid, j := range h.jobs {
		if name == "jobs" && !there[uid] && !j.gone {
			h.seeJob(j.latest, revision, true)
		}
	}
	for uid := range h.pods {
		if name == "pods" && !there[uid] {
			delete(h.pods, uid)
		}
	}
}

func (o *observer) see(name string, event watch.Event) {
	object, is := event.Object.(client.Object)
	if !is {
		return
	}
	revision, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest[name] = revision
	h := o.worlds[object.GetNamespace()]
	if h == nil {
		return
	}
	gone := event.Type == watch.Deleted
	switch object := object.(type) {
	case *v1alpha1.LiveStream:
		h.seeStream(object, revision, gone)
	case *batchv1.Job:
		h.seeJob(object, revision, gone)
	case *corev1.Pod:
		h.seePod(object, revision, gone)
	}
}

func (o *observer) begin(namespace string, stopped func(stream, sequence string) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.worlds[namespace] = &history{
		streams: map[types.UID][]version{}, jobs: map[types.UID]*job{}, pods: map[types.UID]*corev1.Pod{}, latest: map[string]*v1alpha1.LiveStream{}, stopped: stopped,
	}
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
func (o *observer) caughtUp(ctx context.Context, revisions map[string]uint64) {
	for ctx.Err() == nil {
		behind := false
		o.mu.Lock()
		for name, revision := range revisions {
			behind = behind || o.latest[name] < revision
		}
		o.mu.Unlock()
		if !behind {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
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
