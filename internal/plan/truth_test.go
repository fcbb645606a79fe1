package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// Both found by attack: a status must not say what is not so.

func TestABroadcastIsToldToBeRecordedOnlyWhileSomethingRecordsIt(t *testing.T) {
	t.Parallel()
	for state, want := range map[v1alpha1.WorkloadState]string{
		v1alpha1.WorkloadRunning: "the broadcast is being recorded",
		v1alpha1.WorkloadPending: "nothing records the broadcast at the moment; WorkloadsReady tells why",
		v1alpha1.WorkloadFailed:  "nothing records the broadcast at the moment; WorkloadsReady tells why",
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			status := v1alpha1.LiveStreamStatus{
				State: v1alpha1.LiveStreamLive, Broadcast: v1alpha1.Broadcast{ID: "b1"},
				Workloads: []v1alpha1.WorkloadStatus{{Name: "record", State: state}, {Name: "thumbnails", State: v1alpha1.WorkloadRunning}},
			}
			o := Observed{Now: showTime, Stream: newWorld().stream, Runs: []workload.Run{{Workload: "record", Broadcast: "b1", Stores: true}}}
			if got := recordingCondition(o, status); got.Reason != v1alpha1.ReasonOnAir || got.Message != want {
				t.Errorf("%s: %q, want %q", got.Reason, got.Message, want)
			}
		})
	}
}

func TestWorkloadsOfASuspendedStreamAreReadyWhereAllThatIsToComeWaitsForItToBeActive(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		state    v1alpha1.LiveStreamActivity
		afterEnd v1alpha1.WorkloadState
		want     string
	}{
		"suspended, and it has not begun": {v1alpha1.LiveStreamSuspended, v1alpha1.WorkloadScheduled, v1alpha1.ReasonSuspended},
		"suspended while it runs":         {v1alpha1.LiveStreamSuspended, v1alpha1.WorkloadRunning, v1alpha1.ReasonStopping},
		"active, and it has not begun":    {v1alpha1.LiveStreamActive, v1alpha1.WorkloadScheduled, v1alpha1.ReasonStopping},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := newWorld().stream
			stream.Spec.State = row.state
			status := v1alpha1.LiveStreamStatus{
				State: v1alpha1.LiveStreamIdle, Workloads: []v1alpha1.WorkloadStatus{{Name: "record", State: v1alpha1.WorkloadCompleted}},
				History: []v1alpha1.BroadcastRecord{{ID: "b1", EndTime: new(metav1.NewTime(showTime)), AfterEnd: []v1alpha1.AfterEndStatus{{Name: "publish", State: row.afterEnd}}}},
			}
			if diff := cmp.Diff(row.want, workloadsCondition(status, Observed{Now: showTime, Stream: stream}).Reason); diff != "" {
				t.Errorf("reason mismatch (-want +got):\n%s", diff)
			}
		})
	}
}
