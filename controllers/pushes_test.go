package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

func TestABackupPusherTakesOverWithoutAnInterruption(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"A", "B"} {
		t.Run(first+" stops first", func(t *testing.T) {
			t.Parallel()
			other := map[string]string{"A": "B", "B": "A"}[first]
			b := newBench(t)
			b.show()
			b.record("show", b.starts("A"))
			b.settle("show")
			job := b.onlyJob()
			b.pass(time.Minute)
			b.record("show", b.starts("B"))
			b.settle("show")
			live := wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionLive, metav1.ConditionTrue, v1alpha1.ReasonPushLive)
			if live.Message != "2 pushes are live" {
				t.Errorf("Live says %q", live.Message)
			}
			b.pass(time.Minute)
			b.record("show", b.ends(first, 1, v1alpha1.PushReasonClientStopped))
			b.settle("show")
			b.pass(time.Hour)
			b.settle("show")
			status := b.wantState("show", v1alpha1.LiveStreamLive)
			if status.Broadcast.Pushes != 2 || *status.Broadcast.Interruptions != 0 || b.onlyJob().UID != job.UID || len(b.running()) != 1 {
				t.Errorf("broadcast = %+v, want 2 pushes, no interruption and the same Job", status.Broadcast)
			}
			b.record("show", b.ends(other, 1, v1alpha1.PushReasonClientStopped))
			b.settle("show")
			b.wantState("show", v1alpha1.LiveStreamInterrupted)
		})
	}
}

func TestAStopThatIsAnHourLateDoesNotStopTheNextShow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.settle("show")
	late := b.ends("A", 12, v1alpha1.PushReasonNetworkError)
	b.pass(5 * time.Minute)
	b.record("show", b.starts("B"))
	b.settle("show")
	b.pass(time.Hour)
	late.Duration = new(int64(1000))
	b.record("show", late)
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamLive)
	if len(b.running()) != 1 || len(b.jobs()) != 1 || len(push.Live(status.Pushes)) != 1 {
		t.Errorf("%d Jobs, pushes = %+v", len(b.jobs()), status.Pushes)
	}
}

func TestAStreamThatFlaps30TimesInAMinuteHasOneJob(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	for i := range 30 {
		sequence := fmt.Sprint(1000 - i)
		b.record("show", b.starts(sequence))
		b.reconcile("show")
		b.pass(time.Second)
		b.record("show", b.ends(sequence, 12, v1alpha1.PushReasonNetworkError))
		b.reconcile("show")
		b.pass(time.Second)
	}
	status := b.wantState("show", v1alpha1.LiveStreamInterrupted)
	if len(b.jobs()) != 1 || len(b.running()) != 1 || status.Broadcast.Pushes != 30 || *status.Broadcast.Interruptions != 29 {
		t.Errorf("%d Jobs, broadcast = %+v, want one Job and 30 pushes with 29 interruptions", len(b.jobs()), status.Broadcast)
	}
	b.pass(time.Minute)
	b.settle("show")
	if status := b.wantState("show", v1alpha1.LiveStreamIdle); len(status.History) != 1 || len(b.running()) != 0 {
		t.Errorf("history = %+v, want one broadcast", status.History)
	}
}

// Pushes that come and go between two passes are counted, and leave one broadcast.
func TestAStreamThatFlapsWhileTheOperatorIsAwayHasOneBroadcast(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.settle("show")
	for i := range 10 {
		b.pass(2 * time.Second)
		b.record("show", b.starts(fmt.Sprint(i)))
		b.pass(2 * time.Second)
		b.record("show", b.ends(fmt.Sprint(i), 12, v1alpha1.PushReasonNetworkError))
	}
	b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamInterrupted)
	if status.Broadcast.Pushes != 11 || *status.Broadcast.Interruptions != 0 || len(b.jobs()) != 1 {
		t.Errorf("broadcast = %+v, want 11 pushes, A all along", status.Broadcast)
	}
}

