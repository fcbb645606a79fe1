package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
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
		if !strings.Contains(text, "play.example.com/live/test.flv?txSecret=...&txTime=...") {
			t.Errorf("%s says %s, want the refusal with the URL, and without its signature and its time", where, text)
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
	theirs := b.takesTheNextName(ours)
	b.delete(ours)
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
			b.restart(refusing(env.Client, func() error { return refusal }))
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
func refusing(through client.WithWatch, refusal func() error) client.WithWatch {
	return interceptor.NewClient(through, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
		if _, is := object.(*batchv1.Job); is {
			if err := refusal(); err != nil {
				return err
			}
		}
		return c.Create(ctx, object, opts...)
	}})
}

// Found by reading: each report brought the next pass at once, and that had other words to report, as fast as the API server took them.
func TestARefusalWhoseWordsDifferEachTimeIsWrittenOnce(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]func(tries int) error{
		"in the way that can pass": func(tries int) error {
			return apierrors.NewInternalError(fmt.Errorf("failed calling webhook: read tcp 10.0.0.5:%d->10.96.0.1:443: connection reset by peer", 40000+tries))
		},
		"for what it is": func(tries int) error {
			return apierrors.NewBadRequest(fmt.Sprintf("admission webhook denied the request: not today (request %08x)", 0xfeed0000+tries))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show()
			b.record("show", b.starts("A"))
			tries, writes, refusal := 0, 0, refused
			b.restart(refusing(statusWrites(&writes), func() error { tries++; return refusal(tries) }))
			pass := func() string {
				b.pass(time.Second)
				_, _ = b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "show"}})
				status := b.stream("show").Status
				ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
				if want := `workload "record": ` + status.Workloads[0].Message; ready.Status != metav1.ConditionFalse || ready.Message != want {
					t.Errorf("Ready = %+v, want False with %q", ready, want)
				}
				return status.Workloads[0].Message
			}
			first := pass()
			for range 5 {
				pass()
			}
			if tries != 6 || writes != 1 {
				t.Errorf("%d tries were %d writes, want 6 and 1", tries, writes)
			}
			refusal = func(int) error {
				return apierrors.NewForbidden(batchv1.Resource("jobs"), "show", errors.New("exceeded quota"))
			}
			if message := pass(); message == first || !strings.Contains(message, "exceeded quota") {
				t.Errorf("it is refused for something else, and the message is %q", message)
			}
		})
	}
}
