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
		for event := range w.ResultChan() {
			o.see(name, event)
		}
		o.mu.Lock()
		from := strconv.FormatUint(o.latest[name], 10)
		o.mu.Unlock()
		next, err := api.Watch(ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: from}})
		if err != nil {
			<-time.After(50 * time.Millisecond)
			continue
		}
		w = next
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

func (o *observer) begin(namespace string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.worlds[namespace] = &history{streams: map[types.UID][]version{}, jobs: map[types.UID]*job{}, pods: map[types.UID]*corev1.Pod{}}
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
	h.streams[s.UID] = append(h.streams[s.UID], version{revision: revision, at: time.Now(), stream: s, gone: gone})
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
