// Package node makes this machine a node of a local control plane, for tests: containerd and a kubelet of their own, with their own
// folders, sockets and network, beside whatever else runs here. It needs root and Debian's containerd, runc, containernetworking-plugins,
// iptables and conntrack.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/image"
)

// Node is a running node.
type Node struct {
	Name string
	// Gateway is the address under which Pods reach this machine.
	Gateway string

	dir, bin string
	cluster  *controlplane.Cluster
	started  []*exec.Cmd
	// alone is locked while the node is up.
	alone *os.File
}

const (
	subnet     = "10.245.77.0/24"
	gateway    = "10.245.77.1"
	bridge     = "lvsnode0"
	pauseImage = "localhost/pause:1"
	// patience for each part to come up.
	patience = 60 * time.Second
)

// Missing are the packages that a node needs and this machine lacks.
func Missing() []string {
	var missing []string
	for program, pkg := range map[string]string{"containerd": "containerd", "runc": "runc", "iptables": "iptables", "conntrack": "conntrack", "ctr": "containerd"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if _, err := os.Stat("/usr/lib/cni/bridge"); err != nil {
		missing = append(missing, "containernetworking-plugins")
	}
	return missing
}

// Up starts the node and waits until it is Ready. The folder bin holds the kubelet and a static pause program. A machine is one such
// node at a time: another waits. What is returned with an error has to be taken Down all the same.
func Up(ctx context.Context, cluster *controlplane.Cluster, dir, bin string, log io.Writer) (*Node, error) {
	alone, err := takeMachine(ctx, log)
	if err != nil {
		return nil, err
	}
	// By the address where the kubelet listens, the API server finds it, for logs, exec and forwarded ports.
	n := &Node{Name: "127.0.0.1", Gateway: gateway, dir: dir, bin: bin, cluster: cluster, alone: alone}
	// What another one left that was killed.
	if err := dropNetwork(ctx); err != nil {
		return n, err
	}
	if err := n.configure(ctx); err != nil {
		return n, err
	}
	if err := n.start(ctx, "containerd", "containerd", "--config", n.path("containerd.toml")); err != nil {
		return n, err
	}
	if err := n.waitFor(ctx, "containerd listens", func() error { return n.ctr(ctx, nil, "version") }); err != nil {
		return n, err
	}
	pause := image.Image{Name: pauseImage, Entrypoint: []string{"/pause"}, User: "65535", Files: map[string]string{"/pause": filepath.Join(bin, "pause")}}
	if err := n.Import(ctx, pause); err != nil {
		return n, err
	}
	if err := n.start(ctx, "kubelet", filepath.Join(bin, "kubelet"), "--config="+n.path("kubelet.yaml"), "--kubeconfig="+cluster.Kubeconfig(),
		"--hostname-override="+n.Name, "--root-dir="+n.path("kubelet"), "--cert-dir="+n.path("pki"), "--v=1"); err != nil {
		return n, err
	}
	_, _ = fmt.Fprintln(log, "node: waiting for the kubelet")
	return n, n.waitFor(ctx, "the node is Ready", func() error {
		output, err := n.kubectl(ctx, "get", "node", n.Name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && output != "True" {
			err = fmt.Errorf("the condition Ready is %q", output)
		}
		return err
	})
}

func (n *Node) path(name string) string { return filepath.Join(n.dir, name) }

func (n *Node) kubectl(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(n.cluster.Bin(), "kubectl"), append([]string{"--kubeconfig", n.cluster.Kubeconfig()}, arguments...)...) //nolint:gosec // built here
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", arguments[0], err, output)
	}
	return string(output), nil
}

func (n *Node) waitFor(ctx context.Context, what string, is func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := is()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w; see %s", what, errors.Join(err, n.ended()), n.path("logs"))
		case <-tick.C:
		}
	}
}

// ended says which of the processes has ended.
func (n *Node) ended() error {
	var all []error
	for _, c := range n.started {
		if syscall.Kill(c.Process.Pid, 0) != nil {
			all = append(all, fmt.Errorf("%s has ended", filepath.Base(c.Path)))
		}
	}
	return errors.Join(all...)
}

func (n *Node) start(ctx context.Context, name string, arguments ...string) error {
	log, err := os.OpenFile(n.path("logs/"+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close()
	command := exec.CommandContext(context.WithoutCancel(ctx), arguments[0], arguments[1:]...) //nolint:gosec // built here
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { _ = command.Wait() }()
	n.started = append(n.started, command)
	return nil
}

func (n *Node) ctr(ctx context.Context, input io.Reader, arguments ...string) error {
	command := exec.CommandContext(ctx, "ctr", append([]string{"--address", n.path("containerd.sock"), "--namespace", "k8s.io"}, arguments...)...) //nolint:gosec // built here
	command.Stdin = input
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ctr %s: %w: %s", arguments[0], err, output)
	}
	return nil
}

// Import makes an image known to the node.
func (n *Node) Import(ctx context.Context, i image.Image) error {
	archive, in := io.Pipe()
	go func() { _ = in.CloseWithError(i.Write(in)) }()
	err := n.ctr(ctx, archive, "images", "import", "--no-unpack=false", "-")
	_ = archive.Close()
	if err != nil {
		err = fmt.Errorf("importing %s: %w", i.Name, err)
	}
	return err
}

// Down ends everything that runs on the node, and what it left on this machine.
func (n *Node) Down(ctx context.Context) error {
	return errors.Join(clean(ctx, n.dir), dropNetwork(ctx), n.alone.Close())
}

// freePort of this machine.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // of a TCP listener
}
