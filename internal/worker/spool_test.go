package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/mpegts"
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
	w.upload(t)
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

// cut leaves a file of so many seconds in a run, as ffmpeg cuts it; the first one of a run begins its clock.
func cut(t *testing.T, run *openRun, place, from, seconds int) {
	t.Helper()
	var moved bytes.Buffer
	if err := mpegts.Move(&moved, bytes.NewReader(media(t, shown(seconds, "64x36")...)), mpegts.Ticks(from)*90000); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run.dir, fmt.Sprintf("%07d.ts", place)), moved.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCouldNotBeTakenIntoTheSpoolIsTakenAtTheEndWhereItBelongs(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(w *Worker) error{
		"by the same process": func(*Worker) error { return nil },
		"by the one that comes after a kill": func(w *Worker) (err error) {
			w.Spool, err = OpenSpool(w.Spool.dir, 1, spoolLimit)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			w := desk(t, volume, 1)
			begin := func() *openRun {
				run, err := w.Spool.Begin()
				if err != nil {
					t.Fatal(err)
				}
				return run
			}
			take := func(run *openRun, place int, taken bool) {
				if _, is, err := run.close(fmt.Sprintf("%07d.ts", place)); is != taken {
					t.Fatalf("file %d of run %d is taken: %t, %v", place, run.run, is, err)
				}
			}
			first := begin()
			cut(t, first, 0, 0, 1)
			cut(t, first, 1, 1, 2)
			cut(t, first, 2, 3, 3)
			cut(t, first, 3, 6, 4)
			take(first, 0, true)
			release := fill(t, w.Spool)
			take(first, 1, false)
			take(first, 3, false)
			release()
			take(first, 2, true)
			// A disk that is full for as long as the connect lasts.
			release = fill(t, w.Spool)
			if err := first.closeAll(); err == nil {
				t.Fatal("the disk is not full")
			}
			if err := again(w); err != nil {
				t.Fatal(err)
			}
			release()
			for i := range 2 {
				later := begin()
				cut(t, later, 0, 0, 5+i)
				take(later, 0, true)
				if err := later.closeAll(); err != nil {
					t.Fatal(err)
				}
			}
			if result := w.end(t, true); !result.Ready {
				t.Fatalf("result = %+v", result)
			}
			if recorded, _ := w.has(t, volume); recorded != 21*25 {
				t.Errorf("%d frames are in the recording, want all %d", recorded, 21*25)
			}
			text, err := w.read(t.Context(), w.folder()+recording.ManifestName)
			var m recording.Manifest
			if err = errors.Join(err, json.Unmarshal(text, &m)); err != nil {
				t.Fatal(err)
			}
			var seconds []float64
			runs := map[int]bool{}
			for _, p := range m.Parts {
				seconds = append(seconds, p.Seconds)
				part, _ := recording.ParsePart(p.Name)
				runs[part.Run] = true
			}
			if diff := gocmp.Diff([]float64{1, 2, 3, 4, 5, 6}, seconds); diff != "" || len(runs) != 3 {
				t.Errorf("the parts are out of order (-want +got), or of %d runs instead of 3:\n%s", len(runs), diff)
			}
		})
	}
}

func TestMoreIsLeftFreeOfADiskThanAKubeletAsksFor(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ free, size, want int64 }{
		{15 << 30, 100 << 30, 0},
		{10 << 30, 100 << 30, 5 << 30},
		{0, 100 << 30, 15 << 30},
		{100 << 30, 100 << 30, 0},
		{10_000, 100_000, 5_000},
		{0, 0, 0},
	} {
		// Of a disk's blocks less than a percent is left out.
		if got := lacking(row.free, row.size); got > row.want || got < row.want-100 {
			t.Errorf("of %d bytes %d are free: %d have to be freed, want %d", row.size, row.free, got, row.want)
		}
	}
}

func TestASpoolKeepsTheNewestOfWhatIsStoredWithinItsLimit(t *testing.T) {
	t.Parallel()
	w := desk(t, t.TempDir(), 1)
	one := media(t, shown(1, "64x36")...)
	w.Spool.limit = int64(len(one)) * 5 / 2
	var want []recording.Part
	for second := range 5 {
		want = append(want, w.record(t, second, one))
	}
	w.upload(t)
	kept, err := w.Spool.Parts()
	var names []string
	for _, p := range kept {
		names = append(names, p.Name())
	}
	if diff := gocmp.Diff([]string{want[3].Name(), want[4].Name()}, names); diff != "" || err != nil {
		t.Errorf("kept (-want +got): %v\n%s", err, diff)
	}
}
