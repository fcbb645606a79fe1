package plan

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

var (
	packagerRef = TargetRef{"apps/v1", "Deployment", "packager"}
	cacheRef    = TargetRef{"apps/v1", "StatefulSet", "cache"}
)

// scales is a workload with a share; below 0 is unset.
func scales(name string, ref TargetRef, live, idle int32) v1alpha1.Workload {
	s := v1alpha1.WorkloadScale{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name}
	if live >= 0 {
		s.ReplicasWhileLive = &live
	}
	if idle >= 0 {
		s.ReplicasWhileIdle = &idle
	}
	return v1alpha1.Workload{Name: name, Scale: s}
}

// shares is where a workload stands that scales in the open broadcast.
func shares(name string, ref TargetRef, replicas int32) v1alpha1.WorkloadStatus {
	return v1alpha1.WorkloadStatus{Name: name, State: v1alpha1.WorkloadRunning, Scale: v1alpha1.ScaleShare{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, Replicas: &replicas}}
}

func onAirWith(workloads ...v1alpha1.WorkloadStatus) func(*v1alpha1.LiveStream) {
	return func(s *v1alpha1.LiveStream) {
		s.Status.Broadcast.ID, s.Status.Workloads = "b", workloads
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	record := v1alpha1.Workload{Name: "record", Job: &batchv1.JobTemplateSpec{}}
	condition := func(reason string) func(*v1alpha1.LiveStream) {
		return func(s *v1alpha1.LiveStream) {
			s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason}}
		}
	}
	type workloads = []v1alpha1.Workload
	type changes = []func(*v1alpha1.LiveStream)
	for _, row := range []struct {
		name     string
		settings workloads
		stream   changes
		want     int32
	}{
		{"an idle stream asks for its idle share", workloads{scales("a", packagerRef, 3, 2)}, nil, 2},
		{"unset it is 0", workloads{scales("a", packagerRef, 3, -1)}, nil, 0},
		{"a stream on air asks for what its broadcast has", workloads{scales("a", packagerRef, 9, 2)}, changes{onAirWith(shares("a", packagerRef, 3))}, 3},
		{"of 0 replicas as well", workloads{scales("a", packagerRef, 9, 2)}, changes{onAirWith(shares("a", packagerRef, 0))}, 0},
		{"two workloads of one target add up", workloads{scales("a", packagerRef, 3, 2), scales("b", packagerRef, 4, 5)}, nil, 7},
		{"on air too", workloads{scales("a", packagerRef, 3, 2), scales("b", packagerRef, 4, 5)}, changes{onAirWith(shares("a", packagerRef, 3), shares("b", packagerRef, 4))}, 7},
		{"other targets do not count", workloads{scales("a", cacheRef, 3, 2)}, changes{onAirWith(shares("a", cacheRef, 3))}, 0},
		{"a target of the same name and another kind is another", workloads{scales("a", TargetRef{"apps/v1", "StatefulSet", "packager"}, 3, 2)}, nil, 0},
		{"a workload that was added while on air has its idle share until the next broadcast", workloads{scales("a", packagerRef, 3, 2), scales("new", packagerRef, 4, 5)}, changes{onAirWith(shares("a", packagerRef, 3))}, 8},
		{"one that was taken out keeps its share until the broadcast ends", nil, changes{onAirWith(shares("a", packagerRef, 3))}, 3},
		{"one that names another target now keeps the first until the broadcast ends", workloads{scales("a", cacheRef, 3, 2)}, changes{onAirWith(shares("a", packagerRef, 3))}, 3},
		{"one that became a Job keeps its share until the broadcast ends", workloads{{Name: "a", Job: &batchv1.JobTemplateSpec{}}}, changes{onAirWith(shares("a", packagerRef, 3))}, 3},
		{"what the last broadcast had does not count", workloads{scales("a", packagerRef, 3, 2)}, changes{func(s *v1alpha1.LiveStream) {
			s.Status.Workloads = []v1alpha1.WorkloadStatus{shares("a", packagerRef, 3)}
		}}, 2},
		{"Jobs have none", workloads{record}, changes{onAirWith(v1alpha1.WorkloadStatus{Name: "record"})}, 0},
		{"a suspended stream has none", workloads{scales("a", packagerRef, 3, 2)}, changes{func(s *v1alpha1.LiveStream) { s.Spec.State = v1alpha1.LiveStreamSuspended }}, 0},
		{"a suspended stream has none even before its broadcast is ended", workloads{scales("a", packagerRef, 3, 2)}, changes{onAirWith(shares("a", packagerRef, 3)), func(s *v1alpha1.LiveStream) { s.Spec.State = v1alpha1.LiveStreamSuspended }}, 0},
		{"a deleted stream has none", workloads{scales("a", packagerRef, 3, 2)}, changes{onAirWith(shares("a", packagerRef, 3)), func(s *v1alpha1.LiveStream) { s.DeletionTimestamp = new(metav1.NewTime(showTime)) }}, 0},
		{"a duplicate has none", workloads{scales("a", packagerRef, 3, 2)}, changes{condition(v1alpha1.ReasonDuplicateStream)}, 0},
		{"one that is not ready for another reason has its own", workloads{scales("a", packagerRef, 3, 2)}, changes{condition(v1alpha1.ReasonRetrying)}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			stream := newWorld().stream
			for _, change := range row.stream {
				change(stream)
			}
			if got := Share(stream, v1alpha1.LiveStreamSettings{Workloads: row.settings}, packagerRef); got != row.want {
				t.Errorf("Share() = %d, want %d", got, row.want)
			}
		})
	}
}

