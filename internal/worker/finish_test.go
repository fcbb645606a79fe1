package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/mpegts"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

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
	if result := late.end(t, true); !result.Ready || !strings.Contains(result.Message, "came after it was made") {
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
		"the store ends a part early and says nothing": func(_ *testing.T, w *Worker, once *sync.Once) {
			inner := w.Store
			w.Store = &faulty{Store: inner, open: func(ctx context.Context, key string) (io.ReadCloser, error) {
				in, err := inner.Open(ctx, key)
				if err == nil && strings.HasSuffix(key, ".ts") {
					once.Do(func() { in = io.NopCloser(io.LimitReader(in, 100)) })
				}
				return in, err
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
			first.upload(t)
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

func TestPartsThatOneFileCannotHoldStayAndArePlayedFromAPlaylist(t *testing.T) {
	t.Parallel()
	picture := func(seconds string, codec ...string) []string {
		return append([]string{"-f", "lavfi", "-i", "testsrc2=rate=25:size=320x180", "-t", seconds, "-pix_fmt", "yuv420p", "-g", "25", "-preset", "ultrafast"}, codec...)
	}
	h264, hevc := []string{"-c:v", "libx264"}, []string{"-c:v", "libx265", "-x265-params", "log-level=error"}
	sound := func(seconds, rate string) []string {
		return []string{"-f", "lavfi", "-i", "sine=sample_rate=" + rate, "-t", seconds, "-c:a", "aac"}
	}
	both := shown(4, "320x180")
	// elsewhere is what another packager makes of it.
	elsewhere := append(shown(4, "320x180"), "-mpegts_start_pid", "512")
	for name, row := range map[string]struct {
		parts    [][]string
		playlist bool
	}{
		"sound first, then a picture too": {[][]string{sound("4", "48000"), both}, true},
		"a picture first, then sound too": {[][]string{picture("4", h264...), both}, true},
		"a second of sound first":         {[][]string{sound("1", "48000"), both}, true},
		"a second of picture first":       {[][]string{picture("1", h264...), both}, true},
		"sound alone after both":          {[][]string{both, sound("4", "48000")}, true},
		"other PIDs":                      {[][]string{both, elsewhere}, true},
		"other PIDs from the first on":    {[][]string{elsewhere, elsewhere}, false},
		"another codec":                   {[][]string{picture("4", h264...), picture("4", hevc...)}, true},
		"another sample rate":             {[][]string{sound("4", "48000"), sound("4", "44100")}, true},
		"another size":                    {[][]string{both, shown(4, "640x360")}, true},
		"another size of H.265":           {[][]string{picture("1", hevc...), append(picture("1", hevc...), "-s", "160x90")}, true},
		"another encoder":                 {[][]string{both, append(shown(4, "320x180"), "-profile:v", "high", "-preset", "veryfast")}, true},
		"the same encoder again":          {[][]string{both, shown(1, "320x180"), both}, false},
		"the sound ends":                  {[][]string{both, picture("4", h264...)}, false},
		"sound alone":                     {[][]string{sound("4", "48000"), sound("4", "48000")}, false},
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

func TestWhatTheFirstPartDoesNotTellOfItsStreamsALaterOneDoes(t *testing.T) {
	t.Parallel()
	var sofar streams
	for i, row := range []struct {
		codec uint32
		mixed bool
	}{{0, false}, {0x0f, false}, {0x4c800f, false}, {0, false}, {0x0f, false}, {0x50800f, true}, {0x03, true}} {
		err := sofar.take(recording.Part{Number: i + 1}, mpegts.Info{AudioPID: 257, AudioCodec: row.codec})
		if errors.Is(err, errMixed) != row.mixed {
			t.Errorf("part %d: error = %v, want mixed %v", i+1, err, row.mixed)
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
	before.upload(t)
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
