package workload

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// Phase is where a Job stands.
type Phase int

const (
	// Pending means: no Pod of the Job is ready.
	Pending Phase = iota + 1
	// Running means: a Pod is ready.
	Running
	// Complete means: the Job completed by itself.
	Complete
	// Failed means: the Job failed by itself.
	Failed
	// Terminating means: the Job is being deleted.
	Terminating
)

// Run is a Job of a LiveStream as it is observed.
type Run struct {
	JobName   string
	UID       types.UID
	Workload  string
	Broadcast string
	// Sequence and BroadcastStart are those of the push that began the broadcast, zero where the Job does not tell.
	Sequence       string
	BroadcastStart time.Time
	Part           int32
	// AfterEnd says that the Job runs after its broadcast.
	AfterEnd bool
	Phase    Phase
	// Created is when the Job was made, Ready when its Pod became ready, Finished when the Job ended; zero where they did not.
	Created, Ready, Finished time.Time
	// PodMade is when the Pod was made that speaks for the Job, zero where there is none.
	PodMade time.Time
	// Exited is when the last container of its Pod ended: the Job is told to be Finished later, by much where the controller manager is behind. Zero where no Pod
	// tells.
	Exited time.Time
	// PodsGone says of a Terminating Job that no Pod of it runs any more.
	PodsGone bool
	// Signals says that the Job is told when its broadcast is over, instead of deleted; Told is when it was, zero where it was not.
	Signals bool
	// Pod is that which speaks for a Running Job; Progress is what its worker told, nil where it told nothing. It is read by others.
	Pod      types.UID
	Progress *recording.Progress
	// Stores says that it leaves a recording.
	Stores bool
	Told   time.Time
	// Patience is how long after it was told it may run, zero where its Job does not tell.
	Patience time.Duration
	// Finish says that the Job does nothing but finish a recording.
	Finish bool
	// Result is what a recorder said when it ended, nil where it has not.
	Result *recording.Result
	// Trouble says why no Pod is ready, or how the Job ended; "" where there is nothing to say.
	Trouble string
	// Lost is since when the node of its Pod is not ready, or does not answer; zero where nothing tells that.
	Lost time.Time
	// PodDue is when its Pod has to have ended, as it is being deleted; zero where it is not, or has ended.
	PodDue time.Time
}

// Active says whether the Job has, or may still get, a running Pod that nobody told to end.
func (r Run) Active() bool { return r.Phase == Pending || r.Phase == Running }

// lateEnd is how much later than it has to the end of a Pod may be told.
const lateEnd = time.Minute

// Abandoned says whether its Pod is being deleted and nobody tells that it ended, as its node is lost, or did not end it in time. The Job
// has no other Pod until then.
func (r Run) Abandoned(now time.Time) bool {
	return !r.PodDue.IsZero() && (!r.Lost.IsZero() || !now.Before(r.HungAt()))
}

// HungAt is when its Pod, which is being deleted, should have ended long since; zero where none is.
func (r Run) HungAt() time.Time {
	if r.PodDue.IsZero() {
		return time.Time{}
	}
	return r.PodDue.Add(lateEnd)
}

// Hung says what there is to do where nobody runs, or ends, its Pod any more; "" where somebody does.
func (r Run) Hung(now time.Time) string {
	switch {
	case !r.Lost.IsZero():
		return r.Trouble
	case r.Abandoned(now):
		return fmt.Sprintf("its pod is being deleted, and had to end by %s: its node does not tell that it did; delete the Node where that is gone, or the pod with --force", r.PodDue.UTC().Format(time.RFC3339))
	default:
		return ""
	}
}

// Runs reads the Jobs of a LiveStream, sorted by workload, broadcast and part. Jobs without our labels are left out.
func Runs(jobs []batchv1.Job, pods []corev1.Pod) []Run {
	byJob := map[string][]corev1.Pod{}
	for _, pod := range pods {
		if owner := metav1.GetControllerOf(&pod); owner != nil {
			byJob[string(owner.UID)] = append(byJob[string(owner.UID)], pod)
		}
	}
	runs := make([]Run, 0, len(jobs))
	for i := range jobs {
		part, err := strconv.ParseInt(jobs[i].Labels[v1alpha1.LabelPart], 10, 32)
		if err != nil || jobs[i].Labels[v1alpha1.LabelWorkload] == "" || jobs[i].Labels[v1alpha1.LabelBroadcast] == "" {
			continue
		}
		runs = append(runs, read(&jobs[i], byJob[string(jobs[i].UID)], int32(part)))
	}
	slices.SortFunc(runs, func(a, b Run) int {
		return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Broadcast, b.Broadcast), cmp.Compare(a.Part, b.Part))
	})
	return runs
}

