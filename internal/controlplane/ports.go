package controlplane

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

const localhost = "127.0.0.1"

// Ports are the ports on 127.0.0.1 that a control plane's components listen on.
type Ports struct {
	Etcd              int `json:"etcd"`
	EtcdPeer          int `json:"etcdPeer"`
	APIServer         int `json:"kubeAPIServer"`
	ControllerManager int `json:"kubeControllerManager"`
	Scheduler         int `json:"kubeScheduler"`
	Kwok              int `json:"kwok"`
}

// of are the ports that a component listens on.
func (p *Ports) of(component string) []*int {
	switch component {
	case Etcd:
		return []*int{&p.Etcd, &p.EtcdPeer}
	case APIServer:
		return []*int{&p.APIServer}
	case ControllerManager:
		return []*int{&p.ControllerManager}
	case Scheduler:
		return []*int{&p.Scheduler}
	default:
		return []*int{&p.Kwok}
	}
}

// replaceTaken gives a new port to each component which has none yet, or whose port is in use, unless the component itself is
// what is running there.
func (p *Ports) replaceTaken(ctx context.Context, isRunning func(component string) bool) error {
	// All listeners stay open until the last is found: the kernel could hand out the same port twice.
	var open []net.Listener
	defer func() {
		for _, listener := range open {
			_ = listener.Close()
		}
	}()
	for _, component := range componentNames() {
		if isRunning(component) {
			continue
		}
		for _, port := range p.of(component) {
			listener, err := listenWhenFree(ctx, *port)
			if err != nil {
				listener, err = listenOn(0)
			}
			if err != nil {
				return fmt.Errorf("finding a free port for %s: %w", component, err)
			}
			open = append(open, listener)
			*port = listener.Addr().(*net.TCPAddr).Port
		}
	}
	return nil
}

// releaseTimeout is how long the kernel may need to give back the ports of a process that was killed.
const releaseTimeout = 2 * time.Second

// listenWhenFree waits a little for the port.
func listenWhenFree(ctx context.Context, port int) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	var listener net.Listener
	var last error
	err := poll(ctx, func() (bool, error) {
		listener, last = listenOn(port)
		return last == nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for port %d: %w: %w", port, err, last)
	}
	return listener, nil
}

// listenOn takes the port; 0 is any free one.
func listenOn(port int) (net.Listener, error) {
	return net.Listen("tcp", address(port)) //nolint:noctx // nothing to wait for
}

func address(port int) string {
	return net.JoinHostPort(localhost, strconv.Itoa(port))
}
