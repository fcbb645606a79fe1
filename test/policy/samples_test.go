package policy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func yamlFiles(t *testing.T, folder ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(append([]string{root(t)}, append(folder, "*.yaml")...)...))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v has %d files, %v", folder, len(files), err)
	}
	return slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == "kustomization.yaml" })
}

// apply writes what kubectl apply would: with unknown fields refused, and without keeping it.
func apply(t *testing.T, namespace string, object *unstructured.Unstructured) error {
	t.Helper()
	if object.GetKind() != "ClusterRole" {
		object.SetNamespace(namespace)
	}
	return env.Client.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

func TestEverySampleIsValidAndSaysWhatItIsFor(t *testing.T) {
	namespace := env.Namespace(t)
	for _, file := range yamlFiles(t, "config", "samples") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil || !strings.HasPrefix(string(text), "# ") {
				t.Errorf("no comment on top, %v", err)
			}
			for _, object := range objects(t, file) {
				if err := apply(t, namespace, object); err != nil {
					t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
				}
			}
		})
	}
}

func TestTheKustomizationHasEverySample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "config", "samples", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct{ Resources []string }
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, file := range yamlFiles(t, "config", "samples") {
		files = append(files, filepath.Base(file))
	}
	slices.Sort(kustomization.Resources)
	if !slices.Equal(files, kustomization.Resources) {
		t.Errorf("the kustomization has\n%v, the folder\n%v", kustomization.Resources, files)
	}
}

func TestSamplesCanBeAppliedTogether(t *testing.T) {
	first := map[string]string{}
	var references [][2]string
	for _, file := range yamlFiles(t, "config", "samples") {
		for _, object := range objects(t, file) {
			field := func(path ...string) string {
				value, _, _ := unstructured.NestedString(object.Object, append([]string{"spec"}, path...)...)
				return value
			}
			claims := []string{object.GetKind() + " " + object.GetName()}
			switch object.GetKind() {
			case "PushDomain":
				claims = append(claims, "domain "+strings.ToLower(field("domain")))
			case "LiveStream":
				claims = append(claims, "stream "+field("pushDomainRef", "name")+"/"+field("appName")+"/"+field("streamName"))
				references = append(references, [2]string{file, "PushDomain " + field("pushDomainRef", "name")})
			}
			for _, claim := range claims {
				if other, taken := first[claim]; taken {
					t.Errorf("%s: %s is in %s already", filepath.Base(file), claim, filepath.Base(other))
				}
				first[claim] = file
			}
		}
	}
	for _, reference := range references {
		if first[reference[1]] == "" {
			t.Errorf("%s refers to %s, which no sample has", filepath.Base(reference[0]), reference[1])
		}
	}
}

// What the README shows is what a newcomer pastes.
func TestTheReadmeShowsTheFirstSampleAsItIs(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	sample, err := os.ReadFile(filepath.Join(root(t), "config", "samples", "morning-show.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, withoutSecret, _ := strings.Cut(string(sample), "\n---\n")
	_, block, _ := strings.Cut(string(readme), "```yaml\n")
	block, _, _ = strings.Cut(block, "```\n")
	if diff := gocmp.Diff(withoutSecret, block); diff != "" {
		t.Errorf("the README's first block of YAML is not the sample without its Secret (-sample +README):\n%s", diff)
	}
}

// A Pod that is not root writes onto a volume that is the group's; and ffmpeg writes over no file, so that the second part of a broadcast, or a
// Pod in place of one that failed, needs a file of its own.
func TestSamplesThatRecordOntoAClaimCanWriteToItAndNameEachPart(t *testing.T) {
	made, recorders := map[string]bool{}, 0
	var mounted []string
	for _, file := range yamlFiles(t, "config", "samples") {
		for _, object := range objects(t, file) {
			if object.GetKind() == "PersistentVolumeClaim" {
				made[object.GetName()] = true
			}
			for _, w := range workloadsOf(t, object) {
				if w.Job == nil {
					continue
				}
				pod := w.Job.Spec.Template.Spec
				for _, volume := range pod.Volumes {
					if volume.PersistentVolumeClaim == nil {
						continue
					}
					where := filepath.Base(file) + ", workload " + w.Name
					mounted = append(mounted, volume.PersistentVolumeClaim.ClaimName)
					if pod.SecurityContext == nil || pod.SecurityContext.FSGroup == nil {
						t.Errorf("%s mounts a claim and has no fsGroup", where)
					}
					command := strings.Join(append(pod.Containers[0].Command, pod.Containers[0].Args...), " ")
					if !strings.Contains(command, "-c copy") {
						continue
					}
					recorders++
					if !strings.Contains(command, "$(date +%s)") {
						t.Errorf("%s gives each part of a broadcast the same file: %s", where, command)
					}
				}
			}
		}
	}
	for _, claim := range mounted {
		if !made[claim] {
			t.Errorf("the claim %s is mounted, and no sample makes it", claim)
		}
	}
	if recorders < 4 {
		t.Errorf("%d samples record onto a claim", recorders)
	}
}

// workloadsOf are those of a LiveStream, or of a PushDomain's template.
func workloadsOf(t *testing.T, object *unstructured.Unstructured) []v1alpha1.Workload {
	t.Helper()
	switch object.GetKind() {
	case "LiveStream":
		return as[v1alpha1.LiveStream](t, object).Spec.Workloads
	case "PushDomain":
		return as[v1alpha1.PushDomain](t, object).Spec.Template.Spec.Workloads
	}
	return nil
}

func TestEveryInvalidSampleIsRefusedWithItsMessage(t *testing.T) {
	namespace := env.Namespace(t)
	for _, file := range yamlFiles(t, "hack", "invalid-samples") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			want, ok := strings.CutPrefix(first, "# want: ")
			if !ok {
				t.Fatalf("the first line is %q, not # want: ...", first)
			}
			err = apply(t, namespace, objects(t, file)[0])
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the answer is %v; want a refusal with %q", err, want)
			}
		})
	}
}
