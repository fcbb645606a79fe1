package store

import (
	"bytes"
	"testing"

	"github.com/minio/minio-go/v7"
)

func TestPlayersGetTheTypeOfWhatIsStoredAndCachesKeepNothingThatChanges(t *testing.T) {
	t.Parallel()
	o := server(t).options()
	o.PartBytes = smallPart
	s := open(t, o)
	for key, want := range map[string]struct{ kind, cache string }{
		"live/show/ladder/720p/recording.m3u8": {"application/vnd.apple.mpegurl", "no-cache"},
		"live/show/parts/0001-0000001.ts":      {"video/mp2t", ""},
		"live/show/recording.mp4":              {"video/mp4", ""},
		"live/show/recording.mkv":              {"video/x-matroska", ""},
		"live/show/recording.flv":              {"video/x-flv", ""},
		"live/show/manifest.json":              {"application/json", "no-cache"},
		"write-check-ABC":                      {"application/octet-stream", ""},
	} {
		for _, size := range []int{10, smallPart + 1} {
			content := random(size)
			for doing, put := range map[string]func() (Object, error){
				"put":    func() (Object, error) { return s.Put(t.Context(), key, file(t, content)) },
				"stream": func() (Object, error) { return s.PutStream(t.Context(), key, bytes.NewReader(content)) },
			} {
				if _, err := put(); err != nil {
					t.Fatal(err)
				}
				info, err := s.client.StatObject(t.Context(), s.bucket, key, minio.StatObjectOptions{})
				if got := info.Metadata.Get("Cache-Control"); err != nil || info.ContentType != want.kind || got != want.cache {
					t.Errorf("%s of %d bytes to %s: %q, %q, %v; want %q, %q", doing, size, key, info.ContentType, got, err, want.kind, want.cache)
				}
			}
		}
	}
}
