package worker

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// mounted is the file system of an image, which a loop device holds.
func mounted(t *testing.T, image string) string {
	t.Helper()
	dir := t.TempDir()
	if said, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %v, %s", err, said)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	return dir
}

// What a disk holds at a moment is what a node finds on it that loses its power then.
func TestAPartThatWasTakenIsWholeAfterTheNodeLostItsPower(t *testing.T) {
	t.Parallel()
	disk, left := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "left")
	if err := os.WriteFile(disk, make([]byte, 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-F", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot make a file system: %v, %s", err, said)
	}
	spool, err := OpenSpool(mounted(t, disk), 1, spoolLimit)
	if err != nil {
		t.Fatal(err)
	}
	run, err := spool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	one := media(t, shown(1, "64x36")...)
	if err := os.WriteFile(filepath.Join(run.dir, "0000000.ts"), one, 0o600); err != nil {
		t.Fatal(err)
	}
	part, is, err := run.close("0000000.ts")
	if err != nil || !is {
		t.Fatalf("it is a part: %t, %v", is, err)
	}
	held, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, held, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(mounted(t, left), readyDir, part.Name())
	if content, err := os.ReadFile(file); err != nil || !bytes.Equal(content, one) {
		t.Errorf("%d bytes of %d are left, %v", len(content), len(one), err)
	}
}

func TestAPartThatLostItsContentInTheSpoolIsReadFromTheStore(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 1)
	var parts []recording.Part
	for second := range 3 {
		parts = append(parts, w.record(t, second, media(t, shown(1, "320x180")...)))
	}
	if err := (&uploader{Worker: w, folder: w.folder()}).all(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, left := range []int64{0, 100_000} {
		if err := os.Truncate(filepath.Join(w.Spool.dir, storedDir, parts[i].Name()), left); err != nil {
			t.Fatal(err)
		}
	}
	if result := w.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	if recorded, _ := w.has(t, volume); recorded != 75 {
		t.Errorf("%d frames are in the recording, want all 75", recorded)
	}
}

func TestAPartWithoutMediaIsNotDroppedForARecordingThatLacksIt(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]int{"the first one": 0, "another one": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			w := desk(t, volume, 1)
			var parts []recording.Part
			for second := range 3 {
				parts = append(parts, w.record(t, second, media(t, shown(1, "64x36")...)))
			}
			if err := (&uploader{Worker: w, folder: w.folder()}).all(t.Context()); err != nil {
				t.Fatal(err)
			}
			key := filepath.Join(volume, filepath.FromSlash(w.folder()+recording.PartsFolder), parts[lost].Name())
			if err := os.WriteFile(key, []byte("lost"), 0o600); err != nil {
				t.Fatal(err)
			}
			if result := w.end(t, true); result.Ready || !strings.Contains(result.Message, parts[lost].Name()) {
				t.Errorf("result = %+v", result)
			}
			if stored, err := w.stored(t.Context()); err != nil || len(stored) != len(parts) {
				t.Errorf("%d parts are stored, want all %d, %v", len(stored), len(parts), err)
			}
		})
	}
}
