package worker

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// An ingest may list a picture in its segments that never comes, and the other way round.
func TestAShowWithoutPictureOrSoundIsRecorded(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HLS", "RTMP"} {
		for name, sound := range map[string]bool{"sound alone": true, "a picture alone": false} {
			for _, format := range []recording.Format{recording.FMP4, recording.MKV} {
				t.Run(protocol+", "+name+" to "+string(format), func(t *testing.T) {
					t.Parallel()
					ingest, dir := testmedia.Start(t), t.TempDir()
					r := start(t, dir, ingest.Host(protocol), protocol, format, 1)
					ingest.PushOnly(t.Context(), t, "show", 6*time.Second, sound)
					result := r.stop()
					if !result.Ready {
						t.Fatalf("result = %+v", result)
					}
					file := filepath.Join(dir, "volume", strings.TrimPrefix(result.URI, "pvc://claim/"))
					output, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-show_entries", "stream=codec_type:format=duration", "-of", "csv=p=0", file).Output()
					want := map[bool]string{true: "audio", false: "video"}[sound]
					got := strings.Fields(string(output))
					if err != nil || len(got) != 2 || got[0] != want || strings.HasPrefix(got[1], "0.") || result.DurationMilliseconds < 3000 {
						t.Errorf("it holds %q, want %s: %v; result = %+v", got, want, err, result)
					}
				})
			}
		}
	}
}
