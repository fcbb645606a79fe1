package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
)

// Backoff says how long what fails is tried again.
type Backoff struct {
	// First is the pause after the first failure. Each is twice the one before, up to Max. When unset, they are 200 ms and 5 s.
	First, Max time.Duration
	// GiveUp is how long after the first try the last one begins. When unset, only the context ends it.
	GiveUp time.Duration
	// Clock is that of the system when unset.
	Clock clock.Clock
	// KeepTrying is asked about errors that will not pass by themselves, where somebody is expected to mend them meanwhile. When unset,
	// they end it at once.
	KeepTrying func(error) bool
}

// Retry repeats what fails, until it does not, or the Backoff or the context say so. The error is the last one, and the context's too
// where that ended it.
func Retry(ctx context.Context, b Backoff, do func(context.Context) error) error {
	b = b.withDefaults()
	start := b.Clock.Now()
	for pause := b.First; ; pause = min(2*pause, b.Max) {
		err := do(ctx)
		if err == nil || Permanent(err) && (b.KeepTrying == nil || !b.KeepTrying(err)) {
			return err
		}
		if b.GiveUp > 0 {
			left := b.GiveUp - b.Clock.Since(start)
			if left <= 0 {
				return fmt.Errorf("gave up after %s: %w", b.GiveUp, err)
			}
			pause = min(pause, left)
		}
		if stopped := b.wait(ctx, pause); stopped != nil {
			return fmt.Errorf("%w; the last try: %w", stopped, err)
		}
	}
}

func (b Backoff) withDefaults() Backoff {
	const first, longest = 200 * time.Millisecond, 5 * time.Second
	b.First, b.Max = cmp.Or(b.First, first), cmp.Or(b.Max, longest)
	if b.Clock == nil {
		b.Clock = clock.RealClock{}
	}
	return b
}

func (b Backoff) wait(ctx context.Context, pause time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := b.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}
