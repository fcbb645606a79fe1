package recording

import (
	"testing"
	"time"
)

// Runs are numbered after parts: a channel that is on air for days comes to more than five digits.
func TestAPartOfALongBroadcastIsStillAPart(t *testing.T) {
	t.Parallel()
	for _, want := range []Part{
		{Job: 1, Number: 100_001, Run: 100_000, Start: time.UnixMilli(1767384000000).UTC(), Duration: 2 * time.Second},
		{Job: 10_000, Number: 10_000_000, Run: 12_345_678, Start: time.UnixMilli(1767384000000).UTC(), Duration: time.Second, Source: Segment{Sequence: 5, Digest: "01234567"}},
	} {
		if got, is := ParsePart(want.Name()); !is || got != want {
			t.Errorf("%s: %+v, %v", want.Name(), got, is)
		}
	}
}
