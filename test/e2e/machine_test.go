//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/node"
)

// machine is a control plane of this machine, with this machine as its node.
type machine struct {
	cluster *controlplane.Cluster
	node    *node.Node
}

func (m *machine) up(ctx context.Context, s *stage) (w where, err error) {
	bin := filepath.Join(s.root, "out", "node", "bin")
	m.cluster, err = controlplane.Up(ctx, controlplane.Options{Dir: filepath.Join(s.dir, "cluster"), Bin: controlplane.BinDir(s.root), Progress: os.Stderr})
	if err != nil {
		return w, err
	}
	s.ends = append(s.ends, func() { _, _ = controlplane.Down(context.Background(), filepath.Join(s.dir, "cluster")) })
	m.node, err = node.Up(ctx, m.cluster, filepath.Join(s.dir, "node"), bin, os.Stderr)
	if m.node != nil {
		s.ends = append(s.ends, func() {
			if err := m.node.Down(context.Background()); err != nil {
				say("%v", err)
			}
		})
	}
	if err != nil {
		return w, err
	}
	w = where{kubectl: filepath.Join(m.cluster.Bin(), "kubectl"), address: m.node.Gateway}
	w.kubeconfig, err = s.pin(m.cluster.Kubeconfig())
	return w, err
}

func (m *machine) images(ctx context.Context, s *stage) (manager, worker string, err error) {
	say("making the images")
	managers := s.managerFiles()
	workers, err := s.workerFiles(ctx)
	if err != nil {
		return "", "", err
	}
	managers.Name, workers.Name = "livestream.test/manager:e2e", "livestream.test/worker:e2e"
	return managers.Name, workers.Name, errors.Join(m.node.Import(ctx, managers), m.node.Import(ctx, workers))
}

func (*machine) ready(context.Context, *stage) error { return nil }

// patch is what a node without a service network needs: the API server has a name that its certificate has.
func (m *machine) patch(s *stage) (string, error) {
	server, err := url.Parse(m.cluster.Server())
	if err != nil {
		return "", err
	}
	// It listens on this machine alone; Pods reach it here.
	_, port, err := s.forward("0.0.0.0:0", func() (string, error) { return server.Host, nil })
	return fmt.Sprintf(`
    - {op: add, path: /spec/template/spec/hostAliases, value: [{ip: %s, hostnames: [kubernetes]}]}
    - {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: KUBERNETES_SERVICE_HOST, value: kubernetes}}
    - {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: KUBERNETES_SERVICE_PORT, value: "%s"}}
`, m.node.Gateway, port), err
}

// receiver does what a Service and an ingress do elsewhere.
func (*machine) receiver(ctx context.Context, s *stage) (string, error) {
	address, _, err := s.forward("127.0.0.1:0", func() (string, error) { return s.replica(ctx) })
	return "http://" + address, err
}

// replica is the address of a ready receiver.
func (s *stage) replica(ctx context.Context) (string, error) {
	var pods corev1.PodList
	if err := s.client.List(ctx, &pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/name": receivers}); err != nil {
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
	go node.Forward(listener, to, func(err error) { say("a connection finds nobody: %v", err) })
	address = listener.Addr().String()
	return address, address[strings.LastIndex(address, ":")+1:], nil
}

func (*machine) cannot(disturbance) string { return "" }

// kill is from here: the first process of a container cannot be killed from within.
func (m *machine) kill(ctx context.Context, s *stage, pod string, what disturbance) error {
	id, err := s.kubectl(ctx, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].containerID}")
	if err != nil {
		return err
	}
	id = strings.TrimPrefix(id, "containerd://")
	switch what {
	case killRecorder:
		return killProcesses(id, "worker", 1)
	case killContainer:
		return killProcesses(id, "worker", 2)
	case killFFmpeg:
		return killProcesses(id, "ffmpeg", 1)
	}
	return fmt.Errorf("%s is no kill", what)
}

// killProcesses kills the n-th process of that name, counted from the youngest, in the container's control group.
func killProcesses(container, name string, nth int) error {
	found, err := processes(container, name, nil)
	if err != nil {
		return err
	}
	if len(found) < nth {
		return fmt.Errorf("container %s has %d processes called %s", container, len(found), name)
	}
	return syscall.Kill(found[len(found)-nth], syscall.SIGKILL)
}

// processes are those of a name in a control group, the oldest first, but for those that are not to be looked at.
func processes(group, name string, but map[string]bool) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || but[e.Name()] {
			continue
		}
		groups, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cgroup"))
		comm, err2 := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if err == nil && err2 == nil && strings.Contains(string(groups), group) && strings.TrimSpace(string(comm)) == name {
			found = append(found, pid)
		}
	}
	slices.Sort(found)
	return found, nil
}

// plainStart sees the process itself.
func (m *machine) plainStart(ctx context.Context, s *stage, name string) (time.Duration, error) {
	before := map[string]bool{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		before[e.Name()] = true
	}
	pod := s.plainPod(name, "-re", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-")
	began := time.Now()
	if err := s.client.Create(ctx, pod); err != nil {
		return 0, err
	}
	var running time.Time
	if err := withinEvery(ctx, 20*time.Millisecond, time.Minute, "the plain Pod runs", func() error {
		found, err := processes(string(pod.UID), "ffmpeg", before)
		running = time.Now()
		if err == nil && len(found) == 0 {
			err = errors.New("it has no process")
		}
		return err
	}); err != nil {
		return 0, err
	}
	return running.Sub(began), s.client.Delete(ctx, pod, client.GracePeriodSeconds(0))
}

// claim is of a folder of the node.
func (m *machine) claim(ctx context.Context, s *stage, name string) (func(context.Context, string) (string, error), error) {
	folder := filepath.Join(s.dir, "volume-"+name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	fetch := func(_ context.Context, inClaim string) (string, error) {
		return filepath.Join(folder, filepath.FromSlash(inClaim)), nil
	}
	return fetch, s.apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  claimRef: {namespace: %[4]s, name: %[1]s}
  local: {path: %[2]s}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%[3]s]}]}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[1]s}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: %[1]s, resources: {requests: {storage: 1Gi}}}
`, name, folder, m.node.Name, s.namespace))
}
