//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// told is what the callbacks of a push said. That is the whole model: a push is live if its start was sent and its interruption was
// not, whatever came when and how often.
type told struct{ start, stop bool }

func (w *world) note(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tell(w.facts, e)
}

// noteTaken notes what was answered 200.
func (w *world) noteTaken(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events++
	tell(w.taken, e)
}

func tell(facts map[string]map[string]*told, e event) {
	if facts[e.stream] == nil {
		facts[e.stream] = map[string]*told{}
	}
	t := facts[e.stream][e.sequence]
	if t == nil {
		t = &told{}
		facts[e.stream][e.sequence] = t
	}
	if e.start {
		t.start = true
	} else {
		t.stop = true
	}
}

// distinct is how many different events were answered 200.
func (w *world) distinct() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, pushes := range w.taken {
		for _, t := range pushes {
			if t.start {
				n++
			}
			if t.stop {
				n++
			}
		}
	}
	return n
}

// looksForLost asks about each event that was answered 200, where the end is not as it should be: what is lost is told from what is late.
func (w *world) looksForLost() {
	w.mu.Lock()
	var events []event
	for stream, pushes := range w.taken {
		for sequence, t := range pushes {
			events = append(events, event{stream: stream, sequence: sequence, start: !t.stop})
		}
	}
	w.mu.Unlock()
	for _, e := range events {
		w.isStored(e)
	}
}

func (w *world) wasStopped(stream, sequence string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.facts[stream][sequence]
	return t != nil && t.stop
}

// pushes is how many the model knows.
func (w *world) pushes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, pushes := range w.facts {
		n += len(pushes)
	}
	return n
}

// answered is how many callbacks were answered 200, repeats included.
func (w *world) answered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events
}

// pushesOf are the pushes that the model has of a stream, true for those that are live.
func (w *world) pushesOf(stream string) map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	pushes := map[string]bool{}
	for sequence, t := range w.facts[stream] {
		pushes[sequence] = !t.stop
	}
	return pushes
}

func revisionOf(object client.Object) uint64 {
	revision, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	return revision
}

// agrees compares what is there with the model.
func (w *world) agrees() error {
	var streams v1alpha1.LiveStreamList
	var jobs batchv1.JobList
	if err := errors.Join(installed.API.List(w.ctx, &streams, client.InNamespace(w.name)), installed.API.List(w.ctx, &jobs, client.InNamespace(w.name))); err != nil {
		return err
	}
	sum := int32(0)
	for i := range streams.Items {
		if err := w.agreesOn(&streams.Items[i], jobs.Items); err != nil {
			return fmt.Errorf("%s: %w", streams.Items[i].Name, err)
		}
		if live(&streams.Items[i]) {
			sum++
		}
	}
	return w.scaledTo(sum)
}

func (w *world) agreesOn(s *v1alpha1.LiveStream, jobs []batchv1.Job) error {
	model := w.pushesOf(s.Name)
	for _, p := range s.Status.Pushes {
		isLive, known := model[p.Sequence]
		if !known || isLive != (p.EndTime == nil) {
			return fmt.Errorf("push %s is %v in the status, the model has %v (known: %v)", p.Sequence, p.EndTime == nil, isLive, known)
		}
	}
	if len(s.Status.Pushes) != len(model) {
		return fmt.Errorf("the status has %d pushes, the model %d", len(s.Status.Pushes), len(model))
	}
	want := v1alpha1.LiveStreamIdle
	if live(s) {
		want = v1alpha1.LiveStreamLive
	}
	if s.Status.State != want || (s.Status.Broadcast.ID != "") != live(s) {
		return fmt.Errorf("it is %s in broadcast %q, want %s", s.Status.State, s.Status.Broadcast.ID, want)
	}
	if !slices.ContainsFunc(s.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionReady && c.Status == "True" }) {
		return fmt.Errorf("it is not Ready: %+v", s.Status.Conditions)
	}
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j batchv1.Job) bool {
		return j.Labels[v1alpha1.LabelLiveStream] != s.Name || j.Labels[bystander] != ""
	})
	return errors.Join(agreesOnWorkloads(s, jobs), agreesOnAfterEnd(s, jobs))
}

func agreesOnWorkloads(s *v1alpha1.LiveStream, jobs []batchv1.Job) error {
	var running []string
	for i := range jobs {
		if jobs[i].Labels[v1alpha1.LabelRun] == "" && active(&jobs[i]) {
			running = append(running, jobs[i].Name)
			if jobs[i].Labels[v1alpha1.LabelBroadcast] != s.Status.Broadcast.ID {
				return fmt.Errorf("Job %s is of broadcast %s, which is not on air", jobs[i].Name, jobs[i].Labels[v1alpha1.LabelBroadcast])
			}
		}
	}
	wanted := 0
	for _, w := range s.Status.Workloads {
		switch {
		case w.State == v1alpha1.WorkloadScheduled:
		case !live(s) && (w.State == v1alpha1.WorkloadStopped || w.State == v1alpha1.WorkloadCompleted || w.State == v1alpha1.WorkloadFailed):
		case !live(s), w.State != v1alpha1.WorkloadRunning:
			return fmt.Errorf("workload %s is %s: %s", w.Name, w.State, w.Message)
		case w.Scale.Name != "":
		case !slices.Contains(running, w.JobName):
			return fmt.Errorf("workload %s has Job %q, there are %v", w.Name, w.JobName, running)
		default:
			wanted++
		}
	}
	if live(s) && len(s.Status.Workloads) != len(s.Spec.Workloads) || wanted != len(running) {
		return fmt.Errorf("the status has %d workloads, %d with Jobs, the spec %d, and %v run", len(s.Status.Workloads), wanted, len(s.Spec.Workloads), running)
	}
	return nil
}

// agreesOnAfterEnd sees that what runs after a broadcast ran once after each.
func agreesOnAfterEnd(s *v1alpha1.LiveStream, jobs []batchv1.Job) error {
	ran := map[string]int{}
	for i := range jobs {
		if jobs[i].Labels[v1alpha1.LabelRun] == string(v1alpha1.WorkloadRunAfterEnd) {
			ran[jobs[i].Labels[v1alpha1.LabelBroadcast]]++
		}
	}
	for _, record := range s.Status.History {
		for _, w := range record.AfterEnd {
			if w.State != v1alpha1.WorkloadCompleted || ran[record.ID] != 1 {
				return fmt.Errorf("after broadcast %s, %s is %s with %d Jobs: %s", record.ID, w.Name, w.State, ran[record.ID], w.Message)
			}
		}
		delete(ran, record.ID)
	}
	if len(ran) > 0 {
		return fmt.Errorf("Jobs ran after broadcasts that did not end: %v", ran)
	}
	return nil
}
