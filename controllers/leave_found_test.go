package controllers

import (
	"context"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

const theirs = "example.com/wait"

// A LiveStream that is being deleted has let its stream go, however long it stays: the next one starts Jobs of its own.
func TestALiveStreamWhoseDeletionIsHeldUpRunsNothingBesideTheNextOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := newStream("a-first"), newStream("b-second")
	first.Finalizers = []string{theirs}
	b.create(newSecret(), newDomain(), first)
	b.settle("a-first")
	b.create(second)
	for _, name := range []string{"a-first", "b-second"} {
		b.live(name, "A")
	}
	before := b.stream("a-first")
	b.delete(newStream("a-first"))
	deleted := b.stream("a-first")
	if passes := cameOrWent.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: deleted}); !passes {
		t.Error("the next one is not told")
	}
	if passes := cameOrWent.Update(event.UpdateEvent{ObjectOld: deleted, ObjectNew: deleted}); passes {
		t.Error("the next one is told again and again")
	}
	b.reconcile("a-first")
	b.settle("b-second")
	if running := b.running(); len(running) != 1 || running[0].Labels[v1alpha1.LabelLiveStream] != "b-second" {
		t.Errorf("%d Jobs run, want that of b-second alone", len(running))
	}
	if !slices.ContainsFunc(b.jobs()[0].Finalizers, func(f string) bool { return f == metav1.FinalizerDeleteDependents }) {
		t.Error("the Job of a-first does not wait for its Pods")
	}
	if after := b.stream("a-first"); after.ResourceVersion != deleted.ResourceVersion {
		t.Error("a LiveStream that is being deleted was written")
	}
}

func TestATargetThatCannotBeScaledKeepsNoJobsOfADeletedLiveStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stream := newStream("show")
	stream.Spec.Workloads = append(stream.Spec.Workloads, scaled("show", packagerRef, 1, 0).Spec.Workloads...)
	b.create(newSecret(), newDomain(), newDeployment(0), stream)
	b.settle("show")
	b.live("show", "A")
	b.wantReplicas("on air", 1)
	away := interceptor.Funcs{SubResourceGet: func(context.Context, client.Client, string, client.Object, client.Object, ...client.SubResourceGetOption) error {
		return apierrors.NewServiceUnavailable("away")
	}}
	b.scaler.Client = liveReader{interceptor.NewClient(env.Client, away)}
	b.delete(newStream("show"))
	if _, err := b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "show"}}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("error = %v, want that of the target", err)
	}
	if running := b.running(); len(running) != 0 {
		t.Errorf("%d Jobs run on", len(running))
	}
}

func TestARecorderOfALiveStreamWhoseDeletionIsHeldUpFinishes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded, func(s *v1alpha1.LiveStream) { s.Finalizers = []string{theirs} })
	b.live("show", "A")
	job := b.onlyJob()
	b.podReady(job)
	b.settle("show")
	b.delete(newStream("show"))
	b.reconcile("show")
	if job = b.onlyJob(); job.DeletionTimestamp != nil {
		t.Error("the recorder's Job was deleted")
	}
	if told := b.podOf(job).Annotations[recording.StopAnnotation]; told != b.clock.Now().UTC().Format(time.RFC3339) {
		t.Errorf("its Pod was told at %q", told)
	}
	again := b.reconcile("show")
	if again.RequeueAfter == 0 {
		t.Fatal("it never looks at a recorder that does not end")
	}
	b.pass(again.RequeueAfter)
	b.reconcile("show")
	if len(b.running()) != 0 {
		t.Error("a recorder that does not end runs on")
	}
}

// kubectl delete --cascade=orphan keeps Jobs, and the garbage collector takes our owner references off before anything else. With foreground it
// ends them, when it comes to that: the next LiveStream of the stream does not wait for it.
func TestWhoDeletesALiveStreamSaysWhatBecomesOfItsJobs(t *testing.T) {
	t.Parallel()
	for policy, running := range map[metav1.DeletionPropagation]int{metav1.DeletePropagationOrphan: 1, metav1.DeletePropagationForeground: 0} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show(func(s *v1alpha1.LiveStream) { s.Finalizers = []string{theirs} })
			b.live("show", "A")
			if err := env.Client.Delete(t.Context(), b.stream("show"), client.PropagationPolicy(policy)); err != nil {
				t.Fatal(err)
			}
			b.reconcile("show")
			if n := len(b.running()); n != running {
				t.Errorf("%d Jobs run, want %d", n, running)
			}
		})
	}
}
