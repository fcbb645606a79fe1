package controllers

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Found by reading: the replicas stayed, and nobody was told.
func TestAShareThatADeletedLiveStreamLeavesBehindIsToldOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		before func(b *bench)
		want   []string
	}{
		{"the operator may not scale the target any more", func(b *bench) { b.scaler.Client = nobody(t) }, []string{
			`Warning TargetUnavailable Deployment "packager" was not scaled down for this LiveStream, which is being deleted: the operator may not scale Deployment "packager";`,
		}},
		{"the target is gone", func(b *bench) { b.delete(newDeployment(0)) }, nil},
		{"the share is given back", func(*bench) {}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 2, 0))
			b.live("show", "A")
			b.wantReplicas("on air", 2)
			b.told()
			b.restart(env.Client)
			tc.before(b)
			b.delete(newStream("show"))
			b.reconcile("show")
			if !b.gone("show", &v1alpha1.LiveStream{}) {
				t.Error("the deletion is held up")
			}
			var told []string
			for _, event := range b.told() {
				sentence, _, more := strings.Cut(event, "; ")
				if more {
					sentence += ";"
				}
				told = append(told, sentence)
			}
			if diff := gocmp.Diff(tc.want, told); diff != "" {
				t.Errorf("Events mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// Found by reading: what the deletion had changed was nothing new to the reconciler of the target, and the other stream stayed Pending.
func TestADeletionThatChangesTheSumOfATargetHasTheOthersToldOfIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("one", packagerRef, 1, 0), scaled("two", packagerRef, 1, 0))
	b.live("one", "A")
	b.live("two", "A")
	b.wantReplicas("both are on air", 2)
	b.setReplicas(1)
	b.available(1)
	b.scale(packagerRef)
	if w := b.stream("two").Status.Workloads[0]; w.State != v1alpha1.WorkloadPending || !strings.Contains(w.Message, "something else; the streams on air ask for 2") {
		t.Errorf("workload = %+v, want Pending for a replica that somebody took", w)
	}
	b.delete(newStream("one"))
	b.reconcile("one")
	b.wantReplicas("one is gone", 1)
	if w := b.stream("two").Status.Workloads[0]; w.State != v1alpha1.WorkloadRunning || w.Message != "" {
		t.Errorf("workload = %+v, want Running with all that is asked for", w)
	}
}

// told are the Events that were sent since it was asked last.
func (b *bench) told() []string {
	var told []string
	for len(b.events.Events) > 0 {
		told = append(told, <-b.events.Events)
	}
	return told
}

// deletedWithShare has a LiveStream that is being deleted and has a share in a target, as it was then.
func deletedWithShare(t *testing.T) (*bench, *v1alpha1.LiveStream) {
	t.Helper()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 2, 1))
	b.settle("show")
	b.delete(newStream("show"))
	return b, b.stream("show")
}

// Found by reading: the patch had no precondition, and took the finalizer off whatever had the name by then.
func TestTheNextLiveStreamOfTheNameKeepsItsFinalizer(t *testing.T) {
	t.Parallel()
	b, past := deletedWithShare(t)
	b.reconcile("show")
	b.create(scaled("show", packagerRef, 2, 1))
	b.settle("show")
	b.reconciler.Client = staleReader{liveReader{env.Client}, past}
	again := b.reconcile("show")
	if finalizers := b.stream("show").Finalizers; len(finalizers) != 1 {
		t.Errorf("the next one has the finalizers %v, want %s", finalizers, v1alpha1.FinalizerScale)
	}
	if again.RequeueAfter != versionPatience {
		t.Errorf("looks again after %s, want %s", again.RequeueAfter, versionPatience)
	}
	b.reconcile("show")
	b.reconciler.Client = liveReader{env.Client}
	b.wantReplicas("the next one is idle", 1)
}

func TestTheFinalizerGoesAlsoWhereTheWatchStandsStill(t *testing.T) {
	t.Parallel()
	b, past := deletedWithShare(t)
	b.record("show", b.starts("A"))
	b.reconciler.Client = staleReader{liveReader{env.Client}, past}
	b.reconcile("show")
	if b.gone("show", &v1alpha1.LiveStream{}) {
		t.Fatal("it went on a version that is not its last one")
	}
	b.reconcile("show")
	if !b.gone("show", &v1alpha1.LiveStream{}) {
		t.Error("it stays while the watch stands still")
	}
}
