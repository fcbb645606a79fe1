package workload

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// RecorderName is the workload that spec.recording makes.
const RecorderName = "record"

const (
	// workerUser is the user of the worker's image.
	workerUser = 65532
	// recorderGrace is how long a recorder may store and join what it has when its Pod has to go.
	recorderGrace = 5 * time.Minute
	workerPort    = 9090
)

// WithPresets are the settings with the workloads that they ask for by name before those that they list. What the Jobs of such a
// workload are, Recorder says.
func WithPresets(settings v1alpha1.LiveStreamSettings) v1alpha1.LiveStreamSettings {
	if !settings.Recording.Wanted() {
		return settings
	}
	settings.Workloads = append([]v1alpha1.Workload{{Name: RecorderName, Job: &batchv1.JobTemplateSpec{}}}, settings.Workloads...)
	return settings
}

// IsPreset says whether the workload was made by WithPresets.
func IsPreset(settings v1alpha1.LiveStreamSettings, name string) bool {
	return name == RecorderName && settings.Recording.Wanted()
}

// Recorder is the Job of one part of a recording. Where the broadcast had one before, that is given: what it recorded, and where to,
// holds for the whole broadcast.
func Recorder(stream *v1alpha1.LiveStream, r v1alpha1.Recording, playback v1alpha1.Playback, b Broadcast, part int32, image string, before *batchv1.Job) (*batchv1.Job, error) {
	config := configOf(stream, r, playback, b)
	template := recorderTemplate(r, playback, b, image)
	if before != nil {
		earlier, err := ConfigOf(before)
		if err != nil {
			return nil, err
		}
		config = earlier
		template.Spec = *before.Spec.DeepCopy()
	}
	template.Spec.Template.Labels = map[string]string{v1alpha1.LabelStop: v1alpha1.StopBySignal}
	config.Job, config.Finish = int(part), b.Ended != nil
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the recorder's configuration: %w", err)
	}
	template.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: recording.ConfigVariable, Value: escaped(string(text))}}
	ended := b.Ended
	// It belongs to the broadcast, and runs after it only to finish.
	b.Ended = nil
	job := Job(stream, v1alpha1.Workload{Name: RecorderName, Job: template}, b, part)
	if ended != nil {
		job.Labels[v1alpha1.LabelRun], job.Spec.Template.Labels[v1alpha1.LabelRun] = v1alpha1.RunFinish, v1alpha1.RunFinish
		// Nothing has to flow.
		job.Spec.Template.Spec.Containers[0].ReadinessProbe = nil
	}
	return job, nil
}

// escaped keeps Kubernetes from expanding $(NAME) in the value of a variable.
func escaped(value string) string { return strings.ReplaceAll(value, "$", "$$") }

func unescaped(value string) string { return strings.ReplaceAll(value, "$$", "$") }

// ConfigOf reads what a recorder was told.
func ConfigOf(job *batchv1.Job) (recording.Config, error) {
	for _, c := range job.Spec.Template.Spec.Containers {
		for _, v := range c.Env {
			if v.Name == recording.ConfigVariable {
				return recording.ParseConfig(unescaped(v.Value))
			}
		}
	}
	return recording.Config{}, fmt.Errorf("job %q has no %s", job.Name, recording.ConfigVariable)
}

func configOf(stream *v1alpha1.LiveStream, r v1alpha1.Recording, playback v1alpha1.Playback, b Broadcast) recording.Config {
	return recording.Config{
		Playback: recording.Playback{
			Domain: playback.Domain, Protocol: string(playback.PullProtocol()), Scheme: string(playback.URLScheme()),
			ValiditySeconds: int64(playback.Validity() / time.Second),
		},
		App: stream.Spec.AppName, Stream: stream.Spec.StreamName, Broadcast: b.ID, Started: b.StartTime.UTC(),
		Format: recording.Format(r.FileFormat()), SegmentSeconds: r.Segment(), UploadTimeoutSeconds: int(r.UploadTimeoutSeconds),
		Storage: recording.Storage{
			Endpoint: r.Storage.S3.Endpoint, Region: r.Storage.S3.Region, Bucket: r.Storage.S3.Bucket,
			ClaimName: r.Storage.PersistentVolumeClaim.ClaimName, Prefix: r.Storage.Prefix,
		},
	}
}

// recorderTemplate runs the worker with nothing that it does not need: no root, no writable root file system, no token.
func recorderTemplate(r v1alpha1.Recording, playback v1alpha1.Playback, b Broadcast, image string) *batchv1.JobTemplateSpec {
	user, grace := int64(workerUser), int64(recorderGrace/time.Second)
	container := corev1.Container{
		Name: "worker", Image: image,
		Ports:           []corev1.ContainerPort{{Name: "metrics", ContainerPort: workerPort}},
		SecurityContext: &corev1.SecurityContext{ReadOnlyRootFilesystem: new(true)},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(workerPort)}},
			PeriodSeconds: 1, FailureThreshold: 3,
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
	}
	if r.Resources != nil {
		container.Resources = *r.Resources.DeepCopy()
	}
	pod := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
		SecurityContext: &corev1.PodSecurityContext{RunAsUser: &user, RunAsGroup: &user, FSGroup: &user},
	}
	mount := func(name, path, sub string, source corev1.VolumeSource) {
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: name, VolumeSource: source})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path, SubPath: sub})
	}
	claim := func(c v1alpha1.VolumeClaim) corev1.VolumeSource {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.ClaimName}}
	}
	if spool := r.Spool.PersistentVolumeClaim; spool.ClaimName != "" {
		mount("spool", recording.SpoolDir, b.ID, claim(spool))
	} else {
		mount("spool", recording.SpoolDir, "", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	}
	mount("tmp", "/tmp", "", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	// The kubelet writes a change of the annotations into the file at once: that is how the worker is told that the broadcast is over.
	mount("pod", path.Dir(recording.ControlFile), "", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
		{Path: path.Base(recording.ControlFile), FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations"}},
	}}})
	if playback.Signed() {
		mount("playback", path.Dir(recording.PlaybackKeyFile), "", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: playback.KeySecretRef.Name, Items: []corev1.KeyToPath{{Key: playback.KeySecretRef.Key, Path: path.Base(recording.PlaybackKeyFile)}},
		}})
	}
	if s3 := r.Storage.S3; s3.Bucket != "" {
		mount("storage", recording.CredentialsDir, "", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: s3.CredentialsSecretRef.Name}})
	} else {
		mount("recordings", recording.VolumeDir, "", claim(r.Storage.PersistentVolumeClaim))
	}
	pod.Containers = []corev1.Container{container}
	template := &batchv1.JobTemplateSpec{}
	template.Labels = map[string]string{v1alpha1.LabelStop: v1alpha1.StopBySignal}
	// A recorder that ends is followed by the next part, with what this one stored; never by another Pod of the same Job.
	template.Spec.BackoffLimit = new(int32(0))
	template.Spec.Template.Spec = pod
	return template
}
