package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// Before a part was flushed a node that lost its power had some that were empty, or full of zeros.
func TestAPartThatLostItsContentDoesNotKeepTheOthersFromBeingOneFile(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		inStore bool
		frames  int
	}{"in the store": {true, 50}, "in the spool alone": {false, 75}} {
		for place, at := range map[string]int{"the first one": 0, "another one": 1} {
			t.Run(place+", "+name, func(t *testing.T) {
				t.Parallel()
				volume := t.TempDir()
				w := desk(t, volume, 1)
				var names []string
				var size int
				for second := range 3 {
					p := w.record(t, second, media(t, shown(1, "64x36")...))
					names, size = append(names, p.Name()), int(p.Size)
				}
				w.upload(t)
				file, content := filepath.Join(w.Spool.dir, storedDir, names[at]), make([]byte, size)
				if row.inStore {
					file, content = filepath.Join(volume, filepath.FromSlash(w.folder()), "parts", names[at]), nil
				}
				if err := os.WriteFile(file, content, 0o600); err != nil {
					t.Fatal(err)
				}
				if result := w.end(t, true); !result.Ready || !strings.HasSuffix(result.URI, "/recording.mp4") {
					t.Errorf("result = %+v", result)
				}
				made := testmedia.Play(t, filepath.Join(volume, filepath.FromSlash(w.folder()), "recording.mp4"))
				if made.Problems != "" || made.Frames != row.frames {
					t.Errorf("%d frames are in the recording, want %d: %s", made.Frames, row.frames, made.Problems)
				}
				if row.inStore && !exists(file) {
					t.Error("the part is gone, and in no recording")
				}
			})
		}
	}
}
