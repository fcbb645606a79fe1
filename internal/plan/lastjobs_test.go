package plan

import (
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
	record := v1alpha1.BroadcastRecord{ID: "last", Sequence: "A", EndTime: ago(time.Minute)}
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
