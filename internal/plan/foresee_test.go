package plan

import (
	"math/rand/v2"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// Whatever comes in whatever order: to write with an event what follows from it makes no difference to what stands after the next pass,
// times included, nor to what users are told.
func TestStatusIsTheSameWhetherItIsForeseenOrLeftToThePass(t *testing.T) {
	foreseen, settled := 0, 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		workloads := [][]string{nil, {"record"}, {"record", "thumbnails"}}[seed%3]
		plain, eager := newWorld(workloads...), newWorld(workloads...)
		if seed%5 == 0 {
			for _, w := range []*world{plain, eager} {
				w.stream.Spec.Workloads = append(w.stream.Spec.Workloads, v1alpha1.Workload{Name: "publish", Run: v1alpha1.WorkloadRunAfterEnd, Job: &batchv1.JobTemplateSpec{}})
			}
		}
		eager.foresees = true
		plain.pass(t)
		eager.pass(t)
		for _, write := range writes(r, deliveries(r), seed%4 == 3) {
			for _, w := range []*world{plain, eager} {
				w.advance(t, write.at)
				w.receive(t, write.events...)
			}
			before := eager.stream.Status
			plain.pass(t)
			eager.pass(t)
			if gocmp.Equal(before, eager.stream.Status) {
				settled++
			}
			if diff := gocmp.Diff(plain.stream.Status, eager.stream.Status); diff != "" {
				t.Fatalf("seed %d, %s: the status differs (-left to the pass +foreseen):\n%s\n%s", seed, eager.clock(), diff, eager.trace.String())
			}
		}
		for _, w := range []*world{plain, eager} {
			w.advance(t, w.now.Add(2*time.Hour))
		}
		if diff := gocmp.Diff(plain.stream.Status, eager.stream.Status); diff != "" {
			t.Fatalf("seed %d: the status differs in the end (-left to the pass +foreseen):\n%s", seed, diff)
		}
		if diff := gocmp.Diff(plain.told, eager.told); diff != "" {
			t.Fatalf("seed %d: users are told something else (-left to the pass +foreseen):\n%s", seed, diff)
		}
		foreseen += eager.foreseen
	}
	if foreseen < 3000 || settled < 3000 {
		t.Errorf("only %d events were foreseen, and %d passes had nothing to add", foreseen, settled)
	}
}

// Two events before a pass, and passes that lose their status, may count otherwise, but they keep what always holds.
func TestRandomCallbacksThatAreForeseenKeepTheInvariantsThroughCrashes(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		w := newWorld("record", "thumbnails")
		w.foresees = true
		w.pass(t)
		w.loseStatus = func() bool { return r.IntN(4) == 0 }
		for _, write := range writes(r, deliveries(r), seed%2 == 1) {
			w.advance(t, write.at)
			w.receive(t, write.events...)
			if r.IntN(3) > 0 {
				w.pass(t)
				checkNow(t, w)
			}
		}
		w.loseStatus = func() bool { return false }
		w.pass(t)
		w.advance(t, w.now.Add(2*time.Hour))
		checkRest(t, w)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, w.trace.String())
		}
	}
}

// foreseeing is a world at rest whose receiver foresees.
func foreseeing(t *testing.T, workloads ...string) *world {
	t.Helper()
	w := newWorld(workloads...)
	w.foresees = true
	w.pass(t)
	return w
}

func TestPassHasNothingToSayAboutAnEventOfAStreamWithoutWorkloads(t *testing.T) {
	w := foreseeing(t)
	for _, step := range []struct {
		name string
		do   func()
		want v1alpha1.LiveStreamState
	}{
		{"a start", func() { w.receive(t, started("A", w.now)) }, v1alpha1.LiveStreamLive},
		{"a second pusher", func() { w.receive(t, started("B", w.now)) }, v1alpha1.LiveStreamLive},
		{"the end of one of two", func() { w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError)) }, v1alpha1.LiveStreamLive},
		{"the end of the last", func() { w.receive(t, interrupted("B", w.now, v1alpha1.PushReasonNetworkError)) }, v1alpha1.LiveStreamInterrupted},
		{"the end of one that was never seen", func() { w.receive(t, interrupted("X", w.now, v1alpha1.PushReasonNetworkError)) }, v1alpha1.LiveStreamInterrupted},
		{"a start in the window", func() { w.receive(t, started("C", w.now)) }, v1alpha1.LiveStreamLive},
	} {
		w.advance(t, w.now.Add(5*time.Second))
		before := w.written
		step.do()
		if got := w.stream.Status.State; got != step.want {
			t.Errorf("%s: the stream is %s before any pass, want %s", step.name, got, step.want)
		}
		w.pass(t)
		if w.written != before {
			t.Errorf("%s: the pass wrote again", step.name)
		}
	}
}

func TestWindowBeginsWithTheEvent(t *testing.T) {
	w := foreseeing(t, "record")
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.now = w.now.Add(100 * time.Second)
	w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError))
	// The pass comes late.
	lost := w.now
	w.now = w.now.Add(20 * time.Second)
	w.pass(t)
	if want := lost.Add(60 * time.Second); !w.look.Equal(want) {
		t.Errorf("the window ends at %s, want %s", w.look, want)
	}
}

