//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// finish lets the world settle without faults, looks at all that it did, deletes the streams, and looks at what is left.
func (w *world) finish() outcome {
	for _, r := range w.replicas {
		r.proxy.Clear()
		w.ends = append(w.ends, r.proxy.Count())
	}
	for _, hits := range w.mustHit {
		if hits() == 0 {
			w.fail(disagreement, "a fault that the run is about did not come")
		}
	}
	w.settle()
	w.rest()
	return w.end()
}

// end deletes the streams and says what became of the world.
func (w *world) end() outcome {
	w.removeStreams()
	w.catchUp()
	return w.outcome(observed.end(w.name).judge(w.mayTake))
}

// outcome ends the world's processes.
func (w *world) outcome(judged []violation) outcome {
	o := outcome{
		callsOf: w.callsOf(), events: w.answered(), distinct: w.distinct(), pushes: w.pushes(), lateWrites: w.lateWrites, settled: w.settled,
		faults: int(w.extra.Load()),
	}
	for _, r := range w.replicas {
		o.faults += r.proxy.Faults()
	}
	for i, calls := range o.callsOf {
		if i < len(w.ends) {
			o.exposed = append(o.exposed, calls[:w.ends[i]-w.marks[i]])
		}
	}
	o.violations = slices.Concat(w.failures, judged)
	w.close()
	if *keep && len(o.violations) > 0 {
		w.showLogs()
	}
	return o
}

func (w *world) close() {
	for _, r := range w.replicas {
		r.close()
	}
	// It takes its time, and nothing of it is of interest.
	_ = installed.API.Delete(context.WithoutCancel(w.ctx), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.name}})
}

// showLogs shows the end of the logs, and keeps the whole: what a long storm violates may be long ago.
func (w *world) showLogs() {
	kept := filepath.Join(installed.Root, "out", "chaos")
	if err := os.MkdirAll(kept, 0o750); err != nil {
		fmt.Println(err)
	}
	for _, r := range w.replicas {
		text, err := os.ReadFile(r.log.Name())
		if err != nil {
			continue
		}
		lines := strings.Split(string(text), "\n")
		name := filepath.Join(kept, filepath.Base(r.log.Name()))
		fmt.Printf("---- the end of %s\n%s\n", name, strings.Join(lines[max(0, len(lines)-80):], "\n"))
		if err := os.WriteFile(name, text, 0o600); err != nil {
			fmt.Println(err)
		}
	}
}

