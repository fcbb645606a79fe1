package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// stage is the control plane, the operator's process and the ways to look at them.
type stage struct {
	dir        string
	root       string
	cluster    *controlplane.Cluster
	client     client.Client
	manager    *exec.Cmd
	managerLog string
	receiver   string
}

func setUp(ctx context.Context, root, dir string) (*stage, error) {
	bin, err := controlplane.Build(ctx, root, os.Stderr)
	if err != nil {
		return nil, err
	}
	// What an earlier demonstration left.
	if _, err := controlplane.Down(ctx, dir); err != nil {
		return nil, err
	}
	say("Starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and a fake node ...")
	s := &stage{dir: dir, root: root, managerLog: filepath.Join(root, "out", "demo-manager.log")}
	if s.cluster, err = controlplane.Up(ctx, controlplane.Options{Dir: dir, Bin: bin, FakeNodes: 1, Progress: os.Stderr}); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.tearDown(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *stage) begin(ctx context.Context) error {
	if err := s.kubectl(ctx, "apply", "-k", filepath.Join(s.root, "config", "crd")); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.cluster.Kubeconfig())
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return fmt.Errorf("registering kinds: %w", err)
	}
	if s.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	return s.startManager(ctx)
}

func (s *stage) startManager(ctx context.Context) error {
	addresses, err := freeAddresses(2)
	if err != nil {
		return err
	}
	log, err := os.Create(s.managerLog)
	if err != nil {
		return fmt.Errorf("making the operator's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	s.receiver = "http://" + addresses[0]
	arguments := []string{"--callback-bind-address=" + addresses[0], "--health-probe-bind-address=" + addresses[1], "--metrics-bind-address=0", "--shutdown-delay=0"}
	say("$ bin/manager %s", strings.Join(arguments, " "))
	s.manager = exec.Command(filepath.Join(s.root, "bin", "manager"), arguments...) //nolint:noctx // tearDown ends it
	s.manager.Env = append(os.Environ(), "KUBECONFIG="+s.cluster.Kubeconfig())
	s.manager.Stdout, s.manager.Stderr = log, log
	if err := s.manager.Start(); err != nil {
		return fmt.Errorf("starting the operator; `make build` makes bin/manager: %w", err)
	}
	return until(ctx, "the operator is ready", func() error {
		response, err := http.Get("http://" + addresses[1] + "/readyz") //nolint:noctx // local and short
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %d", response.StatusCode)
		}
		return nil
	})
}

func freeAddresses(count int) ([]string, error) {
	var addresses []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer func() { _ = listener.Close() }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

func (s *stage) tearDown(ctx context.Context) error {
	if s.manager != nil && s.manager.Process != nil {
		_ = s.manager.Process.Signal(syscall.SIGTERM)
		_ = s.manager.Wait()
	}
	_, err := controlplane.Down(ctx, s.dir)
	return err
}

// kubectl shows a command and what it prints, as a user would see it.
func (s *stage) kubectl(ctx context.Context, arguments ...string) error {
	say("$ kubectl %s", strings.ReplaceAll(strings.Join(arguments, " "), s.root+"/", ""))
	command := exec.CommandContext(ctx, filepath.Join(s.cluster.Bin(), "kubectl"), arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+s.cluster.Kubeconfig())
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	for line := range strings.Lines(output.String()) {
		fmt.Print("  ", line)
	}
	if err != nil {
		return fmt.Errorf("kubectl %s: %w", arguments[0], err)
	}
	return nil
}

// until asks again and again until there is no error, for at most half a minute.
func until(ctx context.Context, what string, holds func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
	}
}

func (s *stage) howToGoOn() {
	say(`
The control plane and the operator stay up until you press Ctrl-C. In another terminal:

  export KUBECONFIG=%s
  export PATH=%s:$PATH
  kubectl get lvs --watch
  kubectl describe lvs morning-show

Send callbacks as CSS would; another -sequence is another push:

  go run ./hack/send-callback -url %s%s -key test -event start -sequence 1001
  go run ./hack/send-callback -url %s%s -key test -event interruption -sequence 1001 -errcode 12
`, s.cluster.Kubeconfig(), s.cluster.Bin(), s.receiver, callbackPath, s.receiver, callbackPath)
}
