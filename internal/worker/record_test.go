package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// binary is the worker's, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "worker-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "worker")
	build := exec.Command("go", "build", "-o", path, "../../cmd/worker")
	build.Stderr = os.Stderr
	return path, build.Run()
})

// recorder is a running worker, as its Pod runs it.
type recorder struct {
	t       *testing.T
	dir     string
	command *exec.Cmd
	log     *bytes.Buffer
	done    chan error
}

// start runs the worker for a Job of a broadcast. Jobs of one folder share the storage, not the spool.
func start(t *testing.T, dir, host, protocol string, format recording.Format, job int) *recorder {
	t.Helper()
	return startInto(t, dir, host, protocol, format, job, recording.Storage{ClaimName: "claim"}, nil)
}

func startInto(t *testing.T, dir, host, protocol string, format recording.Format, job int, into recording.Storage, credentials map[string]string) *recorder {
	t.Helper()
	config := configOf(host, protocol, job)
	config.Format, config.Storage = format, into
	return startWith(t, dir, config, credentials)
}

func configOf(host, protocol string, job int) recording.Config {
	return recording.Config{
		Playback: recording.Playback{Domain: host, Protocol: protocol, Scheme: "http"}, App: "live", Stream: "show", Broadcast: "b1",
		Started: time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC), Job: job, SegmentSeconds: 1, UploadTimeoutSeconds: 20,
		Storage: recording.Storage{ClaimName: "claim"},
	}
}

func startWith(t *testing.T, dir string, config recording.Config, credentials map[string]string) *recorder {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{t: t, dir: filepath.Join(dir, "job", itoa(config.Job)), log: &bytes.Buffer{}, done: make(chan error, 1)}
	volume := filepath.Join(dir, "volume")
	for _, d := range []string{volume, filepath.Join(r.dir, "spool"), filepath.Join(r.dir, "credentials")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range credentials {
		if err := os.WriteFile(filepath.Join(r.dir, "credentials", name), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.command = exec.Command(path, "--spool-dir", filepath.Join(r.dir, "spool"), "--volume-dir", volume, "--control-file", filepath.Join(r.dir, "control"),
		"--termination-log", filepath.Join(r.dir, "result"), "--health-bind-address", "127.0.0.1:0", "--credentials-dir", filepath.Join(r.dir, "credentials"),
		"--playback-key-file", filepath.Join(r.dir, "credentials", "none"), "--push-key-file", filepath.Join(r.dir, "credentials", "none"))
	r.command.Env = append(os.Environ(), recording.ConfigVariable+"="+string(text))
	r.command.Stderr = r.log
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.command.Wait() }()
	t.Cleanup(func() {
		_ = r.command.Process.Kill()
		if t.Failed() {
			t.Logf("the worker's log:\n%s", r.log)
		}
	})
	return r
}

// stop tells it that the broadcast is over, and waits for what it says.
func (r *recorder) stop() recording.Result {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "control"), []byte(recording.StopAnnotation+`="now"`+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return r.result()
}

func (r *recorder) result() recording.Result {
	r.t.Helper()
	select {
	case err := <-r.done:
		r.t.Logf("the worker ended: %v", err)
	case <-time.After(time.Minute):
		r.t.Fatal("the worker does not end")
	}
	text, err := os.ReadFile(filepath.Join(r.dir, "result"))
	if err != nil {
		r.t.Fatal(err)
	}
	result, said := recording.ParseResult(string(text))
	if !said {
		r.t.Fatalf("result = %s", text)
	}
	return result
}

// children are the processes that a process started, and theirs.
func children(pid int) []int {
	text, _ := exec.Command("pgrep", "-P", itoa(pid)).Output()
	var all []int
	for line := range strings.Lines(string(text)) {
		child := atoi(strings.TrimSpace(line))
		all = append(append(all, child), children(child)...)
	}
	return all
}

func (r *recorder) parts() int {
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(r.dir)), "volume", "live", "show", "*", "parts", "*.ts"))
	return len(files)
}

// check plays the recording, and says how many seconds of what was pushed it lacks.
func check(t *testing.T, dir string, result recording.Result, pushed time.Duration) (lost float64) {
	t.Helper()
	if !result.Ready || !strings.HasPrefix(result.URI, "pvc://claim/live/show/20260102T200000Z-b1/recording.") {
		t.Fatalf("result = %+v", result)
	}
	played := testmedia.Play(t, filepath.Join(dir, "volume", strings.TrimPrefix(result.URI, "pvc://claim/")))
	if played.Problems != "" {
		t.Errorf("it plays with problems: %s", played.Problems)
	}
	lost = pushed.Seconds() - float64(played.Frames)/testmedia.FramesPerSecond
	t.Logf("%d frames in %.1f s; lost %.2f s; %d gaps of %d ms", played.Frames, played.Seconds, lost, result.Gaps, result.GapMilliseconds)
	if lost < -0.5 {
		t.Errorf("the recording has %.1f s more than was pushed", -lost)
	}
	if difference := float64(result.DurationMilliseconds)/1000 - played.Seconds; difference > 1 || difference < -1 {
		t.Errorf("the result says %d ms, and it plays for %.1f s", result.DurationMilliseconds, played.Seconds)
	}
	return lost
}

