package controllers

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

const packagers = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: packagers.scale.example.com}
spec:
  group: scale.example.com
  scope: Namespaced
  names: {kind: Packager, listKind: PackagerList, plural: packagers, singular: packager}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {workers: {type: integer, maximum: 10}}}
          status: {type: object, properties: {workers: {type: integer}}}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.workers, statusReplicasPath: .status.workers}
`

func TestACustomResourceWithAScaleSubresourceIsScaled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "crd.yaml")
	if err := os.WriteFile(file, []byte(packagers), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := envtest.InstallCRDs(env.Config, envtest.CRDInstallOptions{Paths: []string{file}}); err != nil {
		t.Fatal(err)
	}
	ref := plan.TargetRef{APIVersion: "scale.example.com/v1", Kind: "Packager", Name: "packager"}
	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"workers": int64(0)}}}
	object.SetAPIVersion(ref.APIVersion)
	object.SetKind(ref.Kind)
	object.SetName(ref.Name)
	b.create(newSecret(), newDomain(), object, scaled("one", ref, 4, 0), scaled("two", ref, 8, 0))
	workers := func() int64 {
		t.Helper()
		if err := env.Client.Get(context.Background(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		n, _, _ := unstructured.NestedInt64(object.Object, "spec", "workers")
		return n
	}
	b.live("one", "A")
	b.scale(ref)
	if got := workers(); got != 4 {
		t.Errorf("%d workers, want 4", got)
	}
	// More than its schema takes: told, and left as it is.
	b.live("two", "A")
	b.scale(ref)
	ready := wantCondition(t, b.stream("two").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTargetUnavailable)
	if got := workers(); got != 4 || !strings.Contains(ready.Message, "less than or equal to 10") {
		t.Errorf("%d workers, Ready says %q", got, ready.Message)
	}
	b.over("one", "A")
	b.scale(ref)
	if got := workers(); got != 8 {
		t.Errorf("%d workers, want 8", got)
	}
}

func TestADuplicateHasNoShare(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := scaled("a-first", packagerRef, 2, 0), scaled("b-second", packagerRef, 3, 1)
	second.Spec.StreamName = first.Spec.StreamName
	b.create(newSecret(), newDomain(), newDeployment(0), first)
	b.create(second)
	for _, name := range []string{"a-first", "b-second"} {
		b.live(name, "A")
	}
	b.wantReplicas("both are told of the push", 2)
	b.delete(newStream("a-first"))
	b.reconcile("a-first")
	b.settle("b-second")
	b.wantReplicas("the younger one took over", 3)
}

func TestTheScaleReconcilerTellsTheStreamsThatShareATarget(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("one", packagerRef, 2, 0), scaled("two", packagerRef, 3, 0))
	b.live("one", "A")
	r := &ScaleReconciler{Scaler: b.scaler, Changed: b.streamsAgain}
	keys := r.targetsOfStream(t.Context(), b.stream("one"))
	if len(keys) != 1 || keys[0] != (TargetKey{b.namespace, packagerRef}) {
		t.Fatalf("targets of the stream = %v", keys)
	}
	for pass, want := range []struct {
		told  int
		after time.Duration
	}{{2, time.Second}, {0, time.Second}} {
		result, err := r.Reconcile(t.Context(), keys[0])
		if err != nil || result.RequeueAfter != want.after || len(b.streamsAgain) != want.told {
			t.Errorf("pass %d: %+v, %v, %d streams told; want %d, again after %s", pass, result, err, len(b.streamsAgain), want.told, want.after)
		}
		for len(b.streamsAgain) > 0 {
			<-b.streamsAgain
		}
	}
	if got := b.replicas(); got != 2 {
		t.Errorf("%d replicas, want 2", got)
	}
	if keys := targetsOfTemplate(t.Context(), b.domain()); len(keys) != 0 {
		t.Errorf("a template without a target has %v", keys)
	}
}

func TestWhatBelongsToNoNamespaceIsNotScaled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	result := b.scale(plan.TargetRef{APIVersion: "v1", Kind: "Node", Name: "node"})
	if result.Problem != "" {
		t.Errorf("nobody asked for it, and its problem is %q", result.Problem)
	}
	b.create(newSecret(), newDomain(), scaled("one", plan.TargetRef{APIVersion: "v1", Kind: "Node", Name: "node"}, 1, 0))
	b.settle("one")
	if got := b.scale(plan.TargetRef{APIVersion: "v1", Kind: "Node", Name: "node"}).Problem; got != "Node belongs to no namespace; only what is in the LiveStream's namespace can be scaled" {
		t.Errorf("problem = %q", got)
	}
}

// An admission webhook may say more than a status takes.
func TestALongRefusalFitsIntoTheStatus(t *testing.T) {
	t.Parallel()
	long := apierrors.NewBadRequest("denied the request: " + strings.Repeat("too much, ", 300))
	target, err := unscalable(TargetKey{"studio", packagerRef}, 3, long)
	if err != nil || len(target.Problem) > 900 || !strings.HasPrefix(target.Problem, `Deployment "packager" cannot be scaled to 3: denied the request: too much`) {
		t.Errorf("problem of %d bytes: %q, error %v", len(target.Problem), target.Problem, err)
	}
}
