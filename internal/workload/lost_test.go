package workload

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// notReady is a Pod that runs and is not ready: a kubelet gives a reason, the node lifecycle controller gives none.
func notReady(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: reason, LastTransitionTime: later(60)}}
	}
}

// Found by reading: of a recorder whose node had died the status said that no media comes from the playback domain.
func TestAPodWhoseNodeIsLostSaysSo(t *testing.T) {
	t.Parallel()
	const (
		lost    = "the node of pod a is not ready, or does not answer, since 2026-01-01T12:01:00Z: unless it comes back, delete the Node, or the pod with --force"
		noMedia = "the worker runs, and no media comes from the playback domain"
		leaving = "its pod is being deleted: it stores what it has, and the next part starts when it has ended"
	)
	runs := containers(corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: later(2)}}})
	worker := label(v1alpha1.LabelStop, v1alpha1.StopBySignal)
	plain := func(*batchv1.Job) {}
	type says struct {
		Trouble   string
		Lost, Due time.Time
		// Soon and Later say whether the Pod is abandoned a moment after its deletion, and when it had to have ended for long.
		Soon, Later bool
	}
	for _, row := range []struct {
		name string
		job  func(*batchv1.Job)
		pod  corev1.Pod
		want says
	}{
		{"a worker that is not ready", worker, pod("a", 1, runs, notReady("ContainersNotReady")), says{Trouble: noMedia}},
		{"a worker on a lost node", worker, pod("a", 1, runs, notReady("")), says{Trouble: lost, Lost: later(60).Time}},
		{"a Pod of any image on a lost node", plain, pod("a", 1, runs, notReady("")), says{Trouble: lost, Lost: later(60).Time}},
		{"a worker on a lost node, which is being deleted", worker, pod("a", 1, runs, notReady(""), podDeleted), says{lost, later(60).Time, later(80).Time, true, true}},
		{"a worker that is being deleted", worker, pod("a", 1, runs, ready, podDeleted), says{Trouble: leaving, Due: later(80).Time, Later: true}},
		{"a Pod of any image that is being deleted", plain, pod("a", 1, runs, ready, podDeleted), says{Due: later(80).Time, Later: true}},
		{"a Pod that has ended, and is being deleted", plain, pod("a", 1, notReady(""), phase(corev1.PodFailed), podDeleted), says{}},
		{"a Pod that does not run yet", plain, pod("a", 1, notReady(""), phase(corev1.PodPending)), says{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			run := Runs([]batchv1.Job{job("j", row.job)}, []corev1.Pod{row.pod})[0]
			got := says{run.Trouble, run.Lost, run.PodDue, run.Abandoned(later(81).Time), run.Abandoned(later(80 + 61).Time)}
			if diff := gocmp.Diff(row.want, got); diff != "" {
				t.Errorf("mismatch (-want +got):\n%s", diff)
			}
		})
	}
}
