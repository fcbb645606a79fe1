package workload

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAPodHasRunOnceAContainerWasStarted(t *testing.T) {
	t.Parallel()
	runs := corev1.ContainerStatus{Name: "worker", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: later(3)}}}
	crashes := waits("CrashLoopBackOff", "")
	crashes.LastTerminationState = exits(1, "Error", "").State
	for _, row := range []struct {
		name   string
		change []func(*corev1.Pod)
		want   bool
	}{
		{"no node takes it", nil, false},
		{"its volumes are awaited", []func(*corev1.Pod){containers(waits("ContainerCreating", ""))}, false},
		{"only an init container ran", []func(*corev1.Pod){inits(exits(0, "Completed", "")), containers(waits("PodInitializing", ""))}, false},
		{"the image of a container beside it is awaited", []func(*corev1.Pod){containers(waits("ImagePullBackOff", ""), runs)}, true},
		{"it crashed", []func(*corev1.Pod){containers(crashes)}, true},
		{"it ended", []func(*corev1.Pod){containers(exits(1, "Error", ""))}, true},
		{"it runs", []func(*corev1.Pod){phase(corev1.PodRunning)}, true},
		{"its node is not heard of", []func(*corev1.Pod){phase(corev1.PodUnknown)}, true},
	} {
		if got := HasRun(pod("a", 1, append([]func(*corev1.Pod){phase(corev1.PodPending)}, row.change...)...)); got != row.want {
			t.Errorf("%s: HasRun() = %v, want %v", row.name, got, row.want)
		}
	}
}
