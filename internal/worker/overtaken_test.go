package worker

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

// The Pod of the Job before may still be ending when the next one has made a file.
func TestAPlaylistDoesNotReplaceTheFileOfAnotherWorker(t *testing.T) {
	t.Parallel()
	for name, dropped := range map[string]bool{"that has dropped its parts": true, "that is about to drop its parts": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			one := media(t, shown(1, "320x180")...)
			old, next := desk(t, volume, 1), desk(t, volume, 2)
			old.record(t, 0, one)
			next.record(t, 1, one)
			if !dropped {
				next.Store = keeps{next.Store}
			}
			inner := old.Store
			old.Store = &faulty{Store: inner, putStream: func(ctx context.Context, key string, content io.Reader) (store.Object, error) {
				if strings.HasSuffix(key, "/recording.mp4") {
					return store.Object{}, store.ErrTooLarge
				}
				object, err := inner.PutStream(ctx, key, content)
				if strings.HasSuffix(key, "/recording.m3u8") {
					if result := next.end(t, true); !result.Ready {
						t.Errorf("result = %+v", result)
					}
				}
				return object, err
			}}
			result := old.end(t, true)
			if !result.Ready || !strings.HasSuffix(result.URI, "/recording.mp4") || result.Parts != 2 {
				t.Errorf("result = %+v", result)
			}
			if recorded, inParts := old.has(t, volume); recorded != 50 || inParts != 0 {
				t.Errorf("%d frames are in the recording and %d in parts, want all 50 in the recording", recorded, inParts)
			}
			if exists(filepath.Join(volume, filepath.FromSlash(old.folder()), recording.FileName(recording.HLS))) {
				t.Error("there is a playlist of parts that are gone")
			}
		})
	}
}
