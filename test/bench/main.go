// Command bench measures what the operator costs, as ratios to the barest way of doing the same on the same machine in the same run:
// make bench. See docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// benchmark measures some of the figures.
type benchmark struct {
	name string
	run  func(ctx context.Context, w *world) error
	// quickly says that a quick run has it without being asked: together they take 3 minutes.
	quickly bool
}

// benchmarks in the order in which they run: those that leave a hundred thousand streams behind come last.
var benchmarks = []benchmark{
	{"writes", benchWrites, true},
	{"ack", benchAck, true},
	{"ackplain", benchAckPlain, false},
	{"throughput", benchThroughput, true},
	{"duplicate", benchDuplicates, true},
	{"job", benchJob, true},
	{"cpu", benchCPU, true},
	{"replicas", benchReplicas, false},
	{"controllermanager", benchControllerManager, false},
	{"overload", benchOverload, false},
	{"interference", benchInterference, false},
	{"storm", benchStorm, false},
	{"memory", benchMemory, false},
	{"growth", benchGrowth, false},
	{"restart", benchRestart, false},
}

type options struct {
	quick, docs, gate bool
	only              string
	mode              string
	environment       string
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "Measure less: what a callback costs alone, in 3 minutes; with -only, any part with small populations.")
	flag.StringVar(&o.only, "only", "", "Benchmarks to run, with commas between; when empty, all, or those of a quick run.")
	flag.BoolVar(&o.docs, "docs", false, "Tell the figures of out/bench.json in docs/benchmarks.json and docs/benchmarks.md, in place of those told before, and measure nothing.")
	flag.BoolVar(&o.gate, "gate", false, "Measure only the CPU for an event, and fail where it is above its bound.")
	flag.StringVar(&o.environment, "operator-env", "", "NAME=value that the operator runs with besides, such as GOMAXPROCS=1. Only with -gate, which keeps no figures.")
	flag.StringVar(&o.mode, "mode", "", "What this process is for one that measures: handler, informer or bare-reconciler.")
	flag.Parse()
	// Who retries says so in the log, for each try.
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	switch {
	case o.mode == "handler":
		return serveBareHandler(ctx)
	case o.mode == "informer":
		return serveInformer(ctx)
	case o.mode == "bare-reconciler":
		return serveBareReconciler(ctx)
	case o.mode != "":
		return fmt.Errorf("unknown mode %q", o.mode)
	}
	root, err := controlplane.Root(".")
	if err != nil {
		return err
	}
	if o.docs {
		left, err := publish(root)
		for _, why := range left {
			fmt.Fprintln(os.Stderr, "not told:", why)
		}
		return err
	}
	r, err := loadReport(measuredPath(root))
	if err != nil {
		return err
	}
	return measure(ctx, o, r, root)
}

// chosen are the benchmarks that were asked for.
func chosen(only string, quick bool) ([]benchmark, error) {
	if only == "" {
		return slices.DeleteFunc(slices.Clone(benchmarks), func(b benchmark) bool { return quick && !b.quickly }), nil
	}
	var some []benchmark
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(benchmarks, func(b benchmark) bool { return b.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no benchmark %q", name)
		}
		some = append(some, benchmarks[i])
	}
	return some, nil
}

func measure(ctx context.Context, o options, r *report, root string) (err error) {
	some, err := chosen(o.only, o.quick)
	if err != nil {
		return err
	}
	if o.environment != "" && !o.gate {
		return errors.New("-operator-env is for -gate alone: figures that are kept are of the operator as it is installed")
	}
	if o.gate {
		some, o.quick = []benchmark{{name: "gate", run: gate}}, true
	}
	began := time.Now()
	w, err := newWorld(ctx, o.quick)
	if w != nil {
		defer func() { err = errors.Join(err, w.close(ctx)) }()
	}
	if err != nil {
		return err
	}
	version, err := w.installed.Kubectl(ctx, "version", "-o", "json")
	if err != nil {
		return fmt.Errorf("asking for Kubernetes' version: %w", err)
	}
	r.Machine, r.quick, w.report = thisMachine(commit(ctx, root), serverVersion(version)), o.quick, r
	r.fresh = map[string]bool{}
	w.environment = o.environment
	w.grows = slices.ContainsFunc(some, func(b benchmark) bool { return b.name == "growth" })
	failed := w.play(ctx, some, began)
	r.print(slices.DeleteFunc(r.keys(), func(key string) bool { return !r.fresh[key] }))
	w.say("It took %s.", time.Since(began).Round(time.Second))
	return errors.Join(failed, r.failed)
}

// play runs the benchmarks one after the other. One that fails does not take those after it along.
func (w *world) play(ctx context.Context, some []benchmark, began time.Time) (failed error) {
	for _, b := range some {
		w.say("== %s (after %s)", b.name, time.Since(began).Round(time.Second))
		if err := b.run(ctx, w); err != nil {
			err = fmt.Errorf("%s: %w", b.name, err)
			w.say("%v", err)
			failed = errors.Join(failed, err)
			if ctx.Err() != nil {
				return failed
			}
			failed = errors.Join(failed, w.clear(ctx))
		}
	}
	return failed
}

func commit(ctx context.Context, root string) string {
	command := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}

func serverVersion(text string) string {
	_, rest, _ := strings.Cut(text, `"serverVersion"`)
	_, rest, _ = strings.Cut(rest, `"gitVersion": "`)
	version, _, _ := strings.Cut(rest, `"`)
	return version
}
