package plan

import (
	"slices"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

const (
	firstBackoff   = 10 * time.Second
	longestBackoff = 5 * time.Minute
	// A Job that ran this long is not one that fails at once: its next part starts after the first backoff.
	healthyRun = 10 * time.Minute
	// A recorder that recorded this long was no failure of its own: its node went, or somebody deleted its Pod. Each second counts.
	wellRecorded = 5 * time.Second
)

// backoff is how long after a Job ended, while the stream is on air, its next part starts: 10 s, 20 s, ... 5 min.
func backoff(run workload.Run) time.Duration {
	switch {
	case recordedWell(run):
		return 0
	case !endedAtOnce(run):
		return firstBackoff
	}
	wait := firstBackoff
	for part := int32(1); part < run.Part && wait < longestBackoff; part++ {
		wait *= 2
	}
	return min(wait, longestBackoff)
}

// endedAtOnce says whether the next part may well end as soon as this one.
func endedAtOnce(run workload.Run) bool { return !recordedWell(run) && ran(run) < healthyRun }

func recordedWell(run workload.Run) bool { return run.Signals && ran(run) >= wellRecorded }

func ran(run workload.Run) time.Duration {
	if run.Ready.IsZero() {
		return 0
	}
	return endOf(run).Sub(run.Ready)
}

// endOf is when its containers ended, as far as a Pod tells; the Job is told later.
func endOf(run workload.Run) time.Time {
	if !run.Exited.IsZero() && run.Exited.Before(run.Finished) {
		return run.Exited
	}
	return run.Finished
}

// needsTurn says whether the next part is made in its turn: that of one that ended at once, unless a push began since. A part that the status tells of
// already had its turn: the Job could not be made, or is not seen yet.
func needsTurn(o Observed, previous v1alpha1.WorkloadStatus, run workload.Run) bool {
	return endedAtOnce(run) && previous.Part <= run.Part && !slices.ContainsFunc(push.Live(o.Stream.Status.Pushes), func(p v1alpha1.Push) bool { return beganSince(p, run) })
}

// beganSince goes by when the push was recorded, as its start may be told late. One that was on air when the Job was made may have been confirmed since.
func beganSince(p v1alpha1.Push, run workload.Run) bool {
	return p.RecordedTime != nil && p.RecordedTime.After(endOf(run)) && p.StartTime != nil && p.StartTime.After(run.Created)
}
