package fakecss

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheApplicationsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		feeds        map[string]string
		ingest, play []string
	}{
		{"without feeds", nil, []string{"live"}, []string{"live"}},
		{"two that feed one", map[string]string{"backup": "live"}, []string{"backup", "live"}, []string{"live"}},
		{"two that feed two", map[string]string{"a": "live", "b": "live", "c": "vod"}, []string{"a", "b", "c", "live", "vod"}, []string{"live", "vod"}},
		{"one of another server", map[string]string{"b/other": "live"}, []string{"live"}, []string{"live"}},
	} {
		n := Nginx{Feeds: tc.feeds}
		if diff := cmp.Diff([][]string{tc.ingest, tc.play}, [][]string{n.IngestApps(), n.PlayApps()}); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

// needed is where a program is; the test is skipped where it is not.
func needed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed; apt install ffmpeg", program)
	}
	return path
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// stage is a real ingest with the server behind it.
type stage struct {
	*bench
	t      *testing.T
	nginx  Nginx
	ffmpeg string
}

// start runs a program until the test ends, or until it is signalled.
func (s *stage) start(program string, arguments ...string) *exec.Cmd {
	s.t.Helper()
	var output bytes.Buffer
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if s.t.Failed() {
			s.t.Logf("%s: %s", filepath.Base(program), output.String())
		}
	})
	return command
}

// becomes waits for something that another process does.
func (s *stage) becomes(what string, is func() bool) {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, ffmpeg: needed(t, "ffmpeg")}
	program, err := NginxProgram()
	if err != nil {
		t.Skip(err)
	}
	needed(t, "ffprobe")
	if _, err := os.Stat(debianModule); err != nil {
		t.Skip(debianModule + " is not installed; apt install libnginx-mod-rtmp")
	}
	// nginx needs the address of the hook, and the server those of nginx.
	hook := httptest.NewUnstartedServer(nil)
	s.nginx = Nginx{
		Dir: t.TempDir(), Publish: freeAddress(t), Play: freeAddress(t), HTTP: freeAddress(t),
		Hook: "http://" + hook.Listener.Addr().String() + "/ingest", Feeds: map[string]string{"backup": "live"},
	}
	if os.Geteuid() == 0 {
		s.nginx.User = "root"
	}
	o := Options{Callback: newReceiver(t).url}
	s.nginx.Apply(&o)
	s.bench = newBench(t, o)
	hook.Config.Handler = s.Handler()
	hook.Start()
	t.Cleanup(hook.Close)
	file := filepath.Join(s.nginx.Dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(s.nginx.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(program, "-c", file, "-p", s.nginx.Dir)
	for _, address := range []string{s.nginx.Publish, s.nginx.Play, s.nginx.HTTP} {
		s.becomes("nginx listens on "+address, func() bool {
			connection, err := net.Dial("tcp", address)
			if err == nil {
				_ = connection.Close()
			}
			return err == nil
		})
	}
	return s
}

// push publishes a picture of the given width until it is stopped.
func (s *stage) push(app, width, param string) *exec.Cmd {
	return s.start(s.ffmpeg, "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=rate=10:size="+width+"x120",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "10", "-threads", "1",
		"-f", "flv", "rtmp://"+s.nginx.Publish+"/"+app+"/show?"+param)
}

// seen is the width that a player of the address sees, or nothing.
func (s *stage) seen(address string) string {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	text, _ := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-analyzeduration", "500000", "-show_entries", "stream=width", "-of", "csv=p=0", address).Output()
	width, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return width
}

func TestARealIngest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	rtmp, hls := "rtmp://"+s.nginx.Play+"/live/show", "http://"+s.nginx.HTTP+"/live/show.m3u8"

	if got := s.seen(rtmp); got != "" {
		t.Errorf("before the first push players see a width of %s", got)
	}
	first := s.push("live", "160", credential)
	s.tries(1)
	s.push("backup", "320", "txSecret=other")
	s.tries(2)
	s.becomes("players of RTMP see the first push", func() bool { return s.seen(rtmp) == "160" })
	s.becomes("there is HLS", func() bool {
		response, err := http.Get(hls)
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	})
	s.becomes("players of HLS see the first push", func() bool { return s.seen(hls) == "160" })

	s.NextInterruption(Interruption{Code: 12})
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.tries(3)
	s.becomes("the second push takes over", func() bool { return s.seen(rtmp) == "320" })
	if err := s.Cut(Interruption{App: "live", Stream: "show", Code: 21}); err != nil {
		t.Fatal(err)
	}
	records := s.tries(4)
	s.becomes("players are let go", func() bool { return s.seen(rtmp) == "" })

	type sent struct {
		event          int
		code           int32
		sequence       string
		address, param string
		status         int
	}
	var got []sent
	for _, r := range records {
		c := r.Callback
		got = append(got, sent{c.EventType, c.ErrorCode, c.Sequence, c.UserIP, c.StreamParam, r.Status})
	}
	one, two := records[0].Callback.Sequence, records[1].Callback.Sequence
	want := []sent{
		{1, 0, one, "127.0.0.1", credential, 200}, {1, 0, two, "127.0.0.1", "txSecret=other", 200},
		{0, 12, one, "127.0.0.1", credential, 200}, {0, 21, two, "127.0.0.1", "txSecret=other", 200},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sent{})); diff != "" || one == two {
		t.Error(diff)
	}
	if log, err := os.ReadFile(filepath.Join(s.nginx.Dir, "error.log")); err != nil || strings.Contains(string(log), "txSecret") {
		t.Errorf("nginx's log holds a credential, or cannot be read: %v\n%s", err, log)
	}
}
