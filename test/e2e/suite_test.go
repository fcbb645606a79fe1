//go:build e2e

// Package e2e has a real pusher, a real ingest, real Pods on a real node, and real files in a real bucket: `make test-e2e`, as root on
// Debian. CSS alone is played, by internal/fakecss.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/fakecss"
	"github.com/livestream-operator/livestream-operator/internal/image"
	"github.com/livestream-operator/livestream-operator/internal/node"
)

const (
	workerImage = "localhost/worker:e2e"
	callbackKey = "only-for-a-test"
	bucket      = "recordings"
	user        = "recorder"
	password    = "only-for-a-test"
)

// stage is all that a show needs.
type stage struct {
	dir, root string
	cluster   *controlplane.Cluster
	node      *node.Node
	// callbacks is the operator's receiver, client speaks to the API server.
	callbacks string
	client    client.Client
	ingest    ingest
	minio     *minio.Client
	minioAt   string
	store     *exec.Cmd
	ends      []func()
	passed    bool
}

// ingest is where a push domain's cameras push to, with the CSS behind it.
type ingest struct {
	nginx fakecss.Nginx
	css   *fakecss.Server
}

var (
	theStage stage
	figures  = map[string]any{}
	figuring sync.Mutex
)

// figure notes a key of out/e2e.json.
func figure(key string, value any) {
	figuring.Lock()
	defer figuring.Unlock()
	figures[key] = value
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(guardVariable); dir != "" {
		guard(dir)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	s := &theStage
	defer func() {
		for i := len(s.ends) - 1; i >= 0; i-- {
			s.ends[i]()
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
	code := m.Run()
	s.passed = code == 0
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
	if err := node.Able(ctx); err != nil {
		return err
	}
	if s.root, err = controlplane.Root("."); err != nil {
		return err
	}
	if err := s.makeDir(ctx); err != nil {
		return err
	}
	bin := filepath.Join(s.root, "out", "node", "bin")
	s.cluster, err = controlplane.Up(ctx, controlplane.Options{Dir: filepath.Join(s.dir, "cluster"), Bin: controlplane.BinDir(s.root), Progress: os.Stderr})
	if err != nil {
		return err
	}
	s.ends = append(s.ends, func() { _, _ = controlplane.Down(context.Background(), filepath.Join(s.dir, "cluster")) })
	s.node, err = node.Up(ctx, s.cluster, filepath.Join(s.dir, "node"), bin, os.Stderr)
	if s.node != nil {
		s.ends = append(s.ends, func() {
			if err := s.node.Down(context.Background()); err != nil {
				say("%v", err)
			}
		})
	}
	if err != nil {
		return err
	}
	if err := s.importWorker(ctx); err != nil {
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
	if done, _ := io.ReadAll(os.Stdin); len(done) == 0 {
		_ = takeAway(context.Background(), dir)
	}
}

// takeAway ends all of a stage, whether or not its owner lives.
func takeAway(ctx context.Context, dir string) error {
	return errors.Join(node.End(ctx, dir), node.Clean(ctx, filepath.Join(dir, "node")), os.RemoveAll(dir))
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

// makeDir makes the stage's folder, and takes away those whose owner and guard were killed: nobody holds their lock any more.
func (s *stage) makeDir(ctx context.Context) (err error) {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "livestream-e2e-*"))
	for _, dir := range left {
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
		if s.passed {
			_ = os.RemoveAll(s.dir)
		} else {
			say("see %s", s.dir)
		}
		_ = lock.Close()
	})
	return nil
}

func (s *stage) importWorker(ctx context.Context) error {
	say("making the worker's image")
	files := map[string]string{"/worker": filepath.Join(s.root, "bin", "worker")}
	for _, program := range []string{"/usr/bin/ffmpeg", "/usr/bin/ffprobe"} {
		files[program] = program
		libraries, err := image.Libraries(ctx, program)
		if err != nil {
			return err
		}
		for _, l := range libraries {
			files[l] = l
		}
	}
	return s.node.Import(ctx, image.Image{
		Name: workerImage, Entrypoint: []string{"/worker"}, User: "65532", Env: []string{"PATH=/usr/bin"}, Files: files,
		Texts: map[string]string{"/etc/passwd": "worker:x:65532:65532::/:/\n"}, Folders: []string{"/tmp"},
	})
}

func freePort() int {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// process runs a program until the end of the stage.
func (s *stage) process(name string, env []string, arguments ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	command := exec.Command(arguments[0], arguments[1:]...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Env, command.Stdout, command.Stderr = append(os.Environ(), env...), log, log
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	s.ends = append(s.ends, func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL); _ = command.Wait() })
	return command, nil
}

func (s *stage) startStore(ctx context.Context) error {
	port := freePort()
	s.minioAt = fmt.Sprintf("%s:%d", s.node.Gateway, port)
	if err := s.storeUp(port); err != nil {
		return err
	}
	var err error
	if s.minio, err = minio.New(fmt.Sprintf("127.0.0.1:%d", port), &minio.Options{Creds: credentials.NewStaticV4(user, password, "")}); err != nil {
		return err
	}
	return within(ctx, 30*time.Second, "MinIO has a bucket", func() error {
		err := s.minio.MakeBucket(ctx, bucket, minio.MakeBucketOptions{})
		if minio.ToErrorResponse(err).Code == "BucketAlreadyOwnedByYou" {
			return nil
		}
		return err
	})
}

func (s *stage) storeUp(port int) (err error) {
	s.store, err = s.process(fmt.Sprintf("minio-%d", time.Now().UnixNano()), []string{"MINIO_ROOT_USER=" + user, "MINIO_ROOT_PASSWORD=" + password, "MINIO_BROWSER=off", "HOME=" + s.dir},
		filepath.Join(s.root, "bin", "tools", "minio"), "server", "--quiet", "--address", fmt.Sprintf("0.0.0.0:%d", port), filepath.Join(s.dir, "minio"))
	return err
}

func (s *stage) startOperator(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", s.cluster.Kubeconfig())
	if err != nil {
		return err
	}
	if s.client, err = client.New(config, client.Options{}); err != nil {
		return err
	}
	if err := s.install(ctx); err != nil {
		return err
	}
	if err := within(ctx, 30*time.Second, "the Secrets are there", func() error {
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
	}); err != nil {
		return err
	}
	s.ingest, err = s.open(ctx, "shows", "HLS")
	return err
}

// open makes a push domain, with an ingest of its own.
func (s *stage) open(ctx context.Context, name, protocol string) (ingest, error) {
	i, err := s.startIngest(ctx, name)
	if err != nil {
		return i, err
	}
	play, scheme := i.nginx.HTTP, ", scheme: http"
	if protocol == "RTMP" {
		play, scheme = i.nginx.Play, ""
	}
	_, port, _ := net.SplitHostPort(play)
	object := fmt.Sprintf(`
apiVersion: livestream-operator.io/v1alpha1
kind: PushDomain
metadata: {name: %[1]s}
spec:
  provider: TencentCSS
  domain: %[1]s.example.com
  callback: {keySecretRefs: [{name: css, key: callbackKey}]}
  playback: {domain: "%[2]s:%[3]s", protocol: %[4]s%[7]s}
  template:
    spec:
      recording:
        uploadTimeoutSeconds: 60
        storage: {s3: {endpoint: "http://%[5]s", bucket: %[6]s, credentialsSecretRef: {name: bucket}}}
`, name, s.node.Gateway, port, protocol, s.minioAt, bucket, scheme)
	return i, within(ctx, 30*time.Second, "the push domain is there", func() error { return s.apply(ctx, object) })
}

func (s *stage) startIngest(ctx context.Context, name string) (i ingest, err error) {
	hook := http.NewServeMux()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return i, err
	}
	i.nginx = fakecss.Nginx{
		Dir: filepath.Join(s.dir, "ingest-"+name), Publish: fmt.Sprintf("127.0.0.1:%d", freePort()), Play: fmt.Sprintf("0.0.0.0:%d", freePort()),
		HTTP: fmt.Sprintf("0.0.0.0:%d", freePort()), Hook: "http://" + listener.Addr().String() + "/ingest", Feeds: map[string]string{"backup": "live"}, User: "root",
	}
	options := fakecss.Options{Callback: s.callbacks + name, Key: callbackKey, Domain: name + ".example.com", Log: func(line string) { say("CSS: %s", line) }}
	i.nginx.Apply(&options)
	if i.css, err = fakecss.New(options); err != nil {
		return i, err
	}
	s.ends = append(s.ends, i.css.Close)
	hook.Handle("/", i.css.Handler())
	go func() { _ = http.Serve(listener, hook) }()
	s.ends = append(s.ends, func() { _ = listener.Close() })
	if err := os.MkdirAll(i.nginx.Dir, 0o755); err != nil {
		return i, err
	}
	file := filepath.Join(i.nginx.Dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(i.nginx.String()), 0o600); err != nil {
		return i, err
	}
	if _, err := s.process("nginx-"+name, nil, "nginx", "-c", file, "-p", i.nginx.Dir); err != nil {
		return i, err
	}
	return i, within(ctx, 10*time.Second, "the ingest listens", func() error {
		connection, err := net.Dial("tcp", i.nginx.Publish)
		if err == nil {
			_ = connection.Close()
		}
		return err
	})
}

func (s *stage) kubectl(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(s.cluster.Bin(), "kubectl"), append([]string{"--kubeconfig", s.cluster.Kubeconfig()}, arguments...)...)
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, output)
	}
	return strings.TrimSpace(string(output)), nil
}

func (s *stage) apply(ctx context.Context, objects string) error {
	command := exec.CommandContext(ctx, filepath.Join(s.cluster.Bin(), "kubectl"), "--kubeconfig", s.cluster.Kubeconfig(), "apply", "-f", "-")
	command.Stdin = strings.NewReader(objects)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, output)
	}
	return nil
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