func TestRunningShare(t *testing.T) {
	t.Parallel()
	as := func(state v1alpha1.WorkloadState, status v1alpha1.WorkloadStatus) v1alpha1.WorkloadStatus {
		status.State = state
		return status
	}
	running := shares("a", packagerRef, 3)
	for _, row := range []struct {
		name   string
		change func(*v1alpha1.LiveStream)
		want   int32
	}{
		{"what runs counts", onAirWith(running, shares("b", packagerRef, 2)), 5},
		{"what is pending or failed does not", onAirWith(running, as(v1alpha1.WorkloadPending, shares("b", packagerRef, 2)), as(v1alpha1.WorkloadFailed, shares("c", packagerRef, 4))), 3},
		{"nor what another target has", onAirWith(shares("a", cacheRef, 3)), 0},
		{"nor what the last broadcast had", func(s *v1alpha1.LiveStream) { s.Status.Workloads = []v1alpha1.WorkloadStatus{running} }, 0},
		{"nor what is suspended", func(s *v1alpha1.LiveStream) {
			onAirWith(running)(s)
			s.Spec.State = v1alpha1.LiveStreamSuspended
		}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			stream := newWorld().stream
			row.change(stream)
			if got := RunningShare(stream, packagerRef); got != row.want {
				t.Errorf("RunningShare() = %d, want %d", got, row.want)
			}
		})
	}
}

func TestATargetRemembersHowManyItHad(t *testing.T) {
	t.Parallel()
	seen := Target{}
	for _, step := range []struct {
		name    string
		now     Target
		running int32
		want    int32
	}{
		{"it is seen while it grows for a second stream", Target{Wanted: 4, Asked: 4, Have: 2}, 2, 2},
		{"it has grown", Target{Wanted: 4, Asked: 4, Have: 4}, 2, 4},
		{"it grows for a third", Target{Wanted: 6, Asked: 6, Have: 5}, 4, 5},
		{"it loses two", Target{Wanted: 6, Asked: 6, Have: 3}, 4, 5},
		{"a stream is over", Target{Wanted: 4, Asked: 4, Have: 3}, 0, 4},
		{"something else adds more", Target{Wanted: 4, Asked: 9, Have: 9}, 4, 4},
		{"it is gone", Target{Wanted: 4, Problem: "create it"}, 0, 0},
		{"it is made anew", Target{Wanted: 4, Asked: 4, Have: 1}, 0, 1},
	} {
		if seen = step.now.After(seen, step.running); seen.Reached != step.want {
			t.Errorf("%s: Reached = %d, want %d", step.name, seen.Reached, step.want)
		}
	}
	if got := (Target{Wanted: 4, Asked: 4, Have: 3}).After(Target{}, 4); got.Reached != 4 {
		t.Errorf("it lost one while no operator ran: Reached = %d, want 4", got.Reached)
	}
}

