package plan

import (
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

func TestTheJobsOfTheLastBroadcastAreLookedForWhereNothingTellsOfThem(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(-d))) }
	ended := func(sequence string, d time.Duration) v1alpha1.Push {
		return v1alpha1.Push{Sequence: sequence, StartTime: ago(d + time.Minute), EndTime: ago(d)}
	}
	refused := ended("C", time.Second)
	refused.Reason = v1alpha1.PushReasonRefused
	var many []v1alpha1.Push
	var latest []string
	for i := range 2 * mostUnreported {
		many = append(many, ended(fmt.Sprint(i), time.Duration(i)*time.Second))
		if i < mostUnreported {
			latest = append(latest, workload.BroadcastID("uid", fmt.Sprint(i), many[i].StartTime.Time))
		}
	}
	record := v1alpha1.BroadcastRecord{ID: "last", Sequence: "A", EndTime: ago(time.Minute)}
	earlier := record
	earlier.EndTime = ago(3 * time.Minute)
	sameSecond := v1alpha1.Push{Sequence: "B", StartTime: earlier.EndTime, EndTime: earlier.EndTime}
	old := record
	old.EndTime = ago(lag + time.Second)
	stream := func(status v1alpha1.LiveStreamStatus) *v1alpha1.LiveStream {
		s := &v1alpha1.LiveStream{Status: status}
		s.Name, s.UID = "show", "uid"
		return s
	}
	// The broadcast of a push follows from its sequence and its start.
	of := func(p v1alpha1.Push) string { return workload.BroadcastID("uid", p.Sequence, p.StartTime.Time) }
	for _, tc := range []struct {
		name   string
		status v1alpha1.LiveStreamStatus
		want   []string
	}{
		{"the first broadcast of all", v1alpha1.LiveStreamStatus{Pushes: []v1alpha1.Push{{Sequence: "A", StartTime: ago(0)}}}, nil},
		{"one that ended a moment ago", v1alpha1.LiveStreamStatus{History: []v1alpha1.BroadcastRecord{record}, Pushes: []v1alpha1.Push{ended("A", time.Minute)}}, []string{"last"}},
		{"one that ended long ago", v1alpha1.LiveStreamStatus{History: []v1alpha1.BroadcastRecord{old}, Pushes: []v1alpha1.Push{ended("A", lag+time.Second)}}, nil},
		{"a push of a moment that no broadcast was reported for", v1alpha1.LiveStreamStatus{Pushes: []v1alpha1.Push{ended("B", time.Second)}}, []string{of(ended("B", time.Second))}},
		{"it, after a broadcast that was", v1alpha1.LiveStreamStatus{History: []v1alpha1.BroadcastRecord{old}, Pushes: []v1alpha1.Push{ended("A", lag+time.Second), ended("B", time.Second)}}, []string{of(ended("B", time.Second))}},
		{"a main and a backup push of a moment, the main one first", v1alpha1.LiveStreamStatus{Pushes: []v1alpha1.Push{ended("A", 2*time.Second), ended("B", time.Second)}}, []string{of(ended("B", time.Second)), of(ended("A", 2*time.Second))}},
		{"them, after a broadcast that was reported", v1alpha1.LiveStreamStatus{History: []v1alpha1.BroadcastRecord{earlier}, Pushes: []v1alpha1.Push{ended("A", 3*time.Minute), ended("B", 2*time.Second), ended("C", time.Second)}}, []string{"last", of(ended("C", time.Second)), of(ended("B", 2*time.Second))}},
		{"the pushes of a broadcast that was reported", v1alpha1.LiveStreamStatus{History: []v1alpha1.BroadcastRecord{record}, Pushes: []v1alpha1.Push{ended("main", 2*time.Minute), ended("A", time.Minute)}}, []string{"last"}},
		{"one that ended in the second in which the last broadcast did", v1alpha1.LiveStreamStatus{History: []v1alpha1.BroadcastRecord{earlier}, Pushes: []v1alpha1.Push{ended("A", 3*time.Minute), sameSecond}}, []string{"last", of(sameSecond)}},
		{"a push on air that another one overtook, which began earlier", v1alpha1.LiveStreamStatus{Pushes: []v1alpha1.Push{{Sequence: "A", StartTime: ago(time.Minute)}, {Sequence: "B", StartTime: ago(time.Second)}}},
			[]string{of(v1alpha1.Push{Sequence: "B", StartTime: ago(time.Second)})}},
		{"it, in a broadcast that was reported", v1alpha1.LiveStreamStatus{Broadcast: v1alpha1.Broadcast{ID: "now", Sequences: []string{"B", "A"}}, Pushes: []v1alpha1.Push{{Sequence: "A", StartTime: ago(time.Minute)}, {Sequence: "B", StartTime: ago(time.Second)}}}, nil},
		{"one that was refused, which begins nothing", v1alpha1.LiveStreamStatus{Pushes: []v1alpha1.Push{refused}}, nil},
		{"very many, of which those are looked for that ended last", v1alpha1.LiveStreamStatus{Pushes: many}, latest},
		{"it, of which only the end was seen", v1alpha1.LiveStreamStatus{Pushes: []v1alpha1.Push{{Sequence: "B", EndTime: ago(time.Second)}}}, nil},
		{"it, long ago", v1alpha1.LiveStreamStatus{Pushes: []v1alpha1.Push{ended("B", lag+time.Second)}}, nil},
		{"a push of the broadcast that is on air", v1alpha1.LiveStreamStatus{Broadcast: v1alpha1.Broadcast{ID: "now", Sequences: []string{"B", "C"}}, Pushes: []v1alpha1.Push{ended("B", time.Second)}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, broadcast := range tc.want {
				want = append(want, workload.JobName("show", "uid", "record", broadcast, 1))
			}
			starts := []Start{{Workload: v1alpha1.Workload{Name: "record"}, Part: 1}, {Workload: v1alpha1.Workload{Name: "after"}, Part: 1, Ended: &record}}
			if diff := gocmp.Diff(want, LastJobs(Observed{Now: now, Stream: stream(tc.status)}, starts)); diff != "" {
				t.Errorf("mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThePartAfterTheLatestKnownOneIsLookedForToo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)
	ended := func(id string) v1alpha1.BroadcastRecord {
		return v1alpha1.BroadcastRecord{ID: id, EndTime: new(metav1.NewTime(now.Add(-time.Minute)))}
	}
	run := func(broadcast string, part int32) workload.Run {
		return workload.Run{Workload: "record", Broadcast: broadcast, Part: part}
	}
	told := func(part int32) []v1alpha1.WorkloadStatus {
		return []v1alpha1.WorkloadStatus{{Name: "thumbnails", Part: 7}, {Name: "record", Part: part}}
	}
	onAir := v1alpha1.Broadcast{ID: "now"}
	for _, tc := range []struct {
		name   string
		runs   []workload.Run
		status v1alpha1.LiveStreamStatus
		want   []int32
	}{
		{"nothing is known", nil, v1alpha1.LiveStreamStatus{}, []int32{1}},
		{"a Job is known", []workload.Run{run("last", 1)}, v1alpha1.LiveStreamStatus{}, []int32{1, 2}},
		{"several are", []workload.Run{run("last", 1), run("last", 3)}, v1alpha1.LiveStreamStatus{}, []int32{3, 4}},
		{"a Job of another broadcast is", []workload.Run{run("before", 2)}, v1alpha1.LiveStreamStatus{}, []int32{1}},
		{"the status alone tells of a part", nil, v1alpha1.LiveStreamStatus{Workloads: told(2)}, []int32{2, 3}},
		{"it tells of a later part than the Jobs", []workload.Run{run("last", 1)}, v1alpha1.LiveStreamStatus{Workloads: told(2)}, []int32{2, 3}},
		{"it tells of an earlier one", []workload.Run{run("last", 3)}, v1alpha1.LiveStreamStatus{Workloads: told(2)}, []int32{3, 4}},
		{"it tells of the broadcast that is on air", nil, v1alpha1.LiveStreamStatus{Broadcast: onAir, Workloads: told(2)}, []int32{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			stream := &v1alpha1.LiveStream{Status: tc.status}
			stream.Name, stream.UID = "show", "uid"
			stream.Status.History = []v1alpha1.BroadcastRecord{ended("last")}
			var want []string
			for _, part := range tc.want {
				want = append(want, workload.JobName("show", "uid", "record", "last", part))
			}
			got := LastJobs(Observed{Now: now, Stream: stream, Runs: tc.runs}, []Start{{Workload: v1alpha1.Workload{Name: "record"}, Part: 1}})
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("mismatch (-want +got):\n%s", diff)
			}
		})
	}
}
