package heap

import (
	"context"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

func TestTheLimitIsWhereTheHeapHasGrownByThePercentage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		of      usage
		percent int
		want    int64
	}{
		{"of a heap alone", usage{total: 485 * mib, objects: 485 * mib, live: 485 * mib}, 100, 1000 * mib},
		{"of a heap that may become three times as large", usage{total: 485 * mib, objects: 485 * mib, live: 485 * mib}, 200, 1500 * mib},
		{"stacks and gaps stay beside it", usage{total: 545 * mib, objects: 485 * mib, live: 485 * mib}, 100, 1060 * mib},
		{"what is free or given back is not there", usage{total: 1045 * mib, released: 300 * mib, free: 200 * mib, objects: 485 * mib, live: 485 * mib}, 100, 1060 * mib},
		{"what came since the last collection is of the heap", usage{total: 600 * mib, objects: 600 * mib, live: 485 * mib}, 100, 1000 * mib},
	} {
		if got := tc.of.grown(tc.percent); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestAProcessDoesNotRestWhileWhatABurstLeftIsNotGivenBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		of   usage
		want bool
	}{
		{"one that has what it uses", usage{total: 600 * mib, objects: 485 * mib, live: 485 * mib}, true},
		{"one that has free what its start took", usage{total: 1300 * mib, free: 700 * mib, objects: 485 * mib, live: 485 * mib}, false},
		{"one that has given it back", usage{total: 1300 * mib, released: 500 * mib, free: 200 * mib, objects: 485 * mib, live: 485 * mib}, true},
	} {
		if got := tc.of.fits(usualPercent); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}

// played names the environment variable by which a process plays one of these tests: they set what is the whole process's.
const played = "HEAP_TEST"

// alone plays the function in a process of its own.
func alone(t *testing.T, environment string, play func(t *testing.T)) {
	t.Helper()
	if os.Getenv(played) == t.Name() {
		play(t)
		return
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GOGC=") || strings.HasPrefix(e, "GOMEMLIMIT=") }), environment, played+"="+t.Name())
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

const part = 64 << 10

var (
	kept    [][]byte
	dropped []byte
)

func keep(bytes int) {
	for range bytes / part {
		kept = append(kept, make([]byte, part))
	}
}

func waste(bytes int) {
	for range bytes / part {
		dropped = make([]byte, part)
	}
}

// off is what the metric says of GOGC=off.
const off = math.MaxUint64

// settings are GOGC, and the limit of memory.
func settings() (percent, limit uint64) {
	samples := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// awake waits until the settings are the usual again: a goroutine of the runtime's does that.
func awake(t *testing.T, usual pace) {
	t.Helper()
	for i := 0; ; i++ {
		percent, limit := settings()
		if percent == uint64(usual.percent) && limit == uint64(usual.limit) {
			return
		}
		if i == 1_000_000 {
			t.Fatalf("after a collection GOGC is %d and the limit %d, want %d and %d", percent, limit, usual.percent, usual.limit)
		}
		runtime.Gosched()
	}
}

func TestAProcessAtRestCollectsOnceItsHeapHasDoubledAndThenAsEver(t *testing.T) {
	t.Parallel()
	alone(t, "", func(t *testing.T) {
		t.Helper()
		keep(128 * mib)
		runtime.GC()
		before := read()
		rest(before, usual(math.MaxInt64))
		if percent, _ := settings(); percent != off {
			t.Errorf("GOGC is %d: collections that the time brings are not off", percent)
		}
		waste(64 * mib)
		if got := read().collections - before.collections; got != 0 {
			t.Errorf("%d collections when 64 MiB came to the 128 MiB that live, want none", got)
		}
		waste(96 * mib)
		// That ends it: it goes on beside what is wasted.
		awake(t, usual(math.MaxInt64))
		if got := read().collections - before.collections; got == 0 || got > 2 {
			t.Errorf("%d collections when 160 MiB came to the 128 MiB that live, want one", got)
		}
		runtime.KeepAlive(kept)
	})
}

// hours plays hours of a process in which nothing happens, before each look at it.
func hours(t *testing.T, looks ...func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Rest{}.Start(ctx) }()
		for _, look := range looks {
			// Of the bubble's clock.
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			look()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAProcessRestsWhenItHasCollectedNothingForAWhileUnderTheLimitThatWasSet(t *testing.T) {
	t.Parallel()
	const limit = 200 * mib
	alone(t, "GOMEMLIMIT=200MiB", func(t *testing.T) {
		t.Helper()
		keep(150 * mib)
		runtime.GC()
		rests := func() {
			if percent, got := settings(); percent != off || got != limit {
				t.Errorf("GOGC is %d, want it off; the limit is %d, want %d", percent, got, limit)
			}
			runtime.GC()
			awake(t, pace{200, limit})
		}
		hours(t, rests, rests)
		runtime.KeepAlive(kept)
	})
}

func TestAProcessThatHasFreeWhatItDoesNotUseGoesOnAsEver(t *testing.T) {
	t.Parallel()
	alone(t, "", func(t *testing.T) {
		t.Helper()
		keep(16 * mib)
		dropped = make([]byte, 400*mib)
		for i := range dropped {
			dropped[i] = 1
		}
		dropped = nil
		runtime.GC()
		hours(t, func() {
			if percent, _ := settings(); percent != usualPercent {
				t.Errorf("GOGC is %d, want %d", percent, usualPercent)
			}
		})
		runtime.KeepAlive(kept)
	})
}

func TestAProcessThatIsKeptUnderALimitCollectsOnceItsHeapIsThreeTimesWhatLived(t *testing.T) {
	t.Parallel()
	alone(t, "GOMEMLIMIT=4GiB", func(t *testing.T) {
		t.Helper()
		keep(128 * mib)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Rest{}.Start(ctx) }()
		awake(t, pace{200, 4096 * mib})
		runtime.GC()
		before := read().collections
		waste(192 * mib)
		if got := read().collections - before; got != 0 {
			t.Errorf("%d collections when 192 MiB came to the 128 MiB that live, want none", got)
		}
		waste(96 * mib)
		// It goes on beside what is wasted.
		for i := 0; read().collections == before; i++ {
			if i == 100_000 {
				t.Fatal("no collection when 288 MiB came to the 128 MiB that live, want one")
			}
			runtime.Gosched()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		runtime.KeepAlive(kept)
	})
}

func TestWhoSetsGOGCGetsIt(t *testing.T) {
	t.Parallel()
	alone(t, "GOGC=50", func(t *testing.T) {
		t.Helper()
		hours(t, func() {
			if percent := debug.SetGCPercent(50); percent != 50 {
				t.Errorf("GOGC is %d, want the 50 that was set", percent)
			}
		})
	})
}
