package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// recordingsOf is what a broadcast that ends now has of recordings to come.
func recordingsOf(o Observed, broadcast string) []v1alpha1.RecordingStatus {
	var recordings []v1alpha1.RecordingStatus
	for _, name := range namesOf(o, broadcast) {
		if stores(o, broadcast, name) {
			recordings = append(recordings, v1alpha1.RecordingStatus{Name: name})
		}
	}
	return recordings
}

// stores says whether the workload leaves a recording of this broadcast.
func stores(o Observed, broadcast, name string) bool {
	if run := latestRun(o.Runs, broadcast, name); run != nil {
		return run.Stores
	}
	return workload.Stores(o.Settings, name)
}

// recorded says whether there is nothing more to tell of the recording.
func recorded(r v1alpha1.RecordingStatus) bool { return r.ReadyTime != nil || r.Message != "" }

// planRecordings follows the recordings of ended broadcasts until each is ready, or has failed for good.
func planRecordings(o Observed, p *Plan) {
	for i := range p.Status.History {
		record := &p.Status.History[i]
		persisted := slices.ContainsFunc(o.Stream.Status.History, func(r v1alpha1.BroadcastRecord) bool { return r.ID == record.ID })
		if !persisted || !slices.ContainsFunc(record.Recordings, func(r v1alpha1.RecordingStatus) bool { return !recorded(r) }) {
			continue
		}
		told := *record
		record.Recordings = slices.Clone(record.Recordings)
		for j := range record.Recordings {
			if !recorded(record.Recordings[j]) {
				record.Recordings[j] = p.planRecording(o, told, record.Recordings[j])
			}
		}
	}
}

func (p *Plan) planRecording(o Observed, record v1alpha1.BroadcastRecord, status v1alpha1.RecordingStatus) v1alpha1.RecordingStatus {
	run := latestRun(o.Runs, record.ID, status.Name)
	if run == nil {
		if !workload.Stores(o.Settings, status.Name) {
			status.Message = "its Jobs and its settings are gone"
			return status
		}
		p.finish(record, status.Name, 1)
		return status
	}
	switch {
	case run.Result != nil && run.Result.Ready:
		return ready(status, *run, o.Now)
	case run.Result != nil && run.Result.Nothing:
		status.Message, status.DurationSeconds = "no media came", new(int64)
		return status
	case run.Active() || run.Phase == workload.Terminating && !run.PodsGone:
		return status
	case run.Result != nil && !run.Result.Left && (!run.Told.IsZero() || run.Finish):
		// It had all the time there is. One that left had not, whatever its Pod was told on the way.
		status.URI, status.Message = run.Result.URI, cmp.Or(run.Result.Message, "the recorder gave up")
		return status
	}
	return p.finishAgain(o, record, status, *run)
}

// finishAgain is for a recording whose last Job ended without finishing it.
func (p *Plan) finishAgain(o Observed, record v1alpha1.BroadcastRecord, status v1alpha1.RecordingStatus, last workload.Run) v1alpha1.RecordingStatus {
	tries := 0
	for _, r := range o.Runs {
		if r.Broadcast == record.ID && r.Workload == status.Name && r.Finish {
			tries++
		}
	}
	if tries >= workload.FinishTries {
		status.Message = fmt.Sprintf("%d Jobs could not finish it (%s); its parts are in the storage", tries, cmp.Or(last.Trouble, "the last one said nothing"))
		return status
	}
	if next := last.Finished.Add(time.Duration(tries) * firstBackoff); o.Now.Before(next) {
		p.lookAgainAt(o.Now, next)
		return status
	}
	p.finish(record, status.Name, last.Part+1)
	return status
}

// finish starts a Job that stores and joins what is there.
func (p *Plan) finish(record v1alpha1.BroadcastRecord, name string, part int32) {
	p.Start = append(p.Start, Start{Workload: v1alpha1.Workload{Name: name}, Part: part, Ended: &record, Finish: true})
}

func ready(status v1alpha1.RecordingStatus, run workload.Run, now time.Time) v1alpha1.RecordingStatus {
	result, at := *run.Result, run.Finished
	if at.IsZero() {
		at = now
	}
	status.URI, status.SHA256, status.ReadyTime = result.URI, result.SHA256, new(metav1.NewTime(at.UTC().Truncate(time.Second)))
	status.DurationSeconds, status.SizeBytes = new(result.DurationMilliseconds/1000), new(result.SizeBytes)
	status.Gaps, status.GapSeconds = new(int32(result.Gaps)), new(result.GapMilliseconds/1000) //nolint:gosec // far below 2^31
	status.Message = result.Message
	return status
}

