package plan

import (
	"fmt"
	"slices"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Notice is a Kubernetes Event worth sending: at most one per change of state.
type Notice struct {
	Warning bool
	// Reason and Action are the fields of an Event, constant.
	Reason, Action string
	Note           string
}

// Notices tells what changed between two statuses. Nothing repeats: without a change there is no notice.
func Notices(before, after v1alpha1.LiveStreamStatus) []Notice {
	var notices []Notice
	if n, changed := stateNotice(before, after); changed {
		notices = append(notices, n)
	}
	for _, w := range after.Workloads {
		if n, changed := workloadNotice(before.Workloads, w); changed {
			notices = append(notices, n)
		}
	}
	notices = append(notices, afterEndNotices(before, after)...)
	return append(notices, recordingNotices(before, after)...)
}

func afterEndNotices(before, after v1alpha1.LiveStreamStatus) []Notice {
	known := map[string]v1alpha1.WorkloadState{}
	for _, record := range before.History {
		for _, w := range record.AfterEnd {
			known[afterEndKey(record.ID, w.Name)] = w.State
		}
	}
	var notices []Notice
	for _, record := range after.History {
		for _, w := range record.AfterEnd {
			if was := known[afterEndKey(record.ID, w.Name)]; w.State == v1alpha1.WorkloadFailed && was != w.State {
				notices = append(notices, Notice{Warning: true, Reason: "WorkloadFailed", Action: "AfterEnd", Note: fmt.Sprintf("workload %q, after the broadcast: %s", w.Name, w.Message)})
			}
		}
	}
	return notices
}

func stateNotice(before, after v1alpha1.LiveStreamStatus) (Notice, bool) {
	live := find(after.Conditions, v1alpha1.ConditionLive)
	switch {
	case after.OnAir() && after.Broadcast.ID != before.Broadcast.ID:
		return Notice{Reason: "StreamLive", Action: "Start", Note: "a push is live"}, true
	case before.OnAir() && !after.OnAir() && len(after.History) > 0:
		ended := after.History[0]
		return Notice{Reason: "BroadcastEnded", Action: "Stop", Note: fmt.Sprintf("the broadcast ended (%s) after %s with %d pushes and %d interruptions",
			ended.EndReason, lengthOf(ended), ended.Pushes, ptrOr(ended.Interruptions, 0))}, true
	case before.State == after.State || !after.OnAir():
		return Notice{}, false
	case after.State == v1alpha1.LiveStreamLive:
		return Notice{Reason: "StreamResumed", Action: "CarryOn", Note: "a push is live again; the broadcast carries on"}, true
	case live != nil:
		return Notice{Warning: live.Reason != string(v1alpha1.PushReasonClientStopped), Reason: "StreamInterrupted", Action: "Wait", Note: live.Message}, true
	default:
		return Notice{}, false
	}
}

func workloadNotice(before []v1alpha1.WorkloadStatus, now v1alpha1.WorkloadStatus) (Notice, bool) {
	troubled := now.State == v1alpha1.WorkloadFailed || now.State == v1alpha1.WorkloadWaiting || now.State == v1alpha1.WorkloadPending && now.Message != ""
	// What the message says changes with a cluster that is full; that it says something is the change of state.
	same := slices.ContainsFunc(before, func(w v1alpha1.WorkloadStatus) bool {
		return w.Name == now.Name && w.State == now.State && w.Part == now.Part && (w.Message == "") == (now.Message == "")
	})
	if !troubled || same {
		return Notice{}, false
	}
	reason := "WorkloadFailed"
	if now.State == v1alpha1.WorkloadWaiting {
		reason = "WorkloadEndedEarly"
	}
	return Notice{Warning: true, Reason: reason, Action: "Watch", Note: fmt.Sprintf("workload %q: %s", now.Name, now.Message)}, true
}
