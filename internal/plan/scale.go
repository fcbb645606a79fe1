package plan

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// TargetRef names a scale target within the LiveStream's namespace.
type TargetRef struct{ APIVersion, Kind, Name string }

// String is the target as messages name it.
func (t TargetRef) String() string { return t.Kind + " " + fmt.Sprintf("%q", t.Name) }

// Key is the target as an index holds it; none of its parts can hold a blank.
func (t TargetRef) Key() string { return t.APIVersion + " " + t.Kind + " " + t.Name }

// Target is a scale target as it was seen last.
type Target struct {
	// Wanted is the sum of all shares, Asked what the target was told, Have how many replicas it has.
	Wanted, Asked, Have int32
	// Reached is how many of Wanted there were already: with fewer it has lost some, with as many it only has to grow.
	Reached int32
	// Problem says why it cannot be scaled, and what to do; "" when it can.
	Problem string
	// Trouble says what has kept it from being looked at or scaled for a while, and may pass; "" when nothing has. All else is from before.
	Trouble string
}

// After is the target with what it reached, seen after it was seen before. Running is what is known otherwise, for one after a restart: the sum
// of the RunningShares.
func (t Target) After(before Target, running int32) Target {
	if t.Problem == "" {
		t.Reached = min(t.Wanted, max(before.Reached, t.Have, running))
	}
	return t
}

func refOf(s v1alpha1.WorkloadScale) TargetRef { return TargetRef{s.APIVersion, s.Kind, s.Name} }

func refOfShare(s v1alpha1.ScaleShare) TargetRef { return TargetRef{s.APIVersion, s.Kind, s.Name} }

// TargetsOf lists the targets that the stream has, or may have, a share in: those of its settings and of its open broadcast.
func TargetsOf(stream *v1alpha1.LiveStream, settings v1alpha1.LiveStreamSettings) []TargetRef {
	var refs []TargetRef
	for _, w := range settings.Workloads {
		if w.Scales() {
			refs = append(refs, refOf(w.Scale))
		}
	}
	for _, w := range stream.Status.Workloads {
		if w.Scale.Name != "" {
			refs = append(refs, refOfShare(w.Scale))
		}
	}
	slices.SortFunc(refs, func(a, b TargetRef) int {
		return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(refs)
}

// Share is how many replicas of the target the stream asks for. While a broadcast is open that is what its status says, as
// the spec was when it began; otherwise the idle share of its settings. One that is deleted, suspended or a duplicate has none.
func Share(stream *v1alpha1.LiveStream, settings v1alpha1.LiveStreamSettings, target TargetRef) int32 {
	if rests(stream) {
		return 0
	}
	share := int32(0)
	pinned := map[string]bool{}
	if stream.Status.OnAir() {
		for _, w := range stream.Status.Workloads {
			pinned[w.Name] = true
			if refOfShare(w.Scale) == target {
				share += ptrOr(w.Scale.Replicas, 0)
			}
		}
	}
	for _, w := range settings.Workloads {
		if w.Scales() && !pinned[w.Name] && refOf(w.Scale) == target {
			share += w.Scale.Idle()
		}
	}
	return share
}

// RunningShare is the part of its Share that the stream's status says runs.
func RunningShare(stream *v1alpha1.LiveStream, target TargetRef) int32 {
	if rests(stream) || !stream.Status.OnAir() {
		return 0
	}
	share := int32(0)
	for _, w := range stream.Status.Workloads {
		if refOfShare(w.Scale) == target && w.State == v1alpha1.WorkloadRunning {
			share += ptrOr(w.Scale.Replicas, 0)
		}
	}
	return share
}

// rests says whether the stream has no share, on air or not.
func rests(stream *v1alpha1.LiveStream) bool {
	return !stream.DeletionTimestamp.IsZero() || stream.Spec.Suspended() || duplicate(stream)
}

func duplicate(stream *v1alpha1.LiveStream) bool {
	ready := meta.FindStatusCondition(stream.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonDuplicateStream
}

// planScale is where a workload stands that scales something. Its share is what the spec said when the broadcast began.
func planScale(o Observed, previous v1alpha1.WorkloadStatus, spec *v1alpha1.Workload) v1alpha1.WorkloadStatus {
	status := previous
	if status.Scale.Name == "" {
		s := spec.Scale
		status.Scale = v1alpha1.ScaleShare{APIVersion: s.APIVersion, Kind: s.Kind, Name: s.Name, Replicas: new(s.Live())}
		status.State, status.Message = v1alpha1.WorkloadPending, ""
		// What the target has now was not asked for this broadcast.
		return status
	}
	target, seen := o.Targets[refOfShare(status.Scale)]
	switch {
	case !seen:
		// After a restart nothing is known for a moment, and nothing has changed.
	case target.Problem != "":
		status.State, status.Message = v1alpha1.WorkloadFailed, target.Problem
	case target.Trouble != "":
		status.Message = target.Trouble
	case target.Wanted < ptrOr(status.Scale.Replicas, 0):
		// The sum does not have this share yet.
	case target.Asked != target.Wanted:
		status.State = v1alpha1.WorkloadRunning
		if min(target.Asked, target.Have) < target.Wanted {
			status.State = v1alpha1.WorkloadPending
		}
		status.Message = fmt.Sprintf("%s is set to %d replicas by something else; the streams on air ask for %d", refOfShare(status.Scale), target.Asked, target.Wanted)
	case target.Have < target.Reached, target.Have < target.Wanted && status.State != v1alpha1.WorkloadRunning:
		// What runs goes on while the target grows for another stream.
		status.State, status.Message = v1alpha1.WorkloadPending, ""
	default:
		status.State, status.Message = v1alpha1.WorkloadRunning, ""
	}
	return status
}

// givenBack is what the end of the broadcast made of the share of a workload.
func givenBack(o Observed, w v1alpha1.WorkloadStatus) string {
	spec := specOf(o, w.Name)
	keeps := spec != nil && spec.Scales() && refOf(spec.Scale) == refOfShare(w.Scale) && spec.Scale.Idle() > 0
	if keeps && !o.Stream.Spec.Suspended() && o.DuplicateOf == "" {
		return "it asks for no more of its target than replicasWhileIdle"
	}
	return "it asks for no replicas of its target any more"
}

// targetProblems are the problems of the targets that the stream has a share in, by workload.
func targetProblems(o Observed) []Failure {
	var failures []Failure
	for _, w := range o.Settings.Workloads {
		switch target := o.Targets[refOf(w.Scale)]; {
		case !w.Scales():
		case target.Problem != "":
			failures = append(failures, Failure{Workload: w.Name, Reason: v1alpha1.ReasonTargetUnavailable, Message: target.Problem, Permanent: true})
		case target.Trouble != "":
			failures = append(failures, Failure{Workload: w.Name, Reason: v1alpha1.ReasonRetrying, Message: target.Trouble})
		}
	}
	return failures
}
