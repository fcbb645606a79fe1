package worker

import (
	"os"
	"path/filepath"
	"testing"
)

// ffmpeg holds a fragment in memory until it ends, and a Pod has little of it.
func TestAFileIsWrittenInShortFragmentsAlsoWhereNoKeyFrameEndsThem(t *testing.T) {
	t.Parallel()
	sound := []string{"-f", "lavfi", "-t", "65", "-i", "sine=sample_rate=48000"}
	picture := func(seconds string) []string {
		return []string{"-f", "lavfi", "-t", seconds, "-i", "testsrc2=rate=5:size=64x36", "-c:v", "libx264", "-preset", "ultrafast", "-g", "1000", "-pix_fmt", "yuv420p"}
	}
	for name, arguments := range map[string][]string{
		"sound alone":                                 append(sound, "-c:a", "aac"),
		"a picture with one key frame":                picture("65"),
		"a picture that ends and sound that does not": append(append(sound, picture("2")...), "-c:a", "aac"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			w := desk(t, volume, 1)
			w.record(t, 0, media(t, arguments...))
			if result := w.end(t, true); !result.Ready {
				t.Fatalf("result = %+v", result)
			}
			content, err := os.ReadFile(filepath.Join(volume, filepath.FromSlash(w.folder()), "recording.mp4"))
			if err != nil {
				t.Fatal(err)
			}
			fragments := 0
			for len(content) >= 8 {
				if string(content[4:8]) == "moof" {
					fragments++
				}
				content = content[min(len(content), max(8, int(content[0])<<24|int(content[1])<<16|int(content[2])<<8|int(content[3]))):]
			}
			if fragments < 4 {
				t.Errorf("65 s are in %d fragments, want one every 20 s", fragments)
			}
		})
	}
}
