package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/livestream-operator/livestream-operator/internal/hls"
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

func TestPartsThatComeAfterTheRecordingWasMadeAreNotDropped(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	first, late := desk(t, volume, 1), desk(t, volume, 2)
	one := media(t, shown(1, "320x180")...)
	for second := range 3 {
		first.record(t, second, one)
	}
	if result := first.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	late.record(t, 3, one)
	if result := late.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	if recorded, inParts := late.has(t, volume); recorded+inParts != 100 {
		t.Errorf("%d frames are in the recording and %d in parts, want all 100", recorded, inParts)
	}
}

func TestMorePartsThanTheRecordingHasDoNotReplaceIt(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	first, late := desk(t, volume, 1), desk(t, volume, 2)
	one := media(t, shown(1, "320x180")...)
	first.record(t, 0, one)
	if result := first.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	late.record(t, 1, one)
	late.record(t, 2, one)
	late.end(t, true)
	if recorded, inParts := late.has(t, volume); recorded+inParts != 75 {
		t.Errorf("%d frames are in the recording and %d in parts, want all 75", recorded, inParts)
	}
}

func TestARecordingIsNotMadeAnewOfWhatIsLeftWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	first, next := desk(t, volume, 1), desk(t, volume, 2)
	one := media(t, shown(1, "320x180")...)
	var last recording.Part
	for second := range 3 {
		last = first.record(t, second, one)
	}
	if result := first.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	// As if it had been killed before the last part was dropped.
	key := next.folder() + recording.PartsFolder + last.Name()
	if err := os.WriteFile(filepath.Join(volume, filepath.FromSlash(key)), one, 0o600); err != nil {
		t.Fatal(err)
	}
	times := 0
	inner := next.Store
	next.Store = &faulty{Store: inner, stat: func(ctx context.Context, key string) (store.Object, error) {
		if times++; times == 1 {
			return store.Object{}, errors.New("the store is away")
		}
		return inner.Stat(ctx, key)
	}}
	if result := next.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	if recorded, _ := next.has(t, volume); recorded != 75 {
		t.Errorf("%d frames are in the recording, want all 75", recorded)
	}
}

// What fails once while the recording is made, and does not when it is made again.
func TestWhatFailsOnceWhileJoiningIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(t *testing.T, w *Worker, once *sync.Once){
		"the store takes the first bytes and no more": func(_ *testing.T, w *Worker, once *sync.Once) {
			inner := w.Store
			w.Store = &faulty{Store: inner, putStream: func(ctx context.Context, key string, content io.Reader) (o store.Object, err error) {
				once.Do(func() {
					_, _ = io.ReadFull(content, make([]byte, 1000))
					err = errors.New("the store is away")
				})
				if err != nil {
					return o, err
				}
				return inner.PutStream(ctx, key, content)
			}}
		},
		"the store gives half a part": func(_ *testing.T, w *Worker, once *sync.Once) {
			inner := w.Store
			opened := 0
			w.Store = &faulty{Store: inner, open: func(ctx context.Context, key string) (io.ReadCloser, error) {
				in, err := inner.Open(ctx, key)
				if opened++; err != nil || opened < 4 {
					return in, err
				}
				once.Do(func() {
					in = io.NopCloser(io.MultiReader(io.LimitReader(in, 20000), broken{errors.New("the connection is reset")}))
				})
				return in, nil
			}}
		},
		"the store gives no part": func(_ *testing.T, w *Worker, once *sync.Once) {
			inner := w.Store
			opened := 0
			w.Store = &faulty{Store: inner, open: func(ctx context.Context, key string) (in io.ReadCloser, err error) {
				if opened++; opened >= 4 {
					once.Do(func() { err = errors.New("the store is away") })
				}
				if err != nil {
					return nil, err
				}
				return inner.Open(ctx, key)
			}}
		},
		"ffmpeg is killed": func(t *testing.T, w *Worker, _ *sync.Once) {
			t.Helper()
			dir := t.TempDir()
			w.FFmpeg = filepath.Join(dir, "ffmpeg")
			script := "#!/bin/sh\nif mkdir " + dir + "/once 2>/dev/null; then kill -9 $$; fi\nexec ffmpeg \"$@\"\n"
			if err := os.WriteFile(w.FFmpeg, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			first := desk(t, volume, 1)
			for second := range 3 {
				first.record(t, second, media(t, shown(1, "320x180")...))
			}
			if err := (&uploader{Worker: first, folder: first.folder()}).all(t.Context()); err != nil {
				t.Fatal(err)
			}
			w := desk(t, volume, 2)
			fault(t, w, &sync.Once{})
			if result := w.end(t, true); !result.Ready {
				t.Fatalf("result = %+v", result)
			}
			if recorded, _ := w.has(t, volume); recorded != 75 {
				t.Errorf("%d frames are in the recording, want all 75", recorded)
			}
		})
	}
}

