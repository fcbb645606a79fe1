package fakecss

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Chaos is what happens to callbacks on their way. Rates are from 0, never, to 1, always.
type Chaos struct {
	// Seed decides which callbacks are hit.
	Seed uint64
	// Lose drops a callback with all its tries.
	Lose float64
	// Double sends a callback twice, though it is answered with 200.
	Double float64
	// Reorder holds a callback back until the next one of its stream is answered, or reorderWindow has passed.
	Reorder float64
	// Delay is how long a callback waits at most.
	Delay time.Duration
}

// reorderWindow is how long a callback waits for another to overtake it.
const reorderWindow = 10 * time.Second

// fate of one callback.
type fate struct {
	lost, held bool
	// delays of each copy, at least one.
	delays []time.Duration
}

// fate of the n-th callback of a stream.
func (c Chaos) fate(of name, n int) fate {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s %d", of.app, of.stream, n)
	r := rand.New(rand.NewPCG(c.Seed, h.Sum64())) //nolint:gosec // has to be played again, not to be secret
	// All are drawn in any case: raising one rate leaves what the others hit.
	lost, doubled, held := r.Float64() < c.Lose, r.Float64() < c.Double, r.Float64() < c.Reorder
	delays := []time.Duration{fraction(c.Delay, r.Float64()), fraction(c.Delay, r.Float64())}
	if !doubled {
		delays = delays[:1]
	}
	return fate{lost: lost, held: held, delays: delays}
}

func fraction(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * share)
}
