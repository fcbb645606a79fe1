package policy

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Kubernetes' own template of a Job has fields with namespace in their names. Each is here with what keeps it from leading there.
var namespaceFields = map[string]string{
	".metadata.namespace":        "the operator makes Jobs in the LiveStream's namespace, and Pods are made in their Job's; what a template says is not looked at",
	".shareProcessNamespace":     "of processes",
	".namespaces":                "affinity, to Pods that are counted, and not touched",
	".namespaceSelector":         "affinity, to Pods that are counted, and not touched",
	".dataSourceRef.namespace":   "a claim's source, which the owner of the other namespace has to grant (ReferenceGrant)",
	".storageos.volumeNamespace": "a volume of a plug-in that Kubernetes has no more; restricted refuses its type",
}

func TestNoReferenceLeavesItsNamespace(t *testing.T) {
	unused := map[string]bool{}
	for suffix := range namespaceFields {
		unused[suffix] = true
	}
	for _, object := range kustomized(t, "config", "crd") {
		versions, _, _ := unstructured.NestedSlice(object.Object, "spec", "versions")
		for _, version := range versions {
			schema, _, _ := unstructured.NestedMap(version.(map[string]any), "schema", "openAPIV3Schema")
			walk(schema, "", func(path string, _ map[string]any) {
				if i := strings.LastIndex(path, "."); !strings.Contains(strings.ToLower(path[i+1:]), "namespace") {
					return
				}
				for suffix := range namespaceFields {
					if strings.Contains(path, ".job.") && strings.HasSuffix(path, suffix) {
						unused[suffix] = false
						return
					}
				}
				t.Errorf("%s has %s", object.GetName(), path)
			})
		}
	}
	for suffix, is := range unused {
		if is {
			t.Errorf("no field ends in %s any more; take it out", suffix)
		}
	}
}

// walk visits every field of a schema, and says so where there may be fields that it does not name.
func walk(schema map[string]any, path string, visit func(path string, field map[string]any)) {
	properties, _, _ := unstructured.NestedMap(schema, "properties")
	for name, below := range properties {
		field := below.(map[string]any)
		visit(path+"."+name, field)
		walk(field, path+"."+name, visit)
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		if below, is := schema[inner].(map[string]any); is {
			walk(below, path, visit)
		}
	}
}

func TestNoFieldTakesWhateverIsGiven(t *testing.T) {
	for _, object := range kustomized(t, "config", "crd") {
		versions, _, _ := unstructured.NestedSlice(object.Object, "spec", "versions")
		for _, version := range versions {
			schema, _, _ := unstructured.NestedMap(version.(map[string]any), "schema", "openAPIV3Schema")
			walk(schema, "", func(path string, field map[string]any) {
				if field["x-kubernetes-preserve-unknown-fields"] == true || field["x-kubernetes-embedded-resource"] == true {
					t.Errorf("%s takes anything at %s", object.GetName(), path)
				}
			})
		}
	}
}

// A name of a PushDomain is that of one in the same namespace: nothing else can be said.
func TestAPushDomainOfAnotherNamespaceCannotBeNamed(t *testing.T) {
	u := newTenant(t)
	raw := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "LiveStream", "metadata": map[string]any{"name": "show", "namespace": u.namespace},
		"spec": map[string]any{"pushDomainRef": map[string]any{"name": "shows", "namespace": "kube-system"}, "appName": "live", "streamName": "show"},
	}}
	if err := u.Create(t.Context(), raw, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err == nil || !strings.Contains(err.Error(), `unknown field "spec.pushDomainRef.namespace"`) {
		t.Errorf("a namespace is answered with %v", err)
	}
	for _, name := range []string{"kube-system/shows", "../kube-system/shows", "..", "shows\nlive", "Shows"} {
		stream := u.stream()
		stream.Spec.PushDomainRef.Name = name
		if err := u.Create(t.Context(), stream, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "name must be that of a PushDomain") {
			t.Errorf("%q is answered with %v", name, err)
		}
	}
}
