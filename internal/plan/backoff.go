package plan

import (
	"time"

	"github.com/livestream-operator/livestream-operator/internal/workload"
)

const (
	firstBackoff   = 10 * time.Second
	longestBackoff = 5 * time.Minute
	// A Job that ran this long is not one that fails at once: its next part starts after the first backoff.
	healthyRun = 10 * time.Minute
)

// backoff is how long after a Job ended, while the stream is on air, its next part starts: 10 s, 20 s, ... 5 min.
func backoff(run workload.Run) time.Duration {
	if !run.Ready.IsZero() && run.Finished.Sub(run.Ready) >= healthyRun {
		return firstBackoff
	}
	wait := firstBackoff
	for part := int32(1); part < run.Part && wait < longestBackoff; part++ {
		wait *= 2
	}
	return min(wait, longestBackoff)
}
