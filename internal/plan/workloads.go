package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// troubleAfter is how long a Job may be without a ready Pod before the status says why: a Pod that just waits for its node or
// its image is no trouble, and each message is a write.
const troubleAfter = 10 * time.Second

// planWorkloads fills in what to start and stop, and where each workload stands.
func planWorkloads(o Observed, c course, p *Plan) {
	current := ""
	if c.broadcast != nil {
		current = c.broadcast.ID
	}
	p.stopOthers(o, current)
	if c.broadcast == nil {
		p.Status.Workloads = afterwards(o, c)
		wanted := slices.DeleteFunc(slices.Clone(o.Settings.Workloads), func(w v1alpha1.Workload) bool { return w.RunsAfterEnd() })
		p.Status.WorkloadSummary = fmt.Sprintf("0/%d", len(wanted))
		return
	}
	p.Status.Workloads = nil
	running, whileLive := 0, 0
	for _, name := range namesOf(o, current) {
		status := p.planOne(o, c, name)
		if status.State != v1alpha1.WorkloadScheduled {
			whileLive++
		}
		if status.State == v1alpha1.WorkloadRunning {
			running++
		}
		p.Status.Workloads = append(p.Status.Workloads, status)
	}
	p.Status.WorkloadSummary = fmt.Sprintf("%d/%d", running, whileLive)
}

// stopOthers ends the Jobs of all broadcasts but the current one, "" for none.
func (p *Plan) stopOthers(o Observed, current string) {
	for _, run := range o.Runs {
		switch {
		case run.Broadcast == current || !run.Active() || run.AfterEnd || run.Finish:
		case run.Signals:
			p.stopSignalled(o, run)
		default:
			p.Stop = append(p.Stop, Stop{Workload: run.Workload, JobName: run.JobName, UID: run.UID, Broadcast: run.Broadcast})
		}
	}
}

// namesOf lists the workloads of the broadcast: those of the spec when it began, whatever the spec says now.
func namesOf(o Observed, broadcast string) []string {
	var names []string
	if status := &o.Stream.Status; status.Broadcast.ID == broadcast && !promised(o, broadcast) {
		for _, w := range status.Workloads {
			names = append(names, w.Name)
		}
	} else {
		for _, w := range o.Settings.Workloads {
			names = append(names, w.Name)
		}
	}
	for _, run := range o.Runs {
		if run.Broadcast == broadcast && !slices.Contains(names, run.Workload) {
			names = append(names, run.Workload)
		}
	}
	return names
}

// promised says whether the status lists workloads of the broadcast and nothing was done for any of them yet: who wrote it when the
// broadcast began may have known an older spec than the pass that begins them.
func promised(o Observed, broadcast string) bool {
	begun := func(w v1alpha1.WorkloadStatus) bool {
		return w.State != v1alpha1.WorkloadScheduled && w.State != v1alpha1.WorkloadPending || w.JobName != "" || w.Scale.Name != ""
	}
	workloads := o.Stream.Status.Workloads
	return o.Domain != "" && !slices.ContainsFunc(workloads, begun) &&
		slices.ContainsFunc(workloads, func(w v1alpha1.WorkloadStatus) bool { return w.State == v1alpha1.WorkloadPending }) &&
		!slices.ContainsFunc(o.Runs, func(run workload.Run) bool { return run.Broadcast == broadcast })
}

func (p *Plan) planOne(o Observed, c course, name string) v1alpha1.WorkloadStatus {
	previous := previousStatus(o, c.broadcast.ID, name)
	latest := latestRun(o.Runs, c.broadcast.ID, name)
	spec := specOf(o, name)
	fresh := previous.Part == 0 && latest == nil && spec != nil
	switch {
	case previous.State == v1alpha1.WorkloadScheduled, fresh && spec.RunsAfterEnd():
		return v1alpha1.WorkloadStatus{Name: name, State: v1alpha1.WorkloadScheduled}
	case previous.Scale.Name != "", fresh && spec.Scales():
		return planScale(o, previous, spec)
	default:
		return p.planJob(o, c, previous, latest, spec)
	}
}

// planJob is for a workload that was a Job when the broadcast began; what the spec makes of it now counts in the next one.
func (p *Plan) planJob(o Observed, c course, previous v1alpha1.WorkloadStatus, latest *workload.Run, spec *v1alpha1.Workload) v1alpha1.WorkloadStatus {
	spec = whileLive(spec)
	// Only a live push starts anything: in the window what runs is left alone, and what does not has nothing to pull.
	mayStart := c.state == v1alpha1.LiveStreamLive && spec != nil && o.Domain != ""
	if latest == nil {
		return p.planMissing(o, previous, spec, mayStart)
	}
	status := v1alpha1.WorkloadStatus{Name: previous.Name, State: v1alpha1.WorkloadPending, JobName: latest.JobName, Part: latest.Part}
	latest = withReady(latest, previous)
	p.Again.Podless = p.Again.Podless || podless(previous, *latest)
	if !latest.Ready.IsZero() {
		status.StartTime = new(metav1.NewTime(latest.Ready))
	}
	switch latest.Phase {
	case workload.Running:
		status.State, status.Message = v1alpha1.WorkloadRunning, runningMessage(previous, *latest)
	case workload.Pending:
		status.Message = p.planPending(o.Now, previous, *latest, mayStart)
	case workload.Terminating:
		// Somebody else deleted it, or its node is lost. Its name is taken until it is gone, so the next part does not wait.
		status.State, status.Message = v1alpha1.WorkloadWaiting, "the Job was deleted while the stream is on air"
		if spec == nil && o.Domain != "" {
			status.State = v1alpha1.WorkloadStopped
			status.Message += ", and the spec does not start it again"
		}
		if mayStart {
			return p.start(*spec, latest.Part+1)
		}
	case workload.Complete, workload.Failed:
		return p.planEnded(o, previous, status, *latest, spec, mayStart)
	}
	return status
}