// settle waits until status and Jobs agree with the model.
func (w *world) settle() {
	began := time.Now()
	if err := w.until("status and Jobs agree with the model", w.agrees); err != nil {
		w.fail(disagreement, "%v", err)
		w.looksForLost()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = append(w.settled, time.Since(began))
}

// quiet is how long nothing may be written once all is settled.
func quiet() time.Duration {
	if *full {
		return 10 * time.Second
	}
	return 2 * time.Second
}

// eventRetry is how long client-go waits at most before it writes an Event again that was not taken: 10 s, and a quarter.
const eventRetry = 13 * time.Second

// rest counts the writes that come when nothing is left to do.
func (w *world) rest() {
	first, last, since := w.writes(), w.writes(), time.Now()
	err := w.until("the operator is at rest", func() error {
		if now := w.writes(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < max(time.Second, w.owes) {
			return errors.New("it has just written")
		}
		return nil
	})
	if err != nil {
		w.lateWrites += w.writes() - first
		w.fail(restless, "%v", err)
		return
	}
	before := w.statuses()
	<-time.After(w.quiet)
	// One of each stream may be refused: that rests on a version of a watch that is late, is no write, and is not tried again on that.
	late, refused := 0, 0
	var kinds []string
	for _, c := range w.calls() {
		switch {
		case !counts(c) || !c.At.After(since):
			continue
		case c.Status == http.StatusConflict:
			refused++
		default:
			late++
		}
		kinds = append(kinds, fmt.Sprint(c.Key(), " ", c.Status))
	}
	w.lateWrites += late
	if late > 0 || refused > len(w.options.streams) {
		w.fail(restless, "%d writes: %v %s", late, kinds, cmp.Diff(before, w.statuses()))
	}
}

// statuses are those of the streams, by name.
func (w *world) statuses() map[string]v1alpha1.LiveStreamStatus {
	var streams v1alpha1.LiveStreamList
	if err := installed.API.List(w.ctx, &streams, client.InNamespace(w.name)); err != nil {
		w.fail(disagreement, "listing the streams: %v", err)
	}
	statuses := map[string]v1alpha1.LiveStreamStatus{}
	for i := range streams.Items {
		statuses[streams.Items[i].Name] = streams.Items[i].Status
	}
	return statuses
}

// removeStreams deletes the LiveStreams, and sees that all of them goes, and nothing else.
func (w *world) removeStreams() {
	in := client.InNamespace(w.name)
	if err := installed.API.DeleteAllOf(w.ctx, &v1alpha1.LiveStream{}, in); err != nil {
		w.fail(orphan, "deleting the streams: %v", err)
		return
	}
	ours := client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	err := w.until("nothing of the deleted streams is left", func() error {
		var streams v1alpha1.LiveStreamList
		var jobs batchv1.JobList
		var pods corev1.PodList
		if err := errors.Join(installed.API.List(w.ctx, &streams, in), installed.API.List(w.ctx, &jobs, in, ours), installed.API.List(w.ctx, &pods, in, ours)); err != nil {
			return err
		}
		jobs.Items = slices.DeleteFunc(jobs.Items, func(j batchv1.Job) bool { return j.Labels[bystander] != "" })
		pods.Items = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.Labels[bystander] != "" })
		if n := len(streams.Items) + len(jobs.Items) + len(pods.Items); n > 0 {
			return fmt.Errorf("%d LiveStreams, %d Jobs and %d Pods are", len(streams.Items), len(jobs.Items), len(pods.Items))
		}
		return w.scaledTo(0)
	})
	if err != nil {
		w.fail(orphan, "%v", err)
	}
	other := &batchv1.Job{}
	if err := installed.API.Get(w.ctx, client.ObjectKey{Namespace: w.name, Name: "bystander"}, other); err != nil || other.DeletionTimestamp != nil {
		w.fail(orphan, "the Job of somebody else was touched: %v", err)
	}
}

// scaledTo says whether the Deployment, if there is one, was told so many.
func (w *world) scaledTo(want int32) error {
	if !w.options.scaled {
		return nil
	}
	d := &appsv1.Deployment{}
	if err := installed.API.Get(w.ctx, client.ObjectKey{Namespace: w.name, Name: "packager"}, d); err != nil {
		return err
	}
	if *d.Spec.Replicas != want {
		return fmt.Errorf("the target has %d replicas, want %d", *d.Spec.Replicas, want)
	}
	return nil
}

// seen tells the probes' versions from each other.
var seen atomic.Int64

// catchUp has the observer see all that there is by now, of each kind.
func (w *world) catchUp() {
	stream := newStream("last")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "last", Labels: map[string]string{bystander: "true"}}, Spec: corev1.PodSpec{
		// Nobody schedules it, so that it stays as it is.
		SchedulerName: "nobody", Containers: []corev1.Container{{Name: "c", Image: "i"}},
	}}
	revisions := map[string]uint64{}
	for kind, probe := range map[string]client.Object{"streams": stream, "pods": pod, "jobs": &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "bystander"}}} {
		probe.SetNamespace(w.name)
		err := installed.API.Get(w.ctx, client.ObjectKeyFromObject(probe), probe)
		if apierrors.IsNotFound(err) {
			err = installed.API.Create(w.ctx, probe)
		}
		if err == nil {
			patch := fmt.Sprintf(`{"metadata":{"annotations":{"chaos.example.com/seen":"%d"}}}`, seen.Add(1))
			err = installed.API.Patch(w.ctx, probe, client.RawPatch(types.MergePatchType, []byte(patch)))
		}
		if err != nil {
			w.fail(disagreement, "having the observer catch up with the %s: %v", kind, err)
			return
		}
		revisions[kind] = revisionOf(probe)
	}
	if err := observed.caughtUp(w.ctx, revisions); err != nil {
		w.fail(disagreement, "having the observer catch up: %v", err)
	}
}
