package plan

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// ended is a stream that has been on air for so long, of which all Jobs have just ended as they say.
func ended(t *testing.T, after time.Duration, how ...func(*workload.Run)) *world {
	t.Helper()
	names := []string{"record", "transcode", "thumbnails"}[:len(how)]
	w := newWorld(names...)
	w.receive(t, started("A", w.now))
	w.pass(t)
	w.advance(t, w.now.Add(after))
	for i, job := range w.jobs {
		job.run.Phase, job.run.Ready, job.run.Finished = workload.Failed, job.ready, w.now
		how[i](&job.run)
	}
	return w
}

// longEnded is the same after the longest backoff.
func longEnded(t *testing.T, how ...func(*workload.Run)) Observed {
	t.Helper()
	w := ended(t, time.Minute, how...)
	w.now = w.now.Add(longestBackoff)
	return w.observed()
}

func TestWhatEndedAtOnceWaitsForItsTurnAndNothingElseDoes(t *testing.T) {
	part := func(n int32) func(*workload.Run) { return func(r *workload.Run) { r.Part = n } }
	ranLong := func(r *workload.Run) { r.Ready = r.Finished.Add(-healthyRun) }
	recorded := func(r *workload.Run) { r.Signals, r.Ready = true, r.Finished.Add(-wellRecorded) }
	recordedNothing := func(r *workload.Run) { r.Signals, r.Ready = true, r.Finished.Add(-time.Second) }
	for _, tc := range []struct {
		name  string
		ended []func(*workload.Run)
		again Again
		held  int
	}{
		{"one that failed at once", []func(*workload.Run){part(1)}, Again{Jobs: 1, Part: 1}, 1},
		{"three, and the one that failed least often tells", []func(*workload.Run){part(4), part(2), part(3)}, Again{Jobs: 3, Part: 2}, 3},
		{"one that ran for ten minutes", []func(*workload.Run){ranLong}, Again{}, 0},
		{"a recorder that recorded", []func(*workload.Run){recorded}, Again{}, 0},
		{"a recorder that recorded nothing", []func(*workload.Run){recordedNothing}, Again{Jobs: 1, Part: 1}, 1},
		{"one that ended soon, of which the Job was told late", []func(*workload.Run){func(r *workload.Run) {
			r.Exited, r.Ready = r.Finished.Add(-healthyRun), r.Finished.Add(-healthyRun-time.Second)
		}}, Again{Jobs: 1, Part: 1}, 1},
		{"one of either", []func(*workload.Run){part(1), ranLong}, Again{Jobs: 1, Part: 1}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := longEnded(t, tc.ended...)
			free := Compute(o)
			if diff := gocmp.Diff(tc.again, free.Again); diff != "" || len(free.Start) != len(tc.ended) {
				t.Errorf("%d start, want %d; due to be made again (-want +got):\n%s", len(free.Start), len(tc.ended), diff)
			}
			o.HoldAgain = true
			held := Compute(o)
			if diff := gocmp.Diff(tc.again, held.Again); diff != "" || len(held.Start) != len(tc.ended)-tc.held {
				t.Errorf("held, %d start, want %d; due (-want +got):\n%s", len(held.Start), len(tc.ended)-tc.held, diff)
			}
		})
	}
}

// startsWithoutTurn checks that the one Job is made again although no turn is given.
func startsWithoutTurn(t *testing.T, w *world) {
	t.Helper()
	o := w.observed()
	o.HoldAgain = true
	if p := Compute(o); p.Again.Jobs > 0 || len(p.Start) != 1 {
		t.Errorf("%+v is due and %d Jobs start, want one without a turn", p.Again, len(p.Start))
	}
}

func TestAJobThatRanForLongAndWhosePodIsGoneNeedsNoTurn(t *testing.T) {
	w := ended(t, healthyRun+time.Minute, func(r *workload.Run) { r.Ready = time.Time{} })
	w.pass(t)
	w.now = w.now.Add(firstBackoff)
	startsWithoutTurn(t, w)
}

func TestAJobWhoseNodeIsNotHeardOfAndThenLostNeedsNoTurn(t *testing.T) {
	w := ended(t, healthyRun+time.Minute, func(r *workload.Run) { r.Phase, r.Ready, r.Finished = workload.Pending, time.Time{}, time.Time{} })
	w.jobs[0].ready = w.now.Add(time.Hour)
	w.pass(t)
	w.now = w.now.Add(firstBackoff)
	w.jobs[0].run.Phase, w.jobs[0].run.Finished = workload.Failed, w.now
	w.pass(t)
	w.now = w.now.Add(firstBackoff)
	startsWithoutTurn(t, w)
}

