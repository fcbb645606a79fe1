package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// decisionLife is how long a Job may be made, or a target scaled, after the LiveStreams were confirmed: a leader that was stopped for
// longer may have lost its lease, and goes on where it was. It is leader election's RenewDeadline.
const decisionLife = 10 * time.Second

var errOutdated = fmt.Errorf("no Job was made, for it took more than %s since the LiveStream was read; it is read again", decisionLife)

// secretRetry is how soon a Secret that is missing is looked for again: Secrets are not watched.
const secretRetry = 10 * time.Second

const (
	// takenRetry is how soon a Job is tried again whose name another one has: nothing tells when that goes.
	takenRetry = 10 * time.Second
	// rejectedRetry is the same for a Job that the API server, or a webhook, does not take as it is: the webhook may be mended.
	rejectedRetry = 5 * time.Minute
)

// started is what came of the Jobs to make.
type started struct {
	// made holds the names of the Jobs that exist now, by workload.
	made     map[string]string
	failures []plan.Failure
	// err is what a repetition may mend.
	err error
	// again is when to try again without an error, 0 for never.
	again time.Duration
	// outdated: it took so long that the decision is made anew.
	outdated bool
	// leaving: the namespace is being deleted, and the stream will be.
	leaving bool
}

func (s started) orSooner(wait time.Duration) time.Duration {
	if s.again > 0 && (wait == 0 || s.again < wait) {
		return s.again
	}
	return wait
}

func (r *LiveStreamReconciler) start(ctx context.Context, o view, p plan.Plan) started {
	if len(p.Start) == 0 {
		return started{}
	}
	s := started{made: map[string]string{}}
	for _, start := range p.Start {
		broadcast, err := r.broadcast(ctx, o, p, start)
		if err != nil {
			s.add(start, err)
			continue
		}
		job, err := r.job(ctx, o, start, broadcast)
		if err != nil {
			s.add(start, err)
			continue
		}
		if r.Clock.Since(o.confirmed) > decisionLife {
			s.outdated = true
			return s
		}
		if err := r.create(ctx, o.Stream, job); err != nil {
			s.add(start, err)
			continue
		}
		s.made[start.Key()] = job.Name
	}
	return s
}

// job is what the start asks for.
func (r *LiveStreamReconciler) job(ctx context.Context, o view, start plan.Start, broadcast workload.Broadcast) (*batchv1.Job, error) {
	if start.Workload.Job != nil && len(start.Workload.Job.Spec.Template.Spec.Containers) > 0 {
		return workload.Job(o.Stream, start.Workload, broadcast, start.Part), nil
	}
	before, err := r.jobBefore(ctx, o, start, broadcast)
	if err != nil {
		return nil, err
	}
	var playback v1alpha1.Playback
	if o.domain != nil {
		playback = o.domain.Spec.Playback
	}
	if before == nil && !start.Finish && !playback.Configured() {
		return nil, errNoPlayback
	}
	job, err := workload.PresetJob(o.Stream, start.Workload.Name, o.Settings, playback, broadcast, start.Part, r.WorkerImage, before)
	if err != nil {
		return nil, err
	}
	return job, r.findKeys(ctx, o, start, job)
}

// jobBefore is the latest Job of the workload in the broadcast, whole; nil where there is none.
func (r *LiveStreamReconciler) jobBefore(ctx context.Context, o view, start plan.Start, broadcast workload.Broadcast) (*batchv1.Job, error) {
	jobs, err := r.jobsOf(ctx, o.Stream)
	if err != nil {
		return nil, err
	}
	var before *batchv1.Job
	for _, job := range jobs {
		ofIt := job.Labels[v1alpha1.LabelWorkload] == start.Workload.Name && job.Labels[v1alpha1.LabelBroadcast] == broadcast.ID
		if ofIt && (before == nil || before.CreationTimestamp.Before(&job.CreationTimestamp)) {
			before = &job
		}
	}
	if before == nil {
		return nil, nil
	}
	// The cache does not keep what Jobs run.
	whole := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(before), whole); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading Job %q of the broadcast: %w", before.Name, err)
	}
	return whole, nil
}

// findKeys fails where a Secret, or an entry of it, is missing that the worker mounts: its container would be created without end, and nothing
// that is watched tells why. What the API server cannot tell now, the kubelet finds out.
func (r *LiveStreamReconciler) findKeys(ctx context.Context, o view, start plan.Start, job *batchv1.Job) error {
	if overdue(o.Now, start, job) {
		return nil
	}
	for _, key := range workload.KeysOf(job) {
		_, err := r.Secrets.Get(ctx, o.Stream.Namespace, key)
		if errors.Is(err, secrets.ErrUnavailable) {
			// That it is missing is kept for long, and may be mended.
			_, err = r.Secrets.Refresh(ctx, o.Stream.Namespace, key)
		}
		if errors.Is(err, secrets.ErrUnavailable) {
			return fmt.Errorf("reading entry %q of Secret %q: %w: %w", key.Key, key.Name, errMounted, err)
		}
		if err != nil {
			ctrl.LoggerFrom(ctx).Info("Could not look for a Secret of a worker", "secret", key.Name, "reason", err.Error())
			return nil
		}
	}
	return nil
}