// stopSignalled tells a recorder that its broadcast is over, and ends one that does not end by itself.
func (p *Plan) stopSignalled(o Observed, run workload.Run) {
	stop := Stop{Workload: run.Workload, JobName: run.JobName, UID: run.UID, Broadcast: run.Broadcast, Signal: true}
	if run.Told.IsZero() {
		p.Stop = append(p.Stop, stop)
		return
	}
	// A Job of an older version does not tell what its worker goes by: it has the longest of what is set now.
	patience := cmp.Or(run.Patience, max(workload.Patience(int(o.Settings.Recording.UploadTimeoutSeconds)), workload.Patience(int(o.Settings.Transcoding.UploadTimeoutSeconds))))
	if due := run.Told.Add(patience); o.Now.Before(due) {
		p.lookAgainAt(o.Now, due)
		return
	}
	stop.Signal = false
	p.Stop = append(p.Stop, stop)
}

func recordingOnAir(o Observed, status v1alpha1.LiveStreamStatus, c metav1.Condition) metav1.Condition {
	recorders := slices.DeleteFunc(slices.Clone(status.Workloads), func(w v1alpha1.WorkloadStatus) bool { return !stores(o, status.Broadcast.ID, w.Name) })
	if len(recorders) == 0 {
		return metav1.Condition{}
	}
	var does, lacks []string
	for _, w := range recorders {
		running, not := "the broadcast is being recorded", "nothing records the broadcast at the moment"
		if w.Name == workload.TranscoderName {
			running, not = "the ladder is being stored", "no ladder is stored at the moment"
		}
		if w.State == v1alpha1.WorkloadRunning {
			does = append(does, running)
		} else {
			lacks = append(lacks, not)
		}
	}
	if len(lacks) > 0 {
		lacks = append(lacks, "WorkloadsReady tells why")
	}
	c.Reason, c.Message = v1alpha1.ReasonOnAir, strings.Join(append(does, lacks...), "; ")
	return c
}

// recordingCondition is that of the broadcast on air, or of the latest one; its type is empty where nothing is recorded.
func recordingCondition(o Observed, status v1alpha1.LiveStreamStatus) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionRecordingReady, Status: metav1.ConditionFalse}
	if status.OnAir() {
		return recordingOnAir(o, status, c)
	}
	if len(status.History) == 0 || len(status.History[0].Recordings) == 0 {
		return metav1.Condition{}
	}
	recordings := status.History[0].Recordings
	// What is worst is said; where all is well, where all of it is.
	said := slices.MaxFunc(recordings, func(a, b v1alpha1.RecordingStatus) int { return cmp.Compare(badness(a), badness(b)) })
	switch badness(said) {
	case isReady:
		var uris []string
		for _, r := range recordings {
			if r.Message != "" {
				r.URI += " (" + r.Message + ")"
			}
			uris = append(uris, r.URI)
		}
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonRecorded, strings.Join(uris, " ")
	case isComing:
		c.Reason, c.Message = v1alpha1.ReasonFinishing, "the parts are being stored and joined"
		if why := hindrance(o, status.History[0].ID, said.Name); why != "" {
			c.Message = "its Pod does not run: " + why
			if told := find(status.Conditions, c.Type); told != nil {
				c.Message = inWordsOf(told.Message, c.Message)
			}
		}
	case isEmpty:
		c.Reason, c.Message = v1alpha1.ReasonNoMedia, said.Message
	default:
		c.Reason, c.Message = v1alpha1.ReasonRecordingFailed, said.Message
		if said.URI != "" {
			c.Message += "; what there is is kept in " + said.URI
		}
	}
	return c
}

// hindrance is what keeps the Pod of a recording that is coming from running.
func hindrance(o Observed, broadcast, name string) string {
	run := latestRun(o.Runs, broadcast, name)
	if run == nil {
		return ""
	}
	why := run.Hung(o.Now)
	if run.Phase == workload.Pending {
		why = cmp.Or(why, run.Trouble)
	}
	return why
}

const (
	isReady = iota
	isEmpty
	isFailed
	isComing
)

// badness orders recordings by what a person wants to know first: one that is still coming may yet mend all.
func badness(r v1alpha1.RecordingStatus) int {
	switch {
	case r.ReadyTime != nil:
		return isReady
	case r.Message == "":
		return isComing
	case r.DurationSeconds != nil && *r.DurationSeconds == 0:
		return isEmpty
	default:
		return isFailed
	}
}

func recordingNotices(before, after v1alpha1.LiveStreamStatus) []Notice {
	type key struct{ broadcast, name string }
	known := map[key]bool{}
	for _, record := range before.History {
		for _, r := range record.Recordings {
			known[key{record.ID, r.Name}] = recorded(r)
		}
	}
	var notices []Notice
	for _, record := range after.History {
		for _, r := range record.Recordings {
			was, there := known[key{record.ID, r.Name}]
			what := "the recording"
			if r.Name == workload.TranscoderName {
				what = "the ladder"
			}
			switch {
			case !there || was || !recorded(r):
			case r.ReadyTime != nil:
				notices = append(notices, Notice{Reason: "RecordingReady", Action: "Record", Note: fmt.Sprintf("%s of %d s is at %s", what, ptrOr(r.DurationSeconds, 0), r.URI)})
			default:
				notices = append(notices, Notice{Warning: true, Reason: "RecordingFailed", Action: "Record", Note: what + " is not complete: " + r.Message})
			}
		}
	}
	return notices
}