func TestTargetsOf(t *testing.T) {
	t.Parallel()
	stream := newWorld().stream
	settings := v1alpha1.LiveStreamSettings{Workloads: []v1alpha1.Workload{
		scales("b", cacheRef, 1, 0), scales("a", packagerRef, 1, 0), scales("c", cacheRef, 2, 0), {Name: "record", Job: &batchv1.JobTemplateSpec{}},
	}}
	if got := TargetsOf(stream, v1alpha1.LiveStreamSettings{}); len(got) != 0 {
		t.Errorf("a stream without scale workloads has the targets %v", got)
	}
	if diff := gocmp.Diff([]TargetRef{packagerRef, cacheRef}, TargetsOf(stream, settings)); diff != "" {
		t.Errorf("each target once, in order: %s", diff)
	}
	// One that the spec names no more has to be given back.
	gone := TargetRef{"apps/v1", "Deployment", "gone"}
	onAirWith(shares("a", packagerRef, 3), shares("x", gone, 1), v1alpha1.WorkloadStatus{Name: "record"})(stream)
	if diff := gocmp.Diff([]TargetRef{gone, packagerRef, cacheRef}, TargetsOf(stream, settings)); diff != "" {
		t.Errorf("those of the spec and of the broadcast: %s", diff)
	}
	keys := map[string]bool{packagerRef.Key(): true, cacheRef.Key(): true, gone.Key(): true, TargetRef{"v1", "Deployment", "packager"}.Key(): true}
	if len(keys) != 4 || packagerRef.String() != `Deployment "packager"` {
		t.Errorf("keys %v, name %s", keys, packagerRef)
	}
}