// broken is what reads when a connection is.
type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

func TestAStoreThatIsSlowAtTheEndGetsAllOfTheRecording(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 1)
	w.record(t, 0, media(t, shown(1, "64x36")...))
	inner := w.Store
	w.Store = &faulty{Store: inner, putStream: func(ctx context.Context, key string, content io.Reader) (store.Object, error) {
		// As a bucket does while it takes one part of a large object.
		head := make([]byte, 1000)
		n, err := io.ReadFull(content, head)
		if err != nil {
			return inner.PutStream(ctx, key, bytes.NewReader(head[:n]))
		}
		wait(ctx, 2*time.Second)
		return inner.PutStream(ctx, key, io.MultiReader(bytes.NewReader(head), content))
	}}
	if result := w.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
}

// playlist serves one, whose text is what the function says, and the same media as each of its segments.
func playlist(t *testing.T, content []byte, text func() string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".ts") {
			_, _ = out.Write(content)
			return
		}
		_, _ = out.Write([]byte(text()))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/show.m3u8"
}

const oneSegment = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1.000,\na.ts\n"

func TestAnAnswerThatIsNoPlaylistEndsNoRecording(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"a page of the network's gateway": "<html>try again later</html>",
		"nothing":                         "",
		"half a playlist":                 oneSegment[:12],
		"another kind of playlist":        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\na.m4s\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := desk(t, t.TempDir(), 1)
			var asked atomic.Int32
			address := playlist(t, media(t, shown(1, "64x36")...), func() string {
				if asked.Add(1) == 1 {
					return answer
				}
				return oneSegment
			})
			w.Address = func() (string, error) { return address, nil }
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- (&playlistSource{Worker: w}).run(ctx) }()
			testmedia.Eventually(t, "the segment is recorded", func() bool { parts, _ := w.Spool.Parts(); return len(parts) == 1 })
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPlaylistThatCannotBeRecordedIsNotReady(t *testing.T) {
	t.Parallel()
	w := desk(t, t.TempDir(), 1)
	address := playlist(t, nil, func() string { return "<html>" })
	w.Address = func() (string, error) { return address, nil }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&playlistSource{Worker: w}).run(ctx) }()
	testmedia.Eventually(t, "it says so", func() bool { return strings.Contains(w.Health.notReady(), "cannot be recorded") })
	cancel()
	if err := <-ended; !errors.Is(err, hls.ErrFormat) {
		t.Errorf("it ended with %v", err)
	}
}

// The Pod of the Job before may still be ending when the next one has finished the recording.
func TestARecorderThatIsLateDoesNotReplaceTheWholeRecording(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]bool{"evicted in the middle of the show": false, "told that the show is over": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			one := media(t, shown(1, "320x180")...)
			old, next := desk(t, volume, 1), desk(t, volume, 2)
			old.record(t, 0, one)
			inner := old.Store
			finish := sync.OnceFunc(func() {
				next.record(t, 1, one)
				if result := next.end(t, true); !result.Ready {
					t.Errorf("result = %+v", result)
				}
			})
			old.Store = &faulty{Store: inner, putStream: func(ctx context.Context, key string, content io.Reader) (store.Object, error) {
				if strings.HasSuffix(key, "recording.mp4") {
					finish()
				}
				return inner.PutStream(ctx, key, content)
			}}
			old.end(t, over)
			finish()
			if recorded, _ := next.has(t, volume); recorded != 50 {
				t.Errorf("%d frames are in the recording, want all 50", recorded)
			}
		})
	}
}

