package hls

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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

func TestALongPlaylistIsLoadedOnce(t *testing.T) {
	t.Parallel()
	l := &live{}
	var loaded atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".ts") {
			loaded.Add(1)
		}
		l.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p := &Puller{Client: server.Client(), Address: func() (string, error) { return server.URL + "/live/show.m3u8", nil }}
	const segments = remembered + 500
	for i := range segments {
		l.segments = append(l.segments, fmt.Sprint(i))
	}
	for range 3 {
		if _, err := poll(t, p); err != nil {
			t.Fatal(err)
		}
	}
	if loaded.Load() != segments {
		t.Errorf("%d segments were loaded, want %d", loaded.Load(), segments)
	}
}

func TestAPlaylistOfManyMegabytesIsRead(t *testing.T) {
	t.Parallel()
	l := &live{}
	for i := range 40000 {
		l.segments = append(l.segments, fmt.Sprintf("%s-%d", strings.Repeat("x", 120), i))
	}
	l.segments = append(l.segments, "|", "a")
	wants(t, "at first", serve(t, l), "a")
}

func TestASegmentThatNeverLoadsDoesNotHoldUpWhatFollows(t *testing.T) {
	t.Parallel()
	// A playlist that keeps all: the segment does not go away.
	l := &live{segments: []string{"a", "lost", "c"}, missing: map[string]int{"lost.ts": 1 << 30}}
	p := serve(t, l)
	var got []string
	for i := range 20 {
		more, err := poll(t, p)
		if got = append(got, more...); err == nil && i > 10 {
			break
		}
	}
	if strings.Join(got, " ") != "a c" {
		t.Errorf("got %q, want a and then, after a gap, c", got)
	}
	l.segments = append(l.segments, "d")
	wants(t, "and on", p, "+d")
}

func TestNoSegmentIsGivenUpWhileNoneLoads(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"a"}, missing: map[string]int{"b.ts": 30, "c.ts": 30}}
	p := serve(t, l)
	wants(t, "at first", p, "a")
	l.segments = []string{"a", "b", "c"}
	for range 20 {
		if got, err := poll(t, p); len(got) > 0 || err == nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	l.missing = nil
	wants(t, "when they load again", p, "+b", "+c")
}
