//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/internal/camera"
	"github.com/livestream-operator/livestream-operator/internal/fakecss"
)

// rounds is how often a start is measured; the median counts.
const rounds = 5

func TestARecordingBeginsAtMostASecondAfterAPlainPodWould(t *testing.T) {
	// Nothing else runs meanwhile: it measures. Over RTMP nothing of the past is recorded, so that the first frame tells when it began;
	// key frames are close, as a camera's interval is no one's overhead.
	i, err := theStage.open(t.Context(), "rtmp", "RTMP")
	if err != nil {
		t.Fatal(err)
	}
	var plain, begun []float64
	measure := func(more int) float64 {
		var shows []*show
		var accepted []time.Time
		for n := len(plain); len(shows) < more; n++ {
			start, err := theStage.site.plainStart(t.Context(), &theStage, fmt.Sprintf("plain-%d", n))
			if err != nil {
				t.Fatal(err)
			}
			plain = append(plain, start.Seconds())
			s := newShowOf(t, "rtmp", i, fmt.Sprintf("start-%d", n), ", cleanStopWindowSeconds: 2")
			pushed := make(chan struct{})
			go func() {
				defer close(pushed)
				s.film(camera.Camera{KeyFrames: 6}, "live", 8*time.Second)
			}()
			shows, accepted = append(shows, s), append(accepted, s.accepted())
			<-pushed
		}
		for n, s := range shows {
			r := s.recorded(time.Minute)
			if len(r.frames) == 0 {
				t.Fatal("nothing is recorded")
			}
			begun = append(begun, r.frames[0].Time(accepted[n]).Sub(accepted[n]).Seconds())
		}
		return median(begun) - median(plain)
	}
	overhead := measure(rounds)
	if overhead > 1 {
		// A machine that was busy with something else meanwhile: all rounds count.
		t.Logf("%.2f s; measuring again", overhead)
		overhead = measure(2 * rounds)
	}
	t.Logf("push start to first recorded frame: %.2f s; a plain Pod: %.2f s", begun, plain)
	figure("start_seconds_plain_pod", median(plain))
	figure("start_overhead_seconds", overhead)
	if overhead > 1 {
		t.Errorf("a recording begins %.2f s after a plain Pod would, want 1 at most", overhead)
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// accepted is when the ingest accepted the push that is on air.
func (s *show) accepted() (at time.Time) {
	s.t.Helper()
	if err := within(s.t.Context(), 20*time.Second, "the push is on air", func() error {
		pushes := s.ingest.css.Pushes()
		i := slices.IndexFunc(pushes, func(p fakecss.Push) bool { return p.Stream == s.name })
		if i < 0 {
			return fmt.Errorf("on air are %d others", len(pushes))
		}
		at = pushes[i].Began
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return at
}

// restricted is what a namespace asks of a container that enforces the standard of that name.
func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), AllowPrivilegeEscalation: new(false),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// plainPod has the worker's image, as kubectl run makes it, and that ffmpeg.
func (s *stage) plainPod(name string, arguments ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: new(int64), RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
			Name: "plain", Image: s.workerImage, Command: append([]string{"ffmpeg", "-v", "error"}, arguments...), SecurityContext: restricted(),
		}}},
	}
}