func read(job *batchv1.Job, pods []corev1.Pod, part int32) Run {
	// Only the latest Pod speaks for the Job.
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	r := Run{
		JobName: job.Name, UID: job.UID, Part: part,
		AfterEnd: job.Labels[v1alpha1.LabelRun] == string(v1alpha1.WorkloadRunAfterEnd),
		Workload: job.Labels[v1alpha1.LabelWorkload], Broadcast: job.Labels[v1alpha1.LabelBroadcast],
		Sequence: job.Annotations[v1alpha1.AnnotationSequence], Created: job.CreationTimestamp.Time,
	}
	r.Signals, r.Finish = job.Labels[v1alpha1.LabelStop] == v1alpha1.StopBySignal, job.Labels[v1alpha1.LabelRun] == v1alpha1.RunFinish
	if seconds, err := strconv.Atoi(job.Annotations[v1alpha1.AnnotationUploadTimeout]); err == nil {
		r.Patience = Patience(seconds)
	}
	r.Stores = r.Signals && job.Labels[v1alpha1.LabelRun] != v1alpha1.RunPush
	if start, err := time.Parse(time.RFC3339, job.Annotations[v1alpha1.AnnotationBroadcastStart]); err == nil {
		r.BroadcastStart = start
	}
	r.Phase, r.Finished = phaseOf(job)
	r.PodsGone = !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return !finished(p) })
	if len(pods) == 0 {
		r.Trouble = verdict(job)
		return r
	}
	latest := pods[len(pods)-1]
	r.Pod, r.PodMade = latest.UID, latest.CreationTimestamp.Time
	if ready := readySince(latest); !ready.IsZero() {
		r.Ready = ready
		if r.Phase == Pending && !finished(latest) {
			r.Phase = Running
		}
	}
	r.Exited = exited(latest)
	if r.Phase != Running {
		r.readNode(latest)
		r.Trouble = cmp.Or(r.Trouble, trouble(latest))
	}
	if r.Signals {
		r.readWorker(latest)
	}
	if said := verdict(job); said != "" && (r.Trouble == "" || pastDeadline(job)) {
		r.Trouble = said
	}
	return r
}

// readNode reads whether the Pod's node is there to run it, and to end it.
func (r *Run) readNode(latest corev1.Pod) {
	if finished(latest) {
		return
	}
	if latest.DeletionTimestamp != nil {
		r.PodDue = latest.DeletionTimestamp.Time
	}
	if r.Lost = lostSince(latest); !r.Lost.IsZero() {
		r.Trouble = fmt.Sprintf("the node of pod %s is not ready, or does not answer, since %s: unless it comes back, delete the Node, or the pod with --force",
			latest.Name, r.Lost.UTC().Format(time.RFC3339))
	}
}

// lostSince is when the node lifecycle controller took Ready from the Pod, as it does where a node is not ready, or silent. It tells no reason;
// a kubelet does.
func lostSince(pod corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse && c.Reason == "" && pod.Status.Phase == corev1.PodRunning {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// readWorker reads what a worker was told, and what it says.
func (r *Run) readWorker(latest corev1.Pod) {
	r.Told, r.Result = toldAt(latest), resultOf(latest)
	switch {
	case r.Result != nil:
		r.Trouble = sentence(r.Result.Message)
	case r.Phase != Pending || r.Trouble != "" || latest.Status.Phase != corev1.PodRunning:
	case latest.DeletionTimestamp != nil:
		r.Trouble = "its pod is being deleted: it stores what it has, and the next part starts when it has ended"
	case r.Workload == TranscoderName:
		r.Trouble = "the worker runs, and no media comes from the playback domain, or none gets on: its log says why"
	default:
		r.Trouble = "the worker runs, and no media comes from the playback domain"
	}
}

// toldAt is when the Pod was told to finish.
func toldAt(pod corev1.Pod) time.Time {
	at, err := time.Parse(time.RFC3339, pod.Annotations[recording.StopAnnotation])
	if err != nil {
		return time.Time{}
	}
	return at
}

func resultOf(pod corev1.Pod) *recording.Result {
	for _, status := range pod.Status.ContainerStatuses {
		if ended := status.State.Terminated; ended != nil {
			if result, said := recording.ParseResult(ended.Message); said {
				return &result
			}
		}
	}
	return nil
}

// verdict is what the Job itself says of its failure, where that tells more than its Pods.
func verdict(job *batchv1.Job) string {
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue {
			if c.Reason == batchv1.JobReasonDeadlineExceeded {
				return "it ran longer than its activeDeadlineSeconds"
			}
			return sentence(c.Message)
		}
	}
	return ""
}

func pastDeadline(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == batchv1.JobFailed && c.Reason == batchv1.JobReasonDeadlineExceeded
	})
}

// phaseOf is all that the Job itself tells; the time is zero unless it is finished.
func phaseOf(job *batchv1.Job) (Phase, time.Time) {
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			return Complete, c.LastTransitionTime.Time
		case batchv1.JobFailed:
			return Failed, c.LastTransitionTime.Time
		}
	}
	if job.DeletionTimestamp != nil {
		return Terminating, time.Time{}
	}
	return Pending, time.Time{}
}

func finished(pod corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// HasRun says whether a container of the Pod was ever started, as far as its node has told. Init containers do not count.
func HasRun(pod corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodPending || slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil
	})
}

