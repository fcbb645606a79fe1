package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

func TestThePartsHaveTheMemoryLimitThatTheyAreInstalledWith(t *testing.T) {
	for _, part := range []string{"receiver", "reconciler"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "config", "manager", part+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		manifest, _, _ := bytes.Cut(text, []byte("\n---\n"))
		var installed appsv1.Deployment
		if err := yaml.UnmarshalStrict(manifest, &installed); err != nil {
			t.Fatalf("config/manager/%s.yaml: %v", part, err)
		}
		got := ""
		for _, variable := range installed.Spec.Template.Spec.Containers[0].Env {
			if variable.Name == "GOMEMLIMIT" {
				got = variable.Name + "=" + variable.Value
			}
		}
		if got != memoryLimit {
			t.Errorf("config/manager/%s.yaml has %q, the benchmark %q", part, got, memoryLimit)
		}
	}
}
