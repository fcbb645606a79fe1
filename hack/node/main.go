// Command node makes a cluster of this machine: a control plane of its own, with this machine as its one node, as root on Debian. It is
// what a test for a cluster of yours runs on where there is none.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/node"
)

const usage = `Makes a cluster of this machine, with this machine as its one node, until it is interrupted. It takes root on Debian, and what
"hack/media-packages.sh node", "go run ./hack/controlplane build" and "make out/node/bin/kubelet" give it.

Usage: go run ./hack/node --dir DIR
`

func main() {
	dir := flag.String("dir", "", "folder of the cluster: a new one, an empty one, or that of an earlier cluster; what the cluster has there goes with it (required)")
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage); flag.PrintDefaults() }
	flag.Parse()
	if *dir == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) (err error) {
	if err := node.Able(ctx); err != nil {
		return err
	}
	root, err := controlplane.Root(".")
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("finding the folder: %w", err)
	}
	after := context.WithoutCancel(ctx)
	lock, err := take(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	// What another one left there that was killed.
	if err := node.Clean(ctx, filepath.Join(dir, "node")); err != nil {
		return err
	}
	cluster, err := controlplane.Up(ctx, controlplane.Options{Dir: filepath.Join(dir, "cluster"), Bin: controlplane.BinDir(root), Progress: os.Stderr})
	if err != nil {
		return err
	}
	defer func() {
		_, down := controlplane.Down(after, filepath.Join(dir, "cluster"))
		if err = errors.Join(err, down); err == nil {
			err = give(dir)
		}
	}()
	n, err := node.Up(ctx, cluster, filepath.Join(dir, "node"), filepath.Join(root, "out", "node", "bin"), os.Stderr)
	if n != nil {
		defer func() { err = errors.Join(err, n.Down(after)) }()
	}
	if err != nil {
		return err
	}
	end, err := serve(ctx, cluster)
	if err != nil {
		return err
	}
	defer end()
	fmt.Print(next(cluster.Bin(), cluster.Kubeconfig(), n.Gateway, filepath.Join(dir, "node", "containerd.sock")))
	<-ctx.Done()
	return nil
}

// next says how to go on.
func next(bin, kubeconfig, gateway, socket string) string {
	return fmt.Sprintf(`The cluster is up, until this is interrupted. Go on with:

  export PATH="$PATH":%s
  export E2E_KUBECONFIG=%s
  export E2E_HOST_ADDRESS=%s
  export E2E_IMAGE_LOAD=%s
  make test-e2e
`, quoted(bin), quoted(kubeconfig), gateway, quoted("ctr --address "+quoted(socket)+" --namespace k8s.io images import"))
}

var plain = regexp.MustCompile(`^[\w./:-]+$`)

// quoted is one word of a shell.
func quoted(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// serve is the Service called kubernetes, as nothing here is a kube-proxy: Pods find the API server by it. The address is taken from
// whoever else has it on this machine; only what has our label is dropped, be it of one that was killed.
func serve(ctx context.Context, cluster *controlplane.Cluster) (end func(), err error) {
	server, err := url.Parse(cluster.Server())
	if err != nil {
		return nil, fmt.Errorf("reading the address of the API server: %w", err)
	}
	address := controlplane.ServiceIP + "/32"
	if output, err := exec.CommandContext(ctx, "ip", "address", "add", address, "dev", "lo", "label", label).CombinedOutput(); err != nil && !has(controlplane.ServiceIP) {
		return nil, fmt.Errorf("taking the address %s: %w: %s", address, err, output)
	}
	drop := func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = exec.CommandContext(within, "ip", "address", "delete", address, "dev", "lo", "label", label).Run()
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(controlplane.ServiceIP, "443"))
	if err != nil {
		drop()
		return nil, fmt.Errorf("listening for Pods: %w", err)
	}
	go node.Forward(listener, func() (string, error) { return server.Host, nil }, func(err error) { fmt.Fprintln(os.Stderr, "node:", err) })
	return func() { _ = listener.Close(); drop() }, nil
}

// label is how the kernel remembers whose the address is.
const label = "lo:livestream"

// has says whether this machine has the address.
func has(address string) bool {
	all, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(all, func(a net.Addr) bool {
		n, is := a.(*net.IPNet)
		return is && n.IP.Equal(net.ParseIP(address))
	})
}
