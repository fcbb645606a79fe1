package plan

import (
	"slices"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// lag is how far behind a view of Jobs may be, at the very most: so long a watch may stand still before client-go begins it anew.
const lag = 10 * time.Minute

// LastJobs names the Jobs that may run in a broadcast before the one that the workloads are to start in, where that ended within lag: the pass
// that made them may not have come to tell, and the view of Jobs may not show them yet. Of each workload they are the latest part that is known,
// and the one after it: that was made when the latest was seen to end.
func LastJobs(o Observed, starts []Start) []string {
	var names []string
	for _, broadcast := range lastBroadcasts(o) {
		for _, start := range starts {
			if start.Ended != nil {
				continue
			}
			known := lastPart(o, broadcast, start.Workload.Name)
			for part := max(1, known); part <= known+1; part++ {
				names = append(names, workload.JobName(o.Stream.Name, o.Stream.UID, start.Workload.Name, broadcast, part))
			}
		}
	}
	return names
}

// lastPart is the latest part of a workload in an ended broadcast that its Jobs or the status tell of, 0 for none.
func lastPart(o Observed, broadcast, name string) int32 {
	part := int32(0)
	if run := latestRun(o.Runs, broadcast, name); run != nil {
		part = run.Part
	}
	status := &o.Stream.Status
	if status.OnAir() || len(status.History) == 0 || status.History[0].ID != broadcast {
		return part
	}
	for _, w := range status.Workloads {
		if w.Name == name {
			part = max(part, w.Part)
		}
	}
	return part
}

// mostUnreported bounds the pushes that may have begun a broadcast which no pass reported: each is a read for each workload before a start.
const mostUnreported = 8

// lastBroadcasts are the one that ended last, and those that the status knows nothing of: what began, or began and ended, while no pass could
// report it. Such a one is named by the push that was on air first, and of several that overlapped nothing tells which one that was.
func lastBroadcasts(o Observed) []string {
	var ids []string
	history := o.Stream.Status.History
	if len(history) > 0 {
		if end := history[0].EndTime; end != nil && o.Now.Sub(end.Time) <= lag {
			ids = append(ids, history[0].ID)
		}
	}
	c := course{history: history}
	for _, p := range slices.Concat(overtaken(o), unreported(o)) {
		ids = append(ids, c.open(o, p).ID)
	}
	return ids
}

// overtaken are the pushes on air that a broadcast may have been named by before one was told of that began earlier: starts come in any order.
func overtaken(o Observed) []v1alpha1.Push {
	live := push.Live(o.Stream.Status.Pushes)
	if o.Stream.Status.OnAir() || len(live) == 0 {
		return nil
	}
	others := slices.DeleteFunc(live[1:], func(p v1alpha1.Push) bool { return p.StartTime == nil })
	return others[:min(len(others), mostUnreported)]
}

// unreported are the pushes that ended within lag and in no broadcast that the status knows, those that ended last first.
func unreported(o Observed) []v1alpha1.Push {
	status := &o.Stream.Status
	pushes := slices.DeleteFunc(slices.Clone(status.Pushes), func(p v1alpha1.Push) bool {
		return push.IsLive(p) || p.StartTime == nil || p.Reason == v1alpha1.PushReasonRefused || o.Now.Sub(p.EndTime.Time) > lag ||
			slices.Contains(status.Broadcast.Sequences, p.Sequence) || len(status.History) > 0 && within(status.History[0], p)
	})
	slices.SortStableFunc(pushes, func(a, b v1alpha1.Push) int { return b.EndTime.Compare(a.EndTime.Time) })
	return pushes[:min(len(pushes), mostUnreported)]
}

// within says whether the push ended in the broadcast, or before it. Of another one that ended in the very second of its end nobody knows.
func within(last v1alpha1.BroadcastRecord, p v1alpha1.Push) bool {
	return p.Sequence == last.Sequence || last.EndTime != nil && p.EndTime.Before(last.EndTime)
}
