package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// startTimeout is generous: the machine may be busy compiling.
const startTimeout = 2 * time.Minute

// portTries is how often Up looks for other ports, when somebody takes one between our finding it free and its use.
const portTries = 3

// Up brings the control plane in Options.Dir up and returns when it is ready: all components are healthy, pods can be made in
// the namespace default, and the fake nodes are ready.
//
// It may be called again at any time. What runs and is healthy stays as it is; what is missing, or was started with other
// options, is started; data is kept; and ports stay the same unless somebody else took them. If it fails, what it has started
// is stopped again, and logs and data stay.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	o.Progress = orDiscard(o.Progress)
	dir, err := prepare(&o)
	if err != nil {
		return nil, err
	}
	release, err := lock(ctx, filepath.Join(dir, lockName), o.Progress)
	if err != nil {
		return nil, err
	}
	defer release()
	c, err := open(dir, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.bringUp(ctx, o.Progress); err != nil {
		return nil, fmt.Errorf("bringing the control plane in %s up: %w", dir, err)
	}
	return c, nil
}

// prepare checks the options and makes the folder.
func prepare(o *Options) (string, error) {
	if runtime.GOOS != "linux" {
		return "", errors.New("the local control plane runs on Linux only")
	}
	bin, err := absolute(o.Bin)
	if err != nil {
		return "", fmt.Errorf("finding the commands of the control plane: %w", err)
	}
	if _, err := os.Stat(filepath.Join(bin, APIServer)); err != nil {
		return "", fmt.Errorf("control plane is not built; run go run ./hack/controlplane build: %w", err)
	}
	o.Bin = bin
	if o.FakeNodes < 0 {
		return "", fmt.Errorf("%d fake nodes: it cannot be less than none", o.FakeNodes)
	}
	if o.Dir == "" {
		return "", errors.New("no folder for the control plane was given")
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for the control plane: %w", err)
	}
	dir, err := absolute(o.Dir)
	if err != nil {
		return "", err
	}
	if _, err := loadState(dir); errors.Is(err, ErrNoControlPlane) {
		return dir, refuseForeign(dir)
	}
	return dir, nil
}

// open is the control plane in dir with the options, made if there is none.
func open(dir string, o Options) (*Cluster, error) {
	s, err := loadState(dir)
	if err != nil && !errors.Is(err, ErrNoControlPlane) {
		return nil, err
	}
	s.Bin, s.Durable, s.APIServerOnly, s.FakeNodes, s.GOGC, s.Unchecked = o.Bin, o.Durable, o.APIServerOnly, o.FakeNodes, o.GOGC, o.Unchecked
	// Saved before all else: it marks the folder as ours.
	if err := saveState(dir, s); err != nil {
		return nil, err
	}
	if err := ensurePKI(dir); err != nil {
		return nil, err
	}
	for _, name := range []string{"logs", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, fmt.Errorf("making a folder of the control plane: %w", err)
		}
	}
	if err := writeFile(filepath.Join(dir, stagesName), stages, 0o644); err != nil {
		return nil, err
	}
	return newCluster(dir, s)
}

// bringUp starts what is missing, with other ports if need be, and waits until the cluster can be used.
func (c *Cluster) bringUp(ctx context.Context, progress io.Writer) error {
	var started []string
	var err error
	for range portTries {
		var more []string
		more, err = c.startMissing(ctx, progress)
		started = append(started, more...)
		lost := errors.Is(err, errLost) && errors.Is(err, errEnded)
		if err == nil || !lost && !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	if err == nil && !c.state.APIServerOnly {
		err = c.waitUsable(ctx)
	}
	if err != nil {
		return errors.Join(err, c.undo(ctx, started))
	}
	if len(started) == 0 {
		_, _ = fmt.Fprintf(progress, "control plane: already up in %s\n", c.dir)
	}
	return nil
}

// errLost means that a component which was running is not healthy.
var errLost = errors.New("a component was lost meanwhile")

// undo works even if the context has ended, which may be why Up failed.
func (c *Cluster) undo(ctx context.Context, started []string) error {
	return stopAll(context.WithoutCancel(ctx), c.dir, started)
}

// startMissing starts the components that are not running as they should, in order, and returns their names.
func (c *Cluster) startMissing(ctx context.Context, progress io.Writer) ([]string, error) {
	running, err := processes(c.dir)
	if err != nil {
		return nil, err
	}
	if err := c.state.Ports.replaceTaken(ctx, func(name string) bool { return len(running[name]) > 0 }); err != nil {
		return nil, err
	}
	if err := errors.Join(saveState(c.dir, c.state), c.writeKubeconfig()); err != nil {
		return nil, err
	}
	stale, err := c.stopStale(ctx, running)
	if err != nil {
		return nil, err
	}
	var started []string
	for _, group := range startGroups(c.state.names()) {
		begin := time.Now()
		names := slices.DeleteFunc(group, func(name string) bool { return len(running[name]) > 0 && !slices.Contains(stale, name) })
		started = append(started, names...)
		if err := c.startAndWait(ctx, names); err != nil {
			return started, err
		}
		for _, name := range names {
			_, _ = fmt.Fprintf(progress, "control plane: %s is ready (%.1fs)\n", name, time.Since(begin).Seconds())
		}
	}
	// Those that were running must be healthy too. One that was killed just before is found running for a moment, and one whose API
	// server went away ends a while later.
	if err := c.waitHealthy(ctx, c.state.names(), nil); err != nil {
		return started, fmt.Errorf("%w: %w", errLost, err)
	}
	return started, nil
}

// stopStale stops the components that run with another command line than they should or should not run at all, and kwok if it
// has to look at everything again: a change that it was about to write when the API server died is lost to it.
func (c *Cluster) stopStale(ctx context.Context, running map[string][]int) ([]string, error) {
	isStale := func(name string) bool {
		wanted := c.arguments(name)
		return len(running[name]) > 1 || !slices.Contains(c.state.names(), name) || !slices.Equal(commandLine(running[name][0]), wanted)
	}
	var stale []string
	for name := range running {
		if isStale(name) {
			stale = append(stale, name)
		}
	}
	serverRestarts := len(running[APIServer]) == 0 || slices.Contains(stale, APIServer)
	if serverRestarts && len(running[Kwok]) > 0 && !slices.Contains(stale, Kwok) {
		stale = append(stale, Kwok)
	}
	return stale, stopAll(ctx, c.dir, stale)
}

// startGroups are the components that may be started together, in order: the API server needs etcd, and all others need it.
func startGroups(names []string) [][]string {
	groups := [][]string{{Etcd}, {APIServer}, {ControllerManager, Scheduler, Kwok}}
	for i := range groups {
		groups[i] = slices.DeleteFunc(groups[i], func(name string) bool { return !slices.Contains(names, name) })
	}
	return groups
}

// stopAll stops components in the opposite order, each group at once.
func stopAll(ctx context.Context, dir string, names []string) error {
	running, err := processes(dir)
	if err != nil {
		return err
	}
	groups := startGroups(names)
	slices.Reverse(groups)
	for _, group := range groups {
		failures := make(chan error, len(group))
		for _, name := range group {
			go func() { failures <- end(ctx, dir, name, running[name], true) }()
		}
		var failed []error
		for _, name := range group {
			failed = append(failed, <-failures)
			_ = os.Remove(filepath.Join(dir, "run", name+".pid"))
		}
		if err := errors.Join(failed...); err != nil {
			return err
		}
	}
	return nil
}
