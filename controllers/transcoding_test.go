package controllers

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// transcoded is a LiveStream of which a ladder is stored.
func transcoded(s *v1alpha1.LiveStream) {
	s.Spec.Workloads = nil
	s.Spec.Transcoding = v1alpha1.Transcoding{
		Renditions: []v1alpha1.Rendition{{Name: "720p", Height: 720, VideoBitrateKbps: 2500}, {Name: "360p", Height: 360, VideoBitrateKbps: 800, Codec: v1alpha1.VideoCodecH265}},
		Output:     v1alpha1.TranscodingOutput{Storage: v1alpha1.RecordingStorage{PersistentVolumeClaim: v1alpha1.VolumeClaim{ClaimName: "ladders"}}},
	}
}

// pushedOn is a LiveStream whose renditions are pushed.
func pushedOn(s *v1alpha1.LiveStream) {
	transcoded(s)
	s.Spec.Transcoding.Renditions[1].Codec = ""
	s.Spec.Transcoding.Output = v1alpha1.TranscodingOutput{Push: v1alpha1.RenditionPush{Domain: "push.example.com", KeySecretRef: v1alpha1.SecretKeyReference{Name: "low", Key: "pushKey"}}}
}

func pushSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "low"}, StringData: map[string]string{"pushKey": "low"}}
}

func TestARecordingAndALadderAreBothWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(recorded, func(s *v1alpha1.LiveStream) {
		recording := s.Spec.Recording
		transcoded(s)
		s.Spec.Recording = recording
		tell := &batchv1.JobTemplateSpec{}
		tell.Spec.Template.Spec.Containers = []corev1.Container{{Name: "tell", Image: "i"}}
		s.Spec.Workloads = []v1alpha1.Workload{{Name: "tell", Run: v1alpha1.WorkloadRunAfterEnd, Job: tell}}
	})
	b.live("show", "A")
	for _, name := range []string{workload.RecorderName, workload.TranscoderName} {
		b.podReady(&b.jobsOf(name)[0])
	}
	b.settle("show")
	if s := b.stream("show").Status; s.WorkloadSummary != "2/2" {
		t.Errorf("workloads = %s", s.WorkloadSummary)
	}
	b.over("show", "A")
	b.recorderEnds(&b.jobsOf(workload.RecorderName)[0], &done)
	b.settle("show")
	wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionRecordingReady, metav1.ConditionFalse, v1alpha1.ReasonFinishing)
	ladder := recording.Result{Ready: true, URI: "pvc://ladders/live/test/x/ladder/master.m3u8", SHA256: strings.Repeat("cd", 32), SizeBytes: 2 << 20, DurationMilliseconds: 60_000, Parts: 15}
	b.recorderEnds(&b.jobsOf(workload.TranscoderName)[0], &ladder)
	b.settle("show")
	status := b.stream("show").Status
	wantCondition(t, status.Conditions, v1alpha1.ConditionRecordingReady, metav1.ConditionTrue, v1alpha1.ReasonRecorded)
	recordings := status.History[0].Recordings
	if len(recordings) != 2 || recordings[0].URI != done.URI || recordings[1].URI != ladder.URI || recordings[1].Name != "transcode" {
		t.Errorf("recordings = %+v", recordings)
	}
	told := map[string]string{}
	for _, v := range b.jobsOf("tell")[0].Spec.Template.Spec.Containers[0].Env {
		told[v.Name] = v.Value
	}
	if told["LIVESTREAM_RECORDING_URI"] != done.URI || told["LIVESTREAM_LADDER_URI"] != ladder.URI {
		t.Errorf("what runs afterwards is told %q and %q", told["LIVESTREAM_RECORDING_URI"], told["LIVESTREAM_LADDER_URI"])
	}
}

