package recording

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var began = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)

// part is a part of two seconds.
func part(job, number, run int, after time.Duration) Part {
	return Part{Job: job, Number: number, Run: run, Start: began.Add(after), Duration: 2 * time.Second}
}

func TestANameTellsAllOfAPart(t *testing.T) {
	t.Parallel()
	for _, p := range []Part{
		part(1, 1, 1, 0),
		{Job: 12, Number: 345678, Run: 901, Start: began.Add(123 * time.Millisecond), Duration: 59_999 * time.Millisecond},
		{Job: 1, Number: 2, Run: 1, Start: began, Duration: time.Second, Source: Segment{Sequence: 1<<64 - 1, Digest: "0a1b2c3d"}},
		{Job: 1, Number: 2, Run: 1, Start: began, Duration: time.Second, Source: Segment{Sequence: 0, Digest: "0a1b2c3d"}},
	} {
		got, is := ParsePart("studio/live/show/x/" + p.Name())
		if diff := gocmp.Diff(p, got); diff != "" || !is {
			t.Errorf("%s (-want +got):\n%s", p.Name(), diff)
		}
	}
}

func TestWhatIsNoPartIsNotTakenForOne(t *testing.T) {
	t.Parallel()
	name := part(1, 1, 1, 0).Name()
	for _, other := range []string{"", "manifest.json", "recording.mp4", name + ".partial", "x" + name, strings.TrimSuffix(name, ".ts"), strings.Replace(name, "-r", "-q", 1), name[1:]} {
		if p, is := ParsePart(other); is {
			t.Errorf("%q is %+v", other, p)
		}
	}
}

func TestNamesSortAsThePartsDo(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var parts []Part
	for job := 1; job <= 3; job++ {
		for number := 1; number <= 120; number++ {
			parts = append(parts, part(job, number, 1+number/50, time.Duration(number)*2*time.Second))
		}
	}
	want := slices.Clone(parts)
	random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	if diff := gocmp.Diff(want, Sort(parts)); diff != "" {
		t.Errorf("by Sort: %s", diff)
	}
	slices.SortFunc(parts, func(a, b Part) int { return strings.Compare(a.Name(), b.Name()) })
	if diff := gocmp.Diff(want, parts); diff != "" {
		t.Errorf("by name: %s", diff)
	}
}

func TestASegmentThatWasStoredTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	first, again := part(1, 7, 1, 0), part(2, 1, 1, 0)
	first.Source, again.Source = Segment{7, "0a1b2c3d"}, Segment{7, "0a1b2c3d"}
	other := part(2, 2, 1, 0)
	other.Source = Segment{7, "ffffffff"}
	if diff := gocmp.Diff([]Part{first, other, part(2, 3, 1, 0), part(2, 4, 1, 0)}, Sort([]Part{part(2, 4, 1, 0), again, other, part(2, 3, 1, 0), first})); diff != "" {
		t.Error(diff)
	}
}

func TestGapsAreWhereARunEndsAndTimeIsMissing(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		parts []Part
		want  []Gap
	}{
		{"none in nothing", nil, nil},
		{"none in one run, whatever its clock says", []Part{part(1, 1, 1, 0), part(1, 2, 1, 5*time.Second)}, nil},
		{"none where the next run follows at once", []Part{part(1, 1, 1, 0), part(1, 2, 2, 2499*time.Millisecond)}, nil},
		{"one of half a second", []Part{part(1, 1, 1, 0), part(1, 2, 2, 2500*time.Millisecond)}, []Gap{{2 * time.Second, 500 * time.Millisecond}}},
		{"one between two Jobs", []Part{part(1, 1, 1, 0), part(2, 1, 1, 12*time.Second)}, []Gap{{2 * time.Second, 10 * time.Second}}},
		{"two", []Part{part(1, 1, 1, 0), part(1, 2, 2, 10*time.Second), part(1, 3, 3, 20*time.Second)}, []Gap{{2 * time.Second, 8 * time.Second}, {4 * time.Second, 8 * time.Second}}},
		{"none where runs overlap", []Part{part(1, 1, 1, 0), part(2, 1, 1, time.Second)}, nil},
	} {
		if diff := gocmp.Diff(row.want, Gaps(row.parts), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", row.name, diff)
		}
	}
}

