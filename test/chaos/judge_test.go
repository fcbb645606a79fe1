//go:build chaos

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// decisionTime is how long the operator may take from reading that a push is live until the API server has the Job, which is no single step, and
// how old what it read may be: see docs/reliability.md.
const decisionTime = 2*time.Second + 1250*time.Millisecond

// judge looks for violations in what was seen. mayTake is how long what usually takes no time may have taken between two times, for the
// faults of the run.
func (h *history) judge(mayTake func(from, to time.Time) time.Duration) []violation {
	found := slices.Clone(h.found)
	for _, p := range h.pairs {
		var first *job
		if owner := metav1.GetControllerOf(p.first); owner != nil {
			first = h.jobs[owner.UID]
		}
		if first == nil || first.deleting == 0 || first.deleting > p.revision {
			found = append(found, violation{doubled, fmt.Sprintf("Pods %s and %s of one workload are both live\n%s", p.first.Name, p.second.Name, h.story(p))})
		}
	}
	for _, j := range h.jobs {
		found = append(found, h.judgeJob(j, mayTake)...)
	}
	return found
}

// story tells how two Pods came to be.
func (h *history) story(p pair) string {
	var text strings.Builder
	for _, pod := range []*corev1.Pod{p.first, p.second} {
		owner := metav1.GetControllerOf(pod)
		if owner == nil || h.jobs[owner.UID] == nil {
			continue
		}
		j := h.jobs[owner.UID]
		fmt.Fprintf(&text, "Job %s of broadcast %s for push %s: made at %d, told to end at %d\n", j.latest.Name, j.latest.Labels[v1alpha1.LabelBroadcast],
			j.latest.Annotations[v1alpha1.AnnotationSequence], j.created, j.deleting)
		if stream := metav1.GetControllerOf(j.latest); stream != nil && pod == p.second {
			for _, v := range h.streams[stream.UID] {
				fmt.Fprintf(&text, "version %d at %s: %s in broadcast %s of %d before, pushes", v.revision, v.at.Format("05.000"), v.stream.Status.State, v.stream.Status.Broadcast.ID, len(v.stream.Status.History))
				for _, push := range v.stream.Status.Pushes {
					fmt.Fprintf(&text, " %s (%s to %s)", push.Sequence, second(push.StartTime), second(push.EndTime))
				}
				text.WriteString("\n")
			}
		}
	}
	return text.String()
}

func second(at *metav1.Time) string {
	if at == nil {
		return "?"
	}
	return at.Format("05")
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
	if was, is := before.Status.ObservedGeneration, after.Status.ObservedGeneration; is < was {
		found = append(found, violation{disagreement, fmt.Sprintf("the observed generation of %s went from %d back to %d", after.Name, was, is)})
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
func (h *history) judgeJob(j *job, mayTake func(from, to time.Time) time.Duration) []violation {
	owner := metav1.GetControllerOf(j.latest)
	if j.latest.Labels[bystander] != "" || owner == nil {
		return nil
	}
	var found []violation
	versions := h.streams[owner.UID]
	if j.latest.Labels[v1alpha1.LabelRun] == "" {
		found = append(found, judgeStart(j, versions, mayTake)...)
	} else {
		found = append(found, judgeAfterEnd(j, versions)...)
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
		case v.stream.Status.Broadcast.ID == j.latest.Labels[v1alpha1.LabelBroadcast]:
			// Also between two pushes, as long as the window is open.
			found = append(found, violation{wrongStop, fmt.Sprintf("Job %s was stopped while its broadcast was open", j.latest.Name)})
		}
		return found
	}
	return found
}

// judgeAfterEnd asks whether what is to run after a broadcast was started after it.
func judgeAfterEnd(j *job, versions []version) []violation {
	for _, v := range slices.Backward(versions) {
		if v.revision > j.created {
			continue
		}
		if v.stream.Status.Broadcast.ID == j.latest.Labels[v1alpha1.LabelBroadcast] {
			return []violation{{disagreement, fmt.Sprintf("Job %s is to run after its broadcast and was started before the end", j.latest.Name)}}
		}
		return nil
	}
	return nil
}

func judgeStart(j *job, versions []version, mayTake func(from, to time.Time) time.Duration) []violation {
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
	if !silent.IsZero() && j.createdAt.Sub(silent) > decisionTime+mayTake(silent, j.createdAt) {
		return []violation{{resurrection, fmt.Sprintf("Job %s was started %s after the last push had ended", j.latest.Name, j.createdAt.Sub(silent))}}
	}
	return nil
}
