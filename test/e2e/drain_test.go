//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestADrainedNodeCostsAtMostASecondOfTheRecording(t *testing.T) {
	// It takes the node from all others, and so runs alone.
	theStage.needs(t, drainNode, "lost_seconds_kill_drain")
	s := newShow(t, "kill-drain", ", cleanStopWindowSeconds: 5")
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		s.push("live", 40*time.Second)
	}()
	s.someParts()
	node, err := s.kubectl(t.Context(), "get", "pod", s.recorderPod(), "-o", "jsonpath={.spec.nodeName}")
	if err != nil {
		t.Fatal(err)
	}
	if cordoned, err := s.kubectl(t.Context(), "get", "node", node, "-o", "jsonpath={.spec.unschedulable}"); err != nil || cordoned != "" {
		t.Fatalf("somebody else has node %s cordoned: %q, %v", node, cordoned, err)
	}
	if err := s.cordons(node); err != nil {
		t.Fatal(err)
	}
	// The recorder's Pod goes with its folders; where there is one node no other may come before that is back. All other Pods stay: for
	// the operator there may be no other node, and its disruption budget would be waited for.
	if _, err := s.kubectl(t.Context(), "drain", node, "--ignore-daemonsets", "--pod-selector="+v1alpha1.LabelLiveStream+"="+s.name, "--delete-emptydir-data", "--force", "--timeout=60s"); err != nil {
		t.Error(err)
	}
	if _, err := s.kubectl(t.Context(), "uncordon", node); err != nil {
		t.Fatal(err)
	}
	if err := s.cordons(""); err != nil {
		t.Fatal(err)
	}
	<-pushed
	lost := s.recorded(2 * time.Minute).lost
	figure("lost_seconds_kill_drain", lost)
	if lost > 1 {
		t.Errorf("%.2f s are lost, want 1 at most", lost)
	}
}
