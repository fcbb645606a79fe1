package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Found by reading: a policy that names what it does not like repeats the environment, which has the playback URL.
func TestARefusalThatRepeatsThePlaybackURLIsToldWithoutItsSignature(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	b.restart(interceptor.NewClient(env.Client, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
		if job, is := object.(*batchv1.Job); is {
			return apierrors.NewForbidden(batchv1.Resource("jobs"), job.Name, fmt.Errorf("not with %v", job.Spec.Template.Spec.Containers[0].Env))
		}
		return c.Create(ctx, object, opts...)
	}}))
	_, err := b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "show"}})
	if !apierrors.IsForbidden(err) {
		t.Fatalf("reconciling a stream whose Job is refused: %v", err)
	}
	for where, text := range map[string]string{"the log": err.Error(), "the status": fmt.Sprint(b.stream("show").Status)} {
		if !strings.Contains(text, "play.example.com/live/test.flv?txSecret=...&txTime=") {
			t.Errorf("%s says %s, want the refusal with the URL and without its signature", where, text)
		}
	}
}

// Found by reading: the status said to delete the Job that had the name, and when that was done nothing looked.
func TestAJobWhoseNameWasTakenStartsWhenThatIsFree(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	ours := b.onlyJob()
	theirs := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: ours.Name}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: ours.Spec.Template.Spec}}}
	b.delete(ours)
	b.create(theirs)
	b.settle("show")
	again := b.settle("show").RequeueAfter
	wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWorkloadRejected)
	if again != takenRetry {
		t.Errorf("it looks again after %s, want %s", again, takenRetry)
	}
	b.delete(theirs)
	b.pass(again)
	b.settle("show")
	wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
	if job := b.onlyJob(); job.Name != theirs.Name || job.UID == theirs.UID {
		t.Errorf("Job %s (%s) runs, want one of the LiveStream's with that name", job.Name, job.UID)
	}
}

// Found by reading, as the one above: nothing tells that a webhook takes what it refused.
func TestAJobThatWasRefusedForWhatItIsStartsWhenItIsTaken(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"400": apierrors.NewBadRequest("admission webhook denied the request"),
		"422": apierrors.NewInvalid(batchv1.SchemeGroupVersion.WithKind("Job").GroupKind(), "any", nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show()
			b.restart(refusing(func() error { return refusal }))
			b.live("show", "A")
			again := b.settle("show").RequeueAfter
			wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWorkloadRejected)
			if again != rejectedRetry {
				t.Errorf("it looks again after %s, want %s", again, rejectedRetry)
			}
			refusal = nil
			b.pass(again)
			b.settle("show")
			wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
			b.onlyJob()
		})
	}
}

// refusing is an API server that refuses Jobs while there is an error to refuse them with.
func refusing(refusal func() error) client.WithWatch {
	return interceptor.NewClient(env.Client, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
		if _, is := object.(*batchv1.Job); is {
			if err := refusal(); err != nil {
				return err
			}
		}
		return c.Create(ctx, object, opts...)
	}})
}
