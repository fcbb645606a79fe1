package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
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