func TestAShowWithADropIsOneRecording(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HLS", "RTMP"} {
		for _, format := range []recording.Format{recording.FMP4, recording.MKV, recording.FLV, recording.HLS} {
			if protocol == "RTMP" && format != recording.FMP4 {
				continue
			}
			t.Run(protocol+" to "+string(format), func(t *testing.T) {
				t.Parallel()
				ingest, dir := testmedia.Start(t), t.TempDir()
				r := start(t, dir, ingest.Host(protocol), protocol, format, 1)
				ingest.Push(t.Context(), t, "show", 6*time.Second)
				ingest.Push(t.Context(), t, "show", 6*time.Second)
				result := r.stop()
				if lost := check(t, dir, result, 12*time.Second); lost > map[string]float64{"HLS": 1, "RTMP": 4}[protocol] {
					t.Errorf("%.1f s are lost in one drop", lost)
				}
				if left := r.parts(); (left > 0) != (format == recording.HLS) {
					t.Errorf("%d parts are left", left)
				}
			})
		}
	}
}

// A kill of each process in the middle of a show, and of the whole Pod with its spool.
func TestWhateverIsKilledTheRecordingGoesOn(t *testing.T) {
	t.Parallel()
	kill := map[string]func(r *recorder){
		"ffmpeg": func(r *recorder) {
			for _, pid := range children(r.command.Process.Pid) {
				if name, _ := os.ReadFile("/proc/" + itoa(pid) + "/comm"); strings.TrimSpace(string(name)) == "ffmpeg" {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		},
		"the recorder": func(r *recorder) {
			for _, pid := range children(r.command.Process.Pid) {
				if name, _ := os.ReadFile("/proc/" + itoa(pid) + "/comm"); strings.TrimSpace(string(name)) == "worker" {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		},
	}
	for _, protocol := range []string{"HLS", "RTMP"} {
		for victim, end := range kill {
			if protocol == "HLS" && victim == "ffmpeg" {
				continue
			}
			t.Run(protocol+", "+victim, func(t *testing.T) {
				t.Parallel()
				ingest, dir := testmedia.Start(t), t.TempDir()
				r := start(t, dir, ingest.Host(protocol), protocol, recording.FMP4, 1)
				pushed := make(chan struct{})
				go func() {
					defer close(pushed)
					ingest.Push(t.Context(), t, "show", 10*time.Second)
				}()
				testmedia.Eventually(t, "four parts are stored", func() bool { return r.parts() >= 4 })
				end(r)
				<-pushed
				// What RTMP sends while nobody pulls is gone, and how long that is depends on how busy this machine is.
				most := map[string]float64{"HLS": 1, "RTMP": 4}[protocol]
				if lost := check(t, dir, r.stop(), 10*time.Second); lost > most {
					t.Errorf("%.2f s are lost", lost)
				}
			})
		}
	}
}

func TestAPodThatIsGoneIsFollowedByOneThatGoesOn(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed, with its spool": syscall.SIGKILL, "drained": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ingest, dir := testmedia.Start(t), t.TempDir()
			first := start(t, dir, ingest.Host("HLS"), "HLS", recording.FMP4, 1)
			pushed := make(chan struct{})
			go func() {
				defer close(pushed)
				ingest.Push(t.Context(), t, "show", 12*time.Second)
			}()
			testmedia.Eventually(t, "four parts are stored", func() bool { return first.parts() >= 4 })
			_ = first.command.Process.Signal(signal)
			if err := <-first.done; err == nil {
				t.Error("it ended as if the broadcast was over")
			}
			if err := os.RemoveAll(filepath.Join(first.dir, "spool")); err != nil {
				t.Fatal(err)
			}
			// A node and an image later.
			wait(t.Context(), 3*time.Second)
			second := start(t, dir, ingest.Host("HLS"), "HLS", recording.FMP4, 2)
			<-pushed
			result := second.stop()
			if lost := check(t, dir, result, 12*time.Second); lost > 1 {
				t.Errorf("%.2f s are lost", lost)
			}
			if result.Gaps != 0 {
				t.Errorf("%d gaps, want none: the playlist reaches back", result.Gaps)
			}
		})
	}
}

// wait plays the time that a cluster needs.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func TestAStorageThatIsAwayLosesNothing(t *testing.T) {
	t.Parallel()
	ingest, dir := testmedia.Start(t), t.TempDir()
	r := start(t, dir, ingest.Host("HLS"), "HLS", recording.FMP4, 1)
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		ingest.Push(t.Context(), t, "show", 8*time.Second)
	}()
	testmedia.Eventually(t, "two parts are stored", func() bool { return r.parts() >= 2 })
	volume := filepath.Join(dir, "volume", "live")
	if err := os.Rename(volume, volume+".away"); err != nil {
		t.Fatal(err)
	}
	// A file where the folder has to be.
	if err := os.WriteFile(volume, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-pushed
	go func() {
		wait(t.Context(), 5*time.Second)
		_ = os.Remove(volume)
		_ = os.Rename(volume+".away", volume)
	}()
	if lost := check(t, dir, r.stop(), 8*time.Second); lost > 0.5 {
		t.Errorf("%.2f s are lost", lost)
	}
}

