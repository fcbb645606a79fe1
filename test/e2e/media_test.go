//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/livestream-operator/livestream-operator/internal/fakecss"
)

// password is the bucket's: it listens on all of this machine's addresses.
var password = rand.Text()

// ingest is where a push domain's cameras push to, with the CSS behind it.
type ingest struct {
	nginx fakecss.Nginx
	css   *fakecss.Server
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
	s.minioAt = fmt.Sprintf("%s:%d", s.address, port)
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
`, name, s.address, port, protocol, s.minioAt, bucket, scheme)
	return i, within(ctx, 30*time.Second, "the push domain is there", func() error { return s.apply(ctx, object) })
}

func (s *stage) startIngest(ctx context.Context, name string) (i ingest, err error) {
	program, err := fakecss.NginxProgram()
	if err != nil {
		return i, err
	}
	hook := http.NewServeMux()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return i, err
	}
	i.nginx = fakecss.Nginx{
		Dir: filepath.Join(s.dir, "ingest-"+name), Publish: fmt.Sprintf("127.0.0.1:%d", freePort()), Play: fmt.Sprintf("0.0.0.0:%d", freePort()),
		HTTP: fmt.Sprintf("0.0.0.0:%d", freePort()), Hook: "http://" + listener.Addr().String() + "/ingest", Feeds: map[string]string{"backup": "live"},
	}
	if os.Geteuid() == 0 {
		i.nginx.User = "root"
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
	if _, err := s.process("nginx-"+name, nil, program, "-c", file, "-p", i.nginx.Dir); err != nil {
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
