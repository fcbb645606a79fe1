package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/camera"
	"github.com/livestream-operator/livestream-operator/internal/fakecss"
)

const (
	claim      = "recordings"
	pushDomain = "push.example.com"
	// dropped is what CSS says of a push that the network dropped.
	dropped = 12
)

// media is a stage with a real ingest, a real publisher and a real recorder.
type media struct {
	*stage
	dir, volume string
	nginx       fakecss.Nginx
	css         *fakecss.Server
	published   [][]camera.Frame
	// file is the recording.
	file string
	ends []func()
}

// missingForMedia names the Debian packages that are not installed.
func missingForMedia() []string {
	var missing []string
	for _, program := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, "ffmpeg")
			break
		}
	}
	if _, err := fakecss.NginxProgram(); err != nil {
		missing = append(missing, "nginx")
	}
	if _, err := os.Stat(fakecss.Nginx{}.ModulePath()); err != nil {
		missing = append(missing, "libnginx-mod-rtmp")
	}
	return missing
}

// playMedia runs the show with real media.
func (s *stage) playMedia(ctx context.Context) (m *media, err error) {
	m = &media{stage: s, dir: filepath.Join(s.root, "out", "demo-media"), volume: filepath.Join(s.root, "out", claim)}
	if err := os.RemoveAll(m.dir); err != nil {
		return m, fmt.Errorf("removing what an earlier demonstration left: %w", err)
	}
	for _, dir := range []string{m.dir, m.volume} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return m, fmt.Errorf("making a folder: %w", err)
		}
	}
	if err := m.startIngest(ctx); err != nil {
		return m, err
	}
	say(`
Real: nginx-rtmp takes the push, ffmpeg publishes it, and bin/worker records it.
Played: CSS, which sends callbacks for what nginx tells it; and the node, which cannot run Pods. For the recorder's Pod this demo
does what a kubelet would: it runs bin/worker as a process here, with the Pod's configuration, passes the Pod's annotations on to it,
and reports how it ends. "make test-e2e" does it all on a real node, as root on Debian.`)
	local := &localNode{client: s.client, worker: filepath.Join(s.root, "bin", "worker"), dir: filepath.Join(m.dir, "pods"), volume: m.volume}
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); local.run(running) }()
	m.ends = append(m.ends, func() { stop(); <-done })
	return m, m.play(ctx)
}

func (m *media) end() {
	for _, end := range slices.Backward(m.ends) {
		end()
	}
}

func (m *media) startIngest(ctx context.Context) error {
	addresses, err := freeAddresses(3)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the ingest: %w", err)
	}
	m.nginx = fakecss.Nginx{
		Dir: filepath.Join(m.dir, "ingest"), Publish: addresses[0], Play: addresses[1], HTTP: addresses[2], Hook: "http://" + listener.Addr().String() + "/ingest",
	}
	if os.Geteuid() == 0 {
		m.nginx.User = "root"
	}
	options := fakecss.Options{Callback: m.receiver + callbackPath, Key: callbackKey, Domain: pushDomain, Log: func(line string) { say("  CSS: %s", line) }}
	m.nginx.Apply(&options)
	if m.css, err = fakecss.New(options); err != nil {
		return fmt.Errorf("playing CSS: %w", err)
	}
	server := &http.Server{Handler: m.css.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	m.ends = append(m.ends, func() { _ = server.Close(); m.css.Close() })
	if err := os.MkdirAll(m.nginx.Dir, 0o750); err != nil {
		return fmt.Errorf("making the ingest's folder: %w", err)
	}
	file := filepath.Join(m.nginx.Dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(m.nginx.String()), 0o600); err != nil {
		return fmt.Errorf("configuring the ingest: %w", err)
	}
	program, err := fakecss.NginxProgram()
	if err != nil {
		return err
	}
	nginx := exec.Command(program, "-c", file, "-p", m.nginx.Dir) //nolint:noctx // m.end ends it, with its workers
	nginx.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := nginx.Start(); err != nil {
		return fmt.Errorf("starting nginx: %w", err)
	}
	m.ends = append(m.ends, func() { _ = syscall.Kill(-nginx.Process.Pid, syscall.SIGKILL); _ = nginx.Wait() })
	return until(ctx, "the ingest listens", func() error {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", m.nginx.Publish)
		if err == nil {
			_ = connection.Close()
		}
		return err
	})
}

// show is what a user applies. The claim's volume is a folder of this machine.
const show = `apiVersion: v1
kind: PersistentVolume
metadata: {name: recordings}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  claimRef: {namespace: default, name: recordings}
  hostPath: {path: %[1]q}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: recordings}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: recordings, resources: {requests: {storage: 10Gi}}}
---
apiVersion: v1
kind: Secret
metadata: {name: css}
stringData: {callbackKey: %[2]s}
---
apiVersion: livestream-operator.io/v1alpha1
kind: PushDomain
metadata: {name: shows}
spec:
  provider: TencentCSS
  domain: %[3]s
  callback: {keySecretRefs: [{name: css, key: callbackKey}]}
  playback: {domain: %[4]q, protocol: HLS, scheme: http}
---
apiVersion: livestream-operator.io/v1alpha1
kind: LiveStream
metadata: {name: %[5]s}
spec:
  pushDomainRef: {name: shows}
  appName: live
  streamName: %[5]s
  reconnectWindowSeconds: 60
  cleanStopWindowSeconds: 5
  recording: {storage: {persistentVolumeClaim: {claimName: recordings}}}
`