func TestAStorageThatStaysAwayLeavesTheRecordingInTheSpool(t *testing.T) {
	t.Parallel()
	ingest, dir := testmedia.Start(t), t.TempDir()
	r := start(t, dir, ingest.Host("HLS"), "HLS", recording.FMP4, 1)
	if err := os.WriteFile(filepath.Join(dir, "volume", "live"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ingest.Push(t.Context(), t, "show", 5*time.Second)
	result := r.stop()
	if result.Ready || !strings.HasSuffix(result.URI, "/spool/recording.mp4") || !strings.Contains(result.Message, "storing the last parts") {
		t.Fatalf("result = %+v", result)
	}
	if played := testmedia.Play(t, strings.TrimPrefix(result.URI, "file://")); played.Frames < 4*testmedia.FramesPerSecond {
		t.Errorf("the recording in the spool has %d frames", played.Frames)
	}
}

func TestABucketThatIsAwayLosesNothing(t *testing.T) {
	t.Parallel()
	server := testmedia.StartMinIO(t)
	if server == nil {
		t.Skip("MinIO is not built; make bin/tools/minio")
	}
	ingest, dir := testmedia.Start(t), t.TempDir()
	credentials := map[string]string{"accessKeyID": server.AccessKeyID, "secretAccessKey": server.SecretAccessKey}
	r := startInto(t, dir, ingest.Host("HLS"), "HLS", recording.FMP4, 1, recording.Storage{Endpoint: server.Endpoint, Bucket: server.Bucket, Prefix: "studio"}, credentials)
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		ingest.Push(t.Context(), t, "show", 8*time.Second)
	}()
	bucket, err := store.NewS3(store.S3Options{Endpoint: server.Endpoint, Bucket: server.Bucket, AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey})
	if err != nil {
		t.Fatal(err)
	}
	testmedia.Eventually(t, "two parts are stored", func() bool {
		objects, _ := bucket.List(t.Context(), "studio/")
		return len(objects) >= 2
	})
	server.Down()
	<-pushed
	up := make(chan struct{})
	go func() {
		defer close(up)
		wait(t.Context(), 5*time.Second)
		server.Up(t)
	}()
	result := r.stop()
	<-up
	const key = "studio/live/show/20260102T200000Z-b1/recording.mp4"
	if !result.Ready || result.URI != "s3://recordings/"+key {
		t.Fatalf("result = %+v", result)
	}
	in, err := bucket.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	content, err := io.ReadAll(in)
	if err != nil || int64(len(content)) != result.SizeBytes || fmt.Sprintf("%x", sha256.Sum256(content)) != result.SHA256 {
		t.Errorf("%d bytes, %v; the result says %+v", len(content), err, result)
	}
	file := filepath.Join(dir, "recording.mp4")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if played := testmedia.Play(t, file); played.Problems != "" || played.Frames < 8*testmedia.FramesPerSecond-15 {
		t.Errorf("played = %+v", played)
	}
	if strings.Contains(r.log.String(), server.SecretAccessKey) {
		t.Error("the log has the secret")
	}
}

func TestABroadcastWithoutMediaSaysSo(t *testing.T) {
	t.Parallel()
	ingest, dir := testmedia.Start(t), t.TempDir()
	r := start(t, dir, ingest.Host("HLS"), "HLS", recording.FMP4, 1)
	testmedia.Eventually(t, "the worker has begun", func() bool { _, err := os.Stat(filepath.Join(r.dir, "spool", "open")); return err == nil })
	if result := r.stop(); !result.Nothing || result.Ready {
		t.Errorf("result = %+v", result)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
