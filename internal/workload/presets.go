package workload

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

const (
	// workerUser is the user of the worker's image.
	workerUser = 65532
	// workerGrace is how long a worker may store and join what it has when its Pod has to go.
	workerGrace = 5 * time.Minute
	// defaultUploadTimeout is in seconds.
	defaultUploadTimeout = 3600
	// toRun is how long a worker that finishes may wait for a node and its image: the time of a Job runs meanwhile, and what it makes of the
	// parts when no file comes of them is the last that it does.
	toRun = 30 * time.Minute
	// WorkerPort is where a worker serves its health, metrics and progress.
	WorkerPort = 9090
	// These volumes hold the playback key, the push key and the credentials of a bucket.
	playbackVolume, pushVolume, credentialsVolume = "playback", "push", "storage"
)

// FinishTries is how many Jobs may try to finish a recording when the one that made it could not.
const FinishTries = 3

// Patience is how long a worker may take after its broadcast, before it is ended: its time for storing what it has, an hour where none is
// set, and half an hour.
func Patience(uploadTimeoutSeconds int) time.Duration {
	return time.Duration(cmp.Or(uploadTimeoutSeconds, defaultUploadTimeout))*time.Second + 30*time.Minute
}

// preset is a workload that the worker's image serves: a setting asks for it, and nobody writes its Job.
type preset struct {
	name   string
	wanted func(*v1alpha1.LiveStreamSettings) bool
	// stores says whether something is left of it that can be played afterwards.
	stores func(*v1alpha1.LiveStreamSettings) bool
	// config tells the worker what to do, and pod gives it what it needs for that.
	config func(*v1alpha1.LiveStream, *v1alpha1.LiveStreamSettings, *recording.Config)
	pod    func(*v1alpha1.LiveStreamSettings, Broadcast, *workerPod)
}

// presets in the order in which the status lists them.
var presets = []preset{recorder, transcoder}

func presetOf(settings *v1alpha1.LiveStreamSettings, name string) (preset, bool) {
	for _, p := range presets {
		if p.name == name && p.wanted(settings) {
			return p, true
		}
	}
	return preset{}, false
}

// WithPresets are the settings with the workloads that they ask for by name before those that they list. What the Jobs of such a
// workload are, PresetJob says.
func WithPresets(settings v1alpha1.LiveStreamSettings) v1alpha1.LiveStreamSettings {
	var asked []v1alpha1.Workload
	for _, p := range presets {
		if p.wanted(&settings) {
			asked = append(asked, v1alpha1.Workload{Name: p.name, Job: &batchv1.JobTemplateSpec{}})
		}
	}
	if len(asked) > 0 {
		settings.Workloads = append(asked, settings.Workloads...)
	}
	return settings
}

// IsPreset says whether the workload was made by WithPresets.
func IsPreset(settings v1alpha1.LiveStreamSettings, name string) bool {
	_, is := presetOf(&settings, name)
	return is
}

// Stores says whether the workload is a preset that leaves a recording.
func Stores(settings v1alpha1.LiveStreamSettings, name string) bool {
	p, is := presetOf(&settings, name)
	return is && p.stores(&settings)
}

// PresetJob is the Job of one part of a preset. Where the broadcast had one before, that is given: what it did, and where to, holds for
// the whole broadcast.
func PresetJob(stream *v1alpha1.LiveStream, name string, settings v1alpha1.LiveStreamSettings, playback v1alpha1.Playback, b Broadcast, part int32, image string, before *batchv1.Job) (*batchv1.Job, error) {
	config, template, stores, err := presetTemplate(stream, name, settings, playback, b, image, before)
	if err != nil {
		return nil, err
	}
	template.Spec.Template.Labels = map[string]string{v1alpha1.LabelStop: v1alpha1.StopBySignal}
	config.Job, config.Finish = int(part), b.Ended != nil
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the worker's configuration: %w", err)
	}
	template.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: recording.ConfigVariable, Value: escaped(string(text))}}
	ended := b.Ended
	// It belongs to the broadcast, and runs after it only to finish.
	b.Ended = nil
	made := jobOf(stream, v1alpha1.Workload{Name: name, Job: template}, b, part)
	made.Annotations[v1alpha1.AnnotationUploadTimeout] = strconv.Itoa(cmp.Or(config.UploadTimeoutSeconds, defaultUploadTimeout))
	run := func(value string) {
		made.Labels[v1alpha1.LabelRun], made.Spec.Template.Labels[v1alpha1.LabelRun] = value, value
	}
	switch {
	case ended != nil:
		run(v1alpha1.RunFinish)
		onlyFinishes(&made.Spec, config)
	case !stores:
		run(v1alpha1.RunPush)
	}
	return made, nil
}

