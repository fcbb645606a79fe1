//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// ladderSettings ask for three rungs. The requests are small: the node is shared with all that publishes.
const ladderSettings = `, cleanStopWindowSeconds: 2, transcoding: {segmentSeconds: 2, resources: {requests: {cpu: 200m, memory: 256Mi}},
  renditions: [{name: 1080p, height: 1080, videoBitrateKbps: 2000}, {name: 480p, height: 480, videoBitrateKbps: 600}, {name: 240p, height: 240, videoBitrateKbps: 250}],
  output: {storage: {s3: {endpoint: 'http://%s', bucket: %s, credentialsSecretRef: {name: bucket}}}}}`

func TestALadderPlaysWithAlignedKeyFramesAndIsNeverUpscaled(t *testing.T) {
	// Encoding wants the whole machine, and so it runs alone; ten frames a second leave some of it to the rest.
	i, err := theStage.open(t.Context(), "ladders", "RTMP")
	if err != nil {
		t.Fatal(err)
	}
	ok := true
	for _, row := range []struct {
		name, size string
		rungs      []string
	}{
		{"ladder-1080", "1920x1080", []string{"1080", "480", "240"}},
		{"ladder-480", "854x480", []string{"480", "240"}},
	} {
		ok = t.Run(row.name, func(t *testing.T) {
			s := newShowOf(t, "ladders", i, row.name, fmt.Sprintf(ladderSettings, theStage.minioAt, bucket))
			publish := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size="+row.size+":rate=10",
				"-f", "lavfi", "-re", "-i", "sine=frequency=1000:sample_rate=48000", "-t", "25",
				"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "10", "-b:v", "2M", "-c:a", "aac", "-f", "flv",
				"rtmp://"+i.nginx.Publish+"/live/"+row.name)
			if output, err := publish.CombinedOutput(); err != nil {
				t.Fatalf("publishing: %v: %s", err, output)
			}
			last := s.eventually("the ladder is ready", 2*time.Minute, func(l v1alpha1.LiveStream) bool {
				c := meta.FindStatusCondition(l.Status.Conditions, v1alpha1.ConditionRecordingReady)
				return c != nil && (c.Reason == v1alpha1.ReasonRecorded || c.Reason == v1alpha1.ReasonRecordingFailed)
			})
			recordings := last.Status.History[0].Recordings
			at := slices.IndexFunc(recordings, func(r v1alpha1.RecordingStatus) bool { return r.Name == "transcode" && r.ReadyTime != nil })
			if at < 0 {
				t.Fatalf("recordings = %+v", recordings)
			}
			folder := s.download(strings.TrimSuffix(strings.TrimPrefix(recordings[at].URI, "s3://"+bucket+"/"), "master.m3u8"))
			checkLadder(t, folder, row.rungs)
		}) && ok
	}
	figure("ladder_ok", ok)
}

// download copies all objects of a folder of the bucket into one of the test.
func (s *show) download(prefix string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	for o := range s.minio.ListObjects(s.t.Context(), bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		file := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(o.Key, prefix)))
		object, err := s.minio.GetObject(s.t.Context(), bucket, o.Key, minio.GetObjectOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		content, err := io.ReadAll(object)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

func checkLadder(t *testing.T, folder string, rungs []string) {
	t.Helper()
	master, err := os.ReadFile(filepath.Join(folder, "master.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(master), "#EXT-X-STREAM-INF"); n != len(rungs) {
		t.Errorf("the master playlist names %d renditions, want %d:\n%s", n, len(rungs), master)
	}
	// Of the master a player takes the best.
	if played := testmedia.Play(t, filepath.Join(folder, "master.m3u8")); played.Problems != "" || played.Seconds < 10 {
		t.Errorf("it plays for %.1f s: %s", played.Seconds, played.Problems)
	}
	var aligned []string
	for _, height := range rungs {
		playlist := filepath.Join(folder, height+"p", "recording.m3u8")
		if played := testmedia.Play(t, playlist); played.Problems != "" || played.Seconds < 10 {
			t.Errorf("%sp plays for %.1f s: %s", height, played.Seconds, played.Problems)
		}
		frames := probe(t, playlist, "-skip_frame", "nokey", "-show_entries", "frame=pts_time,height")
		var keys []string
		for _, frame := range frames {
			at, of, _ := strings.Cut(frame, ",")
			if of, _, _ = strings.Cut(of, ","); of != height {
				t.Errorf("%sp is %s high", height, of)
			}
			keys = append(keys, at)
		}
		if aligned == nil {
			aligned = keys
		}
		if diff := gocmp.Diff(aligned, keys); diff != "" || len(keys) < 5 {
			t.Errorf("the %d key frames of %sp are not those of the others:\n%s", len(keys), height, diff)
		}
	}
	t.Logf("%d renditions with %d key frames at the same times", len(rungs), len(aligned))
}

func probe(t *testing.T, file string, arguments ...string) []string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "ffprobe", append(append([]string{"-v", "error", "-select_streams", "v:0"}, arguments...), "-of", "csv=p=0", file)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(output))
}
