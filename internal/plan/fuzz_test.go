package plan

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// dice makes choices of bytes; when there are none left, the first of each.
type dice struct{ bytes []byte }

func (d *dice) roll(sides int) int {
	if len(d.bytes) == 0 {
		return 0
	}
	b := d.bytes[0]
	d.bytes = d.bytes[1:]
	return int(b) % sides
}

func (d *dice) is() bool { return d.roll(2) == 1 }

func choose[T any](d *dice, of ...T) T { return of[d.roll(len(of))] }

// at is a time near the show, or none.
func (d *dice) at() time.Time {
	if d.roll(5) == 0 {
		return time.Time{}
	}
	return showTime.Add(time.Duration(d.roll(256)-128) * choose(d, time.Second, time.Minute, time.Hour))
}

func (d *dice) metaTime() *metav1.Time {
	if at := d.at(); !at.IsZero() {
		return new(metav1.NewTime(at))
	}
	return nil
}

func (d *dice) broadcast() string { return choose(d, "b1", "b2", "b3") }
func (d *dice) sequence() string  { return choose(d, "1", "2", "10", "online-1767384000") }
func (d *dice) name() string      { return choose(d, "record", "transcode", "thumbnails", "packager") }

func (d *dice) reason() v1alpha1.PushReason {
	return choose(d, v1alpha1.PushReasonClientStopped, v1alpha1.PushReasonNetworkError, v1alpha1.PushReasonRefused, v1alpha1.PushReasonNotOnline, v1alpha1.PushReasonMaxDurationReached)
}

// settings are such as the API server takes: names differ, and a preset's is taken where it is asked for.
func (d *dice) settings() v1alpha1.LiveStreamSettings {
	var s v1alpha1.LiveStreamSettings
	if d.is() {
		s.Recording.Storage.PersistentVolumeClaim.ClaimName = "recordings"
	}
	if d.is() {
		s.Transcoding.Renditions = []v1alpha1.Rendition{{Name: "360p", Height: 360}}
		if d.is() {
			s.Transcoding.Output.Push.Domain = "push.example.com"
		}
	}
	for range d.roll(4) {
		w := v1alpha1.Workload{Name: d.name(), Run: choose(d, "", v1alpha1.WorkloadRunWhileLive, v1alpha1.WorkloadRunAfterEnd), Job: &batchv1.JobTemplateSpec{}}
		if d.roll(3) == 0 {
			w.Run, w.Job, w.Scale = "", nil, v1alpha1.WorkloadScale{APIVersion: "apps/v1", Kind: "Deployment", Name: choose(d, "a", "b")}
		}
		taken := w.Name == v1alpha1.WorkloadRecord && s.Recording.Wanted() || w.Name == v1alpha1.WorkloadTranscode && s.Transcoding.Wanted()
		if !taken && !slices.ContainsFunc(s.Workloads, func(o v1alpha1.Workload) bool { return o.Name == w.Name }) {
			s.Workloads = append(s.Workloads, w)
		}
	}
	s.HistoryLimit = int32(d.roll(3))
	return s
}

func (d *dice) state() v1alpha1.WorkloadState {
	return choose(d, v1alpha1.WorkloadPending, v1alpha1.WorkloadScheduled, v1alpha1.WorkloadRunning, v1alpha1.WorkloadWaiting,
		v1alpha1.WorkloadStopping, v1alpha1.WorkloadStopped, v1alpha1.WorkloadCompleted, v1alpha1.WorkloadFailed)
}

