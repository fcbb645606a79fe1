package policy

import (
	"maps"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podsecurity "k8s.io/pod-security-admission/api"
	checks "k8s.io/pod-security-admission/policy"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// madePods are the templates of all kinds of Pods that the operator makes of who asks for nothing special.
func madePods(t *testing.T) map[string]corev1.PodTemplateSpec {
	t.Helper()
	stream := &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Name: "show", Namespace: "studio", UID: "u"}, Spec: v1alpha1.LiveStreamSpec{AppName: "live", StreamName: "show"}}
	b := workload.Broadcast{ID: "abcdefghij", StartTime: time.Unix(1767225600, 0), Push: v1alpha1.Push{Sequence: "1", Width: 1920, Height: 1080}}
	after := b
	after.Ended = &v1alpha1.BroadcastRecord{ID: b.ID}
	playback := v1alpha1.Playback{Domain: "play.example.com", KeySecretRef: v1alpha1.SecretKeyReference{Name: "css", Key: "playbackKey"}}
	claim := v1alpha1.VolumeClaim{ClaimName: "recordings"}
	toClaim, toBucket := v1alpha1.RecordingStorage{PersistentVolumeClaim: claim}, v1alpha1.RecordingStorage{S3: v1alpha1.S3Storage{Bucket: "b", Endpoint: "s3.example.com"}}
	toBucket.S3.CredentialsSecretRef.Name = "s3"
	renditions := []v1alpha1.Rendition{{Name: "720p", Height: 720, VideoBitrateKbps: 2000}}
	pushes := v1alpha1.Transcoding{Renditions: renditions}
	pushes.Output.Push.Domain, pushes.Output.Push.KeySecretRef = "push.example.com", v1alpha1.SecretKeyReference{Name: "css", Key: "pushKey"}
	ladder := v1alpha1.Transcoding{Renditions: renditions}
	ladder.Output.Storage = toBucket
	gpu := ladder
	gpu.GPU.ResourceName = "nvidia.com/gpu"
	several := job("several")
	several.Job.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "i"}}
	several.Job.Spec.Template.Spec.Containers = append(several.Job.Spec.Template.Spec.Containers, corev1.Container{Name: "d", Image: "d"})
	pods := map[string]corev1.PodTemplateSpec{
		"a Job of a user":                     workload.Job(stream, job("thumbnails"), b, 1).Spec.Template,
		"a Job of a user, with more of it":    workload.Job(stream, several, b, 1).Spec.Template,
		"a Job of a user after the broadcast": workload.Job(stream, job("publish"), after, 1).Spec.Template,
	}
	for name, preset := range map[string]struct {
		workload string
		settings v1alpha1.LiveStreamSettings
	}{
		"record to a claim":     {workload.RecorderName, v1alpha1.LiveStreamSettings{Recording: v1alpha1.Recording{Storage: toClaim}}},
		"record to a bucket":    {workload.RecorderName, v1alpha1.LiveStreamSettings{Recording: v1alpha1.Recording{Storage: toBucket, Spool: v1alpha1.RecordingSpool{PersistentVolumeClaim: claim}}}},
		"transcode to HLS":      {workload.TranscoderName, v1alpha1.LiveStreamSettings{Transcoding: ladder}},
		"transcode with a GPU":  {workload.TranscoderName, v1alpha1.LiveStreamSettings{Transcoding: gpu}},
		"transcode and push on": {workload.TranscoderName, v1alpha1.LiveStreamSettings{Transcoding: pushes}},
	} {
		first := presetJob(t, stream, preset.workload, preset.settings, playback, b, nil)
		pods[name] = first.Spec.Template
		pods["finish: "+name] = presetJob(t, stream, preset.workload, preset.settings, playback, after, first).Spec.Template
	}
	return pods
}

func presetJob(t *testing.T, stream *v1alpha1.LiveStream, name string, settings v1alpha1.LiveStreamSettings, playback v1alpha1.Playback, b workload.Broadcast, before *batchv1.Job) *batchv1.Job {
	t.Helper()
	made, err := workload.PresetJob(stream, name, settings, playback, b, 1, "worker", before)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// deployments are the templates of the Pods that the installation runs.
func deployments(t *testing.T) map[string]corev1.PodTemplateSpec {
	t.Helper()
	pods := map[string]corev1.PodTemplateSpec{}
	for _, object := range kustomized(t, "config", "default") {
		if object.GetKind() == "Deployment" {
			pods["the Deployment "+object.GetName()] = as[appsv1.Deployment](t, object).Spec.Template
		}
	}
	if len(pods) == 0 {
		t.Fatal("the installation has no Deployment")
	}
	return pods
}

// violations are what the admission of Pod Security, the API server's own code, says of a Pod; "" where it lets it pass.
func violations(t *testing.T, pod corev1.PodTemplateSpec) string {
	t.Helper()
	evaluator, err := checks.NewEvaluator(checks.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	result := checks.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	if result.Allowed {
		return ""
	}
	return result.ForbiddenDetail()
}

func TestEveryPodThatIsMadePassesTheRestrictedProfile(t *testing.T) {
	pods := deployments(t)
	maps.Copy(pods, madePods(t))
	for name, pod := range pods {
		if said := violations(t, pod); said != "" {
			t.Errorf("%s: %s", name, said)
		}
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			if root := c.SecurityContext.ReadOnlyRootFilesystem; !strings.Contains(name, "of a user") && (root == nil || !*root) {
				t.Errorf("%s: the root file system of %s can be written", name, c.Name)
			}
		}
		if token := pod.Spec.AutomountServiceAccountToken; !strings.Contains(name, "Deployment") && (token == nil || *token) {
			t.Errorf("%s: a token is mounted", name)
		}
	}
	unrestricted := job("thumbnails").Job.Spec.Template
	if violations(t, unrestricted) == "" {
		t.Error("a Pod that nobody restricted passes: the check is not what it should be")
	}
}
