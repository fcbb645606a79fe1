//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/livestream-operator/livestream-operator/test/e2e/options"
)

// overlay is config/default with the images, and with what the site has to add to it.
const overlay = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%[1]s]
labels: [{pairs: {%[2]s: %[3]s}}]
patches:
- target: {kind: Deployment}
  patch: |-
    - {op: replace, path: /spec/template/spec/containers/0/image, value: "%[4]s"}
%[6]s
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: livestream-reconciler, namespace: livestream-system}
    spec: {template: {spec: {containers: [{name: manager, env: [{name: WORKER_IMAGE, value: "%[5]s"}]}]}}}
`

// They are those of config/default.
const (
	operatorNamespace = "livestream-system"
	receivers         = "livestream-receiver"
)

// install runs the operator in the cluster, as its users do: two replicas of each Deployment, with the rights of its service account.
func (s *stage) install(ctx context.Context) error {
	patch, err := s.site.patch(s)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "operator")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	base, err := filepath.Rel(dir, filepath.Join(s.root, "config", "default"))
	if err != nil {
		return err
	}
	text := fmt.Sprintf(overlay, base, options.Label, s.namespace, s.managerImage, s.workerImage, patch)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	// Others may have installed it since this run began.
	if err := refuseInstalled(ctx, s, s.where); err != nil {
		return err
	}
	say("installing config/default")
	if _, err := s.kubectl(ctx, "apply", "--server-side", "-k", dir); err != nil {
		return err
	}
	for _, deployment := range []string{receivers, "livestream-reconciler"} {
		if output, err := s.kubectl(ctx, "rollout", "status", "-n", operatorNamespace, "deployment/"+deployment, "--timeout=3m"); err != nil {
			pods, _ := s.kubectl(ctx, "describe", "pods", "-n", operatorNamespace)
			logs, _ := s.kubectl(ctx, "logs", "-n", operatorNamespace, "-l", "app.kubernetes.io/name="+deployment, "--tail=30")
			return fmt.Errorf("the operator does not come up: %w: %s\n%s\n%s", err, output, pods, logs)
		}
	}
	receiver, err := s.site.receiver(ctx, s)
	if err != nil {
		return err
	}
	s.callbacks = receiver + "/callbacks/" + s.namespace + "/"
	return nil
}