// status is whatever an operator of any version may have written: lists by name and by id, as the API server holds it.
func (d *dice) status() v1alpha1.LiveStreamStatus {
	s := v1alpha1.LiveStreamStatus{State: choose(d, "", v1alpha1.LiveStreamIdle, v1alpha1.LiveStreamLive, v1alpha1.LiveStreamInterrupted, v1alpha1.LiveStreamUnknown)}
	if at := d.at(); !at.IsZero() {
		s.Since = new(metav1.NewMicroTime(at))
	}
	for range d.roll(5) {
		p := v1alpha1.Push{Sequence: d.sequence(), StartTime: d.metaTime(), RecordedTime: d.metaTime()}
		if p.EndTime = d.metaTime(); p.EndTime != nil {
			p.Reason = d.reason()
		}
		if !slices.ContainsFunc(s.Pushes, func(o v1alpha1.Push) bool { return o.Sequence == p.Sequence }) {
			s.Pushes = append(s.Pushes, p)
		}
	}
	if d.is() {
		s.Broadcast = v1alpha1.Broadcast{ID: d.broadcast(), StartTime: d.metaTime(), Pushes: int32(d.roll(3)), Sequences: []string{d.sequence(), d.sequence()}}
	}
	for range d.roll(4) {
		w := v1alpha1.WorkloadStatus{Name: d.name(), State: d.state(), JobName: choose(d, "", "j1", "j2"), Part: int32(d.roll(4))}
		if d.roll(4) == 0 {
			w.Scale = v1alpha1.ScaleShare{APIVersion: "apps/v1", Kind: "Deployment", Name: "a"}
		}
		if !slices.ContainsFunc(s.Workloads, func(o v1alpha1.WorkloadStatus) bool { return o.Name == w.Name }) {
			s.Workloads = append(s.Workloads, w)
		}
	}
	for range d.roll(4) {
		r := d.record()
		// A broadcast that has ended is not open.
		if r.ID != s.Broadcast.ID && !slices.ContainsFunc(s.History, func(o v1alpha1.BroadcastRecord) bool { return o.ID == r.ID }) {
			s.History = append(s.History, r)
		}
	}
	return s
}

func (d *dice) record() v1alpha1.BroadcastRecord {
	r := v1alpha1.BroadcastRecord{ID: d.broadcast(), StartTime: d.metaTime(), EndTime: d.metaTime(), Sequence: d.sequence()}
	name := d.name()
	if d.is() {
		r.Recordings = []v1alpha1.RecordingStatus{{Name: name, ReadyTime: d.metaTime(), Message: choose(d, "", "no media came")}}
	}
	if other := d.name(); other != name {
		r.AfterEnd = []v1alpha1.AfterEndStatus{{Name: other, State: d.state(), JobName: choose(d, "", "j3")}}
	}
	return r
}

func (d *dice) runs() []workload.Run {
	var runs []workload.Run
	for range d.roll(6) {
		r := workload.Run{
			Workload: d.name(), Broadcast: d.broadcast(), Part: int32(d.roll(4)), Phase: workload.Phase(d.roll(5) + 1), AfterEnd: d.is(), Sequence: d.sequence(),
			BroadcastStart: d.at(), Created: d.at(), Ready: d.at(), Finished: d.at(), PodsGone: d.is(), Signals: d.is(), Stores: d.is(), Told: d.at(), Patience: choose(d, 0, 31*time.Minute), Finish: d.is(),
		}
		if d.is() {
			r.Result = &recording.Result{Ready: d.is(), Nothing: d.is(), Left: d.is(), Message: choose(d, "", "why"), URI: "pvc://a/b"}
		}
		if d.roll(4) == 0 {
			r.Progress = &recording.Progress{MediaSeconds: float64(d.roll(256))}
		}
		r.JobName = workload.JobName("show", "uid-1", r.Workload, r.Broadcast, r.Part)
		if !slices.ContainsFunc(runs, func(o workload.Run) bool { return o.JobName == r.JobName }) {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs, func(a, b workload.Run) int {
		return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Broadcast, b.Broadcast), cmp.Compare(a.Part, b.Part))
	})
	return runs
}

