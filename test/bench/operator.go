package main

import (
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
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/livestream-operator/livestream-operator/internal/installation"
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
	// Among 100,000 streams a reconciler takes minutes on two cores.
	readyPatience = 10 * time.Minute
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

// operator is the operator as it is installed: processes that receive, and one that reconciles, each with the rights of its own service account.
// Either may be missing.
type operator struct {
	receiver, reconciler *process
}

// startOperator runs both until they are ready.
func (w *world) startOperator(ctx context.Context) (*operator, error) {
	reconciler, err := w.startReconciler(ctx)
	if err != nil {
		return nil, err
	}
	receiver, err := w.startReceiver(ctx)
	return &operator{receiver: receiver, reconciler: reconciler}, err
}

// startIdle runs both until they have nothing left to do.
func (w *world) startIdle(ctx context.Context) (*operator, error) {
	o, err := w.startOperator(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.idle(ctx); err != nil {
		o.kill()
		return nil, err
	}
	return o, nil
}

// rig is a population, the operator that knows it and has nothing left to do, and who sends it callbacks.
type rig struct {
	streams  *population
	operator *operator
	sender   *sender
}

func (w *world) newRig(ctx context.Context, name string, k kind, count int) (*rig, error) {
	streams, err := w.newPopulation(ctx, name, k, count)
	if err != nil {
		return nil, err
	}
	return w.rigOf(ctx, streams)
}

func (w *world) rigOf(ctx context.Context, streams *population) (*rig, error) {
	o, err := w.startIdle(ctx)
	if err != nil {
		return nil, err
	}
	return &rig{streams: streams, operator: o, sender: newSender(streams.namespace, o.receiver)}, nil
}

func (r *rig) close() {
	r.sender.close()
	r.operator.kill()
}

func (w *world) startReconciler(ctx context.Context) (*process, error) {
	return w.startPart(ctx, installation.Reconciler, "--callback-bind-address=0")
}

func (w *world) startReceiver(ctx context.Context) (*process, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	p, err := w.startPart(ctx, installation.Receiver, "--reconcile=false", "--callback-bind-address="+addresses[0])
	if p != nil {
		p.callbacks = "http://" + addresses[0]
	}
	return p, err
}

// memoryLimit is what config/manager gives each part.
const memoryLimit = "GOMEMLIMIT=1800MiB"

// startPart runs bin/manager until it is ready.
func (w *world) startPart(ctx context.Context, account string, arguments ...string) (*process, error) {
	addresses, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(w.dir, account+".kubeconfig")
	if err := w.installed.WriteConfig(config, account, w.installed.Cluster.Server(), w.installed.Cluster.CA()); err != nil {
		return nil, err
	}
	arguments = append(arguments, "--metrics-bind-address="+addresses[0], "--health-probe-bind-address="+addresses[1], "--pprof-bind-address="+addresses[2])
	environment := []string{"KUBECONFIG=" + config, memoryLimit}
	if w.environment != "" {
		environment = append(environment, w.environment)
	}
	p, err := start(w.profiles, strings.TrimPrefix(account, "livestream-"), environment, w.manager, arguments...)
	if err != nil {
		return nil, err
	}
	w.running = append(w.running, p)
	p.metrics, p.probes, p.profiles = "http://"+addresses[0], "http://"+addresses[1], "http://"+addresses[2]
	return p, p.ready(ctx)
}

func (o *operator) parts() []*process {
	return slices.DeleteFunc([]*process{o.receiver, o.reconciler}, func(p *process) bool { return p == nil })
}

// kill is kill -9 of both.
func (o *operator) kill() {
	for _, p := range o.parts() {
		p.kill()
	}
}

// cpu is what each part has run so far, in seconds.
func (o *operator) cpu() (receiver, reconciler float64, err error) {
	if o.receiver != nil {
		receiver, err = o.receiver.cpu()
	}
	if o.reconciler != nil && err == nil {
		reconciler, err = o.reconciler.cpu()
	}
	return receiver, reconciler, err
}

// idle waits until the reconciler's queue is empty and nothing new is put into it.
func (o *operator) idle(ctx context.Context) error {
	if o.reconciler == nil {
		return nil
	}
	last, since := -1.0, time.Now()
	return until(ctx, scrapeEvery, "the operator has nothing to do", func() (bool, error) {
		depth, err := o.reconciler.metric(ctx, "workqueue_depth", `"livestream"`)
		if err != nil {
			return false, err
		}
		adds, err := o.reconciler.metric(ctx, "workqueue_adds_total", `"livestream"`)
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

// profile has the CPU of both parts profiled while f runs, and their heaps after it, for whoever wants to make them faster. To be profiled costs, and
// the reference is not: f is one more block, which counts for nothing. A quick run has none.
func (w *world) profile(ctx context.Context, o *operator, name string, during time.Duration, f func() error) error {
	if w.quick {
		return nil
	}
	var group errgroup.Group
	for _, p := range o.parts() {
		group.Go(func() error {
			return w.keep(ctx, p, name, "cpu", fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(during.Seconds()))))
		})
	}
	if err := errors.Join(f(), group.Wait()); err != nil {
		return err
	}
	for _, p := range o.parts() {
		if err := w.keep(ctx, p, name, "heap", "/debug/pprof/heap?gc=1"); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) keep(ctx context.Context, p *process, name, kind, of string) error {
	text, err := fetch(ctx, p.profiles+of)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.profiles, name+"."+p.name+"."+kind+".pprof"), text, 0o644); err != nil {
		return fmt.Errorf("keeping a profile: %w", err)
	}
	return nil
}
