//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/faultproxy"
)

// replica is a process of the operator behind a proxy of its own. When it dies, it is started again, as a kubelet would.
type replica struct {
	proxy     *faultproxy.Proxy
	binary    string
	arguments []string
	config    string
	log       *os.File

	mu       sync.Mutex
	command  *exec.Cmd
	done     chan struct{}
	receiver string
	probes   string
	closed   bool
	// deaths counts those that we did not cause, too.
	deaths int
}

// Ports are below those that the kernel gives to outgoing connections, so that nobody takes the port of a dead process. They begin
// anywhere: two campaigns on one machine must not walk the same ones.
const firstPort, ports = 10_000, 22_000

var nextPort atomic.Int32

func init() { nextPort.Store(rand.Int32N(ports)) }

func freeAddress() (string, error) {
	for range 5000 {
		address := fmt.Sprint("127.0.0.1:", firstPort+nextPort.Add(1)%ports)
		if listener, err := net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", errors.New("finding a free port: all are taken")
}

// newReplicaAs starts one with the rights of a service account.
func newReplicaAs(account, namespace, binary string, number int, arguments ...string) (*replica, error) {
	proxy, err := faultproxy.New(installed.Cluster.Server(), installed.Cluster.CA(), namespace)
	if err != nil {
		return nil, err
	}
	r, err := startReplica(proxy, account, namespace, binary, number, arguments...)
	if err != nil {
		return nil, errors.Join(err, proxy.Close())
	}
	return r, nil
}

func startReplica(proxy *faultproxy.Proxy, account, namespace, binary string, number int, arguments ...string) (*replica, error) {
	var err error
	r := &replica{proxy: proxy, binary: binary, arguments: arguments, config: filepath.Join(work, fmt.Sprint(namespace, "-", number, ".kubeconfig"))}
	if err := installed.WriteConfig(r.config, account, proxy.URL(), proxy.CA()); err != nil {
		return nil, err
	}
	if r.log, err = os.Create(filepath.Join(work, fmt.Sprint(namespace, "-", number, ".log"))); err != nil {
		return nil, err
	}
	return r, r.start()
}

func (r *replica) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	var addresses [2]string
	for i := range addresses {
		var err error
		if addresses[i], err = freeAddress(); err != nil {
			return err
		}
	}
	r.receiver, r.probes = addresses[0], addresses[1]
	r.command = exec.Command(r.binary, append([]string{"--callback-bind-address=" + addresses[0], "--health-probe-bind-address=" + addresses[1], "--metrics-bind-address=0"}, r.arguments...)...)
	r.command.Env = append(os.Environ(), "KUBECONFIG="+r.config)
	r.command.Stdout, r.command.Stderr = r.log, r.log
	if err := r.command.Start(); err != nil {
		return fmt.Errorf("starting the operator: %w", err)
	}
	r.done = make(chan struct{})
	go r.mind(r.command, r.done)
	return nil
}

// mind starts the process again when it ends.
func (r *replica) mind(command *exec.Cmd, done chan struct{}) {
	began := time.Now()
	_ = command.Wait()
	close(done)
	r.mu.Lock()
	r.deaths++
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return
	}
	if time.Since(began) < 200*time.Millisecond {
		// Not as fast as it can: it may not like what it finds.
		<-time.After(200 * time.Millisecond)
	}
	_, _ = fmt.Fprintln(r.log, "---- started again ----")
	if err := r.start(); err != nil {
		_, _ = fmt.Fprintln(r.log, err)
	}
}

// kill is kill -9; it returns when the process is gone.
func (r *replica) kill() {
	r.mu.Lock()
	command, done := r.command, r.done
	r.mu.Unlock()
	_ = command.Process.Kill()
	<-done
}

// end is SIGTERM, as a kubelet does it; nothing is started again.
func (r *replica) end(within time.Duration) error {
	r.mu.Lock()
	r.closed = true
	done := r.done
	r.mu.Unlock()
	_ = r.signal(syscall.SIGTERM)
	select {
	case <-done:
		return nil
	case <-time.After(within):
		return fmt.Errorf("it runs %s after SIGTERM", within)
	}
}

func (r *replica) signal(s syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.command.Process.Signal(s)
}

func (r *replica) address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.receiver
}

func (r *replica) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.kill()
	_ = r.proxy.Close()
	_ = r.log.Close()
}
