package plan

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// Both found by attack: a status must not say what is not so.

func TestABroadcastIsToldToBeRecordedOnlyWhileSomethingRecordsIt(t *testing.T) {
	t.Parallel()
	const running, pending, failed = v1alpha1.WorkloadRunning, v1alpha1.WorkloadPending, v1alpha1.WorkloadFailed
	for _, row := range []struct {
		// "" is one that there is not.
		record, transcode v1alpha1.WorkloadState
		want              string
	}{
		{running, "", "the broadcast is being recorded"},
		{pending, "", "nothing records the broadcast at the moment; WorkloadsReady tells why"},
		{failed, "", "nothing records the broadcast at the moment; WorkloadsReady tells why"},
		{"", running, "the ladder is being stored"},
		{running, running, "the broadcast is being recorded; the ladder is being stored"},
		{failed, running, "the ladder is being stored; nothing records the broadcast at the moment; WorkloadsReady tells why"},
		{running, pending, "the broadcast is being recorded; no ladder is stored at the moment; WorkloadsReady tells why"},
	} {
		t.Run(fmt.Sprintf("record %q, transcode %q", row.record, row.transcode), func(t *testing.T) {
			t.Parallel()
			status := v1alpha1.LiveStreamStatus{
				State: v1alpha1.LiveStreamLive, Broadcast: v1alpha1.Broadcast{ID: "b1"},
				Workloads: []v1alpha1.WorkloadStatus{{Name: "thumbnails", State: running}},
			}
			o := Observed{Now: showTime, Stream: newWorld().stream}
			for name, state := range map[string]v1alpha1.WorkloadState{workload.RecorderName: row.record, workload.TranscoderName: row.transcode} {
				if state != "" {
					status.Workloads = append(status.Workloads, v1alpha1.WorkloadStatus{Name: name, State: state})
					o.Runs = append(o.Runs, workload.Run{Workload: name, Broadcast: "b1", Stores: true})
				}
			}
			slices.SortFunc(status.Workloads, func(a, b v1alpha1.WorkloadStatus) int { return cmp.Compare(a.Name, b.Name) })
			if got := recordingCondition(o, status); got.Reason != v1alpha1.ReasonOnAir || got.Message != row.want {
				t.Errorf("%s: %q, want %q", got.Reason, got.Message, row.want)
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
			if diff := gocmp.Diff(row.want, workloadsCondition(status, Observed{Now: showTime, Stream: stream}).Reason); diff != "" {
				t.Errorf("reason mismatch (-want +got):\n%s", diff)
			}
		})
	}
}
