package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

func TestAPartThatHoldsNoMediaAnyMoreStaysAndTheOthersAreOneFile(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		dead   []int
		frames int
	}{"the first one": {[]int{0}, 50}, "another one": {[]int{1}, 50}, "two": {[]int{0, 2}, 25}, "all": {[]int{0, 1, 2}, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			before, w := desk(t, volume, 1), desk(t, volume, 2)
			var files []string
			for second := range 3 {
				p := before.record(t, second, media(t, shown(1, "64x36")...))
				files = append(files, filepath.Join(volume, filepath.FromSlash(w.folder()), "parts", p.Name()))
			}
			before.upload(t)
			for _, at := range row.dead {
				if err := os.WriteFile(files[at], make([]byte, 20000), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			result := w.end(t, true)
			said := fmt.Sprintf("hold no media any more: %d, which stay in parts/", len(row.dead))
			if result.Nothing || result.Ready != (row.frames > 0) || !strings.Contains(result.Message, said) {
				t.Errorf("result = %+v", result)
			}
			recorded := 0
			if row.frames > 0 {
				made := testmedia.Play(t, filepath.Join(volume, filepath.FromSlash(w.folder()), "recording.mp4"))
				if recorded = made.Frames; made.Problems != "" {
					t.Errorf("it plays with problems: %s", made.Problems)
				}
			}
			if recorded != row.frames {
				t.Errorf("%d frames are in the recording, want %d", recorded, row.frames)
			}
			for at, f := range files {
				if exists(f) != slices.Contains(row.dead, at) {
					t.Errorf("part %d is there: %v", at, exists(f))
				}
			}
		})
	}
}

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
