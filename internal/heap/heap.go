// Package heap leaves out the collections of garbage that nothing but the time brings. Go collects when the heap has doubled, and every two minutes
// besides: the latter has a quiet process that knows 100,000 streams look through all of them again and again.
package heap

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// every is how often it is looked whether anything was collected since: after a collection the second look comes before Go's two minutes are over.
	every = 45 * time.Second
	// usualPercent is what GOGC is when nobody sets it.
	usualPercent = 100
)

// Rest has a process that has collected nothing for a while collect only once its heap is twice what the last collection left. There is no setting
// for that: GOGC=off ends the collections that the time brings along with those that growth does, and a memory limit stands in for the latter. After
// the next collection all is Go's own again. A limit in GOMEMLIMIT is kept under. Who sets GOGC gets what that says.
type Rest struct{}

// NeedLeaderElection is false: every process rests.
func (Rest) NeedLeaderElection() bool { return false }

// Start looks until the context ends.
func (Rest) Start(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	most := debug.SetMemoryLimit(-1)
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
				wake(most)
			}
			seen, resting = got.collections, false
		case !resting && got.fits():
			rest(got, most)
			resting = true
		}
	}
}

// collection is garbage from the start, so that the next collection finds it. Without a pointer it would share a block with others, which may live.
type collection struct{ _ *collection }

// rest lasts until the next collection.
func rest(u usage, most int64) {
	debug.SetMemoryLimit(min(most, u.doubled()))
	debug.SetGCPercent(-1)
	runtime.SetFinalizer(new(collection), func(*collection) { wake(most) })
}

func wake(most int64) {
	debug.SetGCPercent(usualPercent)
	debug.SetMemoryLimit(most)
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
func (u usage) fits() bool { return int64(u.total-u.released) <= u.doubled() } //nolint:gosec // bytes of a machine

// headroom is the part of the heap under a memory limit that Go leaves empty, a hundredth of them.
const headroom = 3

// doubled is the limit of all memory under which the heap becomes twice what lived.
func (u usage) doubled() int64 {
	others := u.total - u.released - u.free - u.objects
	return int64(2*u.live*100/(100-headroom) + others) //nolint:gosec // bytes of a machine
}
