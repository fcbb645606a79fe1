package worker

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/store"
)

// Nobody tries again when the worker has ended: a playlist is better than parts that nothing tells the order of.
func TestWhatNoFileComesOfIsPlayedFromAPlaylist(t *testing.T) {
	t.Parallel()
	away := errors.New("the store is away")
	for name, row := range map[string]struct {
		// file and playlist are what becomes of them, by how often they were stored before.
		file, playlist func(ctx context.Context, times int32) error
		ffmpeg         string
		patience       time.Duration
		// files is how often it is tried; 0 where that depends on the time.
		files int32
	}{
		"the store takes nothing that large": {
			file: func(context.Context, int32) error { return store.ErrTooLarge }, patience: 10 * time.Second, files: 1,
		},
		"the store is away when it gets the playlist": {
			file:     func(context.Context, int32) error { return store.ErrTooLarge },
			playlist: func(_ context.Context, times int32) error { return map[int32]error{0: away}[times] },
			patience: 10 * time.Second, files: 1,
		},
		"ffmpeg cannot join them": {ffmpeg: "exit 1", patience: 10 * time.Second, files: 1},
		"it fails each time":      {file: func(context.Context, int32) error { return away }, patience: time.Second},
		"it fails until the time is over, and the playlist once then": {
			file:     func(context.Context, int32) error { return away },
			playlist: func(_ context.Context, times int32) error { return map[int32]error{0: away}[times] },
			patience: time.Second,
		},
		"it takes too long": {
			file: func(ctx context.Context, _ int32) error { <-ctx.Done(); return ctx.Err() }, patience: 100 * time.Millisecond, files: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := desk(t, t.TempDir(), 1)
			w.Patience, w.extra = row.patience, 10*time.Second
			for second := range 3 {
				w.record(t, second, media(t, shown(1, "64x36")...))
			}
			if row.ffmpeg != "" {
				w.FFmpeg = filepath.Join(t.TempDir(), "ffmpeg")
				if err := os.WriteFile(w.FFmpeg, []byte("#!/bin/sh\n"+row.ffmpeg+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var files, playlists atomic.Int32
			inner := w.Store
			w.Store = &faulty{Store: inner, putStream: func(ctx context.Context, key string, content io.Reader) (store.Object, error) {
				var err error
				switch {
				case strings.HasSuffix(key, "/recording.mp4"):
					if times := files.Add(1); row.file != nil {
						err = row.file(ctx, times-1)
					}
				case strings.HasSuffix(key, "/recording.m3u8"):
					if times := playlists.Add(1); row.playlist != nil {
						err = row.playlist(ctx, times-1)
					}
				}
				if err != nil {
					return store.Object{}, err
				}
				return inner.PutStream(ctx, key, content)
			}}
			result := w.end(t, true)
			if !result.Ready || !strings.HasSuffix(result.URI, "/recording.m3u8") || !strings.Contains(result.Message, "no file could be made") {
				t.Errorf("result = %+v", result)
			}
			if row.files > 0 && files.Load() != row.files {
				t.Errorf("a file was begun %d times, want %d", files.Load(), row.files)
			}
			text, err := w.read(t.Context(), w.folder()+"recording.m3u8")
			if err != nil || strings.Count(string(text), ".ts\n") != 3 {
				t.Errorf("the playlist is %q, %v", text, err)
			}
			if parts, err := w.stored(t.Context()); err != nil || len(parts) != 3 {
				t.Errorf("%d parts are left, %v", len(parts), err)
			}
		})
	}
}
