package controlplane

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

// ComponentStatus is how a component fares.
type ComponentStatus struct {
	Name string
	// PID is 0 if the component is not running.
	PID int
	// Port is the one that the component serves its clients on.
	Port int
	// Unhealthy is nil if the component runs and says that it is ready.
	Unhealthy error
}

// Status is how the components fare, in the order in which they are started.
func (c *Cluster) Status(ctx context.Context) ([]ComponentStatus, error) {
	running, err := processes(c.dir)
	if err != nil {
		return nil, err
	}
	var all []ComponentStatus
	for _, name := range c.state.names() {
		status := ComponentStatus{Name: name, Port: *c.state.Ports.of(name)[0]}
		if len(running[name]) > 0 {
			status.PID = running[name][0]
			status.Unhealthy = c.healthy(ctx, name)
		} else {
			status.Unhealthy = fmt.Errorf("%s is not running", name)
		}
		all = append(all, status)
	}
	return all, nil
}

// Start starts a component that was stopped or killed, on the same port as before, and waits until it is healthy. It does
// nothing if the component is running. With the API server, kwok is restarted if it runs: see stopStale.
func (c *Cluster) Start(ctx context.Context, component string) error {
	running, err := c.running(component)
	if err != nil || len(running[component]) > 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, port := range c.state.Ports.of(component) {
		listener, err := listenWhenFree(ctx, *port)
		if err != nil {
			return fmt.Errorf("starting %s where it was (up would move it): %w", component, err)
		}
		_ = listener.Close()
	}
	if err := c.startAndWait(ctx, []string{component}); err != nil {
		return err
	}
	if component != APIServer || len(running[Kwok]) == 0 {
		return nil
	}
	if err := stopAll(ctx, c.dir, []string{Kwok}); err != nil {
		return err
	}
	return c.startAndWait(ctx, []string{Kwok})
}

// Stop ends a component in order, as a shutdown would; after ten seconds it is killed. Data and port stay.
func (c *Cluster) Stop(ctx context.Context, component string) error {
	return c.end(ctx, component, true)
}

// Kill ends a component at once, as a crash would. Data and port stay.
func (c *Cluster) Kill(ctx context.Context, component string) error {
	return c.end(ctx, component, false)
}

func (c *Cluster) end(ctx context.Context, component string, inOrder bool) error {
	running, err := c.running(component)
	if err != nil {
		return err
	}
	if err := end(ctx, c.dir, component, running[component], inOrder); err != nil {
		return err
	}
	_ = os.Remove(c.pidFile(component))
	return nil
}

// running finds the processes, and refuses a name that is no component of this control plane.
func (c *Cluster) running(component string) (map[string][]int, error) {
	if names := c.state.names(); !slices.Contains(names, component) {
		return nil, fmt.Errorf("%q is no component of this control plane; they are %s", component, strings.Join(names, ", "))
	}
	return processes(c.dir)
}
