package worker

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

func rendition(name string, height int) ladder.Rendition {
	return ladder.Rendition{Name: name, Height: height, VideoKbps: 300, AudioKbps: 64, Codec: ladder.H264}
}

// ladderOf is the configuration of a transcoder with segments of two seconds.
func ladderOf(i *testmedia.Ingest, protocol string, job int, renditions ...ladder.Rendition) recording.Config {
	c := configOf(i.Host(protocol), protocol, job)
	c.Format, c.SegmentSeconds, c.Transcoding = recording.HLS, 2, &recording.Transcoding{Renditions: renditions}
	return c
}

// ladderFolder is where the ladder of the broadcast is.
func ladderFolder(dir string) string {
	return filepath.Join(dir, "volume", "live", "show", "20260102T200000Z-b1", "ladder")
}

// keyTimes are the times of the key frames in milliseconds, of the last connect that the playlist has.
func keyTimes(t *testing.T, playlist string) []string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-select_streams", "v:0", "-skip_frame", "nokey", "-show_entries", "frame=pts_time", "-of", "csv=p=0", playlist).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(strings.ReplaceAll(string(output), ",", ""))
}

func heightOf(t *testing.T, from string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=height", "-of", "csv=p=0", from).Output()
	if err != nil {
		return err.Error()
	}
	return strings.Fields(string(output) + " none")[0]
}

func TestALadderHasTheRenditionsThatTheSourceCanFillWithAlignedKeyFrames(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HLS", "RTMP"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			ingest, dir := testmedia.Start(t), t.TempDir()
			r := startWith(t, dir, ladderOf(ingest, protocol, 1, rendition("720p", 720), rendition("360p", 360), rendition("180p", 180)), nil)
			pushed := make(chan struct{})
			go func() {
				defer close(pushed)
				ingest.PushSize(t.Context(), t, "show", 14*time.Second, "640x360")
			}()
			folder := ladderFolder(dir)
			master := filepath.Join(folder, recording.MasterName)
			testmedia.Eventually(t, "the ladder can be played while the stream is on air", func() bool {
				live, err := os.ReadFile(filepath.Join(folder, "180p", "recording.m3u8"))
				_, announced := os.Stat(master)
				return err == nil && announced == nil && strings.Count(string(live), "#EXTINF") >= 2 && !strings.Contains(string(live), "#EXT-X-ENDLIST")
			})
			<-pushed
			result := r.stop()
			if !result.Ready || result.URI != "pvc://claim/live/show/20260102T200000Z-b1/ladder/master.m3u8" || result.DurationMilliseconds < 9000 || result.SizeBytes == 0 {
				t.Fatalf("result = %+v", result)
			}
			text, err := os.ReadFile(master)
			if err != nil {
				t.Fatal(err)
			}
			if want := ladder.Master([]ladder.Rendition{{Name: "360p", Width: 640, Height: 360, VideoKbps: 300, AudioKbps: 64}, {Name: "180p", Width: 320, Height: 180, VideoKbps: 300, AudioKbps: 64}}); string(text) != want {
				t.Error(gocmp.Diff(want, string(text)))
			}
			var keys [][]string
			for _, height := range []string{"360", "180"} {
				playlist := filepath.Join(folder, height+"p", "recording.m3u8")
				played := testmedia.Play(t, playlist)
				if played.Problems != "" || played.Seconds < 9 {
					t.Errorf("%sp plays for %.1f s: %s", height, played.Seconds, played.Problems)
				}
				if got := heightOf(t, playlist); got != height {
					t.Errorf("%sp is %s high", height, got)
				}
				keys = append(keys, keyTimes(t, playlist))
			}
			if diff := gocmp.Diff(keys[0], keys[1]); diff != "" || len(keys[0]) < 4 {
				t.Errorf("key frames (-360p +180p):\n%s\n%v", diff, keys)
			}
		})
	}
}

