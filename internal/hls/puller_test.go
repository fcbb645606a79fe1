package hls

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// live is a server of one playlist. A segment is named by what it holds; "|" stands for a discontinuity.
type live struct {
	sequence int
	segments []string
	missing  map[string]int
	// holds is what a segment holds other than its name, and lengths are those that are not 2 seconds.
	holds, lengths map[string]string
	// loaded counts the segments that were.
	loaded atomic.Int64
	status int
	// written is when the playlist was; zero where the server does not say.
	written time.Time
}

func (l *live) playlist() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", l.sequence)
	for _, s := range l.segments {
		if s == "|" {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
			continue
		}
		fmt.Fprintf(&b, "#EXTINF:%s,\n%s.ts?sign=%d\n", cmp.Or(l.lengths[s], "2.000"), s, len(l.segments))
	}
	return b.String()
}

func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/live/")
	switch {
	case l.status != 0:
		w.WriteHeader(l.status)
	case name == "show.m3u8":
		if !l.written.IsZero() {
			w.Header().Set("Last-Modified", l.written.UTC().Format(http.TimeFormat))
		}
		_, _ = w.Write([]byte(l.playlist()))
	case l.missing[name] > 0:
		l.missing[name]--
		w.WriteHeader(http.StatusBadGateway)
	default:
		l.loaded.Add(1)
		name = strings.TrimSuffix(name, ".ts")
		if other, is := l.holds[name]; is {
			name = other
		}
		_, _ = w.Write([]byte(name))
	}
}

func serve(t *testing.T, l *live) *Puller {
	t.Helper()
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	return &Puller{Client: server.Client(), Address: func() (string, error) { return server.URL + "/live/show.m3u8", nil }}
}

// poll returns what is new: "+a" for a segment that continues the one before it, "a" for one that does not.
func poll(t *testing.T, p *Puller) ([]string, error) {
	t.Helper()
	var got []string
	err := p.Poll(t.Context(), func(f Found) error {
		name := string(f.Content)
		if f.Continues {
			name = "+" + name
		}
		got = append(got, name)
		return nil
	})
	return got, err
}

func wants(t *testing.T, when string, p *Puller, want ...string) {
	t.Helper()
	got, err := poll(t, p)
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s: %v (-want +got):\n%s", when, err, diff)
	}
}

func TestEachSegmentIsFoundOnce(t *testing.T) {
	t.Parallel()
	l := &live{sequence: 5, segments: []string{"a", "b"}}
	p := serve(t, l)
	wants(t, "at first", p, "a", "+b")
	wants(t, "again", p)
	l.segments = []string{"a", "b", "c"}
	wants(t, "with another", p, "+c")
	l.sequence, l.segments = 7, []string{"c", "d", "|", "e"}
	wants(t, "when it has moved on", p, "+d", "e")
	l.sequence, l.segments = 12, []string{"h", "i"}
	wants(t, "when some were missed", p, "h", "+i")
}

func TestABroadcastBeginsAfterTheLastDiscontinuity(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"yesterday", "|", "noon", "|", "a", "b"}}
	p := serve(t, l)
	wants(t, "at first", p, "a", "+b")
	wants(t, "again", p)
}

func TestWhatAnotherBroadcastLeftIsNotOfThisOne(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := &live{segments: []string{"yesterday", "|", "noon", "noon2"}, written: now.Add(-10 * time.Second)}
	p := serve(t, l)
	p.Began, p.Clock = now.Add(-2*time.Second), testclock.NewFakePassiveClock(now)
	for range 2 {
		if got, err := poll(t, p); len(got) > 0 || !errors.Is(err, ErrNotLive) {
			t.Fatalf("before this one is there: %q, %v", got, err)
		}
	}
	l.segments, l.written = append(l.segments, "|", "a"), now
	wants(t, "when it is", p, "a")
	l.segments = append(l.segments, "b")
	wants(t, "and on", p, "+b")
}

