package webhook

import (
	"net/http"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// reported is what a pass of the reconciler would write now.
func (d *desk) reported(stream *v1alpha1.LiveStream) v1alpha1.LiveStreamStatus {
	d.t.Helper()
	o := plan.Observed{Now: d.clock.Now(), Stream: stream, Settings: workload.WithPresets(stream.Spec.LiveStreamSettings), Domain: "Test.Domain.com"}
	return plan.Report(o, plan.Compute(o), nil, nil)
}

// reconcile writes what a pass has to say, as long as it makes no Jobs, and waits until the cache has it.
func (d *desk) reconcile(name string) {
	d.t.Helper()
	stream := d.stream(name)
	stream.Status = d.reported(stream)
	if err := env.Client.Status().Update(d.t.Context(), stream); err != nil {
		d.t.Fatal(err)
	}
	d.caughtUp(stream)
}

func (d *desk) caughtUp(with *v1alpha1.LiveStream) {
	d.t.Helper()
	d.eventually("the cache has the latest", func() bool {
		cached := &v1alpha1.LiveStream{}
		return d.handler.Cache.Get(d.t.Context(), client.ObjectKeyFromObject(with), cached) == nil && cached.ResourceVersion == with.ResourceVersion
	})
}

func (d *desk) tick(by time.Duration) {
	d.clock.(*testclock.FakePassiveClock).SetTime(d.clock.Now().Add(by))
}

func TestEventIsWrittenWithWhatFollowsFromItSoThatAPassHasNothingToAdd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.reconcile("show")
	start := func(sequence string) func() css.Callback {
		return func() css.Callback { return d.push(sequence).Start(d.clock.Now()) }
	}
	lost := func(sequence string) func() css.Callback {
		return func() css.Callback { return d.push(sequence).Interruption(d.clock.Now(), time.Minute, 12, "") }
	}
	for _, step := range []struct {
		name   string
		event  func() css.Callback
		state  v1alpha1.LiveStreamState
		client string
	}{
		{"a start", start("a"), v1alpha1.LiveStreamLive, "1.1.1.1"},
		{"a second pusher", start("b"), v1alpha1.LiveStreamLive, "1.1.1.1"},
		{"one of two is lost", lost("a"), v1alpha1.LiveStreamLive, "1.1.1.1"},
		{"the last is lost", lost("b"), v1alpha1.LiveStreamInterrupted, ""},
		{"one comes back in time", start("c"), v1alpha1.LiveStreamLive, "1.1.1.1"},
	} {
		d.tick(10 * time.Second)
		if status := d.post(step.event()); status != http.StatusOK {
			t.Fatalf("%s is answered %d", step.name, status)
		}
		stream := d.stream("show")
		if stream.Status.State != step.state || stream.Status.Client != step.client || !stream.Status.OnAir() {
			t.Errorf("%s: the status is %+v", step.name, stream.Status)
		}
		if diff := gocmp.Diff(d.reported(stream), stream.Status); diff != "" {
			t.Errorf("%s: a pass would write again (-pass +event):\n%s", step.name, diff)
		}
		d.caughtUp(stream)
	}
}

func TestWorkloadsOfABroadcastArePendingFromItsFirstEventOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	stream := d.newStream("worker")
	stream.Spec.StreamName = "other_stream"
	record := v1alpha1.Workload{Name: "record", Job: &batchv1.JobTemplateSpec{}}
	record.Job.Spec.Template.Spec.Containers = []corev1.Container{{Name: "x", Image: "x"}}
	stream.Spec.Workloads = []v1alpha1.Workload{record}
	d.create(stream)
	d.reconcile("worker")
	d.tick(10 * time.Second)
	push := d.push("a")
	push.Stream = "other_stream"
	if status := d.post(push.Start(d.clock.Now())); status != http.StatusOK {
		t.Fatalf("the start is answered %d", status)
	}
	status := d.stream("worker").Status
	want := []v1alpha1.WorkloadStatus{{Name: "record", State: v1alpha1.WorkloadPending, Part: 1}}
	if diff := gocmp.Diff(want, status.Workloads); diff != "" || status.WorkloadSummary != "0/1" {
		t.Errorf("%s of (-want +got):\n%s", status.WorkloadSummary, diff)
	}
}

// Only the LiveStream that keeps the stream goes by what comes: the others know of the pushes, and stay as they are.
func TestDuplicateOfAStreamGetsThePushesAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	second := d.newStream("younger")
	d.create(second)
	d.reconcile("show")
	// Whatever a pass made of it.
	d.reconcile("younger")
	d.tick(10 * time.Second)
	if status := d.post(d.push("a").Start(d.clock.Now())); status != http.StatusOK {
		t.Fatalf("the start is answered %d", status)
	}
	if got := d.stream("show").Status.State; got != v1alpha1.LiveStreamLive {
		t.Errorf("the one that keeps the stream is %s", got)
	}
	got := d.stream("younger").Status
	if got.State != v1alpha1.LiveStreamIdle || got.OnAir() || shape(got.Pushes) != "A" {
		t.Errorf("the other one is %s with pushes %q", got.State, shape(got.Pushes))
	}
}

// Neither event is seen without the other: the broadcast carries on.
func TestAStreamThatIsLostAndComesBackInOneWriteCarriesOnItsBroadcast(t *testing.T) {
	t.Parallel()
	for name, events := range map[string]func(*desk) []css.Callback{
		"the stop first": func(d *desk) []css.Callback {
			return []css.Callback{d.push("a").Interruption(d.clock.Now(), time.Minute, 12, ""), d.push("b").Start(d.clock.Now())}
		},
		"the start first": func(d *desk) []css.Callback {
			return []css.Callback{d.push("b").Start(d.clock.Now()), d.push("a").Interruption(d.clock.Now(), time.Minute, 12, "")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.reconcile("show")
			d.tick(10 * time.Second)
			if status := d.post(d.push("a").Start(d.clock.Now())); status != http.StatusOK {
				t.Fatalf("the start is answered %d", status)
			}
			before := d.stream("show")
			d.caughtUp(before)
			d.tick(time.Minute)
			queue := d.busy()
			answers := d.laterTogether(before, events(d)...)
			queue.leave()
			d.allTaken(answers)
			stream := d.stream("show")
			if b := stream.Status.Broadcast; stream.Status.State != v1alpha1.LiveStreamLive || b.ID != before.Status.Broadcast.ID || b.Pushes != 2 {
				t.Errorf("the status is %s with broadcast %+v, want Live with %s and 2 pushes", stream.Status.State, b, before.Status.Broadcast.ID)
			}
			if diff := gocmp.Diff(d.reported(stream), stream.Status); diff != "" {
				t.Errorf("a pass would write again (-pass +event):\n%s", diff)
			}
		})
	}
}
