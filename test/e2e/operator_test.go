//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/image"
)

// managerName and managerTag are of the image of the operator, made here.
const managerName, managerTag = "livestream.test/manager", "e2e"

// overlay is config/default with what a node without a service network needs: the API server has a name that its certificate has.
const overlay = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%[1]s]
images: [{name: ghcr.io/livestream-operator/livestream-operator, newName: %[2]s, newTag: %[3]s}]
patches:
- target: {kind: Deployment}
  patch: |-
    - {op: add, path: /spec/template/spec/hostAliases, value: [{ip: %[4]s, hostnames: [kubernetes]}]}
    - {op: add, path: /spec/template/spec/containers/0/env, value: [{name: KUBERNETES_SERVICE_HOST, value: kubernetes}, {name: KUBERNETES_SERVICE_PORT, value: "%[5]s"}]}
    - {op: add, path: /spec/template/spec/containers/0/imagePullPolicy, value: Never}
- target: {kind: Deployment, name: livestream-reconciler}
  patch: |-
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --worker-image=%[6]s}
`

// install runs the operator in the cluster, as its users do: two replicas of each Deployment, with the rights of its service account.
func (s *stage) install(ctx context.Context) error {
	say("making the operator's image")
	if err := s.node.Import(ctx, image.Image{
		Name: managerName + ":" + managerTag, Entrypoint: []string{"/manager"}, User: "65532",
		Files: map[string]string{"/manager": filepath.Join(s.root, "bin", "manager")}, Texts: map[string]string{"/etc/passwd": "manager:x:65532:65532::/:/\n"},
	}); err != nil {
		return err
	}
	server, err := url.Parse(s.cluster.Server())
	if err != nil {
		return err
	}
	// It listens on this machine alone; Pods reach it here.
	_, port, err := s.forward("0.0.0.0:0", func() (string, error) { return server.Host, nil })
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
	text := fmt.Sprintf(overlay, base, managerName, managerTag, s.node.Gateway, port, workerImage)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	say("installing config/default")
	if _, err := s.kubectl(ctx, "apply", "--server-side", "-k", dir); err != nil {
		return err
	}
	for _, deployment := range []string{"livestream-receiver", "livestream-reconciler"} {
		if output, err := s.kubectl(ctx, "rollout", "status", "-n", "livestream-system", "deployment/"+deployment, "--timeout=3m"); err != nil {
			pods, _ := s.kubectl(ctx, "describe", "pods", "-n", "livestream-system")
			logs, _ := s.kubectl(ctx, "logs", "-n", "livestream-system", "-l", "app.kubernetes.io/name="+deployment, "--tail=30")
			return fmt.Errorf("the operator does not come up: %w: %s\n%s\n%s", err, output, pods, logs)
		}
	}
	// What a Service and an ingress do elsewhere.
	receiver, _, err := s.forward("127.0.0.1:0", func() (string, error) { return s.replica(ctx) })
	if err != nil {
		return err
	}
	s.callbacks = "http://" + receiver + "/callbacks/default/"
	return nil
}

// replica is the address of a ready receiver.
func (s *stage) replica(ctx context.Context) (string, error) {
	var pods corev1.PodList
	if err := s.client.List(ctx, &pods, client.InNamespace("livestream-system"), client.MatchingLabels{"app.kubernetes.io/name": "livestream-receiver"}); err != nil {
		return "", err
	}
	for _, pod := range pods.Items {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
				return net.JoinHostPort(pod.Status.PodIP, "9080"), nil
			}
		}
	}
	return "", errors.New("no replica of the operator is ready")
}

// forward passes connections on to where each is to go.
func (s *stage) forward(from string, to func() (string, error)) (address, port string, err error) {
	listener, err := net.Listen("tcp", from)
	if err != nil {
		return "", "", err
	}
	s.ends = append(s.ends, func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go pass(in, to)
		}
	}()
	address = listener.Addr().String()
	return address, address[strings.LastIndex(address, ":")+1:], nil
}

func pass(in net.Conn, to func() (string, error)) {
	defer in.Close()
	address, err := to()
	if err != nil {
		say("a callback finds nobody: %v", err)
		return
	}
	out, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		say("a connection finds nobody: %v", err)
		return
	}
	defer out.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(way[1], way[0])
			ended <- struct{}{}
		}()
	}
	// Either side's end is the end: nobody here half-closes.
	<-ended
}
