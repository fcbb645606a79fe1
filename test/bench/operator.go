package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// process is a process of the operator, or of what it is compared with.
type process struct {
	name    string
	command *exec.Cmd
	done    chan struct{}
	log     string
	// addresses it listens on.
	callbacks, metrics, probes, profiles string
}

const (
	readyPatience = 3 * time.Minute
	pollEvery     = 10 * time.Millisecond
	// scrapeEvery is for metrics: to tell them costs whoever tells.
	scrapeEvery = 100 * time.Millisecond
)

var processes atomic.Int32

// start runs the command; its output goes to a file.
func start(dir, name string, environment []string, binary string, arguments ...string) (*process, error) {
	p := &process{name: name, done: make(chan struct{}), log: filepath.Join(dir, fmt.Sprintf("%s-%d.log", name, processes.Add(1)))}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("making a log file: %w", err)
	}
	defer log.Close()
	p.command = exec.CommandContext(context.Background(), binary, arguments...) // ends by kill
	p.command.Env = append(os.Environ(), environment...)
	p.command.Stdout, p.command.Stderr = log, log
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.command.Wait()
	}()
	return p, nil
}

// kill is kill -9.
func (p *process) kill() {
	if p == nil {
		return
	}
	_ = p.command.Process.Kill()
	<-p.done
}

// cpu is what the process has run so far, in seconds.
func (p *process) cpu() (float64, error) { return cpuOf(p.command.Process.Pid, p.name) }

// cpuOf is the time that a process has had on cores so far, in seconds, to the microsecond: of its threads, for Go ends none.
func cpuOf(pid int, name string) (float64, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("finding the threads of %s: %w", name, errors.Join(err, os.ErrNotExist))
	}
	total := 0.0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, fmt.Errorf("reading what %s has spent: %w", name, err)
		}
		nanoseconds, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
		if err != nil {
			return 0, fmt.Errorf("reading what %s has spent: %w", name, err)
		}
		total += nanoseconds / 1e9
	}
	return total, nil
}

// resident is the memory that the process has of the machine, and the most that it has had, in bytes.
func (p *process) resident() (now, most float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kibibytes, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			now = kibibytes * 1024
		case "VmHWM:":
			most = kibibytes * 1024
		}
	}
	return now, most, nil
}

// errNever is of what cannot become true any more.
var errNever = errors.New("it never will be")

// until polls until the condition holds, and tells what did not become true.
func until(ctx context.Context, every time.Duration, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		held, err := holds()
		if held && err == nil {
			return nil
		}
		if errors.Is(err, errNever) {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, errors.Join(ctx.Err(), err))
		}
	}
}

// ready waits for the readiness that a Service goes by.
func (p *process) ready(ctx context.Context) error {
	return until(ctx, pollEvery, p.name+" is ready", func() (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("%w: the process has ended, see %s", errNever, p.log)
		default:
		}
		_, err := fetch(ctx, p.probes+"/readyz")
		return err == nil, err
	})
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("preparing to read %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, response.Status)
	}
	return text, err
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)`)

// heap is what lives on the heap after a collection, in bytes.
func (p *process) heap(ctx context.Context) (float64, error) {
	var text []byte
	var err error
	// The first collection leaves what was only now found to be garbage.
	for range 2 {
		if text, err = fetch(ctx, p.profiles+"/debug/pprof/heap?gc=1&debug=1"); err != nil {
			return 0, err
		}
	}
	found := heapAlloc.FindSubmatch(text)
	if found == nil {
		return 0, errors.New("the heap profile does not tell HeapAlloc")
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// metric is the sum of the series of a metric whose labels contain the text.
func (p *process) metric(ctx context.Context, name, labels string) (float64, error) {
	text, err := fetch(ctx, p.metrics+"/metrics")
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(string(text)) {
		rest, is := strings.CutPrefix(line, name)
		if !is || rest == "" || rest[0] != '{' && rest[0] != ' ' || !strings.Contains(rest, labels) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " ")+1:]), 64)
		if err != nil {
			return 0, fmt.Errorf("reading the metric %s: %w", name, err)
		}
		total += value
	}
	return total, nil
}

var firstLabel = regexp.MustCompile(`^\{\w+="([^"]*)"`)