// whileLive is the workload where the spec still has it as a Job while the stream is on air, nil otherwise.
func whileLive(spec *v1alpha1.Workload) *v1alpha1.Workload {
	if spec == nil || spec.Job == nil || spec.RunsAfterEnd() {
		return nil
	}
	return spec
}

// podless says whether a Job that was made again has no Pod yet, or is not even seen yet.
func podless(previous v1alpha1.WorkloadStatus, latest workload.Run) bool {
	return latest.Phase == workload.Pending && latest.Part > 1 && latest.Pod == "" || previous.Part > latest.Part && previous.JobName != ""
}

// withReady has what the status knows of a Job whose Pod is gone, or is not heard of, as with its node: when it became ready.
func withReady(run *workload.Run, previous v1alpha1.WorkloadStatus) *workload.Run {
	if run.Phase == workload.Terminating || !run.Ready.IsZero() || previous.JobName != run.JobName || previous.StartTime == nil || run.PodMade.After(previous.StartTime.Time) {
		return run
	}
	known := *run
	known.Ready = previous.StartTime.Time
	return &known
}

// runningMessage is how a worker gets on. Until it tells, after a change of leader too, what it told before stays.
func runningMessage(previous v1alpha1.WorkloadStatus, run workload.Run) string {
	switch {
	case run.Progress != nil:
		return run.Progress.Sentence()
	case run.Signals && previous.State == v1alpha1.WorkloadRunning && previous.JobName == run.JobName:
		return previous.Message
	default:
		return ""
	}
}

// planMissing is for a workload without a Job. The name of the Job follows from the part, so that making it again is harmless
// where it is there and the cache does not know. One that the status knows is asked for by its name before the next part is made.
func (p *Plan) planMissing(o Observed, previous v1alpha1.WorkloadStatus, spec *v1alpha1.Workload, mayStart bool) v1alpha1.WorkloadStatus {
	part := max(1, previous.Part)
	if previous.State == v1alpha1.WorkloadWaiting || previous.JobName != "" {
		// It had ended and was cleaned up since, or somebody deleted it, and its Pod may still end: the next one must not write to the same files.
		part++
	}
	if mayStart {
		return p.start(*spec, part)
	}
	had := previous.JobName != "" && !settled(previous.State)
	switch {
	case o.Domain == "":
		previous.Message = "the PushDomain does not exist, so nothing is started"
	case had && spec == nil:
		previous.State, previous.Message = v1alpha1.WorkloadStopped, "its Job is gone, and the spec does not start it again"
	case had && previous.State != v1alpha1.WorkloadWaiting:
		previous.State, previous.Message = v1alpha1.WorkloadWaiting, "its Job is gone; it starts again when the push is back"
	}
	return previous
}

func (p *Plan) start(w v1alpha1.Workload, part int32) v1alpha1.WorkloadStatus {
	p.Start = append(p.Start, Start{Workload: w, Part: part})
	return v1alpha1.WorkloadStatus{Name: w.Name, State: v1alpha1.WorkloadPending, Part: part}
}

func (p *Plan) planEnded(o Observed, previous, status v1alpha1.WorkloadStatus, run workload.Run, spec *v1alpha1.Workload, mayStart bool) v1alpha1.WorkloadStatus {
	ended := endedText(run)
	switch {
	case spec == nil:
		status.State, status.Message = endedState(run), ended
	case mayStart:
		next := run.Finished.Add(backoff(run))
		switch {
		case o.Now.Before(next):
			p.lookAgainAt(o.Now, next)
		case p.hasTurn(o, previous, run):
			return p.start(*spec, run.Part+1)
		default:
			// Its turn brings it; this is for a turn that got lost.
			p.lookAgainAt(o.Now, o.Now.Add(longestBackoff))
		}
		status.State = v1alpha1.WorkloadWaiting
		status.Message = fmt.Sprintf("%s while the stream is on air; part %d starts no sooner than %s", ended, run.Part+1, next.UTC().Format(time.RFC3339))
	default:
		status.State = v1alpha1.WorkloadWaiting
		status.Message = ended + " while the stream is on air; it starts again when the push is back"
	}
	return status
}