// fill makes the spool refuse parts, as a full disk does, until it is called.
func fill(t *testing.T, s *Spool) (release func()) {
	t.Helper()
	obstacle := filepath.Join(s.dir, numberFile+".new")
	if err := os.MkdirAll(filepath.Join(obstacle, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.RemoveAll(obstacle) }
}

func TestWhatCouldNotBeTakenIntoTheSpoolIsTakenAtTheEnd(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 1)
	one := media(t, shown(1, "320x180")...)
	w.record(t, 0, one)
	run, err := w.Spool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := os.WriteFile(filepath.Join(run.dir, strconv.Itoa(i)+".ts"), one, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	release := fill(t, w.Spool)
	if err := run.closeAll(); err == nil {
		t.Fatal("the disk is not full")
	}
	release()
	if result := w.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	if recorded, _ := w.has(t, volume); recorded != 75 {
		t.Errorf("%d frames are in the recording, want all 75", recorded)
	}
}

func TestWhatCannotBeTakenIntoTheSpoolIsNotDropped(t *testing.T) {
	t.Parallel()
	w := desk(t, t.TempDir(), 1)
	one := media(t, shown(1, "320x180")...)
	w.record(t, 0, one)
	run, err := w.Spool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(run.dir, "0000000.ts")
	if err := os.WriteFile(file, one, 0o600); err != nil {
		t.Fatal(err)
	}
	defer fill(t, w.Spool)()
	w.end(t, true)
	if !exists(file) {
		t.Error("it is in no recording, and dropped")
	}
	if _, err := OpenSpool(w.Spool.dir, 1, spoolLimit); err != nil {
		t.Errorf("a recorder cannot begin with what is full: %v", err)
	}
}

func TestPartsThatOneFileCannotHoldStayAndArePlayedFromAPlaylist(t *testing.T) {
	t.Parallel()
	picture := []string{"-f", "lavfi", "-i", "testsrc2=rate=25:size=320x180", "-t", "4", "-pix_fmt", "yuv420p", "-g", "25", "-c:v", "libx264", "-preset", "ultrafast"}
	hevc := append(slices.Clone(picture[:len(picture)-4]), "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error")
	sound := func(rate string) []string {
		return []string{"-f", "lavfi", "-i", "sine=sample_rate=" + rate, "-t", "4", "-c:a", "aac"}
	}
	both := shown(4, "320x180")
	for name, row := range map[string]struct {
		parts    [][]string
		playlist bool
	}{
		"sound first, then a picture too": {[][]string{sound("48000"), both}, true},
		"a picture first, then sound too": {[][]string{picture, both}, true},
		"another codec":                   {[][]string{picture, hevc}, true},
		"another sample rate":             {[][]string{sound("48000"), sound("44100")}, true},
		"another size":                    {[][]string{both, shown(4, "640x360")}, false},
		"the sound ends":                  {[][]string{both, picture}, false},
		"sound alone":                     {[][]string{sound("48000"), sound("48000")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			w := desk(t, volume, 1)
			for i, arguments := range row.parts {
				w.record(t, 4*i, media(t, arguments...))
			}
			for _, when := range []string{"at first", "again"} {
				result := w.end(t, true)
				if !result.Ready || strings.HasSuffix(result.URI, "/recording.m3u8") != row.playlist {
					t.Fatalf("%s: result = %+v", when, result)
				}
				parts, err := w.stored(t.Context())
				if err != nil || len(parts) > 0 != row.playlist {
					t.Errorf("%s: %d parts are left, %v", when, len(parts), err)
				}
				// As a worker that was killed before it could say so.
				if w.Spool, err = OpenSpool(t.TempDir(), 1, spoolLimit); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// kubectl deletes a Job before its Pod, and the operator makes the same Job again: its new Pod has an empty spool.
func TestAJobThatIsMadeAgainGoesOnBehindWhatItStored(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	one := media(t, shown(1, "64x36")...)
	before := desk(t, volume, 1)
	for second := range 3 {
		before.record(t, second, one)
	}
	if err := (&uploader{Worker: before, folder: before.folder()}).all(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := desk(t, volume, 1)
	w.goOn(t.Context())
	for second := 3; second < 6; second++ {
		w.record(t, second, one)
	}
	// The Pod before stores its last part when this one records already.
	before.record(t, 2, one)
	if err := (&uploader{Worker: before, folder: before.folder()}).all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := (&uploader{Worker: w, folder: w.folder()}).all(t.Context()); err != nil {
		t.Fatal(err)
	}
	parts, err := w.stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parts = recording.Sort(parts)
	if len(parts) != 7 || !slices.IsSortedFunc(parts, func(a, b recording.Part) int { return a.Start.Compare(b.Start) }) {
		t.Errorf("the parts are not in their order: %+v", parts)
	}
	run, err := w.Spool.Begin()
	if err != nil || run.run <= 3 {
		t.Errorf("run %+v, %v: the number is used already", run, err)
	}
}

// small is a file system of its own.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	return dir
}

func TestASpoolWithoutRoomForgetsWhatIsStored(t *testing.T) {
	t.Parallel()
	w := desk(t, t.TempDir(), 1)
	one := media(t, shown(2, "640x360")...)
	dir := small(t, strconv.Itoa(10*len(one)))
	var err error
	if w.Spool, err = OpenSpool(dir, 1, spoolLimit); err != nil {
		t.Fatal(err)
	}
	u := &uploader{Worker: w, folder: w.folder()}
	for second := range 30 {
		w.Spool.MakeRoom()
		file := filepath.Join(dir, "segment.new")
		if err := writeSynced(file, one); err != nil {
			t.Fatalf("part %d: %v", second, err)
		}
		if _, err := w.Spool.Add(recording.Part{Run: 1, Start: began, Duration: time.Second}, file); err != nil {
			t.Fatalf("part %d: %v", second, err)
		}
		if err := u.all(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := w.Spool.Parts()
	if err != nil || len(parts) == 0 || len(parts) > 10 {
		t.Errorf("%d parts are kept, %v", len(parts), err)
	}
}

func TestOnlyAClockThatGoesFarBackIsAnotherPush(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		// ffmpeg 5.1; the clock is that of the transport stream.
		"[segment @ 0x1] [warning] Non-monotonous DTS in output stream 0:1; previous: 100292, current: 100260; changing to 100293. This may":   false,
		"[segment @ 0x1] [warning] Non-monotonous DTS in output stream 0:1; previous: 9000000, current: 126000; changing to 9000001. This may": true,
		"[segment @ 0x1] [warning] Non-monotonous DTS in output stream 0:0; previous: 1000000, current: -7200; changing to 1000001.":           true,
		// From 6.1 on.
		"[vost#0:0/copy @ 0x1] [warning] Non-monotonic DTS; previous: 9000000, current: 126000; changing to 9000001.":                   true,
		"[vost#0:0/copy @ 0x1] [warning] Non-monotonic DTS; previous: 9000, current: 9000; changing to 9001.":                           false,
		"[mpegts @ 0x1] [error] Application provided invalid, non monotonically increasing dts to muxer in stream 1: 9000000 >= 126000": true,
		"[mpegts @ 0x1] [error] Application provided invalid, non monotonically increasing dts to muxer in stream 1: 126000 >= 126000":  false,
		"[flv @ 0x1] [warning] Packet mismatch 5 16 27":                                                                                 false,
	} {
		if got := jumped(line); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

// A show of many hours takes longer to store than a store that is away is waited for.
func TestARecordingThatTakesLongIsNotGivenUp(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 1)
	w.Config.Finish, w.Patience = true, 500*time.Millisecond
	w.record(t, 0, media(t, shown(1, "320x180")...))
	inner := w.Store
	w.Store = &faulty{Store: inner, putStream: func(ctx context.Context, key string, content io.Reader) (store.Object, error) {
		wait(ctx, 2*w.Patience)
		return inner.PutStream(ctx, key, content)
	}}
	if result := w.Run(t.Context()); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
}

func TestAPartIsReadOnceFromTheStore(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	before := desk(t, volume, 1)
	for second := range 4 {
		before.record(t, second, media(t, shown(1, "64x36")...))
	}
	if err := (&uploader{Worker: before, folder: before.folder()}).all(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := desk(t, volume, 2)
	var opened atomic.Int32
	inner := w.Store
	w.Store = &faulty{Store: inner, open: func(ctx context.Context, key string) (io.ReadCloser, error) {
		if strings.HasSuffix(key, ".ts") {
			opened.Add(1)
		}
		return inner.Open(ctx, key)
	}}
	if result := w.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	// The first one tells what kind of sound there is.
	if opened.Load() != 5 {
		t.Errorf("%d parts were opened, want each once and the first twice", opened.Load())
	}
}

// together is a store that deletes nothing until it is asked twice at the same time.
type together struct {
	store.Store
	met chan struct{}
}

func (s *together) Delete(ctx context.Context, key string) error {
	select {
	case s.met <- struct{}{}:
	case <-s.met:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.Store.Delete(ctx, key)
}

func TestPartsAreDroppedTogether(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 1)
	for second := range 8 {
		w.record(t, second, media(t, shown(1, "64x36")...))
	}
	w.Store, w.Patience = &together{w.Store, make(chan struct{})}, 3*time.Second
	if result := w.end(t, true); !result.Ready {
		t.Fatalf("result = %+v", result)
	}
	if parts, err := w.stored(t.Context()); err != nil || len(parts) > 0 {
		t.Errorf("%d parts are left, %v", len(parts), err)
	}
}
