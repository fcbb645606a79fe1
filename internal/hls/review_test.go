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
