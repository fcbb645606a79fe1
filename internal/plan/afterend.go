package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// afterEndOf lists the workloads that run after the broadcast: those of the spec when it began.
func afterEndOf(o Observed, broadcast string) []v1alpha1.AfterEndStatus {
	var names []string
	if status := &o.Stream.Status; status.Broadcast.ID == broadcast {
		for _, w := range status.Workloads {
			if w.State == v1alpha1.WorkloadScheduled {
				names = append(names, w.Name)
			}
		}
	} else {
		for _, w := range o.Settings.Workloads {
			if w.RunsAfterEnd() {
				names = append(names, w.Name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	statuses := make([]v1alpha1.AfterEndStatus, 0, len(names))
	for _, name := range names {
		statuses = append(statuses, v1alpha1.AfterEndStatus{Name: name, State: v1alpha1.WorkloadScheduled})
	}
	return statuses
}

// planAfterEnd follows the Jobs that run after ended broadcasts. Only a record that the status holds counts: one that this pass
// adds may yet be overtaken by a push.
func planAfterEnd(o Observed, p *Plan) {
	for i := range p.Status.History {
		record := &p.Status.History[i]
		persisted := slices.ContainsFunc(o.Stream.Status.History, func(r v1alpha1.BroadcastRecord) bool { return r.ID == record.ID })
		if !persisted || len(record.AfterEnd) == 0 {
			continue
		}
		// Copied before it is changed: the record is the observed stream's.
		told := *record
		record.AfterEnd = slices.Clone(record.AfterEnd)
		for j := range record.AfterEnd {
			if !settled(record.AfterEnd[j].State) {
				record.AfterEnd[j] = p.planAfterOne(o, told, record.AfterEnd[j])
			}
		}
	}
}

func (p *Plan) planAfterOne(o Observed, record v1alpha1.BroadcastRecord, status v1alpha1.AfterEndStatus) v1alpha1.AfterEndStatus {
	run := latestRun(o.Runs, record.ID, status.Name)
	if run == nil {
		return p.planAfterMissing(o, record, status)
	}
	told := status.Message
	status.JobName, status.Message = run.JobName, ""
	switch run.Phase {
	case workload.Pending:
		status.State, status.Message = v1alpha1.WorkloadPending, inWordsOf(told, p.pendingTrouble(o.Now, *run))
	case workload.Running:
		status.State = v1alpha1.WorkloadRunning
	case workload.Complete, workload.Failed:
		status.State, status.Message = endedState(*run), endedText(*run)
	case workload.Terminating:
		status.State, status.Message = v1alpha1.WorkloadFailed, "its Job was deleted before it ended"
	}
	return status
}

func (p *Plan) planAfterMissing(o Observed, record v1alpha1.BroadcastRecord, status v1alpha1.AfterEndStatus) v1alpha1.AfterEndStatus {
	spec := specOf(o, status.Name)
	hinders := slices.IndexFunc(o.Runs, func(r workload.Run) bool { return r.Broadcast == record.ID && !r.AfterEnd && !over(r) })
	switch {
	case status.JobName != "":
		status.State, status.Message = v1alpha1.WorkloadFailed, "its Job is gone; how it ended was not seen"
	case o.Domain == "" && spec == nil:
		status.Message = "it waits for the PushDomain, whose template may say what it is"
	case spec == nil || !spec.RunsAfterEnd() || spec.Job == nil:
		status.State, status.Message = v1alpha1.WorkloadFailed, "it was taken out of the spec before it ran"
	case o.Stream.Spec.Suspended():
		status.Message = "it runs when spec.state is Active again"
	case slices.ContainsFunc(record.Recordings, func(r v1alpha1.RecordingStatus) bool { return !recorded(r) }):
		// It is told where the recording is.
		status.Message = ""
	case hinders >= 0:
		status.Message = ""
		if hung := o.Runs[hinders].Hung(o.Now); hung != "" {
			status.Message = fmt.Sprintf("it waits for Job %q: %s", o.Runs[hinders].JobName, hung)
		}
	default:
		p.Start = append(p.Start, Start{Workload: *spec, Part: 1, Ended: &record})
		status.State, status.Message = v1alpha1.WorkloadPending, ""
	}
	return status
}

// AfterEndJobs names the Jobs after ended broadcasts that were made and have not ended, as far as the status knows.
func AfterEndJobs(status v1alpha1.LiveStreamStatus) []string {
	var names []string
	for _, record := range status.History {
		for _, w := range record.AfterEnd {
			if w.JobName != "" && !settled(w.State) {
				names = append(names, w.JobName)
			}
		}
	}
	return names
}

// over says whether nothing of the Job runs any more.
func over(r workload.Run) bool { return r.Phase == workload.Complete || r.Phase == workload.Failed }

// afterEndMessages are the troubles of Jobs that run after the latest broadcast, and what has yet to run.
func afterEndMessages(status v1alpha1.LiveStreamStatus) (pending, failed []string) {
	if len(status.History) == 0 {
		return nil, nil
	}
	for _, w := range status.History[0].AfterEnd {
		switch {
		case w.State == v1alpha1.WorkloadFailed || w.State == v1alpha1.WorkloadPending && w.Message != "":
			failed = append(failed, w.Name+": "+w.Message)
		case !settled(w.State):
			pending = append(pending, w.Name)
		}
	}
	return pending, failed
}

// lengthOf a record, for people.
func lengthOf(record v1alpha1.BroadcastRecord) time.Duration {
	return time.Duration(ptrOr(record.DurationSeconds, 0)) * time.Second
}
