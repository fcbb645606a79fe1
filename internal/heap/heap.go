// Package heap has garbage collected less often where many streams are known, which a collection looks through. Go collects when the heap has doubled, and
// every two minutes besides. Here the latter is left out, and where GOMEMLIMIT says how much memory there is, a heap may become three times what lived.
package heap

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// every is how often it is looked whether anything was collected since: after a collection the second look comes before Go's two minutes are over.
	every = 45 * time.Second
	// usualPercent is what GOGC is when nobody sets it: by how much a heap grows before the next collection. roomyPercent is for one that is kept under a limit
	// of memory.
	usualPercent, roomyPercent = 100, 200
)

// pace is when garbage is collected: when the heap has grown by that part of what lived, or memory reaches the limit, in bytes.
type pace struct {
	percent int
	limit   int64
}

// usual is the pace of a process under the limit; without one that is the greatest there is.
func usual(limit int64) pace {
	if limit == math.MaxInt64 {
		return pace{usualPercent, limit}
	}
	return pace{roomyPercent, limit}
}

// Rest has a process that has collected nothing for a while collect only once its heap has grown as much as it may. There is no setting
// for that: GOGC=off ends the collections that the time brings along with those that growth does, and a memory limit stands in for the latter. After
// the next collection the pace is the usual again. A limit in GOMEMLIMIT is kept under. Who sets GOGC gets what that says.
type Rest struct{}

// NeedLeaderElection is false: every process rests.
func (Rest) NeedLeaderElection() bool { return false }

// Start looks until the context ends.
func (Rest) Start(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	awake := usual(debug.SetMemoryLimit(-1))
	awake.set()
	look := time.NewTicker(every)
	defer look.Stop()
	for seen, resting := read().collections, false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		switch got := read(); {
		case got.collections != seen:
			if resting {
				// A collection may have come between the settings and what waits for it.
				awake.set()
			}
			seen, resting = got.collections, false
		case !resting && got.fits(awake.percent):
			rest(got, awake)
			resting = true
		}
	}
}

// collection is garbage from the start, so that the next collection finds it. Without a pointer it would share a block with others, which may live.
type collection struct{ _ *collection }

// rest lasts until the next collection.
func rest(u usage, awake pace) {
	pace{-1, min(awake.limit, u.grown(awake.percent))}.set()
	runtime.SetFinalizer(new(collection), func(*collection) { awake.set() })
}

func (p pace) set() {
	if p.percent < 0 {
		// First the limit, or nothing would hold the heap meanwhile.
		debug.SetMemoryLimit(p.limit)
		debug.SetGCPercent(p.percent)
		return
	}
	debug.SetGCPercent(p.percent)
	debug.SetMemoryLimit(p.limit)
}

// usage is what a process has of memory, in bytes: all, what of it was given back or is free, what objects take, and what those took that the last
// collection left. Collections are how many there were.
type usage struct{ total, released, free, objects, live, collections uint64 }

func read() usage {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	return usage{value(0), value(1), value(2), value(3), value(4), value(5)}
}

// fits says whether what the process has fits under the limit. What a burst left free counts under it until it is given back, which takes minutes: Go would
// collect at once, and again and again.
func (u usage) fits(percent int) bool { return int64(u.total-u.released) <= u.grown(percent) } //nolint:gosec // bytes of a machine

// headroom is the part of the heap under a memory limit that Go leaves empty, a hundredth of them.
const headroom = 3

// grown is the limit of all memory under which the heap grows by the percentage of what lived.
func (u usage) grown(percent int) int64 {
	others := u.total - u.released - u.free - u.objects
	return int64(u.live*uint64(100+percent)/(100-headroom) + others) //nolint:gosec // bytes of a machine
}
