package workload

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Found by reading: a Job that only finishes a recording waited for ever for the playback key, or a GPU, of the one that it was copied from.
func TestAJobThatFinishesARecordingAsksForNothingThatOnlyPullingAndEncodingNeed(t *testing.T) {
	t.Parallel()
	storage := v1alpha1.RecordingStorage{S3: v1alpha1.S3Storage{Endpoint: "s3.example.com", Bucket: "b", CredentialsSecretRef: v1alpha1.SecretReference{Name: "bucket"}}}
	requests := func(cpu, memory string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}}
	}
	large := requests("8", "8Gi")
	playback := v1alpha1.Playback{Domain: "play.example.com", KeySecretRef: v1alpha1.SecretKeyReference{Name: "css", Key: "playbackKey"}}
	type asks struct {
		Resources corev1.ResourceRequirements
		Mounts    []string
		Secrets   []string
		Deadline  time.Duration
	}
	for _, row := range []struct {
		name, workload string
		settings       v1alpha1.LiveStreamSettings
		want           asks
	}{
		{
			"a recorder keeps what it was given, for joining takes that", RecorderName,
			v1alpha1.LiveStreamSettings{Recording: v1alpha1.Recording{Storage: storage, Resources: &large, UploadTimeoutSeconds: 600}},
			asks{large, []string{"tmp", "pod", "spool", "storage"}, []string{"bucket"}, 70 * time.Minute},
		},
		{
			"a transcoder with a GPU joins without it", TranscoderName,
			v1alpha1.LiveStreamSettings{Transcoding: v1alpha1.Transcoding{
				Renditions: []v1alpha1.Rendition{{Name: "720p", Height: 720, VideoBitrateKbps: 2500}}, Resources: &large, GPU: v1alpha1.TranscodingGPU{ResourceName: "nvidia.com/gpu"},
				Output: v1alpha1.TranscodingOutput{Storage: storage},
			}},
			asks{requests("100m", "128Mi"), []string{"tmp", "pod", "spool", "storage"}, []string{"bucket"}, 2 * time.Hour},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := broadcast()
			worked, err := PresetJob(liveStream(nil), row.workload, row.settings, playback, b, 1, "worker", nil)
			if err != nil {
				t.Fatal(err)
			}
			b.Ended = &v1alpha1.BroadcastRecord{ID: b.ID}
			// Its Job may be gone, and its settings are what is left.
			for name, before := range map[string]*batchv1.Job{"after its Job": worked, "after none": nil} {
				job, err := PresetJob(liveStream(nil), row.workload, row.settings, playback, b, 2, "worker", before)
				if err != nil {
					t.Fatal(err)
				}
				got := asks{Resources: job.Spec.Template.Spec.Containers[0].Resources}
				for _, m := range job.Spec.Template.Spec.Containers[0].VolumeMounts {
					got.Mounts = append(got.Mounts, m.Name)
				}
				for _, v := range job.Spec.Template.Spec.Volumes {
					if v.Secret != nil {
						got.Secrets = append(got.Secrets, v.Secret.SecretName)
					}
				}
				if seconds := job.Spec.ActiveDeadlineSeconds; seconds != nil {
					got.Deadline = time.Duration(*seconds) * time.Second
				}
				if diff := gocmp.Diff(row.want, got); diff != "" {
					t.Errorf("%s it asks for (-want +got):\n%s", name, diff)
				}
			}
			if worked.Spec.ActiveDeadlineSeconds != nil {
				t.Error("the one that works has a deadline: a show may last")
			}
		})
	}
}