// overdue says whether a recording has waited for keys as long as a Job may take that finishes it. Such Jobs are made then, and fail: what runs
// after the broadcast does not wait for ever.
func overdue(now time.Time, start plan.Start, job *batchv1.Job) bool {
	limit := job.Spec.ActiveDeadlineSeconds
	return start.Finish && start.Ended.EndTime != nil && limit != nil && now.Sub(start.Ended.EndTime.Time) > time.Duration(*limit)*time.Second
}

// broadcast gathers what a Job is told, the signed playback URL among it.
func (r *LiveStreamReconciler) broadcast(ctx context.Context, o view, p plan.Plan, start plan.Start) (workload.Broadcast, error) {
	b := workload.Broadcast{Domain: cmp.Or(o.Domain, o.Stream.Status.Domain)}
	url, err := r.playbackURL(ctx, o)
	b.PlaybackURL = url
	if ended := start.Ended; ended != nil {
		b.ID, b.Ended = ended.ID, ended
		if ended.StartTime != nil {
			b.StartTime = ended.StartTime.Time
		}
		b.Push = lastPush(o.Stream.Status.Pushes, *ended)
		// What runs after the broadcast has nothing to pull: it need not wait for a key.
		return b, nil
	}
	live := push.Live(o.Stream.Status.Pushes)
	b.ID, b.Push = p.Status.Broadcast.ID, live[len(live)-1]
	if p.Status.Broadcast.StartTime != nil {
		b.StartTime = p.Status.Broadcast.StartTime.Time
	}
	return b, err
}

// lastPush is the last one of an ended broadcast, or what its record knows of it.
func lastPush(pushes []v1alpha1.Push, ended v1alpha1.BroadcastRecord) v1alpha1.Push {
	for _, p := range pushes {
		if p.Sequence == ended.Sequence {
			return p
		}
	}
	return v1alpha1.Push{Sequence: ended.Sequence, StartTime: ended.StartTime}
}

func (r *LiveStreamReconciler) playbackURL(ctx context.Context, o view) (string, error) {
	if o.domain == nil {
		return "", nil
	}
	playback, key := o.domain.Spec.Playback, ""
	if playback.Signed() {
		var err error
		if key, err = r.Secrets.Get(ctx, o.Stream.Namespace, playback.KeySecretRef); err != nil {
			return "", fmt.Errorf("reading the playback key of PushDomain %q: %w", o.domain.Name, err)
		}
	}
	return tencent.PlaybackURL(playback, o.Stream.Spec.AppName, o.Stream.Spec.StreamName, key, o.Now.Add(playback.Validity())), nil
}

func (r *LiveStreamReconciler) create(ctx context.Context, stream *v1alpha1.LiveStream, job *batchv1.Job) error {
	err := r.Create(ctx, job)
	if err == nil {
		jobsStarted.Inc()
		ctrl.LoggerFrom(ctx).Info("Started Job", "job", job.Name)
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating Job %q: %w", job.Name, err)
	}
	// The cache did not show it yet. Its name says that it is the same Job, unless somebody else took the name.
	existing := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(job), existing); err != nil {
		return fmt.Errorf("reading Job %q, which exists: %w", job.Name, err)
	}
	if owner := metav1.GetControllerOf(existing); owner == nil || owner.UID != stream.UID {
		return fmt.Errorf("%w: Job %q exists and is not this LiveStream's; delete it", errTaken, job.Name)
	}
	if existing.DeletionTimestamp != nil {
		return fmt.Errorf("job %q is still being deleted", job.Name)
	}
	return nil
}

var (
	errTaken = errors.New("name is taken")
	// errMounted is a missing Secret that a worker mounts.
	errMounted = errors.New("the worker mounts it")
	// errNoPlayback is a worker without anything to pull.
	errNoPlayback = errors.New("the stream is pulled from the playback domain; set spec.playback of the PushDomain")
)