func TestAPlaylistHasADiscontinuityWhereARunEnds(t *testing.T) {
	t.Parallel()
	long := part(1, 2, 1, 2*time.Second)
	long.Duration = 2345 * time.Millisecond
	want := `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:3
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:00:00.000Z
#EXTINF:2.000,
parts/0001-0000001-r00001-t1767384000000-d2000.ts
#EXTINF:2.345,
parts/0001-0000002-r00001-t1767384002000-d2345.ts
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:00:30.000Z
#EXTINF:2.000,
parts/0002-0000001-r00001-t1767384030000-d2000.ts
#EXT-X-ENDLIST
`
	if diff := gocmp.Diff(want, Playlist([]Part{part(1, 1, 1, 0), long, part(2, 1, 1, 30*time.Second)})); diff != "" {
		t.Error(diff)
	}
}

func TestAManifestListsPartsAndGaps(t *testing.T) {
	t.Parallel()
	c := Config{App: "live", Stream: "show", Broadcast: "b1", Started: began, Format: MKV}
	m := NewManifest(c, []Part{part(1, 1, 1, 0), part(1, 2, 2, 6*time.Second)})
	if m.Recording != "recording.mkv" || m.Seconds != 4 || len(m.Parts) != 2 || len(m.Gaps) != 1 || m.Gaps[0] != (ManifestGap{At: 2, Seconds: 4}) || m.Complete {
		t.Errorf("manifest = %+v", m)
	}
	text, err := json.Marshal(NewManifest(c, nil))
	if err != nil || !strings.Contains(string(text), `"parts":[],"gaps":[]`) {
		t.Errorf("an empty one: %s, %v", text, err)
	}
}

func TestTheFolderOfABroadcastIsItsStreamAndItsBeginning(t *testing.T) {
	t.Parallel()
	c := Config{App: "live", Stream: "a/b", Broadcast: "b1", Started: began.In(time.FixedZone("CST", 8*3600))}
	escape := func(s string) string { return strings.ReplaceAll(s, "/", "=2f") }
	if got := Folder(c, escape); got != "live/a=2fb/20260102T200000Z-b1" {
		t.Errorf("Folder = %s", got)
	}
	c.Storage.Prefix = "studio/shows"
	if got := Folder(c, escape); got != "studio/shows/live/a=2fb/20260102T200000Z-b1" {
		t.Errorf("Folder = %s", got)
	}
}

func TestAResultIsToldFromALastLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "no route to host": false, "{}": false, `{"parts":3}`: false, "[1]": false,
		`{"ready":true,"uri":"s3://a/b"}`: true, `{"nothing":true}`: true, `{"message":"why"}`: true,
	} {
		if _, is := ParseResult(text); is != want {
			t.Errorf("%s is a result: %t", text, is)
		}
	}
}

// The status is written as a whole: one field that the API server refuses would keep all of it from being written.
func TestAResultThatDoesNotFitTheStatusIsNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"ready":true,"sha256":"abc"}`, `{"ready":true,"sha256":"` + strings.Repeat("g", 64) + `"}`, `{"ready":true,"sizeBytes":-1}`, `{"ready":true,"durationMilliseconds":-1}`,
		`{"ready":true,"gaps":2147483648}`, `{"ready":true,"gaps":-1}`, `{"ready":true,"gapMilliseconds":-1}`, `{"ready":true,"uri":"` + strings.Repeat("a", 2049) + `"}`, `{"ready":true,"uri":"a\nb"}`,
	} {
		if r, is := ParseResult(text); is {
			t.Errorf("%s is %+v", text, r)
		}
	}
	if r, is := ParseResult(`{"message":"no\nroute\u0000` + strings.Repeat("é", 2000) + `"}`); !is || !fitsStatus(r) || !strings.HasPrefix(r.Message, "no route é") {
		t.Errorf("a long message is %q", r.Message)
	}
}
