//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/camera"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// show is one stream, with its LiveStream and its pusher.
type show struct {
	*stage
	t      *testing.T
	name   string
	ingest ingest
	// pushes are the frames that were published, by the cameras in their order.
	pushes [][]camera.Frame
	// before is how many broadcasts were recorded before.
	before int
}

// cameras counts them: no two have the same number.
var cameras atomic.Uint32

func newShow(t *testing.T, name, settings string) *show {
	t.Helper()
	return newShowOf(t, "shows", theStage.ingest, name, settings)
}

// newShowOf is of another push domain.
func newShowOf(t *testing.T, domain string, i ingest, name, settings string) *show {
	t.Helper()
	s := &show{stage: &theStage, t: t, name: name, ingest: i}
	err := s.apply(t.Context(), fmt.Sprintf(`
apiVersion: livestream-operator.io/v1alpha1
kind: LiveStream
metadata: {name: %[1]s}
spec: {pushDomainRef: {name: %[2]s}, appName: live, streamName: %[1]s%[3]s}
`, name, domain, settings))
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the LiveStream is ready", time.Minute, func(l v1alpha1.LiveStream) bool { return l.Status.State == v1alpha1.LiveStreamIdle })
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := s.kubectl(context.Background(), "describe", "lvs", name)
			logs, _ := s.kubectl(context.Background(), "logs", "-l", v1alpha1.LabelLiveStream+"="+name, "--tail=30", "--prefix")
			pods, _ := s.kubectl(context.Background(), "get", "pods,events", "-o", "wide")
			t.Logf("%s\n%s\n%s", text, logs, pods)
		}
	})
	return s
}

