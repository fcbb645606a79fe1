package controllers

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

// nodeLost plays the node lifecycle controller, for the Pod of a Job on a node that does not answer.
func (b *bench) nodeLost(job *batchv1.Job) {
	b.t.Helper()
	pod := b.podOf(job)
	before := pod.DeepCopy()
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(b.clock.Now())}}
	if err := env.Client.Status().Patch(b.t.Context(), pod, client.MergeFrom(before)); err != nil {
		b.t.Fatal(err)
	}
}

// evict plays what follows five minutes later: the Pod is being deleted, and nobody ends it.
func (b *bench) evict(job *batchv1.Job) {
	b.t.Helper()
	pod := b.podOf(job)
	edit(b, pod.Name, &corev1.Pod{}, func(p *corev1.Pod) { p.Finalizers = append(p.Finalizers, batchv1.JobTrackingFinalizer) })
	b.delete(pod)
}

// onAirOnANode is a show on air with the one Job that it has, whose Pod is ready.
func onAirOnANode(t *testing.T, mutate ...func(*v1alpha1.LiveStream)) (*bench, *batchv1.Job) {
	t.Helper()
	b := newBench(t)
	// The API server's clock makes the Job.
	b.clock.SetTime(time.Now())
	b.show(mutate...)
	b.live("show", "A")
	job := b.onlyJob()
	b.podReady(job)
	b.settle("show")
	return b, job
}

// Found by reading: with podReplacementPolicy Failed the Job of a dead node neither fails nor has another Pod, and the rest of the show was lost.
func TestARecorderWhoseNodeDiesIsFollowedByTheNextPartWhenItsPodIsEvicted(t *testing.T) {
	t.Parallel()
	b, first := onAirOnANode(t, recorded)
	b.pass(time.Minute)
	b.nodeLost(first)
	b.settle("show")
	w := b.stream("show").Status.Workloads[0]
	if w.State != v1alpha1.WorkloadPending || !strings.Contains(w.Message, "is not ready, or does not answer") || len(b.running()) != 1 {
		t.Fatalf("%d Jobs run, workload %+v; want the first one Pending for its node", len(b.running()), w)
	}
	b.evict(first)
	// The deletion of the Job brings the second pass.
	b.settle("show")
	b.settle("show")
	running := b.running()
	if len(running) != 1 || running[0].UID == first.UID || running[0].Labels[v1alpha1.LabelPart] != "2" || running[0].Labels[v1alpha1.LabelBroadcast] != first.Labels[v1alpha1.LabelBroadcast] {
		t.Errorf("%d Jobs run, and the workload is %+v; want part 2 of the same broadcast alone", len(running), b.stream("show").Status.Workloads[0])
	}
}

// The cache does not show yet that somebody forced the Pod away, and that the Job has another one.
func TestAJobThatHasAnotherPodByNowIsNotDeletedForItsLostOne(t *testing.T) {
	t.Parallel()
	b, job := onAirOnANode(t, recorded)
	stop := plan.Stop{Workload: "record", JobName: job.Name, UID: job.UID, Abandoned: true}
	if err := b.reconciler.stopOne(t.Context(), b.stream("show"), stop); err != nil {
		t.Fatal(err)
	}
	if b.onlyJob().DeletionTimestamp != nil {
		t.Error("a recorder on air was deleted")
	}
	b.evict(job)
	if err := b.reconciler.stopOne(t.Context(), b.stream("show"), stop); err != nil {
		t.Fatal(err)
	}
	if running := b.running(); len(running) != 0 {
		t.Errorf("%d Jobs run whose Pod nobody ends", len(running))
	}
}

func TestTheJobOfAnotherImageWaitsForItsNode(t *testing.T) {
	t.Parallel()
	b, job := onAirOnANode(t)
	b.pass(time.Minute)
	b.nodeLost(job)
	b.evict(job)
	b.settle("show")
	w := b.stream("show").Status.Workloads[0]
	if b.onlyJob().DeletionTimestamp != nil || w.State != v1alpha1.WorkloadPending || !strings.Contains(w.Message, "delete the Node") {
		t.Errorf("workload %+v, want its Job as it is, and the status to say what to do", w)
	}
}
