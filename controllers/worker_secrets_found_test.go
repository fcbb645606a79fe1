package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Found by reading: for a whole show the status said "on air; workloads start", and the worker's container waited for a Secret.
func TestASecretThatAWorkerMountsAndThatIsMissingIsNamedUntilItIsThere(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		stream  func(*v1alpha1.LiveStream)
		missing *corev1.Secret
		says    string
	}{
		"the Secret of the bucket": {
			recorded, bucketSecret(),
			`workload "record": reading entry "accessKeyID" of Secret "bucket": the worker mounts it: secret is unavailable: Secret "bucket" does not exist in namespace`,
		},
		"the push key": {
			pushedOn, pushSecret(),
			`workload "transcode": reading entry "pushKey" of Secret "low": the worker mounts it: secret is unavailable: Secret "low" does not exist in namespace`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			stream := newStream("show")
			tc.stream(stream)
			b.create(newSecret(), newDomain(), stream)
			b.live("show", "A")
			again := b.reconcile("show").RequeueAfter
			status := b.stream("show").Status
			ready := wantCondition(t, status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretUnavailable)
			if !strings.HasPrefix(ready.Message, tc.says) || !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReconciling) {
				t.Errorf("conditions = %+v, want Ready and Reconciling with %q", status.Conditions, tc.says)
			}
			if w := status.Workloads[0]; w.State != v1alpha1.WorkloadPending || w.Message == "" || len(b.jobs()) != 0 {
				t.Errorf("%d Jobs are made, and the workload is %+v", len(b.jobs()), w)
			}
			if again != secretRetry {
				t.Errorf("it is looked for again after %s, want %s", again, secretRetry)
			}
			b.create(tc.missing)
			b.pass(again)
			b.settle("show")
			wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
			b.onlyJob()
		})
	}
}

func TestASecretOfManyWorkersIsReadOnceAMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded)
	reads := map[string]int{}
	b.reconciler.Secrets.Client = interceptor.NewClient(env.Client, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		reads[key.Name]++
		return c.Get(ctx, key, o, opts...)
	}})
	for _, sequence := range []string{"A", "B", "C"} {
		b.live("show", sequence)
		b.podReady(&b.running()[0])
		b.over("show", sequence)
		b.recorderEnds(&b.running()[0], &done)
		b.settle("show")
	}
	if reads["bucket"] != 1 {
		t.Errorf("the Secret of the bucket was read %d times for three shows within a minute, want once", reads["bucket"])
	}
}

func TestWhatFinishesARecordingWaitsOnlyForTheSecretsThatItNeedsAndNotForEver(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		goes  func(b *bench, job *batchv1.Job)
		waits bool
	}{
		"the playback key": {func(b *bench, _ *batchv1.Job) { b.delete(newSecret()) }, false},
		"playback, with the Job that knew it": {func(b *bench, job *batchv1.Job) {
			edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) { d.Spec.Playback = v1alpha1.Playback{} })
			b.delete(b.podOf(job))
			b.delete(job)
		}, false},
		"the Secret of the bucket": {func(b *bench, _ *batchv1.Job) { b.delete(bucketSecret()) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show(recorded)
			b.live("show", "A")
			job := b.onlyJob()
			b.podReady(job)
			b.settle("show")
			b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
			b.recorderEnds(job, nil)
			b.settle("show")
			tc.goes(b, job)
			b.pass(2 * time.Minute)
			b.settle("show")
			b.wantState("show", v1alpha1.LiveStreamIdle)
			if !tc.waits {
				b.finishing()
				return
			}
			wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretUnavailable)
			if len(b.running()) != 0 {
				t.Fatal("a Job is made that cannot run")
			}
			b.pass(2 * time.Hour)
			b.settle("show")
			b.finishing()
		})
	}
}
