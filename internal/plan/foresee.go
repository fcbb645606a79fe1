package plan

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// Foresee is the status that new pushes make of the observed one, for who writes them and knows neither Jobs nor targets: what Compute
// and Report would say after them, less what only Jobs tell. It is false where that does not follow from the pushes alone, for one where
// a broadcast ends; then they are written by themselves.
func Foresee(o Observed, pushes []v1alpha1.Push) (v1alpha1.LiveStreamStatus, bool) {
	if !inStep(o) {
		return v1alpha1.LiveStreamStatus{}, false
	}
	o.Now = o.Now.UTC().Truncate(time.Microsecond)
	stream := *o.Stream
	stream.Status.Pushes = pushes
	o.Stream, o.Runs, o.Targets = &stream, nil, nil
	c := follow(o)
	begins := c.broadcast != nil && !stream.Status.OnAir()
	switch {
	case c.broadcast == nil && stream.Status.OnAir():
		// What ends goes into the history with its Jobs.
		return v1alpha1.LiveStreamStatus{}, false
	case begins && slices.ContainsFunc(o.Settings.Workloads, func(w v1alpha1.Workload) bool { return w.Scales() }):
		// What is scaled has to be held by a finalizer first.
		return v1alpha1.LiveStreamStatus{}, false
	case begins && slices.ContainsFunc(stream.Status.Workloads, func(w v1alpha1.WorkloadStatus) bool { return w.JobName != "" }):
		// The status may be all that tells of a Job of the last broadcast, where a cache is behind: the next one must not start beside it.
		return v1alpha1.LiveStreamStatus{}, false
	}
	p := Plan{Status: stream.Status}
	p.settle(o, c)
	if begins {
		planWorkloads(o, c, &p)
	}
	status := p.Status
	status.Conditions = slices.Clone(status.Conditions)
	set := func(condition metav1.Condition) {
		condition.ObservedGeneration = stream.Generation
		status.Conditions = withCondition(status.Conditions, condition, o.Now.Truncate(time.Second))
	}
	if ready := find(status.Conditions, v1alpha1.ConditionReady); ready.Status == metav1.ConditionTrue {
		// What is wrong with it, no push tells.
		set(readyCondition(o, status, nil))
	}
	set(liveCondition(status, o))
	set(workloadsCondition(status, o))
	return status, true
}

// inStep says whether the status is what a pass, or Foresee, made of its own pushes and of the spec as it is. Where it is not, a
// Job may be there that it does not tell of, or something else is about to be written that a push must not overtake.
func inStep(o Observed) bool {
	if !seenAsItIs(o) {
		return false
	}
	status := &o.Stream.Status
	live := push.Live(status.Pushes)
	switch status.State {
	case v1alpha1.LiveStreamLive:
		return status.OnAir() && len(live) > 0 && !slices.ContainsFunc(live, func(p v1alpha1.Push) bool { return !slices.Contains(status.Broadcast.Sequences, p.Sequence) })
	case v1alpha1.LiveStreamInterrupted:
		return status.OnAir() && len(live) == 0
	case v1alpha1.LiveStreamIdle:
		return !status.OnAir() && len(live) == 0 && !slices.ContainsFunc(status.Pushes, func(p v1alpha1.Push) bool { return !endedBefore(p, status.Since.Time) })
	default:
		return false
	}
}

// seenAsItIs says whether a pass has seen the LiveStream as it is now, and runs it.
func seenAsItIs(o Observed) bool {
	status := &o.Stream.Status
	if o.Domain == "" || status.Domain != o.Domain || o.DuplicateOf != "" || o.Stream.Spec.Suspended() || o.Stream.DeletionTimestamp != nil {
		return false
	}
	ready := find(status.Conditions, v1alpha1.ConditionReady)
	return status.ObservedGeneration == o.Stream.Generation && status.Since != nil &&
		ready != nil && ready.Reason != v1alpha1.ReasonDuplicateStream && ready.Reason != v1alpha1.ReasonPushDomainNotFound
}

// endedBefore says whether the end of the push was recorded before the given time for sure: times of pushes are kept in seconds. One
// that came and went unseen by any pass since may have left a Job.
func endedBefore(p v1alpha1.Push, since time.Time) bool {
	return p.RecordedTime != nil && p.RecordedTime.Truncate(time.Second).Add(time.Second).Before(since)
}
