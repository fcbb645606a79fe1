//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/test/e2e/options"
)

// lock makes the operator's namespace, which one run of these tests can do at a time.
func lock(ctx context.Context, s *stage, w where) error {
	namespace := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s: %s}}", operatorNamespace, options.Label, s.namespace)
	_, err := w.run(ctx, namespace, "create", "-f", "-")
	if err != nil {
		// Whoever was first is told better there.
		err = errors.Join(refuseInstalled(ctx, s, w), err)
	}
	return err
}

// refuseInstalled looks for everything that config/default has, and that is not of this run.
func refuseInstalled(ctx context.Context, s *stage, w where) error {
	manifests, err := w.run(ctx, "", "kustomize", filepath.Join(s.root, "config", "default"))
	if err != nil {
		return err
	}
	text, err := w.run(ctx, manifests, "get", "--ignore-not-found", "-o", "json", "-f", "-")
	if err != nil {
		return fmt.Errorf("looking for a livestream-operator in the cluster: %w", err)
	}
	if text == "" {
		return nil
	}
	type object struct {
		metav1.PartialObjectMetadata
		Items []metav1.PartialObjectMetadata
	}
	var list object
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("looking for a livestream-operator in the cluster: %w", err)
	}
	if list.Kind != "List" {
		list.Items = append(list.Items, list.PartialObjectMetadata)
	}
	var found []options.Found
	for _, i := range list.Items {
		if run := i.Labels[options.Label]; run != s.namespace {
			found = append(found, options.Found{Kind: i.Kind, Name: i.Name, Run: run})
		}
	}
	return options.Refuse(found)
}

// installed is what is to be taken away from a cluster. It stands in the stage's folder until that is done, beside the kubeconfig, for
// the guard and later runs.
type installed struct {
	// Run is the namespace, and the label's value.
	Run string
	// Cordoned is a node that is to be uncordoned.
	Cordoned string
}

const installedFile = "installed.json"

func (i installed) write(dir string) error {
	text, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, installedFile), text, 0o600)
}

func readInstalled(dir string) (i installed, err error) {
	text, err := os.ReadFile(filepath.Join(dir, installedFile))
	if err == nil {
		err = json.Unmarshal(text, &i)
	}
	return i, err
}

// cordons notes which node is to be uncordoned; none when empty.
func (s *stage) cordons(node string) error {
	i, err := readInstalled(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	i.Cordoned = node
	return i.write(s.dir)
}

// uninstall takes away what the stage of that folder installed in a cluster of yours, by its label.
func uninstall(ctx context.Context, dir string) error {
	i, err := readInstalled(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// The program is that of now: a file is not to say what is run.
	w := where{kubectl: "kubectl", kubeconfig: filepath.Join(dir, kubeconfigFile)}
	var errs []error
	run := func(arguments ...string) {
		_, err := w.run(ctx, "", arguments...)
		errs = append(errs, err)
	}
	if i.Cordoned != "" {
		run("uncordon", i.Cordoned)
	}
	// While the operator runs; a recorder that still uploads is not waited for. All of it goes with the namespace anyway.
	_, _ = w.run(ctx, "", "delete", "livestreams,pushdomains", "--all", "--namespace", i.Run, "--timeout=30s")
	_, _ = w.run(ctx, "", "delete", "jobs,pods", "--all", "--namespace", i.Run, "--grace-period=1", "--timeout=30s")
	run("delete", "namespaces", "-l", options.Label+"="+i.Run, "--ignore-not-found", "--timeout=2m")
	run("delete", "customresourcedefinitions,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,flowschemas,prioritylevelconfigurations",
		"-l", options.Label+"="+i.Run, "--ignore-not-found", "--timeout=2m")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("taking away from the cluster what has the label %s=%s: %w", options.Label, i.Run, err)
	}
	// Credentials are in the other one, and the folder of a failure stays.
	return errors.Join(os.Remove(filepath.Join(dir, installedFile)), os.Remove(w.kubeconfig))
}