// onlyFinishes takes from a worker what it needs only to pull and to encode, so that nothing of that keeps it from running, and bounds how
// long it may take, to run at all included.
func onlyFinishes(job *batchv1.JobSpec, config recording.Config) {
	deadline := Patience(config.UploadTimeoutSeconds) + toRun
	job.ActiveDeadlineSeconds = new(int64(deadline / time.Second))
	// Tries are counted by their Jobs: the first has to be there still when the last has ended.
	*job.TTLSecondsAfterFinished = max(*job.TTLSecondsAfterFinished, int32((FinishTries*deadline+keepFinished)/time.Second)) //nolint:gosec // some days
	pod := &job.Template.Spec
	worker := &pod.Containers[0]
	// Nothing has to flow.
	worker.ReadinessProbe = nil
	pod.Volumes = slices.DeleteFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == playbackVolume })
	worker.VolumeMounts = slices.DeleteFunc(worker.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == playbackVolume })
	if config.Transcoding != nil {
		worker.Resources = withoutEncoding(worker.Resources)
	}
}

// withoutEncoding leaves of what a transcoder asks for no device, and no more CPU and memory than a worker needs that does not encode. Its
// limits stay: the namespace took its Pod with them, and may refuse one without.
func withoutEncoding(given corev1.ResourceRequirements) corev1.ResourceRequirements {
	enough := workerResources().Requests
	var left corev1.ResourceRequirements
	keep := func(list *corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = q
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		limit, limited := given.Limits[name]
		if limited {
			keep(&left.Limits, name, limit)
		}
		request, asked := given.Requests[name]
		if !asked && limited {
			// What is limited only is asked for wholly.
			request, asked = limit, true
		}
		if !asked {
			continue
		}
		if most, is := enough[name]; is && request.Cmp(most) > 0 {
			request = most
		}
		keep(&left.Requests, name, request)
	}
	return left
}

// KeysOf are the entries of Secrets that the Pod of a preset's Job cannot do without.
func KeysOf(job *batchv1.Job) []v1alpha1.SecretKeyReference {
	var keys []v1alpha1.SecretKeyReference
	for _, v := range job.Spec.Template.Spec.Volumes {
		switch {
		case v.Secret == nil:
		case v.Name == playbackVolume, v.Name == pushVolume:
			for _, item := range v.Secret.Items {
				keys = append(keys, v1alpha1.SecretKeyReference{Name: v.Secret.SecretName, Key: item.Key})
			}
		case v.Name == credentialsVolume:
			for _, key := range []string{"accessKeyID", "secretAccessKey"} {
				keys = append(keys, v1alpha1.SecretKeyReference{Name: v.Secret.SecretName, Key: key})
			}
		}
	}
	return keys
}