// What a push alone does not tell is left to the pass: the pushes are written by themselves.
func TestNothingIsForeseenWhereMoreThanThePushesCounts(t *testing.T) {
	start := func(w *world) (Observed, []v1alpha1.Push) {
		pushes, _, err := push.Apply(w.stream.Status.Pushes, started("N", w.now), w.now)
		if err != nil {
			t.Fatal(err)
		}
		return w.observed(), pushes
	}
	for name, change := range map[string]func(*testing.T, *world, *Observed){
		"a LiveStream that no pass has seen": func(_ *testing.T, w *world, _ *Observed) { w.stream.Status = v1alpha1.LiveStreamStatus{} },
		"a spec that no pass has seen":       func(_ *testing.T, w *world, _ *Observed) { w.stream.Generation++ },
		"one that is suspended":              func(_ *testing.T, w *world, _ *Observed) { w.stream.Spec.State = v1alpha1.LiveStreamSuspended },
		"one that is being deleted":          func(_ *testing.T, w *world, _ *Observed) { w.stream.DeletionTimestamp = new(metav1.NewTime(w.now)) },
		"one that does not hold the stream":  func(_ *testing.T, _ *world, o *Observed) { o.DuplicateOf = "older" },
		"one that did not hold the stream": func(_ *testing.T, w *world, _ *Observed) {
			o := w.observed()
			o.DuplicateOf = "older"
			w.stream.Status = Report(o, Compute(o), nil, nil)
		},
		"one whose PushDomain is gone":            func(_ *testing.T, _ *world, o *Observed) { o.Domain = "" },
		"one whose PushDomain is of another host": func(_ *testing.T, _ *world, o *Observed) { o.Domain = "other.example.com" },
		"one that scales what no finalizer may hold yet": func(_ *testing.T, _ *world, o *Observed) {
			o.Settings.Workloads = append(o.Settings.Workloads, v1alpha1.Workload{Name: "packager", Scale: v1alpha1.WorkloadScale{APIVersion: "apps/v1", Kind: "Deployment", Name: "packager"}})
		},
		"one that knows a Job of the last broadcast, which may run still": func(_ *testing.T, w *world, _ *Observed) {
			w.stream.Status.Workloads = []v1alpha1.WorkloadStatus{{Name: "record", State: v1alpha1.WorkloadStopped, JobName: "show-record-1"}}
		},
		"a push that no pass has seen": func(t *testing.T, w *world, _ *Observed) {
			t.Helper()
			w.foresees = false
			w.receive(t, started("A", w.now))
		},
		"a push that came and went unseen by any pass: it may have left a Job": func(t *testing.T, w *world, _ *Observed) {
			t.Helper()
			w.foresees = false
			w.receive(t, started("A", w.now))
			w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError))
		},
	} {
		w := foreseeing(t, "record")
		w.now = w.now.Add(time.Minute)
		o, pushes := start(w)
		if _, ok := Foresee(o, pushes); !ok {
			t.Fatal("a start is not foreseen at all")
		}
		change(t, w, &o)
		changed, pushes := start(w)
		changed.Domain, changed.DuplicateOf, changed.Settings = o.Domain, o.DuplicateOf, o.Settings
		if status, ok := Foresee(changed, pushes); ok {
			t.Errorf("%s: foreseen as %s", name, summary(status))
		}
	}
}

func TestEndOfABroadcastIsLeftToThePass(t *testing.T) {
	w := foreseeing(t, "record")
	w.stream.Spec.ReconnectWindowSeconds = new(int32)
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.now = w.now.Add(time.Minute)
	w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError))
	if s := w.stream.Status; s.State != v1alpha1.LiveStreamLive || len(s.History) > 0 || len(push.Live(s.Pushes)) > 0 {
		t.Errorf("after the event it is %s", summary(s))
	}
	w.pass(t)
	if s := w.stream.Status; s.State != v1alpha1.LiveStreamIdle || len(s.History) != 1 {
		t.Errorf("after the pass it is %s", summary(s))
	}
}

// The receiver may know an older template than the pass that begins the workloads.
func TestWorkloadsOfABroadcastAreThoseThatTheFirstJobIsMadeFor(t *testing.T) {
	w := foreseeing(t, "old")
	w.receive(t, started("A", w.now))
	if got := summary(w.stream.Status); got != "Live, broadcast of 1 pushes and 0 interruptions, old#1 Pending" {
		t.Fatalf("foreseen is %q", got)
	}
	// Who waits for the condition must not see that of the time before.
	if ready := find(w.stream.Status.Conditions, v1alpha1.ConditionWorkloadsReady); ready.Reason != v1alpha1.ReasonStarting {
		t.Errorf("WorkloadsReady is foreseen as %s", ready.Reason)
	}
	w.stream.Spec.Workloads[0].Name = "new"
	w.pass(t)
	if got := summary(w.stream.Status); got != "Live, broadcast of 1 pushes and 0 interruptions, new#1 Pending" {
		t.Errorf("the status is %q", got)
	}
	w.stream.Spec.Workloads[0].Name = "newer"
	w.pass(t)
	if got := summary(w.stream.Status); got != "Live, broadcast of 1 pushes and 0 interruptions, new#1 Pending" {
		t.Errorf("once its Job is made the status is %q", got)
	}
}

func TestForeseeChangesNothingOfWhatItIsGiven(t *testing.T) {
	w := foreseeing(t, "record")
	w.receive(t, started("A", w.now))
	w.pass(t)
	before := w.stream.DeepCopy()
	pushes, _, err := push.Apply(w.stream.Status.Pushes, interrupted("A", w.now.Add(time.Minute), v1alpha1.PushReasonNetworkError), w.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := Foresee(w.observed(), pushes); !ok {
		t.Fatal("it is not foreseen")
	}
	if diff := gocmp.Diff(before, w.stream); diff != "" {
		t.Errorf("the observed stream changed (-before +after):\n%s", diff)
	}
}
