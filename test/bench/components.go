package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// componentsCPU is what each component of the control plane has run so far, in seconds, by its name.
func (w *world) componentsCPU(ctx context.Context) (map[string]float64, error) {
	components, err := w.installed.Cluster.Status(ctx)
	if err != nil {
		return nil, err
	}
	spent := map[string]float64{}
	for _, c := range components {
		if c.PID == 0 {
			continue
		}
		if spent[c.Name], err = cpuOf(c.PID, c.Name); err != nil {
			return nil, err
		}
	}
	return spent, nil
}

// benchControllerManager measures how fast the Pods of many streams that go on air at once come to run, with the controller manager's own limit of
// requests and with ten times as much. It is the first wall that one meets, and none of ours.
func benchControllerManager(ctx context.Context, w *world) error {
	count := w.pick(40, 200)
	r, err := w.newRig(ctx, "controllermanager", withJob, count)
	if err != nil {
		return err
	}
	defer r.close()
	raised, err := w.wave(ctx, r)
	if err != nil {
		return err
	}
	slow, err := w.slowControllerManager(ctx)
	if err != nil {
		return err
	}
	unraised, err := w.wave(ctx, r)
	slow.kill()
	if err := errors.Join(err, w.installed.Cluster.Start(ctx, controlplane.ControllerManager)); err != nil {
		return err
	}
	w.report.put("sizing_controller_manager", result{
		Interval:  stats.Interval{Value: raised / unraised, Low: raised / unraised, High: raised / unraised},
		Reference: map[string]float64{"pods_per_s": unraised, "qps": 20, "burst": 30, "streams": float64(count)},
		Subject:   map[string]float64{"pods_per_s": raised, "qps": 200, "burst": 400, "streams": float64(count)},
		Note:      "one wave each",
	})
	return w.finish(ctx, r.operator, r.streams)
}

// wave puts all streams on air at once, and returns how many of their workloads came to run in a second. It takes them off air again.
func (w *world) wave(ctx context.Context, r *rig) (float64, error) {
	streams := r.streams
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := w.observe(watching, streams.namespace)
	if err != nil {
		return 0, err
	}
	var rate float64
	for _, want := range []v1alpha1.WorkloadState{v1alpha1.WorkloadRunning, v1alpha1.WorkloadStopped} {
		began := time.Now()
		var failed error
		err := openLoop(ctx, stats.Arrivals(200, streams.count), func(int, time.Time) {
			if err := streams.send(ctx, r.sender); err != nil {
				failed = err
			}
		})
		if err != nil || failed != nil {
			return 0, fmt.Errorf("sending a wave: %w, %w", err, failed)
		}
		if err := seen.waitWorkloads(ctx, want, streams.count); err != nil {
			return 0, err
		}
		if want == v1alpha1.WorkloadRunning {
			rate = float64(streams.count) / time.Since(began).Seconds()
		}
	}
	return rate, nil
}

// slowControllerManager replaces the controller manager by one with its own limits.
func (w *world) slowControllerManager(ctx context.Context) (*process, error) {
	components, err := w.installed.Cluster.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range components {
		if c.Name != controlplane.ControllerManager {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID))
		if err != nil {
			return nil, fmt.Errorf("reading the controller manager's command: %w", err)
		}
		arguments := strings.Split(strings.Trim(string(text), "\x00"), "\x00")
		for i, argument := range arguments {
			switch name, _, _ := strings.Cut(argument, "="); name {
			case "--kube-api-qps":
				arguments[i] = "--kube-api-qps=20"
			case "--kube-api-burst":
				arguments[i] = "--kube-api-burst=30"
			}
		}
		if err := w.installed.Cluster.Stop(ctx, controlplane.ControllerManager); err != nil {
			return nil, err
		}
		p, err := start(w.profiles, "controller-manager", nil, arguments[0], arguments[1:]...)
		if err != nil {
			return nil, err
		}
		w.running = append(w.running, p)
		return p, nil
	}
	return nil, fmt.Errorf("there is no controller manager: %w", exec.ErrNotFound)
}
