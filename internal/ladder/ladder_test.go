package ladder

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func rung(name string, height, kbps int) Rendition {
	return Rendition{Name: name, Height: height, VideoKbps: kbps, AudioKbps: 128, Codec: H264}
}

var usual = []Rendition{rung("1080p", 1080, 4500), rung("720p", 720, 2500), rung("480p", 480, 1200)}

func TestNothingHigherThanTheSourceIsChosen(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		width, height int
		want          map[string][2]int
	}{
		{"all of a larger source", 3840, 2160, map[string][2]int{"1080p": {1920, 1080}, "720p": {1280, 720}, "480p": {854, 480}}},
		{"all of a source of the highest size", 1920, 1080, map[string][2]int{"1080p": {1920, 1080}, "720p": {1280, 720}, "480p": {854, 480}}},
		{"none above the source", 854, 480, map[string][2]int{"480p": {854, 480}}},
		{"the lowest one in the size of a source below all", 640, 360, map[string][2]int{"480p": {640, 360}}},
		{"a source that is higher than it is wide", 1080, 1920, map[string][2]int{"1080p": {608, 1080}, "720p": {406, 720}, "480p": {270, 480}}},
		{"even sizes of an odd source", 641, 361, map[string][2]int{"480p": {642, 362}}},
		{"all where the size is not known", 0, 0, map[string][2]int{"1080p": {0, 1080}, "720p": {0, 720}, "480p": {0, 480}}},
	} {
		got := map[string][2]int{}
		for _, r := range Choose(usual, Source{Width: row.width, Height: row.height}) {
			got[r.Name] = [2]int{r.Width, r.Height}
		}
		if diff := gocmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
	if usual[0].Width != 0 {
		t.Error("what was wanted was changed")
	}
}

func TestTheMasterPlaylistNamesTheBestFirst(t *testing.T) {
	t.Parallel()
	want := `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=3022200,AVERAGE-BANDWIDTH=2628000,RESOLUTION=1280x720
720p/recording.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1527200,AVERAGE-BANDWIDTH=1328000
480p/recording.m3u8
`
	known := rung("720p", 720, 2500)
	known.Width = 1280
	if diff := gocmp.Diff(want, Master([]Rendition{rung("480p", 480, 1200), known})); diff != "" {
		t.Error(diff)
	}
}

func TestWhatRenditionsCostGrowsWithThem(t *testing.T) {
	t.Parallel()
	full := Estimate(usual, Source{Width: 1920, Height: 1080}, false)
	// Measured: 1390 thousandths of a core and 486 MB; see docs/transcoding.md.
	if full.MilliCPU < 1390 || full.MilliCPU > 1390*5/4 || full.Memory < 486e6 || full.Memory > 486e6*5/4 {
		t.Errorf("three renditions of 1080p cost %+v", full)
	}
	if unknown := Estimate(usual, Source{}, false); unknown != full {
		t.Errorf("those of a source that is not known cost %+v, want %+v", unknown, full)
	}
	small := Estimate(usual, Source{Width: 854, Height: 480}, false)
	hevc := rung("1080p", 1080, 2500)
	hevc.Codec = H265
	slow := usual[0]
	slow.FrameRate = 15
	for name, less := range map[string][2]Cost{
		"a small source costs less":    {small, full},
		"a GPU spares the CPU":         {Estimate(usual, Source{}, true), full},
		"fewer frames cost less":       {Estimate([]Rendition{slow}, Source{}, false), Estimate(usual[:1], Source{}, false)},
		"H.265 costs more than H.264":  {Estimate(usual[:1], Source{}, false), Estimate([]Rendition{hevc}, Source{}, false)},
		"one costs less than three":    {Estimate(usual[2:], Source{}, false), full},
		"60 frames cost more than 30 ": {full, Estimate(usual, Source{Width: 1920, Height: 1080, FrameRate: 60}, false)},
	} {
		if less[0].MilliCPU >= less[1].MilliCPU {
			t.Errorf("%s: %+v, %+v", name, less[0], less[1])
		}
	}
}

func TestARateOfOneRenditionDoesNotSlowTheNext(t *testing.T) {
	t.Parallel()
	slow := rung("a", 1080, 4500)
	slow.FrameRate = 1
	one, other := Estimate([]Rendition{slow, usual[1]}, Source{}, false), Estimate([]Rendition{usual[1], slow}, Source{}, false)
	if one != other {
		t.Errorf("the order counts: %+v, %+v", one, other)
	}
}