func TestAPodThatNeverWasReadyIsNotSoSinceTheOneBeforeIt(t *testing.T) {
	w := ended(t, healthyRun+time.Minute, func(r *workload.Run) { r.Ready, r.PodMade = time.Time{}, r.Finished.Add(-time.Minute) })
	w.now = w.now.Add(longestBackoff)
	if p := Compute(w.observed()); p.Again.Jobs != 1 {
		t.Errorf("%+v is due, want the Job to need its turn", p.Again)
	}
}

func TestAPushThatIsToldLateSavesTheTurnOfWhatEndedMeanwhile(t *testing.T) {
	w := ended(t, time.Minute, func(*workload.Run) {})
	w.receive(t, interrupted("A", w.now.Add(-20*time.Second), v1alpha1.PushReasonNetworkError))
	began := w.now.Add(-10 * time.Second)
	w.now = w.now.Add(20 * time.Second)
	w.receive(t, started("B", began))
	startsWithoutTurn(t, w)
}

func TestAPushThatIsOnlyConfirmedSavesNoTurn(t *testing.T) {
	o := longEnded(t, func(*workload.Run) {})
	o.HoldAgain = true
	o.Stream = o.Stream.DeepCopy()
	o.Stream.Status.Pushes = push.Confirm(o.Stream.Status.Pushes, o.Now)
	if p := Compute(o); p.Again.Jobs != 1 {
		t.Errorf("%+v is due, want the Job to wait for its turn", p.Again)
	}
}

func TestAPartThatHadItsTurnIsMadeWithoutAnother(t *testing.T) {
	o := longEnded(t, func(*workload.Run) {})
	o.HoldAgain = true
	o.Stream = o.Stream.DeepCopy()
	o.Stream.Status.Workloads[0].Part, o.Stream.Status.Workloads[0].JobName = 2, ""
	if p := Compute(o); p.Again.Jobs > 0 || len(p.Start) != 1 || p.Start[0].Part != 2 {
		t.Errorf("%+v is due and %+v start, want part 2, which had its turn and could not be made", p.Again, p.Start)
	}
}

func TestAPushThatBeginsStartsWhatEndedBeforeItWithoutATurn(t *testing.T) {
	w := ended(t, time.Minute, func(*workload.Run) {})
	w.receive(t, interrupted("A", w.now, v1alpha1.PushReasonNetworkError))
	w.now = w.now.Add(20 * time.Second)
	w.receive(t, started("B", w.now))
	startsWithoutTurn(t, w)
}

func TestToWaitForATurnIsNoWrite(t *testing.T) {
	w := ended(t, time.Minute, func(*workload.Run) {})
	w.pass(t)
	w.now = w.now.Add(longestBackoff)
	o := w.observed()
	o.HoldAgain = true
	p := Compute(o)
	if status := Report(o, p, nil, nil); !Same(&o.Stream.Status, &status) {
		t.Errorf("the status changes where a Job waits for its turn (-before +after):\n%s", gocmp.Diff(o.Stream.Status, status))
	}
	if p.LookAgain != longestBackoff {
		t.Errorf("it is looked at again after %s, want %s: its turn brings it", p.LookAgain, longestBackoff)
	}
}

func TestAJobThatWasMadeAgainHasNoPodUntilItHas(t *testing.T) {
	for _, tc := range []struct {
		name string
		run  workload.Run
		want bool
	}{
		{"the first part", workload.Run{Part: 1}, false},
		{"a later one", workload.Run{Part: 2}, true},
		{"a later one with a Pod", workload.Run{Part: 2, Pod: "pod-uid"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := longEnded(t, func(*workload.Run) {})
			tc.run.Workload, tc.run.Broadcast, tc.run.Phase, tc.run.Created = "record", o.Stream.Status.Broadcast.ID, workload.Pending, o.Now
			o.Runs = []workload.Run{tc.run}
			if got := Compute(o).Again.Podless; got != tc.want {
				t.Errorf("Podless = %t, want %t", got, tc.want)
			}
		})
	}
	o := longEnded(t, func(*workload.Run) {})
	o.Stream = o.Stream.DeepCopy()
	o.Stream.Status.Workloads[0].Part = 2
	if !Compute(o).Again.Podless {
		t.Error("a later one that is not seen yet has its Pod")
	}
}

func TestNothingIsMadeAgainOfAStreamThatIsNotOnAir(t *testing.T) {
	o := longEnded(t, func(*workload.Run) {})
	o.Stream = o.Stream.DeepCopy()
	o.Stream.Spec.State = v1alpha1.LiveStreamSuspended
	if p := Compute(o); p.Again != (Again{}) || len(p.Start) > 0 {
		t.Errorf("%+v is due and %d Jobs start of a suspended stream", p.Again, len(p.Start))
	}
}
