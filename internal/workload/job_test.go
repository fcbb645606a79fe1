package workload

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

var update = flag.Bool("update", false, "write the golden files anew")

var showTime = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func liveStream(change func(*v1alpha1.LiveStream)) *v1alpha1.LiveStream {
	s := &v1alpha1.LiveStream{
		ObjectMeta: metav1.ObjectMeta{Name: "morning-show", Namespace: "studio", UID: "6f1c9d52-0000-4000-8000-000000000001"},
		Spec:       v1alpha1.LiveStreamSpec{PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: "show"},
	}
	if change != nil {
		change(s)
	}
	return s
}

func broadcast() Broadcast {
	return Broadcast{
		ID: "abcdefghij", StartTime: showTime, Domain: "push.example.com",
		PlaybackURL: "https://play.example.com/live/show.flv?txSecret=f85a&txTime=6955B900",
		Push: v1alpha1.Push{
			Sequence: "2210464508206756938", StartTime: new(metav1.NewTime(showTime.In(time.FixedZone("CST", 8*3600)))),
			ClientIP: "1.1.1.1", Width: 1920, Height: 1080,
		},
	}
}

func minimal() *batchv1.JobTemplateSpec {
	return &batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "record", Image: "recorder:1", Args: []string{"$(LIVESTREAM_PLAYBACK_URL)"}}},
	}}}}
}

// demanding sets all that the operator has a say in.
func demanding() *batchv1.JobTemplateSpec {
	return &batchv1.JobTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{
			Name: "ignored", Namespace: "elsewhere", Finalizers: []string{"example.com/ignored"},
			Labels:      map[string]string{"team": "media", v1alpha1.LabelLiveStream: "another", v1alpha1.LabelPart: "9"},
			Annotations: map[string]string{"example.com/note": "kept", v1alpha1.AnnotationSequence: "1"},
		},
		Spec: batchv1.JobSpec{
			Parallelism: new(int32(7)), Completions: new(int32(7)), Suspend: new(true), ManualSelector: new(true),
			Selector:             &metav1.LabelSelector{MatchLabels: map[string]string{"team": "media"}},
			PodReplacementPolicy: new(batchv1.TerminatingOrFailed), BackoffLimit: new(int32(2)),
			TTLSecondsAfterFinished: new(int32(60)), ActiveDeadlineSeconds: new(int64(3600)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"team": "media", v1alpha1.LabelWorkload: "another"}, Annotations: map[string]string{"example.com/pod": "kept"}},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyOnFailure, TerminationGracePeriodSeconds: new(int64(120)),
					InitContainers: []corev1.Container{{Name: "prepare", Image: "busybox:1"}},
					Containers: []corev1.Container{
						{Name: "record", Image: "recorder:1", Env: []corev1.EnvVar{
							{Name: "OUTPUT", Value: "/data/$(LIVESTREAM_BROADCAST).flv"},
							{Name: "LIVESTREAM_CLIENT_IP", Value: "hidden"},
						}},
						{Name: "upload", Image: "uploader:1", TerminationMessagePolicy: corev1.TerminationMessageReadFile},
					},
				},
			},
		},
	}
}

func TestJobGolden(t *testing.T) {
	t.Parallel()
	unknown := broadcast()
	unknown.PlaybackURL = ""
	unknown.Push = v1alpha1.Push{Sequence: "1", Height: 1080}
	for _, row := range []struct {
		name      string
		stream    *v1alpha1.LiveStream
		template  *batchv1.JobTemplateSpec
		broadcast Broadcast
		part      int32
	}{
		{"minimal", liveStream(nil), minimal(), broadcast(), 1},
		{"demanding", liveStream(nil), demanding(), broadcast(), 3},
		{"dollar-in-the-name", liveStream(func(s *v1alpha1.LiveStream) { s.Spec.StreamName = "a$(HOME)$$b$" }), minimal(), broadcast(), 1},
		{"little-is-known", liveStream(nil), minimal(), unknown, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := row.template.DeepCopy()
			job := Job(row.stream, v1alpha1.Workload{Name: "record", Job: row.template}, row.broadcast, row.part)
			if diff := gocmp.Diff(given, row.template); diff != "" {
				t.Errorf("the template was changed: %s", diff)
			}
			got, err := yaml.Marshal(job)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", row.name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("go test ./internal/workload -update writes it anew: %s", diff)
			}
			if again := Job(row.stream, v1alpha1.Workload{Name: "record", Job: row.template}, row.broadcast, row.part); !gocmp.Equal(job, again) {
				t.Error("the same input gives another Job")
			}
		})
	}
}

func TestJobsOfOneTemplateShareNothing(t *testing.T) {
	t.Parallel()
	template := demanding()
	// Room behind the slice would let two Jobs write into one array.
	env := &template.Spec.Template.Spec.Containers[0].Env
	*env = append(make([]corev1.EnvVar, 0, 64), *env...)
	w := v1alpha1.Workload{Name: "record", Job: template}
	other := broadcast()
	other.ID, other.Domain = "another", "other.example.com"
	first := Job(liveStream(nil), w, broadcast(), 1)
	untouched := first.DeepCopy()
	second := Job(liveStream(func(s *v1alpha1.LiveStream) { s.Name = "evening-show" }), w, other, 2)
	*second.Spec.Parallelism = 9
	second.Spec.Template.Labels["team"] = "other"
	second.Spec.Template.Spec.Containers[0].Env[0].Value = "other"
	if diff := gocmp.Diff(untouched, first); diff != "" {
		t.Error(diff)
	}
}

func TestLabelsOfOursInATemplateDoNotLetAJobOutliveItsBroadcast(t *testing.T) {
	t.Parallel()
	ours := map[string]string{
		v1alpha1.LabelRun: string(v1alpha1.WorkloadRunAfterEnd), v1alpha1.LabelStop: v1alpha1.StopBySignal, v1alpha1.LabelPart: "7", v1alpha1.LabelLiveStream: "other",
		v1alpha1.LabelPushDomain: "other", v1alpha1.LabelManagedBy: "helm", "livestream-operator.io/of-a-later-version": "x", "team": "media",
	}
	notes := map[string]string{recording.StopAnnotation: "2026-01-02T20:00:00Z", v1alpha1.AnnotationSequence: "x", "team": "media"}
	template := minimal()
	template.Labels, template.Annotations = ours, notes
	template.Spec.Template.Labels, template.Spec.Template.Annotations = ours, notes
	job := Job(liveStream(nil), v1alpha1.Workload{Name: "record", Job: template}, broadcast(), 1)
	plain := Job(liveStream(nil), v1alpha1.Workload{Name: "record", Job: minimal()}, broadcast(), 1)
	for _, meta := range []struct{ got, want metav1.ObjectMeta }{{job.ObjectMeta, plain.ObjectMeta}, {job.Spec.Template.ObjectMeta, plain.Spec.Template.ObjectMeta}} {
		if diff := gocmp.Diff(merged(meta.want.Labels, map[string]string{"team": "media"}), meta.got.Labels); diff != "" {
			t.Errorf("labels: %s", diff)
		}
		if diff := gocmp.Diff(merged(meta.want.Annotations, map[string]string{"team": "media"}), meta.got.Annotations); diff != "" {
			t.Errorf("annotations: %s", diff)
		}
	}
	if got := Runs([]batchv1.Job{*job}, nil); len(got) != 1 || got[0].AfterEnd || got[0].Signals || got[0].Finish || got[0].Part != 1 {
		t.Errorf("it is read back as %+v", got)
	}
	if ours[v1alpha1.LabelRun] == "" {
		t.Error("the LiveStream's own template was changed")
	}
}
