package worker

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// faulty is a store with faults.
type faulty struct {
	store.Store

	putStream func(ctx context.Context, key string, content io.Reader) (store.Object, error)
	open      func(ctx context.Context, key string) (io.ReadCloser, error)
	stat      func(ctx context.Context, key string) (store.Object, error)
	list      func(ctx context.Context, folder string) ([]store.Object, error)
}

func (f *faulty) PutStream(ctx context.Context, key string, content io.Reader) (store.Object, error) {
	if f.putStream != nil {
		return f.putStream(ctx, key, content)
	}
	return f.Store.PutStream(ctx, key, content)
}

func (f *faulty) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if f.open != nil {
		return f.open(ctx, key)
	}
	return f.Store.Open(ctx, key)
}

func (f *faulty) Stat(ctx context.Context, key string) (store.Object, error) {
	if f.stat != nil {
		return f.stat(ctx, key)
	}
	return f.Store.Stat(ctx, key)
}

func (f *faulty) List(ctx context.Context, folder string) ([]store.Object, error) {
	if f.list != nil {
		return f.list(ctx, folder)
	}
	return f.Store.List(ctx, folder)
}

func (f *faulty) Sweep(ctx context.Context, folder string, unchanged time.Duration) error {
	sweeper, is := f.Store.(store.Sweeper)
	if !is {
		return nil
	}
	return sweeper.Sweep(ctx, folder, unchanged)
}

// media is a transport stream of so many seconds with a timestamp offset, encoded once.
var encodedMedia sync.Map

func media(t *testing.T, arguments ...string) []byte {
	t.Helper()
	key := ""
	for _, a := range arguments {
		key += a + "\x00"
	}
	once, _ := encodedMedia.LoadOrStore(key, sync.OnceValues(func() ([]byte, error) {
		return exec.Command("ffmpeg", append(append([]string{"-v", "error"}, arguments...), "-f", "mpegts", "-")...).Output()
	}))
	content, err := once.(func() ([]byte, error))()
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// shown is picture and sound of the given length and size.
func shown(seconds int, size string) []string {
	return []string{
		"-f", "lavfi", "-i", "testsrc2=rate=25:size=" + size, "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", strconv.Itoa(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac",
	}
}

// desk is a worker with a volume and a spool of its own, whose parts the test makes.
func desk(t *testing.T, volume string, job int) *Worker {
	t.Helper()
	into, err := store.NewDir(volume, "pvc://claim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = into.Close() })
	spool, err := OpenSpool(t.TempDir(), job, spoolLimit)
	if err != nil {
		t.Fatal(err)
	}
	system := clock.RealClock{}
	return &Worker{
		Config: configOf("host", "HLS", job), Store: into, Spool: spool, HTTP: &http.Client{}, Health: NewHealth(system.Now),
		Log: slog.New(slog.DiscardHandler), Clock: system, Patience: 10 * time.Second,
	}
}

var began = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)

// record adds a part with a run of its own to the spool.
func (w *Worker) record(t *testing.T, second int, content []byte) recording.Part {
	t.Helper()
	file := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := scanFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Spool.Add(recording.Part{Run: second + 1, Start: began.Add(time.Duration(second) * time.Second), Duration: info.Duration()}, file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// upload stores what is in the spool.
func (w *Worker) upload(t *testing.T) {
	t.Helper()
	if err := (&uploader{Worker: w, folder: w.folder()}).all(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *Worker) end(t *testing.T, over bool) recording.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), w.Patience)
	defer cancel()
	return w.finish(ctx, &uploader{Worker: w, folder: w.folder()}, over)
}

// has says how many frames are in the recording and in the parts beside it.
func (w *Worker) has(t *testing.T, volume string) (recorded, inParts int) {
	t.Helper()
	folder := filepath.Join(volume, filepath.FromSlash(w.folder()))
	if file := filepath.Join(folder, "recording.mp4"); exists(file) {
		played := testmedia.Play(t, file)
		if played.Problems != "" {
			t.Errorf("it plays with problems: %s", played.Problems)
		}
		recorded = played.Frames
	}
	files, _ := filepath.Glob(filepath.Join(folder, "parts", "0*.ts"))
	for _, f := range files {
		inParts += testmedia.Play(t, f).Frames
	}
	return recorded, inParts
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