func TestTheYoungerOfTwoLiveStreamsTakesOverWhenTheOlderIsDeleted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		second func(b *bench) *v1alpha1.LiveStream
	}{
		{"of one PushDomain", func(*bench) *v1alpha1.LiveStream { return newStream("b-second") }},
		{"of two PushDomains of one host", func(b *bench) *v1alpha1.LiveStream {
			domain := newDomain()
			domain.Name, domain.Spec.Domain = "other", "PUSH.Example.com"
			b.create(domain)
			stream := newStream("b-second")
			stream.Spec.PushDomainRef.Name = "other"
			return stream
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newStream("a-first"))
			b.reconcileDomain()
			b.create(tc.second(b))
			// The receiver tells both.
			for _, name := range []string{"a-first", "b-second"} {
				b.record(name, b.starts("A"))
				b.settle(name)
			}
			if jobs := b.jobs(); len(jobs) != 1 || jobs[0].Labels[v1alpha1.LabelLiveStream] != "a-first" {
				t.Fatalf("Jobs = %+v, want one of a-first", jobs)
			}
			ready := wantCondition(t, b.stream("b-second").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDuplicateStream)
			wantCondition(t, b.stream("b-second").Status.Conditions, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonDuplicateStream)
			if !strings.Contains(ready.Message, `"a-first"`) {
				t.Errorf("Ready says %q, want the name of the older one", ready.Message)
			}
			first := b.stream("a-first")
			b.delete(first)
			requests := b.reconciler.streamsLikeIt(t.Context(), first)
			if len(requests) != 1 || requests[0].Name != "b-second" {
				t.Fatalf("the deletion brings %v, want b-second", requests)
			}
			b.settle("b-second")
			status := b.wantState("b-second", v1alpha1.LiveStreamLive)
			wantCondition(t, status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
			if jobs := b.jobs(); len(jobs) != 2 || status.Broadcast.Pushes != 1 {
				t.Errorf("%d Jobs, broadcast = %+v, want b-second to have its own Job", len(jobs), status.Broadcast)
			}
		})
	}
}

// A LiveStream that is restored from a backup may turn out to be the older one while the other is on air.
func TestTheYoungerOneOnAirEndsItsBroadcastWhenAnOlderOneTurnsUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for tries := 0; ; tries++ {
		b.create(newSecret(), newDomain(), newStream("b-second"))
		b.record("b-second", b.starts("A"))
		b.settle("b-second")
		// Of the same second, by name.
		b.create(newStream("a-first"))
		if b.stream("a-first").CreationTimestamp.Equal(new(b.stream("b-second").CreationTimestamp)) {
			break
		}
		if tries == 10 {
			t.Skip("the second passed each time")
		}
		b = newBench(t)
	}
	if first := b.stream("a-first"); !cameOrWent.Create(event.CreateEvent{Object: first}) || cameOrWent.Create(event.CreateEvent{Object: first, IsInInitialList: true}) {
		t.Error("the older one brings others where the operator starts, and not where it is made")
	}
	if requests := b.reconciler.streamsLikeIt(t.Context(), b.stream("a-first")); len(requests) != 1 || requests[0].Name != "b-second" {
		t.Errorf("the older one brings %v, want b-second", requests)
	}
	b.settle("a-first")
	b.settle("b-second")
	status := b.stream("b-second").Status
	if len(b.running()) != 0 || status.History[0].EndReason != v1alpha1.BroadcastEndDuplicateStream {
		t.Errorf("%d Jobs run, history = %+v", len(b.running()), status.History)
	}
	b.settle("a-first")
	b.wantState("a-first", v1alpha1.LiveStreamLive)
	if running := b.running(); len(running) != 1 || running[0].Labels[v1alpha1.LabelLiveStream] != "a-first" {
		t.Errorf("%d Jobs run, want that of the older one", len(running))
	}
}

func TestALiveStreamThatIsAppliedLaterClaimsItsPush(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain())
	b.reconcileDomain()
	b.recordUnclaimed(of(b.starts("A"), "live", "test"), of(b.starts("other"), "live", "other"))
	b.pass(5 * time.Minute)
	b.create(newStream("show"))
	if requests := b.reconciler.streamsUnclaimed(t.Context(), b.domain()); len(requests) != 1 || requests[0].Name != "show" {
		t.Errorf("unclaimed pushes bring %v, want show", requests)
	}
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamLive)
	if !status.Broadcast.StartTime.Time.Equal(showTime) || status.Pushes[0].Sequence != "A" || status.Client != "119.29.94.245" {
		t.Errorf("status = %+v, want the push as it was told", status)
	}
	b.onlyJob()
	b.reconcileDomain()
	if unclaimed := b.domain().Status.UnclaimedPushes; len(unclaimed) != 1 || unclaimed[0].StreamName != "other" {
		t.Errorf("unclaimedPushes = %+v, want that of the other stream alone", unclaimed)
	}
}

func TestALiveStreamThatIsAppliedAfterTheShowClaimsItsTombstone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain())
	b.reconcileDomain()
	start := of(b.starts("A"), "live", "test")
	b.recordUnclaimed(of(b.ends("A", 1, v1alpha1.PushReasonClientStopped), "live", "test"))
	b.create(newStream("show"))
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamIdle)
	if len(status.Pushes) != 1 || push.IsLive(status.Pushes[0]) {
		t.Errorf("pushes = %+v, want the tombstone", status.Pushes)
	}
	// The start of the push that has ended, late.
	b.record("show", start)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	b.reconcileDomain()
	if unclaimed := b.domain().Status.UnclaimedPushes; len(b.jobs()) != 0 || len(unclaimed) != 0 {
		t.Errorf("%d Jobs, unclaimedPushes = %+v", len(b.jobs()), unclaimed)
	}
}