func (s *show) get() v1alpha1.LiveStream {
	s.t.Helper()
	text, err := s.kubectl(s.t.Context(), "get", "lvs", s.name, "-o", "json")
	if err != nil {
		s.t.Fatal(err)
	}
	var l v1alpha1.LiveStream
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *show) eventually(what string, patience time.Duration, is func(v1alpha1.LiveStream) bool) v1alpha1.LiveStream {
	s.t.Helper()
	var last v1alpha1.LiveStream
	if err := within(s.t.Context(), patience, what, func() error {
		if last = s.get(); !is(last) {
			return fmt.Errorf("state %s, workloads %+v, history %+v", last.Status.State, last.Status.Workloads, last.Status.History)
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return last
}

// push publishes for so long, and returns when that is over.
func (s *show) push(app string, length time.Duration) {
	s.t.Helper()
	s.film(camera.Camera{}, app, length)
}

func (s *show) film(c camera.Camera, app string, length time.Duration) {
	s.t.Helper()
	c.Push = uint8(cameras.Add(1))
	frames, err := c.Publish(s.t.Context(), "rtmp://"+s.ingest.nginx.Publish+"/"+app+"/"+s.name, length)
	if err != nil {
		s.t.Error(err)
	}
	s.pushes = append(s.pushes, frames)
}

func (s *show) parts() int {
	n := 0
	for o := range s.minio.ListObjects(s.t.Context(), bucket, minio.ListObjectsOptions{Prefix: "live/" + s.name + "/", Recursive: true}) {
		if strings.HasSuffix(o.Key, ".ts") {
			n++
		}
	}
	return n
}

func (s *show) someParts() {
	s.t.Helper()
	if err := within(s.t.Context(), time.Minute, "parts are stored", func() error {
		if n := s.parts(); n < 4 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
}

// recording is a file that was stored.
type recording struct {
	v1alpha1.RecordingStatus
	frames []camera.Frame
	// lost is how much of what was published is not in it, in seconds, and of each push what.
	lost   float64
	pushes []camera.Difference
}

// recorded waits for the recording, plays it, and looks for each published frame in it.
func (s *show) recorded(patience time.Duration) recording {
	s.t.Helper()
	l := s.eventually("the recording is ready", patience, func(l v1alpha1.LiveStream) bool {
		return len(l.Status.History) == s.before+1 && len(l.Status.History[0].Recordings) == 1 && (l.Status.History[0].Recordings[0].ReadyTime != nil || l.Status.History[0].Recordings[0].Message != "")
	})
	r := recording{RecordingStatus: l.Status.History[0].Recordings[0]}
	if r.ReadyTime == nil {
		s.t.Fatalf("recording = %+v", r)
	}
	object, err := s.minio.GetObject(s.t.Context(), bucket, strings.TrimPrefix(r.URI, "s3://"+bucket+"/"), minio.GetObjectOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = object.Close() }()
	file, err := os.Create(filepath.Join(s.t.TempDir(), "recording.mp4"))
	if err != nil {
		s.t.Fatal(err)
	}
	if size, err := io.Copy(file, object); err != nil || size != *r.SizeBytes {
		s.t.Errorf("read %d bytes, %v; the status says %d", size, err, *r.SizeBytes)
	}
	_ = file.Close()
	s.compare(&r, file.Name())
	s.t.Logf("%s: %d frames, gaps %d, %.2f s lost: %+v", r.URI, len(r.frames), *r.Gaps, r.lost, r.pushes)
	return r
}

// compare plays a file, and looks for each published frame in it.
func (s *show) compare(r *recording, file string) {
	s.t.Helper()
	if played := testmedia.Play(s.t, file); played.Problems != "" {
		s.t.Errorf("it plays with problems: %s", played.Problems)
	}
	var err error
	if r.frames, err = camera.Read(s.t.Context(), file); err != nil {
		s.t.Fatal(err)
	}
	known := 0
	for _, push := range s.pushes {
		d := camera.Compare(push, r.frames)
		known += len(push) - d.Missing() + d.Twice
		r.lost += d.Lost()
		r.pushes = append(r.pushes, d)
		if d.Twice > 0 || d.Backwards > 0 {
			s.t.Errorf("frames come twice or out of order: %+v", d)
		}
	}
	if known != len(r.frames) {
		s.t.Errorf("%d frames are in it that nobody published", len(r.frames)-known)
	}
}

func (s *show) recorderPod() string {
	s.t.Helper()
	name, err := s.kubectl(s.t.Context(), "get", "pods", "-l", v1alpha1.LabelLiveStream+"="+s.name, "--field-selector", "status.phase=Running", "-o", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		s.t.Fatal(err)
	}
	return name
}

func TestAShowWithTwoDropsIsOneRecording(t *testing.T) {
	t.Parallel()
	s := newShow(t, "drops", ", cleanStopWindowSeconds: 60")
	s.push("live", 20*time.Second)
	pause(t, 10*time.Second)
	s.push("live", 20*time.Second)
	pause(t, 40*time.Second)
	s.push("live", 20*time.Second)
	ended := time.Now()
	r := s.recorded(3 * time.Minute)
	after := r.ReadyTime.Sub(ended) - time.Minute
	var drop float64
	for i := range 2 {
		drop = max(drop, float64(r.pushes[i].Tail+r.pushes[i+1].Head)/camera.FramesPerSecond)
	}
	figure("playable", true)
	figure("lost_seconds_per_drop", drop)
	figure("ready_seconds_after_window", after.Seconds())
	if drop > 2 {
		t.Errorf("%.2f s are lost in a drop, want 2 at most", drop)
	}
	if after > 8*time.Second {
		t.Errorf("ready %s after the window", after)
	}
	if err := within(t.Context(), 10*time.Second, "the one Job is Complete", func() error {
		jobs, err := s.kubectl(t.Context(), "get", "jobs", "-l", v1alpha1.LabelLiveStream+"=drops", "-o", "jsonpath={.items[*].status.succeeded}")
		if err == nil && jobs != "1" {
			err = fmt.Errorf("Jobs that succeeded: %q", jobs)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestABroadcastSoonAfterAnotherHasNothingOfIt(t *testing.T) {
	t.Parallel()
	s := newShow(t, "again", ", cleanStopWindowSeconds: 2")
	for ; s.before < 2; s.before++ {
		s.pushes = nil
		s.push("live", 6*time.Second)
		// The playlist has the last 15 s, and what is in a recording that its camera did not publish fails it.
		if lost := s.recorded(time.Minute).lost; lost > 1 {
			t.Errorf("%.2f s are lost", lost)
		}
	}
}

// pause is the show's.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

func TestWhateverIsKilledTheRecordingIsOneAndLosesAtMostASecond(t *testing.T) {
	t.Parallel()
	kill := func(what disturbance) func(s *show, pod string) error {
		return func(s *show, pod string) error { return s.site.kill(s.t.Context(), s.stage, pod, what) }
	}
	for victim, row := range map[string]struct {
		needs disturbance
		kill  func(s *show, pod string) error
	}{
		"the recorder":  {needs: killRecorder, kill: kill(killRecorder)},
		"the container": {needs: killContainer, kill: kill(killContainer)},
		"the pod": {kill: func(s *show, pod string) error {
			_, err := s.kubectl(s.t.Context(), "delete", "pod", pod, "--grace-period=0", "--force")
			return err
		}},
		"evicted": {kill: func(s *show, pod string) error { return s.evict(s.t.Context(), pod) }},
	} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(strings.TrimPrefix(victim, "the "), " ", "_")
			if row.needs != "" {
				theStage.needs(t, row.needs, "lost_seconds_kill_"+name)
			}
			s := newShow(t, "kill-"+name, ", cleanStopWindowSeconds: 5")
			pushed := make(chan struct{})
			go func() {
				defer close(pushed)
				s.push("live", 40*time.Second)
			}()
			s.someParts()
			if err := row.kill(s, s.recorderPod()); err != nil {
				t.Fatal(err)
			}
			<-pushed
			lost := s.recorded(2 * time.Minute).lost
			figure("lost_seconds_kill_"+name, lost)
			if lost > 1 {
				t.Errorf("%.2f s are lost, want 1 at most", lost)
			}
		})
	}
}

// evict does what kubectl drain does.
func (s *stage) evict(ctx context.Context, pod string) error {
	eviction := fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q,"namespace":%q}}`, pod, s.namespace)
	_, err := s.run(ctx, eviction, "create", "--raw", "/api/v1/namespaces/"+s.namespace+"/pods/"+pod+"/eviction", "-f", "-")
	return err
}

func TestTwoPushersOnOneNameHaveOneRecorder(t *testing.T) {
	t.Parallel()
	first := newShow(t, "backup", ", cleanStopWindowSeconds: 5")
	second := &show{stage: first.stage, t: t, name: first.name, ingest: first.ingest}
	done := make(chan struct{})
	go func() {
		defer close(done)
		first.push("live", 15*time.Second)
	}()
	pause(t, 5*time.Second)
	second.push("backup", 25*time.Second)
	<-done
	first.pushes = append(first.pushes, second.pushes...)
	r := first.recorded(2 * time.Minute)
	// What the second one sent meanwhile nobody was to see.
	ended := first.pushes[0][len(first.pushes[0])-1]
	takeover := 0
	for i, f := range r.frames {
		if f.Push != ended.Push {
			takeover = int(int32(f.At-ended.At)) + r.pushes[0].Tail*1000/camera.FramesPerSecond
			if i == 0 {
				t.Error("nothing of the first one is recorded")
			}
			break
		}
	}
	jobs, err := first.kubectl(t.Context(), "get", "jobs", "-l", v1alpha1.LabelLiveStream+"=backup", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	recorders := len(strings.Fields(jobs))
	figure("recorders_max", recorders)
	if recorders != 1 || takeover == 0 || takeover > 3000 {
		t.Errorf("%d recorders, %d ms lost in the takeover", recorders, takeover)
	}
}