// counts are the series of a metric with one label, by the label's value, without those that are 0.
func (p *process) counts(ctx context.Context, name string) (map[string]int, error) {
	text, err := fetch(ctx, p.metrics+"/metrics")
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for line := range strings.Lines(string(text)) {
		rest, is := strings.CutPrefix(line, name)
		label := firstLabel.FindStringSubmatch(rest)
		if !is || label == nil {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " ")+1:]), 64)
		if err != nil {
			return nil, fmt.Errorf("reading the metric %s: %w", name, err)
		}
		if value > 0 {
			found[label[1]] = int(value)
		}
	}
	return found, nil
}

func freeAddresses(count int) ([]string, error) {
	addresses := make([]string, 0, count)
	var config net.ListenConfig
	for range count {
		listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// role is what a replica of the operator does.
type role bool

const (
	// leads: receives and reconciles.
	leads role = true
	// follows: receives only, for the lease is held by us.
	follows role = false
)

// startOperator runs bin/manager with the rights of its service account until it is ready.
func (w *world) startOperator(ctx context.Context, r role) (*process, error) {
	addresses, err := freeAddresses(4)
	if err != nil {
		return nil, err
	}
	arguments := []string{
		"--callback-bind-address=" + addresses[0], "--metrics-bind-address=" + addresses[1],
		"--health-probe-bind-address=" + addresses[2], "--pprof-bind-address=" + addresses[3],
	}
	if r == follows {
		arguments = append(arguments, "--leader-elect", "--leader-election-namespace=livestream-system")
	}
	p, err := start(w.profiles, "operator", []string{"KUBECONFIG=" + w.operatorConfig}, w.manager, arguments...)
	if err != nil {
		return nil, err
	}
	w.running = append(w.running, p)
	p.callbacks, p.metrics, p.probes, p.profiles = "http://"+addresses[0], "http://"+addresses[1], "http://"+addresses[2], "http://"+addresses[3]
	return p, p.ready(ctx)
}

// idle waits until the operator's queues are empty and nothing new is put into them.
func (p *process) idle(ctx context.Context) error {
	last, since := -1.0, time.Now()
	return until(ctx, scrapeEvery, "the operator has nothing to do", func() (bool, error) {
		depth, err := p.metric(ctx, "workqueue_depth", `"livestream"`)
		if err != nil {
			return false, err
		}
		adds, err := p.metric(ctx, "workqueue_adds_total", `"livestream"`)
		if err != nil {
			return false, err
		}
		if depth > 0 || adds != last {
			last, since = adds, time.Now()
		}
		return time.Since(since) > quiet, nil
	})
}

// quiet is how long nothing may happen before what happened counts as over.
const quiet = 500 * time.Millisecond

// profile has the operator's CPU profiled while f runs, and its heap after it, for whoever wants to make it faster.
func (w *world) profile(ctx context.Context, p *process, name string, during time.Duration, f func() error) error {
	type profile struct {
		text []byte
		err  error
	}
	cpu := make(chan profile, 1)
	go func() {
		text, err := fetch(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", p.profiles, max(1, int(during.Seconds()))))
		cpu <- profile{text, err}
	}()
	err := f()
	taken := <-cpu
	heap, heapErr := fetch(ctx, p.profiles+"/debug/pprof/heap?gc=1")
	if err = errors.Join(err, taken.err, heapErr); err != nil {
		return err
	}
	for kind, text := range map[string][]byte{"cpu": taken.text, "heap": heap} {
		path := filepath.Join(w.profiles, name+"."+kind+".pprof")
		if err := os.WriteFile(path, bytes.Clone(text), 0o644); err != nil {
			return fmt.Errorf("keeping a profile: %w", err)
		}
	}
	return nil
}
