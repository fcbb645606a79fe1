package workload

import (
	"fmt"
	"maps"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// keepFinished is how long a finished Job stays, with its Pods and logs, when its template does not say.
const keepFinished = 24 * time.Hour

// keepAtLeast is the shortest time: a Job that is gone before a new leader saw it would be made again.
const keepAtLeast = 10 * time.Minute

// Broadcast is what the Jobs of a broadcast have in common.
type Broadcast struct {
	// ID and StartTime are those of status.broadcast.
	ID        string
	StartTime time.Time
	// Push is the live push that the Job is started for: the one that started last.
	Push v1alpha1.Push
	// Domain is the push domain's host name.
	Domain string
	// PlaybackURL is where to pull from, signed if the push domain says so; "" where there is none.
	PlaybackURL string
	// Ended is the record of the broadcast for a Job that runs after it, nil otherwise.
	Ended *v1alpha1.BroadcastRecord
}

// Job is the Job of one part of the workload in the broadcast. Labels and annotations of ours that its author wrote are dropped: they
// say what a Job is, and one that says that it runs after its broadcast, or ends by itself, would outlive it.
func Job(stream *v1alpha1.LiveStream, w v1alpha1.Workload, b Broadcast, part int32) *batchv1.Job {
	w.Job = w.Job.DeepCopy()
	for _, meta := range []*metav1.ObjectMeta{&w.Job.ObjectMeta, &w.Job.Spec.Template.ObjectMeta} {
		meta.Labels, meta.Annotations = theirs(meta.Labels), theirs(meta.Annotations)
	}
	return jobOf(stream, w, b, part)
}

// theirs is without what only the operator writes.
func theirs(all map[string]string) map[string]string {
	all = maps.Clone(all)
	maps.DeleteFunc(all, func(key, _ string) bool { return strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") })
	return all
}

func jobOf(stream *v1alpha1.LiveStream, w v1alpha1.Workload, b Broadcast, part int32) *batchv1.Job {
	template := w.Job.DeepCopy()
	labels := map[string]string{
		v1alpha1.LabelManagedBy:  v1alpha1.ManagedBy,
		v1alpha1.LabelLiveStream: stream.Name,
		v1alpha1.LabelWorkload:   w.Name,
		v1alpha1.LabelBroadcast:  b.ID,
		v1alpha1.LabelPart:       fmt.Sprint(part),
	}
	if b.Ended != nil {
		labels[v1alpha1.LabelRun] = string(v1alpha1.WorkloadRunAfterEnd)
	}
	job := &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        JobName(stream.Name, stream.UID, w.Name, b.ID, part),
			Namespace:   stream.Namespace,
			Labels:      merged(template.Labels, labels),
			Annotations: merged(template.Annotations, startedBy(b)),
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(stream, v1alpha1.GroupVersion.WithKind("LiveStream")),
			},
		},
		Spec: template.Spec,
	}
	one := int32(1)
	job.Spec.Parallelism = &one
	job.Spec.Completions = &one
	job.Spec.PodReplacementPolicy = new(batchv1.Failed)
	job.Spec.Suspend, job.Spec.ManualSelector, job.Spec.Selector = nil, nil, nil
	if job.Spec.TTLSecondsAfterFinished == nil {
		job.Spec.TTLSecondsAfterFinished = new(int32(keepFinished / time.Second))
	}
	*job.Spec.TTLSecondsAfterFinished = max(*job.Spec.TTLSecondsAfterFinished, int32(keepAtLeast/time.Second))
	pod := &job.Spec.Template
	pod.Labels = merged(pod.Labels, labels)
	if pod.Spec.RestartPolicy == "" {
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	}
	restrict(&pod.Spec)
	inform(&pod.Spec, environment(stream, b))
	return job
}

func startedBy(b Broadcast) map[string]string {
	return map[string]string{
		v1alpha1.AnnotationSequence:       b.Push.Sequence,
		v1alpha1.AnnotationBroadcastStart: b.StartTime.UTC().Format(time.RFC3339),
	}
}

// merged is the user's map with ours over it.
func merged(theirs, ours map[string]string) map[string]string {
	both := make(map[string]string, len(theirs)+len(ours))
	maps.Copy(both, theirs)
	maps.Copy(both, ours)
	return both
}

// environment is what every container is told about the push.
func environment(stream *v1alpha1.LiveStream, b Broadcast) []corev1.EnvVar {
	width, height := "", ""
	if b.Push.Width > 0 && b.Push.Height > 0 {
		width, height = fmt.Sprint(b.Push.Width), fmt.Sprint(b.Push.Height)
	}
	startedAt := ""
	if b.Push.StartTime != nil {
		startedAt = b.Push.StartTime.UTC().Format(time.RFC3339)
	}
	variables := []corev1.EnvVar{
		{Name: "LIVESTREAM_NAMESPACE", Value: stream.Namespace},
		{Name: "LIVESTREAM_NAME", Value: stream.Name},
		{Name: "LIVESTREAM_DOMAIN", Value: b.Domain},
		{Name: "LIVESTREAM_APP", Value: stream.Spec.AppName},
		{Name: "LIVESTREAM_STREAM", Value: stream.Spec.StreamName},
		{Name: "LIVESTREAM_BROADCAST", Value: b.ID},
		{Name: "LIVESTREAM_SEQUENCE", Value: b.Push.Sequence},
		{Name: "LIVESTREAM_PLAYBACK_URL", Value: b.PlaybackURL},
		{Name: "LIVESTREAM_STARTED_AT", Value: startedAt},
		{Name: "LIVESTREAM_CLIENT_IP", Value: b.Push.ClientIP},
		{Name: "LIVESTREAM_WIDTH", Value: width},
		{Name: "LIVESTREAM_HEIGHT", Value: height},
	}
	if b.Ended != nil {
		variables = append(variables, afterwards(*b.Ended)...)
	}
	for i := range variables {
		// Kubernetes expands $(NAME) in values too; a stream's name must not reach other variables.
		variables[i].Value = escaped(variables[i].Value)
	}
	return variables
}

// afterwards is what a Job that runs after the broadcast is told besides.
func afterwards(ended v1alpha1.BroadcastRecord) []corev1.EnvVar {
	endedAt, duration := "", ""
	uris := map[string]string{}
	for _, r := range ended.Recordings {
		if r.ReadyTime != nil {
			uris[r.Name] = r.URI
		}
	}
	if ended.EndTime != nil {
		endedAt = ended.EndTime.UTC().Format(time.RFC3339)
	}
	if ended.DurationSeconds != nil {
		duration = fmt.Sprint(*ended.DurationSeconds)
	}
	return []corev1.EnvVar{
		{Name: "LIVESTREAM_ENDED_AT", Value: endedAt},
		{Name: "LIVESTREAM_END_REASON", Value: string(ended.EndReason)},
		{Name: "LIVESTREAM_DURATION_SECONDS", Value: duration},
		{Name: "LIVESTREAM_RECORDING_URI", Value: uris[RecorderName]},
		{Name: "LIVESTREAM_LADDER_URI", Value: uris[TranscoderName]},
	}
}

// inform puts the variables before the user's own, so that those can be made from them.
func inform(pod *corev1.PodSpec, variables []corev1.EnvVar) {
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			containers[i].Env = append(append([]corev1.EnvVar(nil), variables...), containers[i].Env...)
			if containers[i].TerminationMessagePolicy == "" {
				// The last log line of a container that fails is then in its status, where it outlives the pod.
				containers[i].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
			}
		}
	}
}