func TestNothingIsUpscaled(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HLS", "RTMP"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			ingest, dir := testmedia.Start(t), t.TempDir()
			r := startWith(t, dir, ladderOf(ingest, protocol, 1, rendition("1080p", 1080), rendition("720p", 720)), nil)
			ingest.Push(t.Context(), t, "show", 10*time.Second)
			if result := r.stop(); !result.Ready {
				t.Fatalf("result = %+v", result)
			}
			if got := heightOf(t, filepath.Join(ladderFolder(dir), "720p", "recording.m3u8")); got != "180" {
				t.Errorf("a source of 180 lines became %s", got)
			}
			if _, err := os.Stat(filepath.Join(ladderFolder(dir), "1080p")); err == nil {
				t.Error("there is a rendition of 1080 lines")
			}
		})
	}
}

func TestALadderGoesOnWhateverIsKilled(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HLS", "RTMP"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			ingest, dir := testmedia.Start(t), t.TempDir()
			renditions := []ladder.Rendition{rendition("720p", 720), rendition("180p", 180), rendition("144p", 144)}
			first := startWith(t, dir, ladderOf(ingest, protocol, 1, renditions...), nil)
			pushing, end := context.WithCancel(t.Context())
			pushed := make(chan struct{})
			go func() {
				defer close(pushed)
				ingest.Push(pushing, t, "show", time.Minute)
			}()
			segments := func(job string) int {
				files, _ := filepath.Glob(filepath.Join(ladderFolder(dir), "144p", "parts", job+"-*.ts"))
				return len(files)
			}
			testmedia.Eventually(t, "three segments are stored", func() bool { return segments("0001") >= 3 })
			for _, name := range []string{"ffmpeg", "worker"} {
				before := segments("0001")
				for _, pid := range children(first.command.Process.Pid) {
					if is, _ := os.ReadFile("/proc/" + itoa(pid) + "/comm"); strings.TrimSpace(string(is)) == name {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
				}
				testmedia.Eventually(t, "it goes on without "+name, func() bool { return segments("0001") >= before+2 })
			}
			// The whole Pod, with its spool.
			_ = first.command.Process.Kill()
			if err := <-first.done; err == nil {
				t.Error("the first Job ended well, though it was killed")
			}
			second := startWith(t, dir, ladderOf(ingest, protocol, 2, renditions...), nil)
			testmedia.Eventually(t, "the next Job stores segments", func() bool { return segments("0002") >= 2 })
			live, err := os.ReadFile(filepath.Join(ladderFolder(dir), "144p", "recording.m3u8"))
			if err != nil || strings.Count(string(live), "/0001-") < 3 || !strings.Contains(string(live), "#EXT-X-DISCONTINUITY\n") {
				t.Errorf("the live playlist forgot what was before: %v\n%s", err, live)
			}
			result := second.stop()
			end()
			<-pushed
			if !result.Ready {
				t.Fatalf("result = %+v", result)
			}
			for _, name := range []string{"180p", "144p"} {
				if played := testmedia.Play(t, filepath.Join(ladderFolder(dir), name, "recording.m3u8")); played.Problems != "" || played.Seconds < 10 {
					t.Errorf("%s plays for %.1f s: %s", name, played.Seconds, played.Problems)
				}
			}
		})
	}
}

func TestRenditionsArePushedOn(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HLS", "RTMP"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			ingest, dir := testmedia.Start(t), t.TempDir()
			c := ladderOf(ingest, protocol, 1, rendition("180p", 180), rendition("144p", 144))
			c.Storage, c.Transcoding.Push = recording.Storage{}, &recording.Push{Scheme: "rtmp", Domain: ingest.Host("RTMP"), App: "live", ValiditySeconds: 60}
			r := startWith(t, dir, c, nil)
			pushing, end := context.WithCancel(t.Context())
			pushed := make(chan struct{})
			go func() {
				defer close(pushed)
				ingest.Push(pushing, t, "show", time.Minute)
			}()
			for _, height := range []string{"180", "144"} {
				testmedia.Eventually(t, "the rendition of "+height+" lines is pushed", func() bool {
					playlist := "http://" + ingest.Host("HLS") + "/live/show_" + height + "p.m3u8"
					return heightOf(t, playlist) == height
				})
			}
			result := r.stop()
			end()
			<-pushed
			if !result.Ready || result.URI != "" {
				t.Errorf("result = %+v", result)
			}
			files, _ := filepath.Glob(filepath.Join(dir, "volume", "*"))
			if len(files) != 0 {
				t.Errorf("something was stored: %v", slices.Sorted(slices.Values(files)))
			}
		})
	}
}

