package plan

import (
	"slices"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// lag is how far behind a view of Jobs may be, at the very most: so long a watch may stand still before client-go begins it anew.
const lag = 10 * time.Minute

// LastJobs names the Jobs that may run in a broadcast before the one that the workloads are to start in, where that ended within lag: the pass
// that made them may not have come to tell, and the view of Jobs may not show them yet. Their first parts, for a second one follows what was seen.
func LastJobs(o Observed, starts []Start) []string {
	var names []string
	for _, broadcast := range lastBroadcasts(o) {
		for _, start := range starts {
			if start.Ended == nil {
				names = append(names, workload.JobName(o.Stream.Name, o.Stream.UID, start.Workload.Name, broadcast, 1))
			}
		}
	}
	return names
}

// lastBroadcasts are the one that ended last, and one that the status knows nothing of: it began and ended while no pass could report it.
func lastBroadcasts(o Observed) []string {
	var ids []string
	history := slices.Clone(o.Stream.Status.History)
	recorded := ""
	if len(history) > 0 {
		recorded = history[0].Sequence
		if end := history[0].EndTime; end != nil && o.Now.Sub(end.Time) <= lag {
			ids = append(ids, history[0].ID)
		}
	}
	last := push.LastEnded(o.Stream.Status.Pushes)
	if last == nil || last.StartTime == nil || last.Sequence == recorded || o.Now.Sub(last.EndTime.Time) > lag ||
		slices.Contains(o.Stream.Status.Broadcast.Sequences, last.Sequence) {
		return ids
	}
	c := course{history: history}
	return append(ids, c.open(o, *last).ID)
}
