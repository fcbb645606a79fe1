package webhook

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/statuspatch"
)

// statusPatch is the merge patch that an event is written with.
type statusPatch struct {
	Metadata statuspatch.Precondition `json:"metadata"`
	Status   eventStatus              `json:"status"`
}

type eventStatus struct {
	Pushes []v1alpha1.Push `json:"pushes"`
	*foreseen
}

// foreseen is what follows from the pushes. What is null in a merge patch is taken away, and what is not there stays.
type foreseen struct {
	State           v1alpha1.LiveStreamState  `json:"state"`
	Since           *metav1.MicroTime         `json:"since"`
	Broadcast       *broadcastPatch           `json:"broadcast"`
	Workloads       []v1alpha1.WorkloadStatus `json:"workloads"`
	WorkloadSummary *string                   `json:"workloadSummary"`
	Conditions      []metav1.Condition        `json:"conditions"`
	Resolution      *string                   `json:"resolution"`
	Client          *string                   `json:"client"`
	LastError       *string                   `json:"lastError"`
}

type broadcastPatch struct {
	v1alpha1.Broadcast
	Sequences []string `json:"sequences"`
}

func follows(status v1alpha1.LiveStreamStatus) *foreseen {
	f := &foreseen{
		State: status.State, Since: status.Since, Workloads: status.Workloads, Conditions: status.Conditions,
		WorkloadSummary: orNull(status.WorkloadSummary), Resolution: orNull(status.Resolution), Client: orNull(status.Client), LastError: orNull(status.LastError),
	}
	if status.OnAir() {
		f.Broadcast = &broadcastPatch{Broadcast: status.Broadcast, Sequences: status.Broadcast.Sequences}
	}
	return f
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
