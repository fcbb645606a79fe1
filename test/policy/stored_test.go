package policy

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const storedGroup = "stored.example.com"

// An API server that refused the next write of what an earlier version let pass would refuse that of its finalizers, too.
func TestWhatWasStoredBeforeItsNamesWereRefusedCanBeEditedAndDeleted(t *testing.T) {
	for _, tc := range []struct{ name, kind, plural, spec, edit string }{
		{
			"a scale target with its kind", "LiveStream", "livestreams",
			`{pushDomainRef: {name: shows}, appName: live, streamName: test, workloads: [{name: a, scale: {apiVersion: apps/v1, kind: Deployment, name: deployment/packager}}]}`,
			`{"spec":{"historyLimit":7}}`,
		},
		{
			"a Secret with its key", "PushDomain", "pushdomains",
			`{provider: TencentCSS, domain: push.example.com, callback: {keySecretRefs: [{name: css/callbackKey, key: callbackKey}]}}`,
			`{"spec":{"appID":7}}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			crd := objects(t, filepath.Join(root(t), "config", "crd", "bases", "livestream-operator.io_"+tc.plural+".yaml"))[0]
			crd.SetName(tc.plural + "." + storedGroup)
			set(t, crd, storedGroup, "spec", "group")
			earlier := crd.DeepCopy()
			withoutNames(earlier.Object)
			if err := env.Client.Create(t.Context(), earlier); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = env.Client.Delete(context.Background(), crd) })
			namespace := env.Namespace(t)
			stored := func(name string) *unstructured.Unstructured {
				object := &unstructured.Unstructured{Object: map[string]any{}}
				if err := yaml.Unmarshal([]byte("spec: "+tc.spec), &object.Object); err != nil {
					t.Fatal(err)
				}
				object.SetAPIVersion(storedGroup + "/v1alpha1")
				object.SetKind(tc.kind)
				object.SetNamespace(namespace)
				object.SetName(name)
				object.SetFinalizers([]string{storedGroup + "/hold"})
				return object
			}
			created := func(when, name, want string, opts ...client.CreateOption) *unstructured.Unstructured {
				t.Helper()
				var object *unstructured.Unstructured
				var last error
				if err := eventually(t.Context(), func(ctx context.Context) (bool, error) {
					object = stored(name)
					last = env.Client.Create(ctx, object, opts...)
					return last == nil && want == "" || last != nil && want != "" && strings.Contains(last.Error(), want), nil
				}); err != nil {
					t.Fatalf("%s: the API server says %v, want %q", when, last, want)
				}
				return object
			}
			patch := func(what string, object client.Object, patch []byte) {
				t.Helper()
				if err := env.Client.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, patch)); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			object := created("the earlier version", "stored", "")
			spec, err := json.Marshal(map[string]any{"spec": crd.Object["spec"]})
			if err != nil {
				t.Fatal(err)
			}
			patch("the upgrade", earlier, spec)
			created("this version", "another", "name must be that of", client.DryRunAll)
			patch("an edit of something else", object, []byte(tc.edit))
			if err := env.Client.Delete(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			patch("its finalizer", object, []byte(`{"metadata":{"finalizers":null}}`))
			if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
				t.Errorf("it is there yet, or not to be read: %v", err)
			}
		})
	}
}

func set(t *testing.T, object *unstructured.Unstructured, value string, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(object.Object, value, path...); err != nil {
		t.Fatal(err)
	}
}

// withoutNames takes the rules of names from a schema.
func withoutNames(part any) {
	switch part := part.(type) {
	case map[string]any:
		if rules, is := part["x-kubernetes-validations"].([]any); is {
			part["x-kubernetes-validations"] = slices.DeleteFunc(rules, func(rule any) bool {
				message, _ := rule.(map[string]any)["message"].(string)
				return strings.HasPrefix(message, "name must be that of")
			})
		}
		for _, inner := range part {
			withoutNames(inner)
		}
	case []any:
		for _, inner := range part {
			withoutNames(inner)
		}
	}
}