func TestAPlaylistOfThisBroadcastIsTakenWhateverTheTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct{ written, began time.Time }{
		"written since it began":     {now, now.Add(-time.Minute)},
		"written by nobody knows":    {time.Time{}, now},
		"begun nobody knows when":    {now.Add(-time.Hour), time.Time{}},
		"within a clock's precision": {now.Add(-2 * time.Second), now.Add(-2 * time.Second)},
	} {
		l := &live{segments: []string{"a", "b"}, written: c.written}
		p := serve(t, l)
		p.Began, p.Clock = c.began, testclock.NewFakePassiveClock(now)
		wants(t, name, p, "a", "+b")
	}
	// A server that says the same of all that it has: the first look is late, and complete.
	l := &live{segments: []string{"a"}, written: now.Add(-time.Hour)}
	p := serve(t, l)
	p.Began, p.Clock = now, testclock.NewFakePassiveClock(now)
	if got, err := poll(t, p); len(got) > 0 || !errors.Is(err, ErrNotLive) {
		t.Fatalf("at first: %q, %v", got, err)
	}
	l.segments = []string{"a", "b"}
	wants(t, "when it changes", p, "a", "+b")
}

func TestARecorderThatGoesOnTakesAllThatThePlaylistStillHas(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"a", "b"}}
	first := serve(t, l)
	var recorded []recording.Segment
	if err := first.Poll(t.Context(), func(f Found) error { recorded = append(recorded, f.Segment); return nil }); err != nil {
		t.Fatal(err)
	}
	l.segments = []string{"a", "b", "c", "|", "d"}
	second := serve(t, l)
	second.Resume(recorded)
	wants(t, "after the restart", second, "+c", "d")
}

func TestAPlaylistThatBeginsAnewIsFollowed(t *testing.T) {
	t.Parallel()
	l := &live{sequence: 90, segments: []string{"a", "b"}}
	p := serve(t, l)
	wants(t, "at first", p, "a", "+b")
	l.sequence, l.segments = 0, []string{"c"}
	wants(t, "when the numbers start again", p, "c")
	l.segments = []string{"c", "d"}
	wants(t, "and on", p, "+d")
}

// nginx-rtmp forgets a stream that is away for long, and begins with the same numbers and names.
func TestNamesThatAreUsedAgainAreOtherSegments(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"0", "1", "2"}, holds: map[string]string{}}
	p := serve(t, l)
	wants(t, "at first", p, "0", "+1", "+2")
	l.segments, l.holds = []string{"0"}, map[string]string{"0": "again 0", "1": "again 1"}
	wants(t, "when it begins anew", p, "again 0")
	l.segments = []string{"0", "1"}
	wants(t, "and on", p, "+again 1")
}

// A push that was no more than a false start leaves a playlist that is as long as the next one at first.
func TestNamesThatAreUsedAgainAtOnceAreOtherSegmentsWhereTheirLengthsAre(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"0"}, holds: map[string]string{}, lengths: map[string]string{"0": "0.840"}}
	p := serve(t, l)
	wants(t, "at first", p, "0")
	l.holds, l.lengths = map[string]string{"0": "again 0", "1": "again 1"}, nil
	wants(t, "when it begins anew", p, "again 0")
	l.segments = []string{"0", "1"}
	wants(t, "and on", p, "+again 1")
	l.holds, l.lengths = map[string]string{"0": "third 0", "1": "third 1"}, map[string]string{"1": "1.960"}
	wants(t, "when it begins anew with one that is as long as before", p, "third 0", "+third 1")
	wants(t, "again", p)
}

func TestAServerThatTellsTwoLengthsOfOneSegmentIsBelievedNeither(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"0", "1"}}
	p := serve(t, l)
	wants(t, "at first", p, "0", "+1")
	for i := range 10 {
		l.lengths = map[string]string{"0": fmt.Sprintf("2.00%d", i), "1": fmt.Sprintf("2.00%d", i)}
		wants(t, "again", p)
	}
	l.segments = append(l.segments, "2")
	wants(t, "with another", p, "+2")
	if got := l.loaded.Load(); got != 4 {
		t.Errorf("%d segments were loaded, want each once and one more to know it", got)
	}
}

