package worker

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/hls"
	"github.com/livestream-operator/livestream-operator/internal/mpegts"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

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
		t.Error(err)
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

// The timestamps of a transport stream begin again after 26.5 hours.
func TestAConnectThatIsLongHasNoGapWhereItsClockWraps(t *testing.T) {
	t.Parallel()
	w := desk(t, t.TempDir(), 1)
	one := media(t, shown(1, "64x36")...)
	info, err := mpegts.Scan(bytes.NewReader(one))
	if err != nil {
		t.Fatal(err)
	}
	run, err := w.Spool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var parts []recording.Part
	for second := range mpegts.Ticks(5) {
		var moved bytes.Buffer
		if err := mpegts.Move(&moved, bytes.NewReader(one), 1<<33-info.First+(second-2)*90000); err != nil {
			t.Fatal(err)
		}
		name := strconv.Itoa(int(second)) + ".ts"
		if err := os.WriteFile(filepath.Join(run.dir, name), moved.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		p, _, err := run.close(name)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	for i, p := range parts {
		if after := p.Start.Sub(parts[0].Start); after != time.Duration(i)*time.Second {
			t.Errorf("part %d starts %s after the first one", i+1, after)
		}
	}
	again := recording.Part{Job: 1, Number: 6, Run: 6, Start: parts[0].Start.Add(10 * time.Second), Duration: time.Second}
	want := []recording.Gap{{At: 5 * time.Second, Length: 5 * time.Second}}
	if diff := gocmp.Diff(want, recording.Gaps(append(parts, again))); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
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
	before.upload(t)
	w := desk(t, volume, 1)
	w.goOn(t.Context())
	for second := 3; second < 6; second++ {
		w.record(t, second, one)
	}
	// The Pod before stores its last part when this one records already.
	before.record(t, 2, one)
	before.upload(t)
	w.upload(t)
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
		if err := os.WriteFile(file, one, 0o600); err != nil {
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

// A worker that was killed after a segment was stored, and before that was noted, stores it once more.
func TestASegmentThatIsStoredAgainIsOnceInTheLivePlaylist(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	w := desk(t, volume, 1)
	p := w.record(t, 0, media(t, shown(1, "64x36")...))
	if _, err := w.Store.Put(t.Context(), w.folder()+recording.PartsFolder+p.Name(), w.Spool.File(p)); err != nil {
		t.Fatal(err)
	}
	r := &rung{Worker: w}
	r.uploader = &uploader{Worker: w, folder: w.folder(), stored: r.publishLive}
	r.goOn(t.Context())
	if err := r.uploader.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := w.read(t.Context(), w.folder()+recording.FileName(recording.HLS))
	if err != nil || strings.Count(string(text), p.Name()) != 1 {
		t.Errorf("%v:\n%s", err, text)
	}
}