// The stop went to the LiveStream, the start to the PushDomain before it: together they are one ended push.
func TestAStopThatOvertakesTheClaimIsFinal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain())
	b.reconcileDomain()
	b.recordUnclaimed(of(b.starts("A"), "live", "test"))
	b.create(newStream("show"))
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamIdle)
	if len(b.jobs()) != 0 || len(status.Pushes) != 1 {
		t.Errorf("%d Jobs, pushes = %+v", len(b.jobs()), status.Pushes)
	}
}

func TestClaimedPushesAreDroppedAtMostEvery10Seconds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newStream("show"))
	b.reconcileDomain()
	for i, sequence := range []string{"A", "B"} {
		b.recordUnclaimed(of(b.starts(sequence), "live", "test"))
		b.settle("show")
		again := b.reconcileDomain()
		if i == 0 {
			continue
		}
		if unclaimed := b.domain().Status.UnclaimedPushes; len(unclaimed) != 1 || again.RequeueAfter != tidyEvery {
			t.Errorf("%d unclaimed pushes, looks again after %s; want 1 and %s", len(unclaimed), again.RequeueAfter, tidyEvery)
		}
		b.pass(tidyEvery)
		b.reconcileDomain()
	}
	if unclaimed := b.domain().Status.UnclaimedPushes; len(unclaimed) != 0 {
		t.Errorf("unclaimedPushes = %+v", unclaimed)
	}
}

func TestALiveStreamThatIsDeletedWhileLiveLeavesWhatTheGarbageCollectorOwns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(func(s *v1alpha1.LiveStream) {
		second := s.Spec.Workloads[0]
		second.Name = "thumbnails"
		s.Spec.Workloads = append(s.Spec.Workloads, second)
	})
	b.record("show", b.starts("A"))
	b.settle("show")
	stream := b.stream("show")
	b.delete(stream)
	if !b.gone("show", &v1alpha1.LiveStream{}) {
		t.Fatal("the LiveStream is held up")
	}
	b.reconcile("show")
	jobs := b.jobs()
	if len(jobs) != 2 {
		t.Errorf("%d Jobs, want 2 for the garbage collector", len(jobs))
	}
	for _, job := range jobs {
		if owner := metav1.GetControllerOf(&job); owner == nil || owner.UID != stream.UID || len(job.Finalizers) > 0 {
			t.Errorf("Job %s is owned by %+v with finalizers %v", job.Name, owner, job.Finalizers)
		}
	}
	// One of the same name is another one: it touches nothing of the first.
	again := newStream("show")
	again.Spec.StreamName = "another"
	b.create(again)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	if len(b.running()) != 2 {
		t.Error("a LiveStream of the same name took what was the first one's")
	}
}

func TestThePushDomainThatIsBackWithinTheWindowCarriesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.settle("show")
	job := b.onlyJob()
	b.pass(time.Minute)
	b.delete(newDomain())
	if again := b.settle("show"); again.RequeueAfter != time.Minute {
		t.Errorf("looks again after %s, want the window of 1m0s", again.RequeueAfter)
	}
	status := b.wantState("show", v1alpha1.LiveStreamUnknown)
	wantCondition(t, status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPushDomainNotFound)
	b.pass(59 * time.Second)
	b.settle("show")
	b.create(newDomain())
	b.settle("show")
	status = b.wantState("show", v1alpha1.LiveStreamLive)
	if b.onlyJob().UID != job.UID || len(b.running()) != 1 || status.Broadcast.Pushes != 1 || *status.Broadcast.Interruptions != 0 {
		t.Errorf("broadcast = %+v, want the same with the same Job", status.Broadcast)
	}
}

func TestTheWorkloadsOfAPushDomainThatIsGoneEndAfterTheWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.settle("show")
	b.delete(newDomain())
	b.settle("show")
	b.pass(59 * time.Second)
	b.settle("show")
	if len(b.running()) != 1 {
		t.Error("the Job ended a second before the window did")
	}
	b.pass(time.Second)
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamUnknown)
	if len(b.running()) != 0 || status.OnAir() || status.History[0].EndReason != v1alpha1.BroadcastEndPushDomainDeleted {
		t.Errorf("%d Jobs run, status = %+v", len(b.running()), status)
	}
	// The push is still on air: a PushDomain that is back later begins another broadcast.
	b.pass(time.Hour)
	b.create(newDomain())
	b.settle("show")
	status = b.wantState("show", v1alpha1.LiveStreamLive)
	if len(b.running()) != 1 || status.Broadcast.ID == status.History[0].ID {
		t.Errorf("%d Jobs run, status = %+v", len(b.running()), status)
	}
}
