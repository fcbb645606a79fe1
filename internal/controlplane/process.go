package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a component may take to end by itself; killTimeout is how long the kernel may take to end it.
const (
	stopTimeout = 10 * time.Second
	killTimeout = 10 * time.Second
)

// commandLine is what the process was started with; nil if there is no such process, or only what is left of one that ended.
func commandLine(pid int) []string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// hasEnded says whether nothing of the process is left but perhaps its entry in the process table. A process that is ending has
// no command line any more, while its ports are still taken.
func hasEnded(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	// The name, in parentheses, may hold anything; the state is the letter after it.
	_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

// componentOf is the component of the control plane in dir that has this command line; empty if it is none.
func componentOf(dir string, command []string) string {
	if len(command) == 0 {
		return ""
	}
	name := filepath.Base(command[0])
	isOurs := func(argument string) bool { return strings.Contains(argument, "="+dir+"/") }
	if slices.Contains(componentNames(), name) && slices.ContainsFunc(command[1:], isOurs) {
		return name
	}
	return ""
}

// processes finds the running components of the control plane in dir.
func processes(dir string) (map[string][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes (a local control plane runs on Linux only): %w", err)
	}
	found := map[string][]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if name := componentOf(dir, commandLine(pid)); name != "" {
			found[name] = append(found[name], pid)
		}
	}
	return found, nil
}

// start runs the component in a session of its own, so that no signal to us reaches it, and returns where its log begins.
func (c *Cluster) start(component string) (int64, error) {
	log, err := os.OpenFile(c.Log(component), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("opening the log of %s: %w", component, err)
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return 0, fmt.Errorf("opening the log of %s: %w", component, err)
	}
	arguments := c.arguments(component)
	command := exec.Command(arguments[0], arguments[1:]...) //nolint:noctx // it outlives whoever starts it
	command.Dir = c.dir
	// Nothing else of our environment: etcd reads ETCD_*, kwok reads a file at home, and a proxy must not be asked for 127.0.0.1.
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir}
	if c.state.GOGC > 0 {
		command.Env = append(command.Env, "GOGC="+strconv.Itoa(c.state.GOGC))
	}
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", component, err)
	}
	// Its end must be taken note of while we live, or it stays in the process table.
	go func() { _ = command.Wait() }()
	pid := strconv.Itoa(command.Process.Pid) + "\n"
	return info.Size(), writeFile(c.pidFile(component), []byte(pid), 0o644)
}

// end ends the processes of a component: by SIGTERM first, if they may end in order, and by SIGKILL.
func end(ctx context.Context, dir, component string, pids []int, inOrder bool) error {
	if inOrder {
		err := signalAndWait(ctx, dir, component, pids, syscall.SIGTERM, stopTimeout)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return signalAndWait(ctx, dir, component, pids, syscall.SIGKILL, killTimeout)
}

func signalAndWait(ctx context.Context, dir, component string, pids []int, signal syscall.Signal, timeout time.Duration) error {
	isGone := func(pid int) bool {
		command := commandLine(pid)
		return componentOf(dir, command) != component && (command != nil || hasEnded(pid))
	}
	for _, pid := range pids {
		if isGone(pid) {
			continue
		}
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("sending %s to %s (pid %d): %w", signal, component, pid, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		return !slices.ContainsFunc(pids, func(pid int) bool { return !isGone(pid) }), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s (pid %v) to end after %s: %w", component, pids, signal, err)
	}
	return nil
}
