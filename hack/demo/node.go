package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// localNode does for recorders' Pods what a kubelet would, with processes of this machine.
type localNode struct {
	client              client.Client
	worker, dir, volume string
	runs                map[types.UID]*localPod
}

type localPod struct {
	command *exec.Cmd
	dir     string
	ended   chan struct{}
	told    bool
}

// run looks after the Pods until the context ends, and then ends their processes.
func (n *localNode) run(ctx context.Context) {
	n.runs = map[types.UID]*localPod{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, r := range n.runs {
				_ = r.command.Process.Kill()
				<-r.ended
			}
			return
		case <-tick.C:
		}
		var pods corev1.PodList
		if err := n.client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			continue
		}
		for _, pod := range pods.Items {
			if err := n.sync(ctx, &pod); err != nil {
				say("the node: Pod %s: %v", pod.Name, err)
			}
		}
	}
}

func (n *localNode) sync(ctx context.Context, pod *corev1.Pod) error {
	config, records := configOf(pod)
	run := n.runs[pod.UID]
	switch {
	case !records || pod.Status.Phase != corev1.PodRunning || run != nil && run.told:
		return nil
	case run == nil:
		started, err := n.start(ctx, pod, config)
		if err == nil {
			n.runs[pod.UID] = started
		}
		return err
	}
	if pod.DeletionTimestamp != nil {
		_ = run.command.Process.Signal(syscall.SIGTERM)
	}
	if err := os.WriteFile(filepath.Join(run.dir, "annotations.new"), []byte(annotations(pod)), 0o600); err != nil {
		return fmt.Errorf("passing its annotations on: %w", err)
	}
	if err := os.Rename(filepath.Join(run.dir, "annotations.new"), filepath.Join(run.dir, "annotations")); err != nil {
		return fmt.Errorf("passing its annotations on: %w", err)
	}
	select {
	case <-run.ended:
		run.told = true
		return n.report(ctx, pod, run)
	default:
		return nil
	}
}

// configOf is what the operator tells a recorder; Kubernetes takes $$ for $.
func configOf(pod *corev1.Pod) (string, bool) {
	for _, v := range pod.Spec.Containers[0].Env {
		if v.Name == recording.ConfigVariable {
			return strings.ReplaceAll(v.Value, "$$", "$"), true
		}
	}
	return "", false
}

// annotations are as a volume of the downward API has them.
func annotations(pod *corev1.Pod) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(pod.Annotations)) {
		fmt.Fprintf(&text, "%s=%q\n", key, pod.Annotations[key])
	}
	return text.String()
}

func (n *localNode) start(ctx context.Context, pod *corev1.Pod, config string) (*localPod, error) {
	r := &localPod{dir: filepath.Join(n.dir, pod.Name), ended: make(chan struct{})}
	if err := os.MkdirAll(filepath.Join(r.dir, "spool"), 0o750); err != nil {
		return nil, fmt.Errorf("making its folder: %w", err)
	}
	log, err := os.Create(filepath.Join(r.dir, "log"))
	if err != nil {
		return nil, fmt.Errorf("making its log: %w", err)
	}
	defer log.Close()
	arguments := []string{
		"--spool-dir=" + filepath.Join(r.dir, "spool"), "--volume-dir=" + n.volume, "--control-file=" + filepath.Join(r.dir, "annotations"),
		"--termination-log=" + filepath.Join(r.dir, "result"), "--health-bind-address=127.0.0.1:0", "--playback-key-file=" + filepath.Join(r.dir, "none"),
	}
	say("the node: Pod %s is bin/worker here, its log is %s", pod.Name, log.Name())
	r.command = exec.CommandContext(context.WithoutCancel(ctx), n.worker, arguments...)
	r.command.Env = append(os.Environ(), recording.ConfigVariable+"="+config)
	r.command.Stdout, r.command.Stderr = log, log
	r.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := r.command.Start(); err != nil {
		return nil, fmt.Errorf("starting bin/worker: %w", err)
	}
	go func() { defer close(r.ended); _ = r.command.Wait() }()
	return r, nil
}

// report writes how the process ended into the Pod's status.
func (n *localNode) report(ctx context.Context, pod *corev1.Pod, r *localPod) error {
	result, _ := os.ReadFile(filepath.Join(r.dir, "result"))
	code := int32(max(r.command.ProcessState.ExitCode(), -1)) //nolint:gosec // of a process
	now := metav1.NewTime(clock.RealClock{}.Now())
	before := pod.DeepCopy()
	reason := "Completed"
	pod.Status.Phase = corev1.PodSucceeded
	if code != 0 {
		pod.Status.Phase, reason = corev1.PodFailed, "Error"
	}
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		c.Ready, c.Started = false, new(bool)
		c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: string(result), FinishedAt: now, StartedAt: *pod.Status.StartTime}}
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			c.Status, c.LastTransitionTime = corev1.ConditionFalse, now
		}
	}
	say("the node: bin/worker of Pod %s ended with %d", pod.Name, code)
	if err := n.client.Status().Patch(ctx, pod, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("reporting its end: %w", err)
	}
	return nil
}
