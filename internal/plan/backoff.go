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
	// A recorder that recorded this long was no failure of its own: its node went, or somebody deleted its Pod. Each second counts.
	recordedWell = 5 * time.Second
)

// backoff is how long after a Job ended, while the stream is on air, its next part starts: 10 s, 20 s, ... 5 min.
func backoff(run workload.Run) time.Duration {
	ran := time.Duration(0)
	if !run.Ready.IsZero() {
		ran = run.Finished.Sub(run.Ready)
	}
	if run.Signals && ran >= recordedWell {
		return 0
	}
	if ran >= healthyRun {
		return firstBackoff
	}
	wait := firstBackoff
	for part := int32(1); part < run.Part && wait < longestBackoff; part++ {
		wait *= 2
	}
	return min(wait, longestBackoff)
}
