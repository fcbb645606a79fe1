package worker

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

// A worker that is killed while it writes to a volume cannot drop what it wrote.
func TestACompleteRecordingHasNothingHalfWrittenBesideIt(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 2)
	one := media(t, shown(1, "64x36")...)
	for _, when := range []string{"when it is made", "when it was made"} {
		// As far as the others can tell these were killed.
		var release []func()
		var written sync.WaitGroup
		for _, key := range []string{w.folder() + "recording.mp4", w.folder() + recording.PartsFolder + recording.Part{Job: 1, Number: 1}.Name()} {
			content, in := io.Pipe()
			written.Go(func() {
				if _, err := desk(t, volume, 1).Store.PutStream(t.Context(), key, content); err == nil {
					t.Errorf("%s: %s was written, without what was dropped of it", when, key)
				}
			})
			if _, err := in.Write(one); err != nil {
				t.Fatal(err)
			}
			release = append(release, func() { _ = in.Close() })
		}
		w.record(t, 0, one)
		if result := w.end(t, true); !result.Ready {
			t.Fatalf("%s: result = %+v", when, result)
		}
		var left []string
		err := filepath.WalkDir(volume, func(name string, _ os.DirEntry, err error) error {
			if strings.HasPrefix(filepath.Base(name), ".partial-") {
				left = append(left, name)
			}
			return err
		})
		if err != nil || len(left) > 0 {
			t.Errorf("%s: %q are left, %v", when, left, err)
		}
		for _, let := range release {
			let()
		}
		written.Wait()
		if w.Spool, err = OpenSpool(t.TempDir(), 2, spoolLimit); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatWasLeftHalfWrittenLongAgoTakesNoRoomFromTheRecording(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 1)
	w.record(t, 0, media(t, shown(1, "64x36")...))
	folder := filepath.Join(volume, filepath.FromSlash(w.folder()))
	old, late := filepath.Join(folder, ".partial-old"), filepath.Join(folder, ".partial-late")
	ago := time.Now().Add(-2 * leftBehind)
	if err := errors.Join(os.MkdirAll(folder, 0o750), os.WriteFile(old, nil, 0o600), os.WriteFile(late, nil, 0o600), os.Chtimes(old, ago, ago)); err != nil {
		t.Fatal(err)
	}
	inner := w.Store
	w.Store = &faulty{Store: inner, putStream: func(ctx context.Context, key string, content io.Reader) (store.Object, error) {
		if strings.HasSuffix(key, "recording.mp4") && (exists(old) || !exists(late)) {
			t.Errorf("old is there: %v, what may be written: %v", exists(old), exists(late))
		}
		return inner.PutStream(ctx, key, content)
	}}
	if result := w.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
}

func TestARecordingIsMadeInTheSpoolWhereTheBroadcastIsOverAndGoesWhenTheStoreHasIt(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 1)
	for second := range 2 {
		w.record(t, second, media(t, shown(1, "64x36")...))
	}
	// A file where the folder has to be.
	away, made := filepath.Join(volume, "live"), filepath.Join(w.Spool.dir, "recording.mp4")
	if err := os.WriteFile(away, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.Patience = 100 * time.Millisecond
	for _, row := range []struct {
		over bool
		uri  string
	}{{false, "file://" + w.Spool.dir}, {true, "file://" + made}} {
		result := w.end(t, row.over)
		if result.Ready || result.Parts != 2 || result.URI != row.uri || exists(made) != row.over {
			t.Errorf("over %v: result = %+v; a recording is in the spool: %v", row.over, result, exists(made))
		}
	}
	if err := os.Remove(away); err != nil {
		t.Fatal(err)
	}
	w.Patience = 10 * time.Second
	if result := w.end(t, true); !result.Ready || exists(made) {
		t.Errorf("result = %+v; a recording is in the spool: %v", result, exists(made))
	}
}

// A spool keeps little of what is stored: what is joined of it may be the end alone.
func TestWhatIsKeptInTheSpoolSaysWhereTheRestIs(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		stored, kept int
		says         string
	}{
		"nothing was stored":  {0, 2, ""},
		"the begin is stored": {2, 1, "; what was stored before 2026-01-02T20:00:02Z is in pvc://claim/live/show/20260102T200000Z-b1/parts/ alone"},
		"all is stored":       {2, 0, "; all that was stored is in pvc://claim/live/show/20260102T200000Z-b1/parts/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			w := desk(t, volume, 1)
			w.Spool.limit, w.Patience, w.extra = 0, 100*time.Millisecond, time.Second
			for second := range row.stored + row.kept {
				if second == row.stored {
					w.upload(t)
				}
				w.record(t, second, media(t, shown(1, "64x36")...))
			}
			if row.kept == 0 {
				w.upload(t)
			}
			away := errors.New("the store is away")
			w.Store = &faulty{Store: w.Store, list: func(context.Context, string) ([]store.Object, error) { return nil, away }}
			if row.kept > 0 {
				live := filepath.Join(volume, "live")
				// A file where the folder has to be.
				if err := errors.Join(os.RemoveAll(live), os.WriteFile(live, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			result := w.end(t, true)
			if result.Ready || result.Parts != row.kept {
				t.Errorf("result = %+v", result)
			}
			if row.says == "" && strings.Contains(result.Message, "stored before") || !strings.HasSuffix(result.Message, row.says) {
				t.Errorf("message = %q, want it to end with %q", result.Message, row.says)
			}
		})
	}
}