// What comes after a pause must not be the end of the playlist again, nor must the encoder keep what it was given.
func TestALadderHasEachFrameOnceWhateverPausesThereAre(t *testing.T) {
	t.Parallel()
	for protocol, most := range map[string]float64{"HLS": 1.2, "RTMP": 8} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			ingest, dir := testmedia.Start(t), t.TempDir()
			slow := rendition("144p", 144)
			slow.FrameRate = 1
			r := startWith(t, dir, ladderOf(ingest, protocol, 1, rendition("180p", 180), slow), nil)
			ingest.Push(t.Context(), t, "show", 8*time.Second)
			// Longer than the encoder is kept waiting. Over RTMP what comes before each connect is gone.
			<-time.After(idleAfter + 3*time.Second)
			ingest.Push(t.Context(), t, "show", 8*time.Second)
			if result := r.stop(); !result.Ready {
				t.Fatalf("result = %+v", result)
			}
			played := testmedia.Play(t, filepath.Join(ladderFolder(dir), "180p", "recording.m3u8"))
			if lost := 16 - float64(played.Frames)/testmedia.FramesPerSecond; lost < 0 || lost > most {
				t.Errorf("%.2f s of 16 are lost: %d frames", lost, played.Frames)
			}
			if played := testmedia.Play(t, filepath.Join(ladderFolder(dir), "144p", "recording.m3u8")); float64(played.Frames) < 16-most-2 {
				t.Errorf("at one frame a second there are %d frames of 16 s", played.Frames)
			}
		})
	}
}

// A playlist has nothing new for as long as a segment is: each would be a run of its own.
func TestAnEncoderWaitsLongerForLongerSegments(t *testing.T) {
	t.Parallel()
	now := testclock.NewFakePassiveClock(began)
	w := desk(t, t.TempDir(), 1)
	w.Clock, w.FFmpeg = now, filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(w.FFmpeg, []byte("#!/bin/sh\nexec cat\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.Config.Transcoding = &recording.Transcoding{}
	w.PushAddress = func(string) (string, error) { return "rtmp://push.example.com/live/show", nil }
	s := &ladderPlaylist{transcoder: newTranscoder(w)}
	if err := s.choose(t.Context(), []ladder.Rendition{rendition("a", 144)}); err != nil {
		t.Fatal(err)
	}
	for target, waits := range map[time.Duration]time.Duration{0: idleAfter, 2 * time.Second: idleAfter, 12 * time.Second: 24 * time.Second} {
		if err := s.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.fed = now.Now()
		now.SetTime(s.fed.Add(waits - time.Second))
		if s.tend(target); s.now == nil {
			t.Errorf("segments of %s: it was ended before %s", target, waits)
		}
		now.SetTime(s.fed.Add(waits))
		if s.tend(target); s.now != nil {
			t.Errorf("segments of %s: it was not ended after %s", target, waits)
		}
	}
}

// The node of the Job before may have been cut off: its worker goes on, and knows nothing.
func TestALateWorkerDoesNotMakeALadderLiveAgain(t *testing.T) {
	t.Parallel()
	ingest, dir := testmedia.Start(t), t.TempDir()
	cutOff := startWith(t, dir, ladderOf(ingest, "HLS", 1, rendition("180p", 180)), nil)
	pushing, end := context.WithCancel(t.Context())
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		ingest.Push(pushing, t, "show", time.Minute)
	}()
	playlist := filepath.Join(ladderFolder(dir), "180p", "recording.m3u8")
	segments := func() int {
		files, _ := filepath.Glob(filepath.Join(ladderFolder(dir), "180p", "parts", "0001-*.ts"))
		return len(files)
	}
	testmedia.Eventually(t, "two segments are stored", func() bool { return segments() >= 2 })
	next := startWith(t, dir, ladderOf(ingest, "HLS", 2, rendition("180p", 180)), nil)
	if result := next.stop(); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	before := segments()
	testmedia.Eventually(t, "the one that was cut off stores on", func() bool { return segments() >= before+2 })
	if text, err := os.ReadFile(playlist); err != nil || !strings.Contains(string(text), "#EXT-X-ENDLIST") {
		t.Errorf("the playlist is live again: %v\n%s", err, text)
	}
	end()
	<-pushed
	_ = cutOff.stop()
}
