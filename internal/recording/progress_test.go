package recording

import (
	"math"
	"testing"
)

func TestProgressIsASentence(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Progress{
		"0s of media": {},
		"12m5s of media, 2412 kbit/s, 218.3 MB stored":                                                                                     {MediaSeconds: 725.4, Kbps: 2412.4, StoredBytes: 218_300_000},
		"1m0s of media; the last came 12 s ago; the storage takes nothing now, what is recorded waits in the spool":                        {MediaSeconds: 60, SecondsSinceMedia: 12.2, StoreFails: true},
		"1m0s of media, 4500 kbit/s, 30 frames/s at 1.00x, 2 frames dropped":                                                               {MediaSeconds: 60, Kbps: 4500, FPS: 29.97, Speed: 1, DroppedFrames: 2},
		"1m0s of media, 19 frames/s at 0.62x, 0 frames dropped; encoding is slower than the stream: give it more CPU, or fewer renditions": {MediaSeconds: 60, FPS: 19, Speed: 0.62},
	} {
		if got := p.Sentence(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestNumbersThatNoWorkerTellsDoNotFillTheStatus(t *testing.T) {
	t.Parallel()
	huge := Progress{MediaSeconds: 1e308, StoredBytes: math.MaxInt64, SecondsSinceMedia: 1e308, StoreFails: true, Kbps: 1e308, FPS: 1e308, Speed: 1e308, DroppedFrames: math.MaxInt64}
	if said := huge.Sentence(); len(said) > 512 {
		t.Errorf("%d characters: %s", len(said), said)
	}
	if got, want := (Progress{MediaSeconds: -5, DroppedFrames: -1, Speed: 1}).Sentence(), "0s of media, 0 frames/s at 1.00x, 0 frames dropped"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