func TestPlanScale(t *testing.T) {
	t.Parallel()
	const running, pending, failed = v1alpha1.WorkloadRunning, v1alpha1.WorkloadPending, v1alpha1.WorkloadFailed
	before := shares("a", packagerRef, 3)
	as := func(state v1alpha1.WorkloadState, message string) v1alpha1.WorkloadStatus {
		s := shares("a", packagerRef, 3)
		s.State, s.Message = state, message
		return s
	}
	spec := scales("a", packagerRef, 3, 1)
	edited := scales("a", cacheRef, 9, 1)
	unset := scales("a", packagerRef, -1, -1)
	one := shares("a", packagerRef, 1)
	one.State = pending
	fresh := v1alpha1.WorkloadStatus{Name: "a", State: pending}
	for _, row := range []struct {
		name     string
		previous v1alpha1.WorkloadStatus
		spec     *v1alpha1.Workload
		target   *Target
		want     v1alpha1.WorkloadStatus
	}{
		{"when the broadcast begins the share is what the spec says", fresh, &spec, nil, as(pending, "")},
		{"unset it is 1", fresh, &unset, nil, one},
		{"what the target has before it was asked does not count", fresh, &spec, &Target{Wanted: 9, Asked: 9, Have: 9}, as(pending, "")},
		{"a target with all replicas runs", as(pending, ""), &spec, &Target{Wanted: 3, Asked: 3, Have: 3}, as(running, "")},
		{"one with more than were asked for runs", as(pending, ""), &spec, &Target{Wanted: 3, Asked: 3, Have: 5}, as(running, "")},
		{"one that lost a replica is pending", before, &spec, &Target{Wanted: 3, Asked: 3, Have: 2, Reached: 3}, as(pending, "")},
		{"one that lost a replica while it grows for another stream is pending", before, &spec, &Target{Wanted: 4, Asked: 4, Have: 2, Reached: 3}, as(pending, "")},
		{"one that grows for another stream runs on", before, &spec, &Target{Wanted: 4, Asked: 4, Have: 3, Reached: 3}, before},
		{"one that has yet to grow for this stream is pending", as(pending, ""), &spec, &Target{Wanted: 4, Asked: 4, Have: 3, Reached: 3}, as(pending, "")},
		{"one that had a problem and lacks a replica is pending", as(failed, "create it"), &spec, &Target{Wanted: 3, Asked: 3, Have: 2}, as(pending, "")},
		{"one that something else has set runs and says so", before, &spec, &Target{Wanted: 3, Asked: 7, Have: 7}, as(running, `Deployment "packager" is set to 7 replicas by something else; the streams on air ask for 3`)},
		{"one that cannot be scaled has failed and says why", before, &spec, &Target{Problem: "create it"}, as(failed, "create it")},
		{"one that something else has set to less does not run, and says why", before, &spec, &Target{Wanted: 3, Asked: 0, Have: 0}, as(pending, `Deployment "packager" is set to 0 replicas by something else; the streams on air ask for 3`)},
		{"a problem that has passed is forgotten", as(failed, "create it"), &spec, &Target{Wanted: 3, Asked: 3, Have: 3}, as(running, "")},
		{"one that fails for a while stays what it was, and says why", before, &spec, &Target{Wanted: 9, Trouble: "not now"}, as(running, "not now")},
		{"one that failed from the first look on is pending, and says why", as(pending, ""), &spec, &Target{Trouble: "not now"}, as(pending, "not now")},
		{"trouble that has passed is forgotten", as(pending, "not now"), &spec, &Target{Wanted: 3, Asked: 3, Have: 2}, as(pending, "")},
		{"a target that was not looked at yet changes nothing", as(failed, "create it"), &spec, nil, as(failed, "create it")},
		{"an edit of the share counts in the next broadcast", before, &edited, &Target{Wanted: 3, Asked: 3, Have: 3}, before},
		{"a workload that was taken out keeps its share", before, nil, &Target{Wanted: 3, Asked: 3, Have: 3}, before},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o := Observed{Targets: map[TargetRef]Target{cacheRef: {Problem: "another's"}}}
			if row.target != nil {
				o.Targets[packagerRef] = *row.target
			}
			if diff := gocmp.Diff(row.want, planScale(o, row.previous, row.spec)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestATargetThatCannotBeScaledMakesTheStreamNotReadyEvenWhenIdle(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.stream.Spec.Workloads = []v1alpha1.Workload{scales("a", packagerRef, 3, 1)}
	w.targets[packagerRef] = &simulatedTarget{problem: `Deployment "packager" does not exist: create it`}
	w.pass(t)
	ready := find(w.stream.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonTargetUnavailable || ready.Message != `workload "a": Deployment "packager" does not exist: create it` {
		t.Errorf("Ready = %+v", ready)
	}
	if find(w.stream.Status.Conditions, v1alpha1.ConditionStalled) == nil {
		t.Error("only the user can go on, and Stalled is not there")
	}
	w.targets[packagerRef].problem = ""
	w.pass(t)
	if ready := find(w.stream.Status.Conditions, v1alpha1.ConditionReady); ready.Status != metav1.ConditionTrue {
		t.Errorf("Ready = %+v once the target is there", ready)
	}
}

// Found by reading: the status said that nothing is asked for any more, and the target kept its idle replicas.
func TestAShareThatStaysAfterTheBroadcastIsNotToldAsGivenBack(t *testing.T) {
	t.Parallel()
	const none, idle = "it asks for no replicas of its target any more", "it asks for no more of its target than replicasWhileIdle"
	for name, row := range map[string]struct {
		spec v1alpha1.Workload
		so   func(*Observed)
		want string
	}{
		"with idle replicas":            {scales("a", packagerRef, 3, 2), func(*Observed) {}, idle},
		"without":                       {scales("a", packagerRef, 3, 0), func(*Observed) {}, none},
		"unset":                         {scales("a", packagerRef, 3, -1), func(*Observed) {}, none},
		"of another target by now":      {scales("a", cacheRef, 3, 2), func(*Observed) {}, none},
		"of another workload":           {scales("b", packagerRef, 3, 2), func(*Observed) {}, none},
		"suspended":                     {scales("a", packagerRef, 3, 2), func(o *Observed) { o.Stream.Spec.State = v1alpha1.LiveStreamSuspended }, none},
		"an older one keeps the stream": {scales("a", packagerRef, 3, 2), func(o *Observed) { o.DuplicateOf = "older" }, none},
	} {
		o := Observed{Stream: newWorld().stream, Settings: v1alpha1.LiveStreamSettings{Workloads: []v1alpha1.Workload{row.spec}}}
		row.so(&o)
		if got := givenBack(o, shares("a", packagerRef, 3)); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}