// readySince is when the Pod became ready. One that has ended is not ready any more: it counts as ready since its container ran.
func readySince(pod corev1.Pod) time.Time {
	if finished(pod) {
		for _, status := range pod.Status.ContainerStatuses {
			if ended := status.State.Terminated; ended != nil && wasTold(ended.StartedAt) {
				return ended.StartedAt.Time
			}
		}
		return time.Time{}
	}
	if pod.DeletionTimestamp != nil {
		return time.Time{}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// wasTold says whether a node told the time. Of a container that could not be started the kubelet tells the beginning of Unix time.
func wasTold(at metav1.Time) bool { return at.Unix() > 0 }

func exited(pod corev1.Pod) (last time.Time) {
	if !finished(pod) {
		return last
	}
	for _, status := range pod.Status.ContainerStatuses {
		if ended := status.State.Terminated; ended != nil && wasTold(ended.FinishedAt) && ended.FinishedAt.After(last) {
			last = ended.FinishedAt.Time
		}
	}
	return last
}

// trouble is one sentence on why the Pod is not ready, or how it ended. A container that failed speaks before one that ended
// well. In a Pod that succeeded none failed: a sidecar's exit code is that of its signal.
func trouble(pod corev1.Pod) string {
	well := ""
	for _, status := range append(slices.Clone(pod.Status.ContainerStatuses), pod.Status.InitContainerStatuses...) {
		switch {
		case status.State.Terminated != nil:
			ended := terminated(status.State.Terminated)
			if status.State.Terminated.ExitCode != 0 && pod.Status.Phase != corev1.PodSucceeded {
				return ended
			}
			if finished(pod) {
				well = cmp.Or(well, ended)
			}
		case status.State.Waiting != nil:
			if waits := waiting(status); waits != "" {
				return waits
			}
		}
	}
	if well != "" {
		return well
	}
	if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
		return sentence(pod.Status.Reason + ": " + pod.Status.Message)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return sentence("no node can take the pod: " + c.Message)
		}
	}
	return ""
}

// ReasonFailedCreate is that of the Events which tell why a Job has no Pod.
const ReasonFailedCreate = "FailedCreate"

// PodlessTrouble is why a Job has no Pod, as the latest of its Events tells: the quota is used up, or a policy refuses the Pod.
func PodlessTrouble(events []corev1.Event) string {
	latest := corev1.Event{}
	for _, e := range events {
		if e.Reason == ReasonFailedCreate && !e.LastTimestamp.Before(&latest.LastTimestamp) {
			latest = e
		}
	}
	if latest.Message == "" {
		return ""
	}
	// Each try has a Pod name of its own; a message that changes would be a write.
	message := podName.ReplaceAllString(latest.Message, "")
	if strings.Contains(message, "exceeded quota") {
		message += "; raise the ResourceQuota, or ask for less"
	}
	return sentence("no pod can be created: " + strings.TrimPrefix(message, "Error creating: "))
}

var podName = regexp.MustCompile(`pods? "[^"]*" (is )?`)

func terminated(t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("exit code %d", t.ExitCode)
	if t.Reason == "OOMKilled" {
		text += ", out of memory: raise resources.limits.memory"
	}
	if last := lastLine(t.Message); last != "" {
		text += ": " + last
	}
	return sentence(text)
}

// waiting names the same trouble always the same way: the kubelet alternates between ErrImagePull and ImagePullBackOff, and
// each change would be a write.
func waiting(status corev1.ContainerStatus) string {
	switch status.State.Waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName":
		return sentence("image " + status.Image + " cannot be pulled")
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		text := "container " + status.Name + " cannot be created: " + status.State.Waiting.Message
		if strings.Contains(status.State.Waiting.Message, "runAsNonRoot") {
			text += "; use an image with a numeric USER, or set securityContext.runAsNonRoot: false in the pod template"
		}
		return sentence(text)
	case "CrashLoopBackOff":
		if last := status.LastTerminationState.Terminated; last != nil {
			return sentence("container " + status.Name + " crashes again and again: " + terminated(last))
		}
		return sentence("container " + status.Name + " crashes again and again")
	default:
		return ""
	}
}

// lastLine is what a container said last.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// signature is that of a playback URL, with when it expires, which differs each time. Runtimes repeat the command that they cannot find, and the
// kubelet what it cannot do.
var signature = regexp.MustCompile(`(?i)(txSecret=|txTime=)[0-9a-z]+`)

// WithoutSignatures returns the text with the signatures of playback URLs, and their times, left out.
func WithoutSignatures(text string) string { return signature.ReplaceAllString(text, "${1}...") }

// sentence keeps a message printable, within the bounds of the status, and without signatures: status and Events have other readers
// than Jobs and logs.
func sentence(text string) string {
	const longest = 512
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
	text = WithoutSignatures(strings.Join(strings.Fields(text), " "))
	if len(text) > longest {
		// Who compares texts has to know.
		text = strings.ToValidUTF8(text[:longest-len("...")], "") + "..."
	}
	return text
}