func (m *media) play(ctx context.Context) error {
	var job *batchv1.Job
	for _, step := range []struct {
		title string
		do    func() error
	}{
		{"A user applies a volume, a Secret, a PushDomain and a LiveStream that is recorded", func() error {
			file := filepath.Join(m.dir, "show.yaml")
			if err := os.WriteFile(file, fmt.Appendf(nil, show, m.volume, callbackKey, pushDomain, m.nginx.HTTP, streamName), 0o600); err != nil {
				return fmt.Errorf("writing what is applied: %w", err)
			}
			return errors.Join(m.kubectl(ctx, "apply", "-f", file), m.kubectl(ctx, "wait", "--for=condition=Ready", "pd/shows", "lvs/"+streamName, "--timeout=20s"))
		}},
		{"A camera pushes for 12 s: the stream is Live, and what it sends is recorded. Then the network drops the push: Interrupted, the Job stays", func() (err error) {
			m.css.NextInterruption(fakecss.Interruption{Code: dropped})
			if job, err = m.push(ctx, 12*time.Second); err != nil {
				return err
			}
			return errors.Join(m.reach(ctx, v1alpha1.LiveStreamInterrupted, v1alpha1.WorkloadRunning), m.kubectl(ctx, "get", "lvs"))
		}},
		{"The camera is back for 8 s: Live again, the same Job", func() error {
			again, err := m.push(ctx, 8*time.Second)
			if err == nil && again.UID != job.UID {
				err = fmt.Errorf("job %s was replaced by %s", job.Name, again.Name)
			}
			return err
		}},
		{"The camera stopped, the window passes: the recorder is told, joins its parts and verifies the file", func() error {
			return errors.Join(m.kubectl(ctx, "wait", "--for=condition=RecordingReady", "lvs/"+streamName, "--timeout=60s"), m.kubectl(ctx, "get", "lvs"), m.kubectl(ctx, "get", "jobs,pods"))
		}},
		{"The recording plays", func() error { return m.check(ctx) }},
	} {
		say("\n== %s", step.title)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

// push publishes for so long, and is back when that is over; meanwhile the stream has to be Live and recorded.
func (m *media) push(ctx context.Context, length time.Duration) (*batchv1.Job, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	to := "rtmp://" + m.nginx.Publish + "/live/" + streamName
	say("$ ffmpeg -re ... -f flv %s", to)
	ended := make(chan error, 1)
	go func() {
		frames, err := camera.Camera{Push: uint8(len(m.published))}.Publish(ctx, to, length) //nolint:gosec // two
		m.published = append(m.published, frames)
		ended <- err
	}()
	err := m.reach(ctx, v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning)
	if err == nil {
		err = errors.Join(m.kubectl(ctx, "get", "lvs"), m.kubectl(ctx, "get", "jobs,pods"))
	}
	if err != nil {
		cancel()
	}
	if err := errors.Join(err, <-ended); err != nil {
		return nil, err
	}
	return m.onlyJob(ctx)
}

// check plays the recording, and looks for each published frame in it.
func (m *media) check(ctx context.Context) error {
	stream, err := m.stream(ctx)
	if err != nil {
		return err
	}
	if len(stream.Status.History) != 1 || len(stream.Status.History[0].Recordings) != 1 {
		return fmt.Errorf("the history has not one recording: %+v", stream.Status.History)
	}
	recording := stream.Status.History[0].Recordings[0]
	inVolume, is := strings.CutPrefix(recording.URI, "pvc://"+claim+"/")
	if !is {
		return fmt.Errorf("the recording is at %s, not in the claim", recording.URI)
	}
	file := filepath.Join(m.volume, filepath.FromSlash(inVolume))
	probe := []string{"-v", "error", "-show_entries", "format=format_name,duration,size:stream=codec_name,width,height", "-of", "compact", file}
	say("$ ffprobe %s", strings.ReplaceAll(strings.Join(probe, " "), m.root+"/", ""))
	output, err := exec.CommandContext(ctx, "ffprobe", probe...).CombinedOutput()
	for line := range strings.Lines(string(output)) {
		fmt.Print("  ", line)
	}
	if err != nil {
		return fmt.Errorf("ffprobe: %w", err)
	}
	recorded, err := camera.Read(ctx, file)
	if err != nil {
		return fmt.Errorf("playing the recording: %w", err)
	}
	published, missing := 0, 0
	for _, push := range m.published {
		d := camera.Compare(push, recorded)
		published, missing = published+len(push), missing+d.Missing()
		if d.Twice+d.Backwards > 0 {
			return fmt.Errorf("frames come twice or out of order: %+v", d)
		}
	}
	say("Each frame says when it was published: %d were, %d are in the recording.", published, published-missing)
	if missing > published/10 {
		return fmt.Errorf("%d frames are missing", missing)
	}
	say("The status names it %s.", recording.URI)
	m.file = file
	return nil
}

func (m *media) howToGoOn() {
	say(`
The control plane, the operator and the ingest stay up until you press Ctrl-C. In another terminal:

  export KUBECONFIG=%s
  export PATH=%s:$PATH
  kubectl get lvs --watch

Push what you like, as often as you like; each broadcast becomes a file below %s:

  ffmpeg -re -f lavfi -i testsrc=size=640x360:rate=25 -f lavfi -i sine -c:v libx264 -g 25 -c:a aac -f flv rtmp://%s/live/%s

Play it while it is on air:

  ffplay http://%s/live/%s.m3u8
`, m.cluster.Kubeconfig(), m.cluster.Bin(), m.volume, m.nginx.Publish, streamName, m.nginx.HTTP, streamName)
}