func (d *dice) observed() Observed {
	o := Observed{Now: showTime, Stream: newWorld().stream, Domain: choose(d, "", "push.example.com"), DuplicateOf: choose(d, "", "", "", "older"), HoldOpen: d.roll(4) == 1}
	own, template := d.settings(), d.settings()
	o.Stream.Spec.LiveStreamSettings = own
	o.Stream.Spec.State = choose(d, "", "", "", v1alpha1.LiveStreamSuspended)
	o.Settings = workload.WithPresets(own.Inherit(template))
	o.Stream.Status, o.Runs = d.status(), d.runs()
	if d.is() {
		o.Targets = map[TargetRef]Target{{"apps/v1", "Deployment", "a"}: {Wanted: int32(d.roll(3)), Asked: int32(d.roll(3)), Have: int32(d.roll(3)), Reached: int32(d.roll(3)), Problem: choose(d, "", "no such thing")}}
	}
	if d.roll(4) == 0 {
		o.DeleteAfterIdle = time.Hour
	}
	return o
}

// FuzzPlan: whatever is observed, a plan is made, the same one again, and it starts nothing twice.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a stream that is live, with what it needs"))
	f.Add([]byte{1, 0, 0, 1, 1, 1, 3, 1, 2, 1, 1, 2, 1, 1, 2, 0, 1, 1, 2, 4, 1, 3, 1, 7, 1, 1, 2, 3, 9, 1, 1, 5, 2})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		o := (&dice{bytes}).observed()
		before := o.Stream.DeepCopy()
		p := Compute(o)
		checkPlan(t, o, p)
		made := map[string]string{}
		for i, s := range p.Start {
			made[s.Key()] = fmt.Sprintf("job-%d", i)
		}
		checkStatus(t, Report(o, p, made, nil))
		checkStatus(t, Report(o, p, nil, nil))
		if again := Compute(o); summary(again.Status) != summary(p.Status) || len(again.Start) != len(p.Start) || len(again.Stop) != len(p.Stop) {
			t.Error("the same world has two plans")
		}
		if summary(before.Status) != summary(o.Stream.Status) {
			t.Error("the plan changed the observed stream")
		}
	})
}

func checkPlan(t *testing.T, o Observed, p Plan) {
	t.Helper()
	keys, jobs, stops := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range p.Start {
		broadcast := p.Status.Broadcast.ID
		if s.Ended != nil {
			broadcast = s.Ended.ID
		}
		job := workload.JobName("show", "uid-1", s.Workload.Name, broadcast, s.Part)
		if keys[s.Key()] || jobs[job] {
			t.Errorf("%s is started twice", s.Key())
		}
		keys[s.Key()], jobs[job] = true, true
		if s.Part < 1 || broadcast == "" {
			t.Errorf("part %d of %q is started in broadcast %q", s.Part, s.Workload.Name, broadcast)
		}
		if slices.ContainsFunc(o.Runs, func(r workload.Run) bool { return r.JobName == job && r.Active() }) {
			t.Errorf("%s is started, and its Job %s runs", s.Key(), job)
		}
	}
	for _, s := range p.Stop {
		if stops[s.JobName] || jobs[s.JobName] {
			t.Errorf("%s is stopped twice, or started and stopped", s.JobName)
		}
		stops[s.JobName] = true
	}
	if p.LookAgain < 0 {
		t.Errorf("it looks again in %s", p.LookAgain)
	}
	if p.Delete && (len(p.Start)+len(p.Stop) > 0 || o.DeleteAfterIdle == 0) {
		t.Error("a stream is deleted that is in use, or not ours to delete")
	}
}

// checkStatus: a status with two entries of one name is refused by the API server, and none would ever be written again.
func checkStatus(t *testing.T, s v1alpha1.LiveStreamStatus) {
	t.Helper()
	var names []string
	for _, w := range s.Workloads {
		names = append(names, "workload "+w.Name)
	}
	for _, h := range s.History {
		names = append(names, "broadcast "+h.ID)
		for _, r := range h.Recordings {
			names = append(names, "recording "+h.ID+"/"+r.Name)
		}
		for _, w := range h.AfterEnd {
			names = append(names, "after "+h.ID+"/"+w.Name)
		}
	}
	for _, c := range s.Conditions {
		names = append(names, "condition "+c.Type)
	}
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("something is listed twice: %v", names)
	}
}
