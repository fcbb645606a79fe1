// Package recording holds what a recording is made of: parts, in runs without a gap, under keys that tell all that is needed to
// go on after a crash. It is pure.
package recording

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Part is a piece of a recording as it was pulled: an MPEG transport stream.
type Part struct {
	// Job counts the Jobs that recorded the broadcast, from 1, and Number the parts of one Job, from 1: together they are the order.
	Job, Number int
	// Run counts the connects of one Job: the timestamps of a run are continuous, and those of another have nothing to do with it.
	Run int
	// Start is when the part began, by the worker's clock.
	Start time.Time
	// Duration is by its own timestamps.
	Duration time.Duration
	// Source names the segment of a playlist that it was; "" where there was none.
	Source Segment
	// Size in bytes; it is not in the name.
	Size int64
}

// Segment identifies a media segment of an HLS playlist: by its media sequence number and a digest of what it holds.
type Segment struct {
	Sequence uint64
	Digest   string
}

// partName is job-number-run-start-duration[-sequence-digest]. Numbers have a least width, so that names mostly sort as parts do, and
// room to grow: a part whose name is not read is never stored.
var partName = regexp.MustCompile(`^(\d{4,9})-(\d{7,12})-r(\d{5,12})-t(\d{13})-d(\d{1,9})(?:-s(\d{1,20})-([0-9a-f]{8}))?\.ts$`)

// Name of the part: it sorts as the parts do, and says everything but the size.
func (p Part) Name() string {
	name := fmt.Sprintf("%04d-%07d-r%05d-t%013d-d%d", p.Job, p.Number, p.Run, p.Start.UnixMilli(), p.Duration.Milliseconds())
	if p.Source != (Segment{}) {
		name += fmt.Sprintf("-s%d-%s", p.Source.Sequence, p.Source.Digest)
	}
	return name + ".ts"
}

// ParsePart reads a name; a key's folders before it are ignored. It returns false for what is no part.
func ParsePart(key string) (Part, bool) {
	m := partName.FindStringSubmatch(key[strings.LastIndex(key, "/")+1:])
	if m == nil {
		return Part{}, false
	}
	var numbers [6]uint64
	for i, text := range m[1:7] {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil && text != "" {
			return Part{}, false
		}
		numbers[i] = n
	}
	return Part{
		Job: int(numbers[0]), Number: int(numbers[1]), Run: int(numbers[2]), //nolint:gosec // bounded by their digits
		Start:    time.UnixMilli(int64(numbers[3])).UTC(),      //nolint:gosec // 13 digits
		Duration: time.Duration(numbers[4]) * time.Millisecond, //nolint:gosec // 9 digits
		Source:   Segment{Sequence: numbers[5], Digest: m[7]},
	}, true
}

// Sort brings parts into the order of the recording, and leaves out a segment that was stored twice: by a worker that was
// killed before it knew, and by the next one.
func Sort(parts []Part) []Part {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Number, b.Number), a.Start.Compare(b.Start))
	})
	seen := map[Segment]bool{}
	return slices.DeleteFunc(parts, func(p Part) bool {
		twice := p.Source != (Segment{}) && seen[p.Source]
		seen[p.Source] = true
		return twice
	})
}

// Gap is a time of which nothing was recorded.
type Gap struct {
	// At is where in the recording it lies.
	At time.Duration
	// Length is by the worker's clock: the pause of the pusher is in it.
	Length time.Duration
}

// shortestGap is what clocks and buffers make of no gap at all.
const shortestGap = 500 * time.Millisecond

// Gaps of sorted parts.
func Gaps(parts []Part) []Gap {
	var gaps []Gap
	at := time.Duration(0)
	for i, p := range parts {
		if i > 0 && !sameRun(parts[i-1], p) {
			before := parts[i-1]
			if length := p.Start.Sub(before.Start.Add(before.Duration)); length >= shortestGap {
				gaps = append(gaps, Gap{At: at, Length: length.Round(time.Millisecond)})
			}
		}
		at += p.Duration
	}
	return gaps
}

func sameRun(a, b Part) bool { return a.Job == b.Job && a.Run == b.Run }

// Runs groups sorted parts by run.
func Runs(parts []Part) [][]Part {
	var runs [][]Part
	for i, p := range parts {
		if i == 0 || !sameRun(parts[i-1], p) {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], p)
	}
	return runs
}

// Duration of all parts.
func Duration(parts []Part) time.Duration {
	sum := time.Duration(0)
	for _, p := range parts {
		sum += p.Duration
	}
	return sum
}
