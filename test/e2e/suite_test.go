//go:build e2e

// Package e2e has a real pusher, a real ingest, real Pods on a real node, and real files in a real bucket: `make test-e2e`, as root on
// Debian, or with E2E_KUBECONFIG on a cluster of yours. CSS alone is played, by internal/fakecss.
package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/node"
	"github.com/livestream-operator/livestream-operator/test/e2e/options"
)

const (
	callbackKey = "only-for-a-test"
	bucket      = "recordings"
	user        = "recorder"
)

// stage is all that a show needs.
type stage struct {
	where
	site      site
	dir, root string
	// namespace is where the tests' objects are. Its name is the run's.
	namespace                 string
	managerImage, workerImage string
	// callbacks is the operator's receiver, client speaks to the API server.
	callbacks string
	client    client.Client
	ingest    ingest
	minio     *minio.Client
	minioAt   string
	store     *exec.Cmd
	ends      []func()
	passed    bool
	// left says what could not be taken away.
	left error
}

var (
	theStage stage
	figures  = map[string]any{}
	figuring sync.Mutex
	// notMeasured says why, by the keys of out/e2e.json.
	notMeasured = map[string]string{}
)

// figure notes a key of out/e2e.json.
func figure(key string, value any) {
	figuring.Lock()
	defer figuring.Unlock()
	figures[key] = value
}

// needs skips the test where the cluster does not let that be done. The keys are of what it would have measured.
func (s *stage) needs(t *testing.T, what disturbance, keys ...string) {
	t.Helper()
	reason := s.site.cannot(what)
	if reason == "" {
		return
	}
	figuring.Lock()
	for _, key := range keys {
		notMeasured[key] = reason
	}
	figuring.Unlock()
	t.Skipf("%s: %s", what, reason)
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(guardVariable); dir != "" {
		guard(dir)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	s := &theStage
	defer func() {
		for _, end := range slices.Backward(s.ends) {
			end()
		}
		if s.left != nil {
			fmt.Fprintln(os.Stderr, "e2e:", s.left)
			code = 1
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	if err := s.up(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		if errors.Is(err, node.ErrUnable) && os.Getenv("E2E_MAY_SKIP") != "" {
			fmt.Fprintln(os.Stderr, "e2e: skipped")
			return 0
		}
		return 1
	}
	code = m.Run()
	s.passed = code == 0
	if len(notMeasured) > 0 {
		figures["not_measured"] = notMeasured
	}
	text, err := json.MarshalIndent(figures, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(s.root, "out", "e2e.json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	fmt.Printf("out/e2e.json: %s\n", text)
	return code
}

func say(format string, values ...any) { fmt.Fprintf(os.Stderr, "e2e: "+format+"\n", values...) }

func (s *stage) up(ctx context.Context) (err error) {
	o, err := options.From(os.Getenv)
	if err != nil {
		return err
	}
	s.site = &machine{}
	if o.Kubeconfig != "" {
		s.site = &cluster{Options: o}
	} else if err := node.Able(ctx); err != nil {
		return err
	}
	if s.root, err = controlplane.Root("."); err != nil {
		return err
	}
	if err := s.makeDir(ctx); err != nil {
		return err
	}
	s.namespace = "livestream-e2e-" + strings.ToLower(rand.Text()[:6])
	if s.where, err = s.site.up(ctx, s); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	if err := s.apply(ctx, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s: %[1]s}}", s.namespace, options.Label)); err != nil {
		return err
	}
	if s.managerImage, s.workerImage, err = s.site.images(ctx, s); err != nil {
		return err
	}
	if err := s.site.ready(ctx, s); err != nil {
		return err
	}
	if err := s.startStore(ctx); err != nil {
		return err
	}
	return s.startOperator(ctx)
}

// guardVariable makes this program the guard of a stage.
const guardVariable = "LIVESTREAM_E2E_GUARD"

// guard waits for the end of who holds the other end of its standard input, and takes away the stage unless that is told to be done.
func guard(dir string) {
	if done, _ := io.ReadAll(os.Stdin); len(done) > 0 {
		return
	}
	if err := takeAway(context.Background(), dir); err != nil {
		// Nobody reads its standard error any more. Kept open, the file would have it taken for one of those that the stage began.
		_ = os.WriteFile(filepath.Join(dir, "guard.log"), []byte(err.Error()+"\n"), 0o600)
	}
}

// takeAway ends all of a stage, whether or not its owner lives.
func takeAway(ctx context.Context, dir string) error {
	err := node.End(ctx, dir)
	if _, is := os.Stat(filepath.Join(dir, "node")); is == nil {
		err = errors.Join(err, node.Clean(ctx, filepath.Join(dir, "node")))
	}
	// Where it is still installed the folder stays: it says what there is to take away.
	if err := errors.Join(err, uninstall(ctx, dir)); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// watch starts a guard: no signal to this process, SIGKILL neither, shall leave anything on this machine.
func (s *stage) watch() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), guardVariable+"="+s.dir)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	until, err := command.StdinPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting the guard: %w", err)
	}
	s.ends = append(s.ends, func() {
		_, _ = until.Write([]byte("done"))
		_ = until.Close()
		_ = command.Wait()
	})
	return nil
}

// makeDir makes the stage's folder, and takes away those of ours whose owner and guard were killed: nobody holds their lock any more.
func (s *stage) makeDir(ctx context.Context) (err error) {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "livestream-e2e-*"))
	for _, dir := range left {
		if node.Ours(dir) != nil {
			continue
		}
		lock, err := os.Open(dir)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			say("taking away what an earlier run left in %s", dir)
			if err := takeAway(ctx, dir); err != nil {
				say("%v", err)
			}
		}
		_ = lock.Close()
	}
	if s.dir, err = os.MkdirTemp("", "livestream-e2e-"); err != nil {
		return err
	}
	lock, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("locking %s: %w", s.dir, err)
	}
	if err := s.watch(); err != nil {
		return err
	}
	s.ends = append(s.ends, func() {
		// Whatever failed to be ended by its own.
		if err := node.End(context.Background(), s.dir); err != nil {
			say("%v", err)
		}
		// What a failure has to tell stands in it, until the next run.
		if s.passed && s.left == nil {
			_ = os.RemoveAll(s.dir)
		} else {
			say("see %s", s.dir)
		}
		_ = lock.Close()
	})
	return nil
}

func (s *stage) startOperator(ctx context.Context) error {
	if err := s.install(ctx); err != nil {
		return err
	}
	err := within(ctx, 30*time.Second, "the Secrets are there", func() error {
		return s.apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: css}
stringData: {callbackKey: %s}
---
apiVersion: v1
kind: Secret
metadata: {name: bucket}
stringData: {accessKeyID: %s, secretAccessKey: %s}
`, callbackKey, user, password))
	})
	if err != nil {
		return err
	}
	s.ingest, err = s.open(ctx, "shows", "HLS")
	return err
}

// within waits for something.
func within(ctx context.Context, patience time.Duration, what string, is func() error) error {
	return withinEvery(ctx, 100*time.Millisecond, patience, what, is)
}

func withinEvery(ctx context.Context, every, patience time.Duration, what string, is func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := is()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("never came true: %s: %w", what, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}
