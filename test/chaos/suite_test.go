//go:build chaos

// Package chaos has everything go wrong between the operator's binary and a real API server, and watches from outside whether
// what it promises still holds. See docs/reliability.md.
package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/installation"
)

var (
	full = flag.Bool("chaos.full", false, "every call, many seeds and the long storm")
	seed = flag.Uint64("chaos.seed", 0, "the seed of the random campaign, to play one again; 0 takes those that are fixed")
	// The mutants have a target of their own: they take longer than all the rest.
	mutants = flag.Bool("chaos.mutants", false, "build faulty operators, and see that each is caught")
	keep    = flag.Bool("chaos.logs", false, "show the operator's log of what failed")
)

var (
	work      string
	installed *installation.Installation
	binary    string
	observed  *observer
	results   = &tally{}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if err := checkPattern(flag.Lookup("test.run").Value.String()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var err error
	if work, err = os.MkdirTemp("", "chaos-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(work) }()
	dir := filepath.Join(work, "controlplane")
	defer func() {
		if _, err := controlplane.Down(context.WithoutCancel(ctx), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	results.begin()
	if err := setUp(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, "setting up:", err)
		return 1
	}
	return m.Run()
}

// checkPattern refuses what package testing would, which ends the process then and leaves the control plane running.
func checkPattern(run string) error {
	for part := range strings.SplitSeq(run, "/") {
		if _, err := regexp.Compile(part); err != nil {
			return fmt.Errorf("RUN=%s is no regular expression of Go: %w", run, err)
		}
	}
	return nil
}

// sparing is the GOGC of everything but the operator: the API server and who watches it are what a storm waits for.
const sparing = 400

func setUp(ctx context.Context, dir string) (err error) {
	if installed, err = installation.Up(ctx, controlplane.Options{Dir: dir, FakeNodes: 4, GOGC: sparing, Progress: io.Discard}); err != nil {
		return err
	}
	binary = filepath.Join(work, "manager")
	if err := installation.BuildManager(ctx, installed.Root, binary); err != nil {
		return err
	}
	debug.SetGCPercent(sparing)
	// Senders keep their connections, as CSS may.
	keeping := http.DefaultTransport.(*http.Transport)
	keeping.MaxIdleConns, keeping.MaxIdleConnsPerHost = 0, 256
	observed = newObserver()
	if err := observed.watch(ctx, installed.Cluster.Etcd()); err != nil {
		return err
	}
	return warmUp(ctx)
}

// warmUp waits until the garbage collector knows our kinds, half a minute after they were installed.
func warmUp(ctx context.Context) error {
	owner := newStream("warm-up")
	owner.Namespace = "default"
	if err := installed.API.Create(ctx, owner); err != nil {
		return err
	}
	child := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "warm-up", Namespace: "default", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, v1alpha1.GroupVersion.WithKind("LiveStream"))}}}
	if err := errors.Join(installed.API.Create(ctx, child), installed.API.Delete(ctx, owner)); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsNotFound(installed.API.Get(ctx, client.ObjectKeyFromObject(child), child)), nil
	})
}
