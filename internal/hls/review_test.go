package hls

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSegmentsAreRelativeToWhereThePlaylistWasFound(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"a"}}
	mux := http.NewServeMux()
	mux.Handle("/live/", l)
	mux.Handle("/elsewhere/", http.RedirectHandler("/live/show.m3u8", http.StatusFound))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p := &Puller{Client: server.Client(), Address: func() (string, error) { return server.URL + "/elsewhere/of/show.m3u8", nil }}
	wants(t, "after a redirect", p, "a")
}

func TestAPlaylistThatBeginsAnewIsTakenWholeThoughItsFirstSegmentFailsOnce(t *testing.T) {
	t.Parallel()
	l := &live{sequence: 90, segments: []string{"a"}, missing: map[string]int{}}
	p := serve(t, l)
	wants(t, "at first", p, "a")
	l.sequence, l.segments, l.missing["b.ts"] = 0, []string{"b", "|", "c"}, 1
	if _, err := poll(t, p); err == nil {
		t.Fatal("the segment has loaded")
	}
	wants(t, "when the numbers start again", p, "b", "c")
}