func (s *started) add(start plan.Start, err error) {
	f := plan.Failure{Key: start.Key(), Workload: start.Workload.Name, Reason: v1alpha1.ReasonRetrying, Message: bounded(err.Error())}
	switch {
	case errors.Is(err, errMounted):
		f.Reason = v1alpha1.ReasonSecretUnavailable
		s.again = sooner(s.again, secretRetry)
	case errors.Is(err, secrets.ErrUnavailable):
		f.Reason = v1alpha1.ReasonPlaybackKeyUnavailable
		s.again = sooner(s.again, secretRetry)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		s.leaving = true
	case errors.Is(err, errNoPlayback):
		// The PushDomain brings it.
		f.Reason, f.Permanent = v1alpha1.ReasonWorkloadRejected, true
	case errors.Is(err, errTaken):
		f.Reason, f.Permanent = v1alpha1.ReasonWorkloadRejected, true
		s.again = sooner(s.again, takenRetry)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		f.Reason, f.Permanent = v1alpha1.ReasonWorkloadRejected, true
		s.again = sooner(s.again, rejectedRetry)
	default:
		s.err = errors.Join(s.err, unsigned{err})
	}
	s.failures = append(s.failures, f)
}

// unsigned is an error for the log: a webhook may repeat the environment of the Job that it refuses.
type unsigned struct{ error }

func (u unsigned) Error() string { return workload.WithoutSignatures(u.error.Error()) }

func (u unsigned) Unwrap() error { return u.error }

// bounded keeps an API server's answer within the status, and what it repeats of a Job's environment out of it.
func bounded(text string) string {
	const longest = 800
	text = workload.WithoutSignatures(text)
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "..."
}

// stop deletes Jobs in the foreground: the Pods get SIGTERM and their grace period, and the Job stays until they are gone.
func (r *LiveStreamReconciler) stop(ctx context.Context, stream *v1alpha1.LiveStream, stops []plan.Stop) error {
	var errs []error
	for _, stop := range stops {
		// A conflict is another Job of that name by now, which the next try sees, or a refusal that says nothing of it.
		if err := r.stopOne(ctx, stream, stop); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("deleting Job %q: %w", stop.JobName, err))
		}
	}
	return errors.Join(errs...)
}

// stopOne first asks the API server: the cache may still show a Job that the last pass has stopped.
func (r *LiveStreamReconciler) stopOne(ctx context.Context, stream *v1alpha1.LiveStream, stop plan.Stop) error {
	job := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: stream.Namespace, Name: stop.JobName}, job); err != nil {
		return err
	}
	if job.UID != stop.UID || job.DeletionTimestamp != nil {
		return nil
	}
	if stop.Abandoned {
		if still, err := r.abandoned(ctx, job); !still || err != nil {
			return err
		}
	}
	if stop.Signal {
		if told, err := r.tell(ctx, job); told || err != nil {
			return err
		}
		// No Pod of it ever ran: it has nothing to store. Another Job finishes what earlier ones stored.
	}
	if err := r.Delete(ctx, job, client.Preconditions{UID: &stop.UID}, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("Stopped Job", "job", stop.JobName)
	return nil
}

// abandoned says whether no Pod of the Job runs or comes but such as are being deleted: the cache may not show a Pod yet that took the place of one on a
// lost node, and the broadcast is on air.
func (r *LiveStreamReconciler) abandoned(ctx context.Context, job *batchv1.Job) (bool, error) {
	pods, err := r.podsOf(ctx, job)
	return err == nil && !slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return pod.DeletionTimestamp == nil }), err
}

// podsOf asks the API server.
func (r *LiveStreamReconciler) podsOf(ctx context.Context, job *batchv1.Job) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := r.Live.List(ctx, &pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return nil, fmt.Errorf("listing the Pods of Job %q: %w", job.Name, err)
	}
	return slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool {
		owner := metav1.GetControllerOf(&pod)
		return owner == nil || owner.UID != job.UID
	}), nil
}

// +kubebuilder:rbac:groups="",resources=pods,verbs=patch

// tell tells the Pods of a Job that its broadcast is over, and says whether any of them ever ran. The kubelet passes it on as a file.
func (r *LiveStreamReconciler) tell(ctx context.Context, job *batchv1.Job) (bool, error) {
	owned, err := r.podsOf(ctx, job)
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(owned, workload.HasRun) {
		return false, nil
	}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, recording.StopAnnotation, r.Clock.Now().UTC().Format(time.RFC3339)))
	for i := range owned {
		pod := &owned[i]
		if pod.Annotations[recording.StopAnnotation] != "" {
			continue
		}
		if err := r.Patch(ctx, pod, patch); client.IgnoreNotFound(err) != nil {
			return true, fmt.Errorf("telling Pod %q to finish: %w", pod.Name, err)
		}
		ctrl.LoggerFrom(ctx).Info("Told Pod to finish", "pod", pod.Name)
	}
	return true, nil
}
