package policy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// images are those that manifests name: what each Deployment runs, and what the flag --worker-image says once the kubelet has expanded it.
func images(t *testing.T, manifests []*unstructured.Unstructured) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, object := range manifests {
		if object.GetKind() != "Deployment" {
			continue
		}
		container := as[appsv1.Deployment](t, object).Spec.Template.Spec.Containers[0]
		found[object.GetName()] = container.Image
		for _, argument := range container.Args {
			value, is := strings.CutPrefix(argument, "--worker-image=")
			if !is {
				continue
			}
			for _, variable := range container.Env {
				value = strings.ReplaceAll(value, "$("+variable.Name+")", variable.Value)
			}
			found["worker"] = value
		}
	}
	return found
}

func TestTheInstallationRunsTheOperatorAndTheWorkerOfOneRelease(t *testing.T) {
	found := images(t, kustomized(t, "config", "default"))
	manager, tag, _ := strings.Cut(found["livestream-receiver"], ":")
	want := map[string]string{
		"livestream-receiver": manager + ":" + tag, "livestream-reconciler": manager + ":" + tag, "worker": "ghcr.io/livestream-operator/worker:" + tag,
	}
	if diff := gocmp.Diff(want, found); diff != "" || tag == "" {
		t.Errorf("the images are not of one release (-want +got):\n%s", diff)
	}
}

// What make deploy applies.
func TestAnOverlayInstallsTheOperatorAndTheWorkerFromARegistryOfOnesOwn(t *testing.T) {
	const manager, worker = "registry.example.com:5000/media/operator@sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945", "registry.example.com:5000/media/worker:1"
	dir := t.TempDir()
	base, err := filepath.Rel(dir, filepath.Join(root(t), "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := exec.CommandContext(t.Context(), filepath.Join(root(t), "hack", "overlay.sh"), base, manager, worker).Output()
	if err != nil {
		t.Fatalf("writing the overlay: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	manifests := rendered(t, dir)
	want := map[string]string{"livestream-receiver": manager, "livestream-reconciler": manager, "worker": worker}
	if diff := gocmp.Diff(want, images(t, manifests)); diff != "" {
		t.Errorf("the images are not those of the overlay (-want +got):\n%s", diff)
	}
	if plain := kustomized(t, "config", "default"); len(plain) != len(manifests) {
		t.Errorf("the overlay has %d objects, config/default %d", len(manifests), len(plain))
	}
}