func TestOtherLengthsAloneMakeNothingPartOfABroadcast(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]*live{
		"what another broadcast left":       {segments: []string{"yesterday", "|", "a"}},
		"numbers that never come again":     {sequence: 2, segments: []string{"b", "a"}, holds: map[string]string{}},
		"what could not be loaded for long": {segments: []string{"lost", "a"}, missing: map[string]int{"lost.ts": often + 1}},
	} {
		p := serve(t, l)
		for range often + 2 {
			_, _ = poll(t, p)
		}
		before := l.loaded.Load()
		l.holds, l.lengths = map[string]string{"b": "another packager's"}, map[string]string{"yesterday": "1.960", "b": "1.960", "lost": "1.960"}
		wants(t, name, p)
		if l.loaded.Load() != before {
			t.Errorf("%s: a segment was loaded again", name)
		}
	}
}

func TestASegmentThatCannotBeLoadedIsTriedAgainInItsPlace(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"a", "b", "c"}, missing: map[string]int{"b.ts": 1}}
	p := serve(t, l)
	got, err := poll(t, p)
	if diff := gocmp.Diff([]string{"a"}, got); diff != "" || err == nil || strings.Contains(err.Error(), "sign=") {
		t.Errorf("error %v, %s", err, diff)
	}
	wants(t, "again", p, "+b", "+c")
}

func TestASegmentThatCannotBeKeptIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := serve(t, &live{segments: []string{"a"}})
	full := errors.New("the disk is full")
	if err := p.Poll(t.Context(), func(Found) error { return full }); !errors.Is(err, full) {
		t.Errorf("error = %v", err)
	}
	wants(t, "when there is room", p, "a")
}

func TestThePositionInTimeIsFromThePlaylistsEnd(t *testing.T) {
	t.Parallel()
	p := serve(t, &live{segments: []string{"a", "b", "c"}})
	var got []time.Duration
	if err := p.Poll(t.Context(), func(f Found) error { got = append(got, f.FromEnd); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []time.Duration{4 * time.Second, 2 * time.Second, 0}) {
		t.Errorf("got %v", got)
	}
}

func TestWhatCannotBeRecordedSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		text, want string
		err        error
	}{
		"fragmented MP4": {"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\na.m4s\n", "to FLV or RTMP", ErrFormat},
		"encrypted":      {"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\na.ts\n", "to FLV or RTMP", ErrFormat},
		"no playlist":    {"<html>", "", ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(row.text)) }))
			t.Cleanup(server.Close)
			p := &Puller{Client: server.Client(), Address: func() (string, error) { return server.URL + "/a.m3u8", nil }}
			if _, err := poll(t, p); !errors.Is(err, row.err) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error = %v, want %v with %q", err, row.err, row.want)
			}
		})
	}
	l := &live{status: http.StatusNotFound}
	if _, err := poll(t, serve(t, l)); !errors.Is(err, ErrNotLive) {
		t.Errorf("error = %v, want that nothing is live", err)
	}
}

func TestTheBestRenditionIsTaken(t *testing.T) {
	t.Parallel()
	l := &live{segments: []string{"a"}}
	mux := http.NewServeMux()
	mux.Handle("/live/", l)
	mux.HandleFunc("/master.m3u8", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100\nnone.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=900\nlive/show.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=200\nnone.m3u8\n"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p := &Puller{Client: server.Client(), Address: func() (string, error) { return server.URL + "/master.m3u8", nil }}
	wants(t, "from a list of renditions", p, "a")
}

func TestAPlaylistThatTheLibraryCannotReadEndsNoRecording(t *testing.T) {
	t.Parallel()
	a := &answers{playlist: "#EXT-X-KEY:\n0"}
	p := &Puller{Client: &http.Client{Transport: a}, Address: func() (string, error) { return "https://play.example.com/live/show.m3u8", nil }}
	if err := p.Poll(t.Context(), func(Found) error { return nil }); !errors.Is(err, ErrFormat) {
		t.Errorf("error = %v", err)
	}
}
