//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestADrainedNodeCostsAtMostASecondOfTheRecording(t *testing.T) {
	// It takes the node from all others, and so runs alone.
	s := newShow(t, "kill-drain", ", cleanStopWindowSeconds: 5")
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		s.push("live", 40*time.Second)
	}()
	s.someParts()
	// The recorder's Pod goes with its folders, and no other may come before the node is back. The operator stays: there is no other
	// node for it, and its disruption budget would be waited for.
	_, err := s.kubectl(t.Context(), "drain", s.node.Name, "--ignore-daemonsets", "--pod-selector="+v1alpha1.LabelLiveStream, "--delete-emptydir-data", "--force", "--timeout=60s")
	if err != nil {
		t.Error(err)
	}
	if _, err := s.kubectl(t.Context(), "uncordon", s.node.Name); err != nil {
		t.Fatal(err)
	}
	<-pushed
	lost := s.recorded(2 * time.Minute).lost
	figure("lost_seconds_kill_drain", lost)
	if lost > 1 {
		t.Errorf("%.2f s are lost, want 1 at most", lost)
	}
}