func presetTemplate(stream *v1alpha1.LiveStream, name string, settings v1alpha1.LiveStreamSettings, playback v1alpha1.Playback, b Broadcast, image string, before *batchv1.Job) (config recording.Config, template *batchv1.JobTemplateSpec, stores bool, err error) {
	if before != nil {
		config, err = ConfigOf(before)
		template = &batchv1.JobTemplateSpec{}
		template.Labels = map[string]string{v1alpha1.LabelStop: v1alpha1.StopBySignal}
		template.Spec = *before.Spec.DeepCopy()
		return config, template, before.Labels[v1alpha1.LabelRun] != v1alpha1.RunPush, err
	}
	p, is := presetOf(&settings, name)
	if !is {
		return config, nil, false, fmt.Errorf("workload %q is none that the worker serves", name)
	}
	config = configOf(stream, playback, b)
	p.config(stream, &settings, &config)
	pod := newWorkerPod(playback, image)
	p.pod(&settings, b, pod)
	return config, pod.template(), p.stores(&settings), nil
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

func configOf(stream *v1alpha1.LiveStream, playback v1alpha1.Playback, b Broadcast) recording.Config {
	return recording.Config{
		Playback: recording.Playback{
			Domain: playback.Domain, Protocol: string(playback.PullProtocol()), Scheme: string(playback.URLScheme()),
			ValiditySeconds: int64(playback.Validity() / time.Second),
		},
		App: stream.Spec.AppName, Stream: stream.Spec.StreamName, Broadcast: b.ID, Started: b.StartTime.UTC(),
	}
}

func storageOf(s v1alpha1.RecordingStorage) recording.Storage {
	return recording.Storage{
		Endpoint: s.S3.Endpoint, Region: s.S3.Region, Bucket: s.S3.Bucket, ClaimName: s.PersistentVolumeClaim.ClaimName, Prefix: s.Prefix,
	}
}

// spoolOf is the URI of a spool that outlives the Pod, "" of others.
func spoolOf(s v1alpha1.RecordingSpool, folder string) string {
	if s.PersistentVolumeClaim.ClaimName == "" {
		return ""
	}
	return "pvc://" + s.PersistentVolumeClaim.ClaimName + "/" + folder
}

// workerPod runs the worker with nothing that it does not need: no root, no writable root file system, no token.
type workerPod struct {
	spec      corev1.PodSpec
	container corev1.Container
}

func newWorkerPod(playback v1alpha1.Playback, image string) *workerPod {
	user, grace := int64(workerUser), int64(workerGrace/time.Second)
	p := &workerPod{container: corev1.Container{
		Name: "worker", Image: image,
		Ports:           []corev1.ContainerPort{{Name: "metrics", ContainerPort: WorkerPort}},
		SecurityContext: &corev1.SecurityContext{ReadOnlyRootFilesystem: new(true)},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(WorkerPort)}},
			PeriodSeconds: 1, FailureThreshold: 3,
		},
		Resources: workerResources(),
	}}
	p.spec = corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
		SecurityContext: &corev1.PodSecurityContext{RunAsUser: &user, RunAsGroup: &user, FSGroup: &user},
	}
	p.mount("tmp", "/tmp", "", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	// The kubelet writes a change of the annotations into the file at once: that is how the worker is told that the broadcast is over.
	p.mount("pod", path.Dir(recording.ControlFile), "", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
		{Path: path.Base(recording.ControlFile), FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations"}},
	}}})
	if playback.Signed() {
		p.key(playbackVolume, recording.PlaybackKeyFile, playback.KeySecretRef)
	}
	return p
}

// workerResources are what a worker needs that does not encode.
func workerResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
}

func (p *workerPod) mount(name, path, sub string, source corev1.VolumeSource) {
	p.spec.Volumes = append(p.spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	p.container.VolumeMounts = append(p.container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path, SubPath: sub})
}

// key mounts one key of a Secret as the given file.
func (p *workerPod) key(name, file string, ref v1alpha1.SecretKeyReference) {
	p.mount(name, path.Dir(file), "", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: ref.Name, Items: []corev1.KeyToPath{{Key: ref.Key, Path: path.Base(file)}},
	}})
}

func claimed(c v1alpha1.VolumeClaim) corev1.VolumeSource {
	return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.ClaimName}}
}

// spool has a folder of its own for each broadcast and workload.
func (p *workerPod) spool(s v1alpha1.RecordingSpool, folder string) {
	if s.PersistentVolumeClaim.ClaimName != "" {
		p.mount("spool", recording.SpoolDir, folder, claimed(s.PersistentVolumeClaim))
		return
	}
	p.mount("spool", recording.SpoolDir, "", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
}

func (p *workerPod) storage(s v1alpha1.RecordingStorage) {
	if s.S3.Bucket != "" {
		p.mount(credentialsVolume, recording.CredentialsDir, "", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: s.S3.CredentialsSecretRef.Name}})
		return
	}
	p.mount("recordings", recording.VolumeDir, "", claimed(s.PersistentVolumeClaim))
}

func (p *workerPod) template() *batchv1.JobTemplateSpec {
	p.spec.Containers = []corev1.Container{p.container}
	template := &batchv1.JobTemplateSpec{}
	template.Labels = map[string]string{v1alpha1.LabelStop: v1alpha1.StopBySignal}
	// A worker that ends is followed by the next part, with what this one stored; never by another Pod of the same Job.
	template.Spec.BackoffLimit = new(int32(0))
	template.Spec.Template.Spec = p.spec
	return template
}
