//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/installation"
)

// previousCommit is the build that this one takes over from, and that takes over from this one. Move it when a version is released: to its
// commit, with the Deployments that its config/manager has. It has to be an ancestor of every checkout that plays this test.
const previousCommit = "58980e918b14a14702a3352c04bebc2bbb69a802"

var (
	previousDeployments = []deployment{{account: "livestream-operator", receives: true, arguments: []string{"--leader-elect"}}}
	currentDeployments  = []deployment{
		{account: installation.Receiver, receives: true, arguments: []string{"--reconcile=false"}},
		{account: installation.Reconciler, arguments: []string{"--leader-elect", "--callback-bind-address=0"}},
	}
)

const (
	// replicasOfEach is how many config/manager has.
	replicasOfEach = 2
	// gracePeriod is the Pods'.
	gracePeriod = 30 * time.Second
)

// deployment is one of config/manager, as processes are started for it.
type deployment struct {
	account   string
	receives  bool
	arguments []string
}

// build is a version of the operator: its binary, and the config folder that installs it.
type build struct {
	name, binary, config string
	deployments          []deployment
}

// previousBuild makes it from the history.
func previousBuild(t *testing.T) build {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), "git", "-C", installed.Root, "cat-file", "-e", previousCommit+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("the previous build, commit %s, is not in the history here (git fetch --unshallow brings it into a shallow clone): %v: %s", previousCommit, err, output)
	}
	dir := filepath.Join(work, "previous")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "source.tar")
	for _, command := range [][]string{
		{"git", "-C", installed.Root, "archive", "--output", archive, previousCommit},
		{"tar", "-x", "-f", archive, "-C", dir},
	} {
		if output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("commit %s, the previous build, cannot be taken from the history: %v: %s", previousCommit, err, output)
		}
	}
	b := build{name: "previous", binary: filepath.Join(work, "manager-previous"), config: filepath.Join(dir, "config"), deployments: previousDeployments}
	if err := installation.BuildManager(t.Context(), dir, b.binary); err != nil {
		t.Fatal(err)
	}
	return b
}

// install applies what kubectl apply -k config/default would, but for the Deployments, which are played by processes.
func (b build) install(ctx context.Context) error {
	for _, folder := range []string{"crd", "rbac"} {
		if output, err := installed.Kubectl(ctx, "apply", "-k", filepath.Join(b.config, folder)); err != nil {
			return fmt.Errorf("installing %s of the %s build: %w: %s", folder, b.name, err, output)
		}
	}
	for _, d := range b.deployments {
		if err := installed.MakeToken(ctx, d.account); err != nil {
			return err
		}
	}
	return nil
}

// fleet is the processes that run in a world, whichever build they are of.
type fleet struct {
	w      *world
	number int

	mu        sync.Mutex
	receivers []*replica
	running   []*replica
}

// start starts one replica of each Deployment.
func (f *fleet) start(b build) error {
	for _, d := range b.deployments {
		r, err := newReplicaAs(d.account, f.w.name, b.binary, f.number, append([]string{"--leader-election-namespace=" + f.w.name}, d.arguments...)...)
		if err != nil {
			return err
		}
		f.number++
		f.w.replicas, f.w.marks = append(f.w.replicas, r), append(f.w.marks, 0)
		f.mu.Lock()
		f.running = append(f.running, r)
		if d.receives {
			f.receivers = append(f.receivers, r)
		}
		f.mu.Unlock()
	}
	for _, r := range f.w.replicas[len(f.w.replicas)-len(b.deployments):] {
		if err := f.w.until("a replica of the "+b.name+" build is ready", r.isReady); err != nil {
			return err
		}
	}
	return nil
}

func (r *replica) isReady() error {
	response, err := http.Get("http://" + r.probes + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d", response.StatusCode)
	}
	return nil
}

// replaceBy is a rolling update of each Deployment: the next replica is ready before an old one is told to go.
func (f *fleet) replaceBy(b build) error {
	f.mu.Lock()
	old := slices.Clone(f.running)
	f.mu.Unlock()
	for n := range replicasOfEach {
		if err := f.start(b); err != nil {
			return err
		}
		var going sync.WaitGroup
		errs := make([]error, len(old))
		for i, r := range old {
			if i*replicasOfEach/len(old) == n {
				going.Go(func() { errs[i] = f.stop(r) })
			}
		}
		going.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// stop lets callbacks meet the process until it is gone: a Service takes a moment to forget a Pod.
func (f *fleet) stop(r *replica) error {
	err := r.end(gracePeriod)
	f.mu.Lock()
	defer f.mu.Unlock()
	is := func(other *replica) bool { return other == r }
	f.running, f.receivers = slices.DeleteFunc(f.running, is), slices.DeleteFunc(f.receivers, is)
	return err
}

func (f *fleet) receiver(n int) *replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.receivers[n%len(f.receivers)]
}

// send repeats the event until it is answered 200, as CSS does, and sees whether it is stored then.
func (f *fleet) send(e event) {
	f.w.note(e)
	deadline := time.Now().Add(givesUp)
	for try := len(e.sequence) + len(e.stream); f.w.ctx.Err() == nil; try++ {
		status, err := f.w.post(e, f.receiver(try))
		switch {
		case err == nil && status == http.StatusOK:
			f.w.mu.Lock()
			f.w.events++
			f.w.mu.Unlock()
			f.w.look(e)
			return
		case err == nil && status != http.StatusServiceUnavailable:
			f.w.fail(disagreement, "a good callback is answered %d", status)
		}
		if time.Now().After(deadline) {
			f.w.fail(disagreement, "the callback was not taken in %s: %d, %v", givesUp, status, err)
			return
		}
		<-time.After(retryAfter)
	}
}
