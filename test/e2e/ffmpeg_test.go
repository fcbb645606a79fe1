//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/camera"
)

func TestAKilledFFmpegCostsAtMostASecondOfTheRecording(t *testing.T) {
	// Over RTMP nothing of the past is sent: what is lost is the time that ffmpeg is gone, and that until the next key frame. It
	// measures, and so it runs alone.
	theStage.needs(t, killFFmpeg, "lost_seconds_kill_ffmpeg")
	i, err := theStage.open(t.Context(), "pulled", "RTMP")
	if err != nil {
		t.Fatal(err)
	}
	s := newShowOf(t, "pulled", i, "kill-ffmpeg", ", cleanStopWindowSeconds: 5")
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		s.film(camera.Camera{KeyFrames: 6}, "live", 30*time.Second)
	}()
	accepted := s.accepted()
	s.someParts()
	if err := s.site.kill(t.Context(), s.stage, s.recorderPod(), killFFmpeg); err != nil {
		t.Fatal(err)
	}
	<-pushed
	r := s.recorded(2 * time.Minute)
	if len(r.frames) == 0 {
		t.Fatal("nothing is recorded")
	}
	// What was published before the Pod ran is the start's, not the kill's.
	lost := r.lost - r.frames[0].Time(accepted).Sub(accepted).Seconds()
	figure("lost_seconds_kill_ffmpeg", lost)
	if lost > 1 {
		t.Errorf("%.2f s are lost, want 1 at most", lost)
	}
}
