//go:build chaos

package chaos

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// decisionTime is how long the operator may take from reading that a push is live until the API server has the Job. There is no
// way to make the two one step: see docs/reliability.md.
const decisionTime = 2 * time.Second

// judge looks for violations in what was seen. stopped says whether an interruption of the push was ever sent; slack is for how
// long the faults of the run held calls up.
func (h *history) judge(stopped func(stream, sequence string) bool, slack time.Duration) []violation {
	found := slices.Clone(h.found)
	for _, p := range h.pairs {
		var first *job
		if owner := metav1.GetControllerOf(p.first); owner != nil {
			first = h.jobs[owner.UID]
		}
		if first == nil || first.deleting == 0 || first.deleting > p.revision {
			found = append(found, violation{doubled, fmt.Sprintf("Pods %s and %s of one workload are both live", p.first.Name, p.second.Name)})
		}
	}
	for _, versions := range h.streams {
		for i := 1; i < len(versions) && h.stopped == nil; i++ {
			found = append(found, compare(versions[i-1].stream, versions[i].stream, stopped)...)
		}
	}
	for _, j := range h.jobs {
		found = append(found, h.judgeJob(j, slack)...)
	}
	return found
}

// compare looks at what one write of a LiveStream did.
func compare(before, after *v1alpha1.LiveStream, stopped func(stream, sequence string) bool) []violation {
	var found []violation
	for _, p := range before.Status.Pushes {
		i := slices.IndexFunc(after.Status.Pushes, func(q v1alpha1.Push) bool { return q.Sequence == p.Sequence })
		switch {
		case i < 0:
			found = append(found, violation{ackedLost, fmt.Sprintf("%s forgot push %s", after.Name, p.Sequence)})
		case p.EndTime != nil && after.Status.Pushes[i].EndTime == nil:
			found = append(found, violation{resurrection, fmt.Sprintf("push %s of %s had ended and is live again", p.Sequence, after.Name)})
		}
	}
	for _, p := range after.Status.Pushes {
		if p.EndTime != nil && !stopped(after.Name, p.Sequence) {
			found = append(found, violation{wrongStop, fmt.Sprintf("push %s of %s ended without an interruption", p.Sequence, after.Name)})
		}
	}
	// Every write carries the version that it rests on, so that a change of the state agrees with the pushes.
	if state := after.Status.State; state != before.Status.State && state != v1alpha1.LiveStreamUnknown && (state == v1alpha1.LiveStreamLive) != live(after) {
		found = append(found, violation{disagreement, fmt.Sprintf("%s became %s, and a push is live: %v", after.Name, state, live(after))})
	}
	if id := before.Status.Broadcast.ID; id != "" && after.Status.Broadcast.ID != id && live(before) && live(after) && !after.Spec.Suspended() {
		found = append(found, violation{wrongStop, fmt.Sprintf("broadcast %s of %s ended while a push was live", id, after.Name)})
	}
	return found
}

func live(s *v1alpha1.LiveStream) bool {
	return slices.ContainsFunc(s.Status.Pushes, func(p v1alpha1.Push) bool { return p.EndTime == nil })
}

// judgeJob asks whether the Job was made, and ended, rightly.
func (h *history) judgeJob(j *job, slack time.Duration) []violation {
	owner := metav1.GetControllerOf(j.latest)
	if j.latest.Labels[bystander] != "" || owner == nil {
		return nil
	}
	var found []violation
	versions := h.streams[owner.UID]
	if j.latest.Labels[v1alpha1.LabelRun] == "" {
		found = append(found, judgeStart(j, versions, slack)...)
	}
	if j.deleting == 0 {
		return found
	}
	for _, v := range slices.Backward(versions) {
		if v.revision > j.deleting {
			continue
		}
		going := v.gone || v.stream.DeletionTimestamp != nil
		switch {
		case going:
		case j.finishedFirst:
			found = append(found, violation{wrongStop, fmt.Sprintf("Job %s had ended by itself and was deleted, its Pod and log with it", j.latest.Name)})
		case v.stream.Status.Broadcast.ID == j.latest.Labels[v1alpha1.LabelBroadcast] && live(v.stream):
			found = append(found, violation{wrongStop, fmt.Sprintf("Job %s was stopped while its broadcast was on air", j.latest.Name)})
		}
		return found
	}
	return found
}

func judgeStart(j *job, versions []version, slack time.Duration) []violation {
	sequence := j.latest.Annotations[v1alpha1.AnnotationSequence]
	wasLive := false
	var silent time.Time
	for _, v := range versions {
		if v.revision > j.created {
			break
		}
		for _, p := range v.stream.Status.Pushes {
			wasLive = wasLive || p.Sequence == sequence && p.EndTime == nil
		}
		switch {
		case live(v.stream):
			silent = time.Time{}
		case silent.IsZero():
			silent = v.at
		}
	}
	if !wasLive {
		return []violation{{resurrection, fmt.Sprintf("Job %s was started for push %s, which never was live", j.latest.Name, sequence)}}
	}
	if !silent.IsZero() && j.createdAt.Sub(silent) > decisionTime+slack {
		return []violation{{resurrection, fmt.Sprintf("Job %s was started %s after the last push had ended", j.latest.Name, j.createdAt.Sub(silent))}}
	}
	return nil
}
