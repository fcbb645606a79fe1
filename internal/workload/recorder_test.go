package workload

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestARecorderKnowsWhereItsSpoolOutlivesIt(t *testing.T) {
	t.Parallel()
	for claim, want := range map[string]string{"": "", "spool": "pvc://spool/b1"} {
		settings := v1alpha1.LiveStreamSettings{Recording: v1alpha1.Recording{
			Storage: v1alpha1.RecordingStorage{PersistentVolumeClaim: v1alpha1.VolumeClaim{ClaimName: "recordings"}},
			Spool:   v1alpha1.RecordingSpool{PersistentVolumeClaim: v1alpha1.VolumeClaim{ClaimName: claim}},
		}}
		job, err := PresetJob(&v1alpha1.LiveStream{}, RecorderName, settings, v1alpha1.Playback{Domain: "play.example.com"}, Broadcast{ID: "b1"}, 1, "worker", nil)
		if err != nil {
			t.Fatal(err)
		}
		if config, err := ConfigOf(job); err != nil || config.Spool != want {
			t.Errorf("with the claim %q the spool is at %q, want %q; %v", claim, config.Spool, want, err)
		}
	}
}

func TestAWorkersJobTellsHowLongItMayStoreAfterItsBroadcast(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int32]time.Duration{0: 90 * time.Minute, 60: 31 * time.Minute} {
		settings := v1alpha1.LiveStreamSettings{Recording: v1alpha1.Recording{
			Storage:              v1alpha1.RecordingStorage{PersistentVolumeClaim: v1alpha1.VolumeClaim{ClaimName: "recordings"}},
			UploadTimeoutSeconds: seconds,
		}}
		job, err := PresetJob(&v1alpha1.LiveStream{}, RecorderName, settings, v1alpha1.Playback{Domain: "play.example.com"}, Broadcast{ID: "b1"}, 1, "worker", nil)
		if err != nil {
			t.Fatal(err)
		}
		if runs := Runs([]batchv1.Job{*job}, nil); len(runs) != 1 || runs[0].Patience != want {
			t.Errorf("with %d s the Job is read as %+v, want a patience of %s", seconds, runs, want)
		}
	}
}
