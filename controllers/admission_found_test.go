package controllers

import (
	"context"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// labelled has the cluster put a label and an annotation on each LiveStream that is made in the namespace.
func (b *bench) labelled() {
	b.t.Helper()
	fail, add := admissionregistrationv1.Fail, func(path string) admissionregistrationv1.Mutation {
		return admissionregistrationv1.Mutation{PatchType: admissionregistrationv1.PatchTypeJSONPatch, JSONPatch: &admissionregistrationv1.JSONPatch{
			Expression: `[JSONPatch{op: "add", path: "` + path + `/example.com~1cost-centre", value: "studio"}]`,
		}}
	}
	policy := &admissionregistrationv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}, Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
		MatchConstraints: &admissionregistrationv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": b.namespace}},
			ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"livestreams"}},
			}}},
		},
		FailurePolicy: &fail, ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
		Mutations: []admissionregistrationv1.Mutation{add("/metadata/labels"), add("/metadata/annotations")},
	}}
	binding := &admissionregistrationv1.MutatingAdmissionPolicyBinding{ObjectMeta: policy.ObjectMeta, Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: policy.Name}}
	for _, o := range []client.Object{policy, binding} {
		if err := env.Client.Create(b.t.Context(), o); err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { _ = env.Client.Delete(context.Background(), o) })
	}
	// Until the API server knows the policy and the kind.
	var last error
	if err := wait.PollUntilContextTimeout(b.t.Context(), 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		probe := newStream("probe")
		probe.Namespace, probe.Labels, probe.Annotations = b.namespace, map[string]string{"a": "b"}, map[string]string{"a": "b"}
		last = env.Client.Create(ctx, probe, client.DryRunAll)
		return last == nil && len(probe.Labels) > 1, nil
	}); err != nil {
		b.t.Fatalf("waiting for the policy: %v, %v", err, last)
	}
}

// Found by reading: each LiveStream that unknownStreams made counted as edited from its birth, so that none was deleted and maxStreams counted none.
func TestWhatAdmissionAddsToALiveStreamIsNobodysEdit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.labelled()
	b.unknown(func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 1 })
	name := b.pushed("test", "A")
	made := b.stream(name)
	if made.Labels["example.com/cost-centre"] != "studio" || made.Annotations["example.com/cost-centre"] != "studio" || len(made.OwnerReferences) != 1 {
		t.Errorf("labels = %v, annotations = %v, owners = %+v, want what admission adds and the PushDomain", made.Labels, made.Annotations, made.OwnerReferences)
	}
	b.recordUnclaimed(of(b.starts("B"), "live", "another"))
	b.reconcileDomain()
	if n := len(b.streams()); n != 1 {
		t.Errorf("%d LiveStreams, want the one that maxStreams allows", n)
	}
	b.over(name, "A")
	b.collect()
	b.settle(name)
	b.pass(time.Hour)
	b.reconcile(name)
	if !b.gone(name, &v1alpha1.LiveStream{}) {
		t.Error("it was not deleted after it was idle for long")
	}
}

func TestLiveStreamsThatAreEditedLiftTheLimitOnlyWithoutTheLabel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown(func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 2 })
	one, two := b.pushed("one", "A"), b.pushed("two", "A")
	for name, annotations := range map[string]map[string]string{one: {"example.com/seen": "yes"}, two: nil} {
		edit(b, name, &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Annotations = annotations })
		b.settle(name)
		if owners := b.stream(name).OwnerReferences; len(owners) != 0 {
			t.Errorf("%s belongs to %+v, though it was edited", name, owners)
		}
	}
	b.recordUnclaimed(of(b.starts("B"), "live", "three"))
	b.reconcileDomain()
	if n := len(b.streams()); n != 2 {
		t.Errorf("%d LiveStreams, want the 2 that maxStreams allows", n)
	}
	wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionUnknownStreamsLimited, metav1.ConditionTrue, v1alpha1.ReasonMaxStreamsReached)
	edit(b, one, &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { delete(s.Labels, v1alpha1.LabelPushDomain) })
	b.reconcileDomain()
	if _, made := b.streams()["three"]; !made {
		t.Error("no LiveStream was made after a user took one out of the count")
	}
}

// Found by reading: 300 of them, and maxStreams 100, kept each unknown stream without a LiveStream for ever.
func TestLiveStreamsThatNoEditSetFreeFromThisPushDomainDoNotCount(t *testing.T) {
	t.Parallel()
	for name, annotations := range map[string]map[string]string{
		"an earlier version took the owner off": nil,
		"the PushDomain was made anew":          {v1alpha1.AnnotationSetFreeBy: "4d0c3f7e-58b9-4f9d-b1a6-0d8a3c1f9f27"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.unknown(func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 1 })
			edit(b, b.pushed("one", "A"), &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.OwnerReferences, s.Annotations = nil, annotations })
			b.recordUnclaimed(of(b.starts("B"), "live", "two"))
			b.reconcileDomain()
			if _, made := b.streams()["two"]; !made {
				t.Error("no LiveStream was made")
			}
		})
	}
}