// hasTurn says whether the next part of a Job that ended may be made now, and counts it among those that are due where it needs a turn.
func (p *Plan) hasTurn(o Observed, previous v1alpha1.WorkloadStatus, run workload.Run) bool {
	if !needsTurn(o, previous, run) {
		return true
	}
	p.Again.add(run.Part)
	return !o.HoldAgain
}

// podlessEvery is how often a Job without a ready Pod is looked at again: what keeps its Pods from being made changes nothing
// that is watched.
const podlessEvery = 30 * time.Second

// planPending says why the Job has no ready Pod.
func (p *Plan) planPending(now time.Time, previous v1alpha1.WorkloadStatus, latest workload.Run, mayStart bool) string {
	if mayStart && latest.Signals && latest.Abandoned(now) {
		// It records nothing any more. Once its Job is deleted, the next part does.
		p.Stop = append(p.Stop, Stop{Workload: latest.Workload, JobName: latest.JobName, UID: latest.UID, Broadcast: latest.Broadcast, Abandoned: true})
	}
	told := ""
	if previous.State == v1alpha1.WorkloadPending && previous.Part == latest.Part {
		told = previous.Message
	}
	return inWordsOf(told, p.pendingTrouble(now, latest))
}

func (p *Plan) pendingTrouble(now time.Time, run workload.Run) string {
	tell := run.Created.Add(troubleAfter)
	if now.Before(tell) {
		p.lookAgainAt(now, tell)
		return ""
	}
	p.lookAgainAt(now, now.Add(podlessEvery))
	return cmp.Or(run.Hung(now), run.Trouble)
}

// afterwards is where the workloads of the last broadcast stand while no broadcast is open.
func afterwards(o Observed, c course) []v1alpha1.WorkloadStatus {
	if len(c.history) == 0 {
		return nil
	}
	broadcast := c.history[0].ID
	// Those that run after the broadcast stand in its record.
	statuses := slices.DeleteFunc(slices.Clone(o.Stream.Status.Workloads), func(w v1alpha1.WorkloadStatus) bool { return w.State == v1alpha1.WorkloadScheduled })
	for i := range statuses {
		if statuses[i].Scale.Name != "" {
			statuses[i] = v1alpha1.WorkloadStatus{Name: statuses[i].Name, State: v1alpha1.WorkloadStopped, Message: givenBack(o, statuses[i])}
		}
		if !settled(statuses[i].State) {
			statuses[i] = windDown(statuses[i], latestRun(o.Runs, broadcast, statuses[i].Name), o.Now)
		}
	}
	return statuses
}

// settled says whether the workload has nothing more to tell: how it ended may be gone from the cluster by now.
func settled(s v1alpha1.WorkloadState) bool {
	return s == v1alpha1.WorkloadStopped || s == v1alpha1.WorkloadCompleted || s == v1alpha1.WorkloadFailed
}

func windDown(status v1alpha1.WorkloadStatus, run *workload.Run, now time.Time) v1alpha1.WorkloadStatus {
	switch {
	case run == nil && status.JobName == "":
		status.State, status.Message = v1alpha1.WorkloadStopped, "the broadcast ended before its Job was made"
	case run == nil:
		status.State, status.Message = v1alpha1.WorkloadStopped, "ended after the broadcast; its exit code was not seen"
	case run.Phase == workload.Complete, run.Phase == workload.Failed:
		status.State, status.Message = endedState(*run), endedText(*run)
	case run.Phase == workload.Terminating && run.PodsGone && run.Trouble != "":
		status.State, status.Message = v1alpha1.WorkloadStopped, "ended after the broadcast with "+run.Trouble
	default:
		status.State, status.Message = v1alpha1.WorkloadStopping, run.Hung(now)
	}
	return status
}

func endedState(run workload.Run) v1alpha1.WorkloadState {
	if run.Phase == workload.Complete {
		return v1alpha1.WorkloadCompleted
	}
	return v1alpha1.WorkloadFailed
}

func endedText(run workload.Run) string {
	text := "the Job failed"
	if run.Phase == workload.Complete {
		text = "the Job completed"
	}
	if run.Trouble != "" {
		text += " (" + run.Trouble + ")"
	}
	return text
}

func previousStatus(o Observed, broadcast, name string) v1alpha1.WorkloadStatus {
	if status := &o.Stream.Status; status.Broadcast.ID == broadcast {
		for _, w := range status.Workloads {
			if w.Name == name {
				return w
			}
		}
	}
	return v1alpha1.WorkloadStatus{Name: name, State: v1alpha1.WorkloadPending}
}

// latestRun is the workload's Job with the highest part; runs are sorted by it.
func latestRun(runs []workload.Run, broadcast, name string) *workload.Run {
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].Broadcast == broadcast && runs[i].Workload == name {
			return &runs[i]
		}
	}
	return nil
}

func specOf(o Observed, name string) *v1alpha1.Workload {
	for i, w := range o.Settings.Workloads {
		if w.Name == name {
			return &o.Settings.Workloads[i]
		}
	}
	return nil
}
