// Package testmedia gives tests a real ingest: nginx with its RTMP module takes a push and serves it by RTMP and HLS, ffmpeg publishes.
package testmedia

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/fakecss"
)

// Ingest is a running nginx.
type Ingest struct {
	rtmp, http string
}

const configuration = `
load_module %[1]s;
%[2]s
daemon off; pid %[3]s/nginx.pid; error_log %[3]s/error.log warn; worker_processes 1;
events { worker_connections 256; }
rtmp { server { listen %[4]s; application live { live on; wait_key on; hls on; hls_path %[3]s/hls; hls_fragment 1s; hls_playlist_length 30s; } } }
http {
  access_log off; client_body_temp_path %[3]s/t1; proxy_temp_path %[3]s/t2; fastcgi_temp_path %[3]s/t3; uwsgi_temp_path %[3]s/t4; scgi_temp_path %[3]s/t5;
  types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
  server { listen %[5]s; location /live/ { alias %[3]s/hls/; add_header Cache-Control no-cache; } }
}
`

// Start runs an ingest for the test. It skips the test where nginx, its RTMP module or ffmpeg are not installed.
func Start(t *testing.T) *Ingest {
	t.Helper()
	for _, binary := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(binary); err != nil {
			t.Skipf("%s is not installed; on Debian: apt-get install ffmpeg nginx libnginx-mod-rtmp", binary)
		}
	}
	program, err := fakecss.NginxProgram()
	if err != nil {
		t.Skip(err)
	}
	module := fakecss.Nginx{}.ModulePath()
	if _, err := os.Stat(module); err != nil {
		t.Skip("nginx has no RTMP module; on Debian: apt-get install libnginx-mod-rtmp")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "hls"), 0o750); err != nil {
		t.Fatal(err)
	}
	i := &Ingest{rtmp: freeAddress(t), http: freeAddress(t)}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration, module, user, dir, i.rtmp, i.http), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-c", file, "-p", dir) //nolint:gosec // a file of the test
	nginx.Stderr = os.Stderr
	// Killed alone it would leave its workers.
	nginx.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-nginx.Process.Pid, syscall.SIGKILL)
		_ = nginx.Wait()
	})
	Eventually(t, "the ingest listens", func() bool {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", i.rtmp)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	return i
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// Host is where the stream is pulled with the protocol: RTMP or HLS.
func (i *Ingest) Host(protocol string) string {
	if protocol == "HLS" {
		return i.http
	}
	return i.rtmp
}

// FramesPerSecond of what Push publishes.
const FramesPerSecond = 30

// Push publishes a stream of the given length, and returns when it is over. Key frames come twice a second.
func (i *Ingest) Push(ctx context.Context, t *testing.T, stream string, length time.Duration) {
	t.Helper()
	i.PushSize(ctx, t, stream, length, "320x180")
}

// PushOnly publishes the picture without the sound, or the sound without the picture.
func (i *Ingest) PushOnly(ctx context.Context, t *testing.T, stream string, length time.Duration, sound bool) {
	t.Helper()
	input := "testsrc=size=320x180:rate=30"
	if sound {
		input = "sine=frequency=1000:sample_rate=48000"
	}
	ffmpeg := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", input, //nolint:gosec // arguments of the test
		"-t", strconv.FormatFloat(length.Seconds(), 'f', 3, 64), "-c:v", "libx264", "-preset", "ultrafast", "-g", "15", "-tune", "zerolatency", "-c:a", "aac",
		"-f", "flv", "rtmp://"+i.rtmp+"/live/"+stream)
	if output, err := ffmpeg.CombinedOutput(); err != nil && ctx.Err() == nil {
		t.Errorf("publishing: %v: %s", err, output)
	}
}

// PushSize publishes a picture of another size.
func (i *Ingest) PushSize(ctx context.Context, t *testing.T, stream string, length time.Duration, size string) {
	t.Helper()
	ffmpeg := exec.CommandContext(ctx, "ffmpeg", //nolint:gosec // arguments of the test
		"-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size="+size+":rate="+strconv.Itoa(FramesPerSecond),
		"-f", "lavfi", "-re", "-i", "sine=frequency=1000:sample_rate=48000", "-t", strconv.FormatFloat(length.Seconds(), 'f', 3, 64),
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "15", "-tune", "zerolatency", "-b:v", "400k", "-c:a", "aac", "-f", "flv", "rtmp://"+i.rtmp+"/live/"+stream)
	if output, err := ffmpeg.CombinedOutput(); err != nil && ctx.Err() == nil {
		t.Errorf("publishing: %v: %s", err, output)
	}
}

// Eventually waits for a condition, for a minute and a half at most: the machine may be busy, and to find out that a show has no video takes half a minute.
func Eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		case <-tick.C:
		}
	}
}

// Played is what a player finds in a file.
type Played struct {
	Frames   int
	Seconds  float64
	Problems string
}

// Play decodes the whole file.
func Play(t *testing.T, file string) Played {
	t.Helper()
	var p Played
	decode := exec.CommandContext(t.Context(), "ffmpeg", //nolint:gosec // a file of the test
		"-v", "warning", "-i", file, "-fps_mode", "passthrough", "-f", "null", "-")
	output, err := decode.CombinedOutput()
	odd := false
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "Last message repeated") && odd {
			continue
		}
		// What decodes well may still be odd to a muxer that writes nothing, and an HLS playlist says where its clock begins anew.
		odd = strings.HasPrefix(line, "[null ") || strings.HasSuffix(file, ".m3u8") && strings.Contains(line, "out of order")
		if !odd {
			p.Problems += line
		}
	}
	if err != nil {
		t.Errorf("%s does not play: %v: %s", file, err, output)
		return p
	}
	probe := exec.CommandContext(t.Context(), "ffprobe", //nolint:gosec // a file of the test
		"-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames", "-show_entries", "format=duration", "-of", "default=noprint_wrappers=1", file)
	output, err = probe.Output()
	if err != nil {
		t.Errorf("probing %s: %v", file, err)
		return p
	}
	for line := range strings.Lines(string(output)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "nb_read_frames":
			p.Frames, _ = strconv.Atoi(value)
		case "duration":
			p.Seconds, _ = strconv.ParseFloat(value, 64)
		}
	}
	return p
}
