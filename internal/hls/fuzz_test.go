package hls

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// answers serve one playlist, and a segment for all else, without a network.
type answers struct {
	playlist string
	asked    []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r.URL.String())
	text := a.playlist
	if len(a.asked) > 2 {
		text = "segment"
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// FuzzPlaylist: whatever a server answers, a look at it ends, without a panic, and what is found is found once.
func FuzzPlaylist(f *testing.F) {
	const head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:5\n"
	for _, text := range []string{
		head + "#EXTINF:2.000,\na.ts?sign=1\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\nb.ts\n",
		head + "#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\na.m4s\n",
		head + "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\na.ts\n",
		"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=18446744073709551615\nfile:///etc/passwd\n",
		"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXT-X-TARGETDURATION:18446744073709551615\n#EXTINF:1e308,\n\x00\n#EXTINF:-1,\n//\n",
		"<html>", "", "#EXTM3U",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := &answers{playlist: text}
		p := &Puller{Client: &http.Client{Transport: a}, Address: func() (string, error) { return "https://play.example.com/live/show.m3u8", nil }}
		seen := map[uint64]bool{}
		for range 2 {
			err := p.Poll(t.Context(), func(found Found) error {
				if seen[found.Segment.Sequence] {
					t.Errorf("segment %d is found twice", found.Segment.Sequence)
				}
				seen[found.Segment.Sequence] = true
				return nil
			})
			if err != nil && strings.Contains(err.Error(), "play.example.com") {
				t.Errorf("an error tells the address, which may be signed: %v", err)
			}
			if wait := p.Interval(); wait < soonest || wait > latest {
				t.Errorf("it looks again in %s", wait)
			}
			a.asked = nil
		}
	})
}