// Found by reading: a quota on limits.cpu, which took the transcoder, refused for ever the Pod of the Job that was to finish its ladder.
func TestAJobThatFinishesALadderKeepsTheLimitsThatItsTranscoderWasTakenWith(t *testing.T) {
	t.Parallel()
	list := func(pairs ...string) corev1.ResourceList {
		all := corev1.ResourceList{}
		for i := 0; i < len(pairs); i += 2 {
			all[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
		}
		return all
	}
	for _, row := range []struct {
		name        string
		given, want corev1.ResourceRequirements
	}{
		{
			"limits stay, requests are what joining needs, and no device is left",
			corev1.ResourceRequirements{
				Requests: list("cpu", "4", "memory", "4Gi", "ephemeral-storage", "1Gi", "nvidia.com/gpu", "1"),
				Limits:   list("cpu", "8", "memory", "8Gi", "ephemeral-storage", "9Gi", "nvidia.com/gpu", "1", "hugepages-2Mi", "64Mi"),
			},
			corev1.ResourceRequirements{
				Requests: list("cpu", "100m", "memory", "128Mi", "ephemeral-storage", "1Gi"),
				Limits:   list("cpu", "8", "memory", "8Gi", "ephemeral-storage", "9Gi"),
			},
		},
		{
			"what is only limited, and is asked for wholly then, is asked for as far as joining needs it",
			corev1.ResourceRequirements{Limits: list("cpu", "8", "memory", "64Mi", "nvidia.com/gpu", "1")},
			corev1.ResourceRequirements{Requests: list("cpu", "100m", "memory", "64Mi"), Limits: list("cpu", "8", "memory", "64Mi")},
		},
		{
			"what asked for less asks for no more",
			corev1.ResourceRequirements{Requests: list("cpu", "50m"), Limits: list("memory", "256Mi")},
			corev1.ResourceRequirements{Requests: list("cpu", "50m", "memory", "128Mi"), Limits: list("memory", "256Mi")},
		},
		{"what asked for nothing asks for nothing", corev1.ResourceRequirements{Limits: list("nvidia.com/gpu", "1")}, corev1.ResourceRequirements{}},
	} {
		if diff := gocmp.Diff(row.want, withoutEncoding(row.given)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}

// Found by reading: a worker that waited for its node for more than five minutes was killed before it could store a playlist instead of a file.
func TestAJobThatFinishesARecordingMayWaitForItsNodeBeforeItTakesAllItsTime(t *testing.T) {
	t.Parallel()
	b := broadcast()
	b.Ended = &v1alpha1.BroadcastRecord{ID: b.ID}
	settings := v1alpha1.LiveStreamSettings{Recording: v1alpha1.Recording{UploadTimeoutSeconds: 600}}
	settings.Recording.Storage.PersistentVolumeClaim.ClaimName = "recordings"
	job, err := PresetJob(liveStream(nil), RecorderName, settings, v1alpha1.Playback{Domain: "play.example.com"}, b, 1, "worker", nil)
	if err != nil {
		t.Fatal(err)
	}
	if waits := time.Duration(*job.Spec.ActiveDeadlineSeconds)*time.Second - Patience(600); waits != 30*time.Minute {
		t.Errorf("it may wait for %s, want half an hour", waits)
	}
}

// Found by reading: after an upload timeout of a day the first of three Jobs was gone when the second had ended, so that there was always another try.
func TestTheFirstJobThatFinishesARecordingIsThereUntilTheLastCanHaveEnded(t *testing.T) {
	t.Parallel()
	b := broadcast()
	b.Ended = &v1alpha1.BroadcastRecord{ID: b.ID}
	var before *batchv1.Job
	for part := range int32(FinishTries) {
		settings := v1alpha1.LiveStreamSettings{Recording: v1alpha1.Recording{UploadTimeoutSeconds: 86400}}
		settings.Recording.Storage.PersistentVolumeClaim.ClaimName = "recordings"
		job, err := PresetJob(liveStream(nil), RecorderName, settings, v1alpha1.Playback{Domain: "play.example.com"}, b, part+1, "worker", before)
		if err != nil {
			t.Fatal(err)
		}
		kept := time.Duration(*job.Spec.TTLSecondsAfterFinished) * time.Second
		// The others, what lies between them, and some hours for who may be away when the last one ends.
		if needed := (FinishTries-1)*time.Duration(*job.Spec.ActiveDeadlineSeconds)*time.Second + 12*time.Hour; kept < needed || kept > 10*24*time.Hour {
			t.Errorf("Job %d is kept for %s, want %s or a little more", part+1, kept, needed)
		}
		before = job
	}
}
