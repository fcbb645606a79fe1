package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestAPathWithATokenIsTheSameAfterThePushDomainIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret := newSecret()
	secret.StringData["pathToken"] = "unguessable"
	domain := func() *v1alpha1.PushDomain {
		d := newDomain()
		d.Spec.Callback.PathTokenSecretRef = v1alpha1.SecretKeyReference{Name: "css", Key: "pathToken"}
		return d
	}
	b.create(secret, domain())
	b.reconcileDomain()
	before := b.domain()
	prefix := fmt.Sprintf("/callbacks/%s/shows/", b.namespace)
	if path := before.Status.CallbackPath; !strings.HasPrefix(path, prefix) || len(path) < len(prefix)+16 || strings.Contains(path, "unguessable") {
		t.Errorf("callbackPath = %q, want a digest after %s", path, prefix)
	}
	b.delete(domain())
	b.create(domain())
	b.reconcileDomain()
	after := b.domain()
	if after.UID == before.UID || after.Status.CallbackPath != before.Status.CallbackPath {
		t.Errorf("callbackPath = %q, was %q", after.Status.CallbackPath, before.Status.CallbackPath)
	}
}

func TestAJobThatTheQuotaKeepsFromItsPodIsExplained(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	// The API server stamps the Job by its own clock.
	b.clock.SetTime(time.Now())
	b.show()
	b.record("show", b.starts("A"))
	b.settle("show")
	job := b.onlyJob()
	for i, pod := range []string{"abcde", "fghij"} {
		b.create(&corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("quota-", i)}, Type: "Warning", Reason: "FailedCreate",
			InvolvedObject: corev1.ObjectReference{APIVersion: "batch/v1", Kind: "Job", Namespace: b.namespace, Name: job.Name, UID: job.UID},
			Message:        fmt.Sprintf(`Error creating: pods "%s-%s" is forbidden: exceeded quota: tiny, requested: pods=1, used: pods=3, limited: pods=3`, job.Name, pod),
			LastTimestamp:  metav1.NewTime(job.CreationTimestamp.Add(time.Duration(i) * time.Second)),
		})
	}
	b.clock.SetTime(job.CreationTimestamp.Add(troubleIsTold))
	b.settle("show")
	status := b.stream("show").Status
	want := "no pod can be created: forbidden: exceeded quota: tiny, requested: pods=1, used: pods=3, limited: pods=3; raise the ResourceQuota, or ask for less"
	if w := status.Workloads[0]; w.State != v1alpha1.WorkloadPending || w.Message != want {
		t.Errorf("workload = %+v, want Pending with %q", w, want)
	}
	failed := wantCondition(t, status.Conditions, v1alpha1.ConditionWorkloadsReady, metav1.ConditionFalse, v1alpha1.ReasonWorkloadFailed)
	if !strings.Contains(failed.Message, "record: no pod can be created") {
		t.Errorf("WorkloadsReady says %q", failed.Message)
	}
	before := b.stream("show")
	b.podReady(job)
	b.settle("show")
	after := b.stream("show").Status.Workloads[0]
	if diff := gocmp.Diff(v1alpha1.WorkloadStatus{Name: "record", State: v1alpha1.WorkloadRunning, JobName: job.Name, Part: 1, StartTime: after.StartTime}, after); diff != "" {
		t.Errorf("with a Pod, workload mismatch (-want +got):\n%s\nwas %+v", diff, before.Status.Workloads[0])
	}
}

// troubleIsTold is when the status says why a Job has no ready Pod.
const troubleIsTold = 11 * time.Second

func TestAWindowGoesOnAcrossARestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	b.settle("show")
	b.pass(40 * time.Second)
	b.restart(env.Client)
	if again := b.settle("show"); again.RequeueAfter != 20*time.Second {
		t.Errorf("looks again after %s, want what is left of the window, 20s", again.RequeueAfter)
	}
	b.pass(20 * time.Second)
	b.settle("show")
	if b.wantState("show", v1alpha1.LiveStreamIdle); len(b.running()) != 0 {
		t.Error("the Job was not stopped")
	}
}