func TestATranscoderIsToldWhatToMakeAndGetsWhatThatCosts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(transcoded, func(s *v1alpha1.LiveStream) {
		s.Spec.Transcoding.GPU.ResourceName = "nvidia.com/gpu"
	})
	b.live("show", "A")
	job := b.onlyJob()
	config, err := workload.ConfigOf(job)
	if err != nil || config.Transcoding == nil || len(config.Transcoding.Renditions) != 2 || config.Transcoding.Renditions[1].Codec != "H265" || config.Transcoding.Renditions[0].AudioKbps != 128 ||
		!config.Transcoding.GPU || config.Transcoding.Push != nil || config.SegmentSeconds != 4 || config.Format != recording.HLS || config.Storage.ClaimName != "ladders" {
		t.Errorf("config = %+v, error %v", config, err)
	}
	got := job.Spec.Template.Spec.Containers[0].Resources
	gpu, cpu, memory := got.Limits["nvidia.com/gpu"], got.Requests.Cpu(), got.Requests.Memory()
	if gpu.Value() != 1 || cpu.MilliValue() < 200 || memory.Value() < 128<<20 || got.Limits.Memory().Value() != 2*memory.Value() {
		t.Errorf("resources = %+v", got)
	}
}

func TestWhatIsPushedOnLeavesNoRecording(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(pushedOn)
	b.live("show", "A")
	job := b.onlyJob()
	config, err := workload.ConfigOf(job)
	if err != nil || config.Transcoding.Push == nil || config.Transcoding.Push.App != "live" || config.Transcoding.Push.Domain != "push.example.com" || config.Transcoding.Push.Scheme != "rtmp" {
		t.Errorf("config = %+v, error %v", config, err)
	}
	mounted := false
	for _, v := range job.Spec.Template.Spec.Volumes {
		mounted = mounted || v.Secret != nil && v.Secret.SecretName == "low" && v.Secret.Items[0] == corev1.KeyToPath{Key: "pushKey", Path: "key"}
	}
	if !mounted {
		t.Error("the push key is not mounted")
	}
	b.podReady(job)
	b.settle("show")
	for _, c := range b.stream("show").Status.Conditions {
		if c.Type == v1alpha1.ConditionRecordingReady {
			t.Errorf("condition = %+v", c)
		}
	}
	b.over("show", "A")
	if told := b.podOf(job).Annotations[recording.StopAnnotation]; told == "" {
		t.Error("its Pod was not told that the broadcast is over")
	}
	b.recorderEnds(b.onlyJob(), &recording.Result{Ready: true})
	b.clock.SetTime(b.clock.Now().Add(time.Hour))
	b.settle("show")
	status := b.stream("show").Status
	if len(status.History) != 1 || len(status.History[0].Recordings) != 0 {
		t.Errorf("history = %+v", status.History)
	}
	if jobs := b.jobs(); len(jobs) != 1 {
		t.Errorf("%d Jobs, want that of the broadcast alone", len(jobs))
	}
}

// Its node does not answer, so that it runs on after it was told, while later shows end and the record of its own is dropped.
func TestATranscoderThatWasToldToFinishOpensNoForgottenBroadcastAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(pushedOn, func(s *v1alpha1.LiveStream) { s.Spec.HistoryLimit = 1 })
	b.live("show", "A")
	stuck := b.onlyJob()
	b.podReady(stuck)
	b.over("show", "A")
	if b.podOf(stuck).Annotations[recording.StopAnnotation] == "" {
		t.Fatal("its Pod was not told that the broadcast is over")
	}
	jobOf := func(broadcast string) *batchv1.Job {
		for _, job := range b.jobs() {
			if job.Labels[v1alpha1.LabelBroadcast] == broadcast {
				return &job
			}
		}
		t.Fatalf("broadcast %s has no Job", broadcast)
		return nil
	}
	b.live("show", "B")
	second := jobOf(b.stream("show").Status.Broadcast.ID)
	b.podReady(second)
	b.over("show", "B")
	b.recorderEnds(second, &recording.Result{Ready: true})
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamIdle)
	if forgotten := stuck.Labels[v1alpha1.LabelBroadcast]; len(status.History) != 1 || status.History[0].ID == forgotten {
		t.Fatalf("history = %+v, want the second broadcast alone", status.History)
	}
	b.live("show", "C")
	third := b.stream("show").Status.Broadcast.ID
	if job := jobOf(third); job.UID == stuck.UID {
		t.Error("the next push has no transcoder but the one that was told to finish")
	}
}
