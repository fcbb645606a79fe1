package worker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

// ladderFiles are what a node that crashed may leave of the file in the spool.
var ladderFiles = map[string]string{"empty": "", "half": `[{"name":"14`, "without renditions": "[]"}

// finisher finishes a ladder whose file in its spool holds the text.
func finisher(t *testing.T, volume, text string) *Worker {
	t.Helper()
	w := desk(t, volume, 1)
	w.Config.Format, w.Config.Finish = recording.HLS, true
	w.Config.Transcoding = &recording.Transcoding{Renditions: []ladder.Rendition{rendition("144p", 144)}}
	if err := os.WriteFile(filepath.Join(w.Spool.dir, recording.LadderName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestALadderThatCannotBeReadInTheSpoolIsFinishedAsTheStoreHasIt(t *testing.T) {
	t.Parallel()
	for name, text := range ladderFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			before := desk(t, volume, 1)
			before.subfolder = recording.LadderFolder + "144p/"
			before.record(t, 0, media(t, shown(1, "64x36")...))
			before.upload(t)
			w := finisher(t, volume, text)
			chosen, err := json.Marshal(w.Config.Transcoding.Renditions)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Store.PutStream(t.Context(), w.folder()+recording.LadderFolder+recording.LadderName, strings.NewReader(string(chosen))); err != nil {
				t.Fatal(err)
			}
			if result := w.Run(t.Context()); !result.Ready || result.Parts != 1 {
				t.Errorf("result = %+v", result)
			}
			if kept, err := os.ReadFile(filepath.Join(w.Spool.dir, recording.LadderName)); err != nil || string(kept) != string(chosen) {
				t.Errorf("the spool has %q, %v", kept, err)
			}
		})
	}
}

func TestALadderThatCannotBeReadAnywhereIsNoBroadcastWithoutMedia(t *testing.T) {
	t.Parallel()
	for name, text := range ladderFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := finisher(t, t.TempDir(), text)
			if result := w.Run(t.Context()); result.Ready || result.Nothing || !strings.Contains(result.Message, "reading the ladder of the broadcast") {
				t.Errorf("result = %+v", result)
			}
		})
	}
}

func TestALadderIsGivenUpWhereTheStoreStaysAwayAsARecordingIs(t *testing.T) {
	t.Parallel()
	w := finisher(t, t.TempDir(), "")
	w.Patience = 300 * time.Millisecond
	w.Store = &faulty{Store: w.Store, open: func(context.Context, string) (io.ReadCloser, error) { return nil, errors.New("the store is away") }}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	result := w.Run(ctx)
	if ctx.Err() != nil {
		t.Fatal("it never gave up")
	}
	if result.Ready || result.Nothing || !strings.Contains(result.Message, "looking for the ladder of the broadcast") {
		t.Errorf("result = %+v", result)
	}
}

func TestALadderThatCannotBeReadAnywhereIsChosenAnewWhileTheStreamIsOnAir(t *testing.T) {
	t.Parallel()
	w := finisher(t, t.TempDir(), "")
	w.Config.Finish = false
	result := transcode(t, w, "FLV", show(t, audioTag, 0), func() bool { return w.Health.Progress().MediaSeconds > 0 })
	if !result.Ready {
		t.Errorf("result = %+v", result)
	}
}

// A Job that was deleted is made again under its name, with an empty spool.
func TestATranscoderThatIsMadeAgainNumbersItsPartsBehindThoseThatAreStored(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	before := desk(t, volume, 1)
	before.subfolder = recording.LadderFolder + "144p/"
	before.record(t, 0, media(t, shown(1, "64x36")...))
	before.upload(t)
	w := desk(t, volume, 1)
	w.Config.Format, w.Config.Transcoding = recording.HLS, &recording.Transcoding{Renditions: []ladder.Rendition{rendition("144p", 144)}}
	made := newTranscoder(w)
	ctx, end := context.WithCancel(t.Context())
	made.storing = ctx
	inner := w.Store
	w.Store = &faulty{Store: inner, list: func(ctx context.Context, folder string) ([]store.Object, error) {
		if made.chosen() != nil {
			t.Error("a run can begin before it is known what is stored")
		}
		return inner.List(ctx, folder)
	}}
	if err := made.choose(ctx, w.Config.Transcoding.Renditions); err != nil {
		t.Fatal(err)
	}
	run, err := made.chosen()[0].Spool.Begin()
	end()
	made.uploads.Wait()
	if err != nil || run.run <= 1+yetToCome {
		t.Errorf("the first run = %+v, %v", run, err)
	}
}

func TestATranscoderStoresWhatIsInItsSpoolAlsoWhereNothingCanBeWrittenThere(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"the spool", "the store"} {
		t.Run("the ladder is in "+from, func(t *testing.T) {
			t.Parallel()
			const text = `[{"name":"144p","width":64,"height":36}]`
			w := finisher(t, t.TempDir(), text)
			file := filepath.Join(w.Spool.dir, recording.LadderName)
			if from == "the store" {
				if _, err := w.Store.PutStream(t.Context(), w.folder()+recording.LadderFolder+recording.LadderName, strings.NewReader(text)); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			before := desk(t, t.TempDir(), 1)
			var err error
			if before.Spool, err = OpenSpool(filepath.Join(w.Spool.dir, "144p"), 1, spoolLimit); err != nil {
				t.Fatal(err)
			}
			before.record(t, 0, media(t, shown(1, "64x36")...))
			// As on a disk that is full.
			if err := os.MkdirAll(filepath.Join(file+".new", "in the way"), 0o700); err != nil {
				t.Fatal(err)
			}
			if result := w.Run(t.Context()); !result.Ready || result.Parts != 1 {
				t.Errorf("result = %+v", result)
			}
		})
	}
}
