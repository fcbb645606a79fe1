package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// view is what a pass knows besides what the plan rests on.
type view struct {
	plan.Observed
	// domain is the PushDomain that the stream refers to, nil when there is none; alike are those of the same host, it among them.
	domain *v1alpha1.PushDomain
	alike  []*v1alpha1.PushDomain
	// confirmed is when the Stream was as it is here, or before; zero before it was asked for.
	confirmed time.Time
	// holders are the LiveStreams of the same stream, the one that keeps it first; elder is that one where it is another, else nil.
	holders []*v1alpha1.LiveStream
	elder   *v1alpha1.LiveStream
	// turns is how many Jobs that ended at once have their turn in this pass.
	turns int
}

// observe reads all that a pass rests on, and writes nothing.
func (r *LiveStreamReconciler) observe(ctx context.Context, stream *v1alpha1.LiveStream) (view, error) {
	v := view{Observed: plan.Observed{Now: r.Clock.Now(), Stream: stream, InterruptedAt: r.interruptions.began(stream.UID)}}
	domain, err := r.pushDomain(ctx, stream)
	if err != nil {
		return v, err
	}
	v.domain = domain
	if err := r.observeSettings(ctx, &v); err != nil {
		return v, err
	}
	runs, pods, err := r.observeRuns(ctx, stream)
	if err != nil {
		return v, err
	}
	v.Runs = runs
	for i := range v.Runs {
		if run := &v.Runs[i]; run.Signals && run.Phase == workload.Running {
			run.Progress = r.Progress.Of(run.Pod)
		}
	}
	if err := r.findAfterEnd(ctx, &v); err != nil {
		return v, err
	}
	r.explainPending(ctx, &v, pods)
	return v, nil
}

// observeRuns reads the Jobs of the stream from the cache, and their Pods.
func (r *LiveStreamReconciler) observeRuns(ctx context.Context, stream *v1alpha1.LiveStream) ([]workload.Run, []corev1.Pod, error) {
	jobs, err := r.jobsOf(ctx, stream)
	if err != nil {
		return nil, nil, err
	}
	pods, err := index.Find[corev1.Pod](ctx, r.Client, &corev1.PodList{}, stream.Namespace, ownerIndex, stream.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("finding the Pods of the stream: %w", err)
	}
	podsOfStream := values(pods)
	return workload.Runs(jobs, podsOfStream), podsOfStream, nil
}

// jobsOf reads the Jobs of the stream from the cache.
func (r *LiveStreamReconciler) jobsOf(ctx context.Context, stream *v1alpha1.LiveStream) ([]batchv1.Job, error) {
	jobs, err := index.Find[batchv1.Job](ctx, r.Client, &batchv1.JobList{}, stream.Namespace, ownerIndex, stream.Name)
	if err != nil {
		return nil, fmt.Errorf("finding the Jobs of the stream: %w", err)
	}
	return ownedBy(stream.UID, values(jobs)), nil
}

func values[T any](found []*T) []T {
	copies := make([]T, 0, len(found))
	for _, object := range found {
		copies = append(copies, *object)
	}
	return copies
}

// observeSettings reads what depends on the spec and metadata of the LiveStream, and on its PushDomain.
func (r *LiveStreamReconciler) observeSettings(ctx context.Context, v *view) error {
	v.Settings, v.DeleteAfterIdle = workload.WithPresets(v.Stream.Spec.LiveStreamSettings), 0
	if v.domain != nil {
		if err := r.observeDomain(ctx, v); err != nil {
			return err
		}
	}
	v.Targets = r.Scaler.Seen(v.Stream.Namespace, plan.TargetsOf(v.Stream, v.Settings))
	return nil
}

func (r *LiveStreamReconciler) observeDomain(ctx context.Context, v *view) (err error) {
	stream := v.Stream
	v.Domain = v.domain.Spec.Domain
	v.Settings = workload.WithPresets(stream.Spec.Inherit(v.domain.Spec.Template.Spec))
	if v.alike, err = index.PushDomains(ctx, r.Client, stream.Namespace, v.Domain); err != nil {
		return err
	}
	holders, err := index.HoldersOf(ctx, r.Client, v.alike, stream.Spec.AppName, stream.Spec.StreamName)
	if err != nil {
		return err
	}
	v.setHolders(holders)
	if belongsTo(stream, v.domain) && untouched(stream) {
		v.DeleteAfterIdle = v.domain.Spec.UnknownStreams.DeleteAfterIdle()
	}
	return nil
}

func (v *view) setHolders(holders []*v1alpha1.LiveStream) {
	v.holders, v.elder, v.DuplicateOf = holders, nil, ""
	if len(holders) > 0 && holders[0].UID != v.Stream.UID {
		v.elder, v.DuplicateOf = holders[0], holders[0].Name
	}
}

// pushDomain is nil when it does not exist.
func (r *LiveStreamReconciler) pushDomain(ctx context.Context, stream *v1alpha1.LiveStream) (*v1alpha1.PushDomain, error) {
	domain := &v1alpha1.PushDomain{}
	name := types.NamespacedName{Namespace: stream.Namespace, Name: stream.Spec.PushDomainRef.Name}
	if err := r.Get(ctx, name, domain); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading PushDomain %q: %w", name.Name, err)
	}
	return domain, nil
}

// findAfterEnd asks the API server for Jobs that the status knows and the cache does not show: one that is gone is not made again.
func (r *LiveStreamReconciler) findAfterEnd(ctx context.Context, v *view) error {
	_, err := r.findUnseen(ctx, v, plan.AfterEndJobs(v.Stream.Status))
	return err
}

// findLeft asks the API server for Jobs that the cache does not show, where others are about to start: those that the status knows, and those of
// the broadcast that ended a moment ago, which a pass may have made and not told of. One may still run.
func (r *LiveStreamReconciler) findLeft(ctx context.Context, v *view, p plan.Plan) error {
	if !slices.ContainsFunc(p.Start, func(s plan.Start) bool { return s.Ended == nil }) {
		return nil
	}
	for {
		names := plan.LastJobs(v.Observed, p.Start)
		for _, w := range v.Stream.Status.Workloads {
			if w.JobName != "" {
				names = append(names, w.JobName)
			}
		}
		known := len(v.Runs)
		// A part that was found may have ended, and another one followed it.
		if all, err := r.findUnseen(ctx, v, names); err != nil || all || len(v.Runs) == known {
			return err
		}
	}
}

// fewJobs are asked for one by one. More are not: where the API server is slow that would take longer than a decision lasts.
const fewJobs = 8

// findUnseen asks the API server for those of the Jobs that the cache does not show. It says whether it asked for all of the stream.
func (r *LiveStreamReconciler) findUnseen(ctx context.Context, v *view, names []string) (all bool, err error) {
	slices.Sort(names)
	unseen := slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		return slices.ContainsFunc(v.Runs, func(run workload.Run) bool { return run.JobName == name })
	})
	if len(unseen) > fewJobs {
		return true, r.findAll(ctx, v)
	}
	for _, name := range unseen {
		if err := r.find(ctx, v, name); err != nil {
			return false, err
		}
	}
	return false, nil
}

// find adds the Job, if there is one, to what is known.
func (r *LiveStreamReconciler) find(ctx context.Context, v *view, name string) error {
	job := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: v.Stream.Namespace, Name: name}, job); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading Job %q: %w", name, err)
	}
	v.Runs = append(v.Runs, workload.Runs(ownedBy(v.Stream.UID, []batchv1.Job{*job}), nil)...)
	return nil
}

// findRunning asks the API server for the Jobs of broadcasts that something is to run after: one that the cache does not show yet
// may still be writing what that reads.
func (r *LiveStreamReconciler) findRunning(ctx context.Context, v *view, p plan.Plan) error {
	if !slices.ContainsFunc(p.Start, func(s plan.Start) bool { return s.Ended != nil }) {
		return nil
	}
	return r.findAll(ctx, v)
}

// findAll adds the Jobs of the stream that the API server has to what is known.
func (r *LiveStreamReconciler) findAll(ctx context.Context, v *view) error {
	var jobs batchv1.JobList
	if err := r.Live.List(ctx, &jobs, client.InNamespace(v.Stream.Namespace), client.MatchingLabels{v1alpha1.LabelLiveStream: v.Stream.Name}); err != nil {
		return fmt.Errorf("listing the Jobs of the stream at the API server: %w", err)
	}
	for _, run := range workload.Runs(ownedBy(v.Stream.UID, jobs.Items), nil) {
		if !slices.ContainsFunc(v.Runs, func(known workload.Run) bool { return known.UID == run.UID }) {
			v.Runs = append(v.Runs, run)
		}
	}
	return nil
}

// explainPending finds out why Jobs that should have Pods have none: nothing in the Job itself tells. That is for a message alone: where it is not known now
// the message stays, and the pass goes on.
func (r *LiveStreamReconciler) explainPending(ctx context.Context, v *view, pods []corev1.Pod) {
	for i := range v.Runs {
		run := &v.Runs[i]
		hasPods := slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			owner := metav1.GetControllerOf(&p)
			return owner != nil && owner.UID == run.UID
		})
		if hasPods || run.Phase != workload.Pending || v.Now.Sub(run.Created) < podlessAfter {
			continue
		}
		trouble, known := r.podless.of(ctx, r.Live, r.Clock, v.Stream.Namespace, run)
		if !known {
			trouble = pendingMessage(v.Stream.Status, run.JobName)
		}
		run.Trouble = trouble
	}
}

// pendingMessage is what the status says of a Job that waits for its Pods.
func pendingMessage(status v1alpha1.LiveStreamStatus, job string) string {
	for _, w := range status.Workloads {
		if w.JobName == job && w.State == v1alpha1.WorkloadPending {
			return w.Message
		}
	}
	for i := range status.History {
		for _, w := range status.History[i].AfterEnd {
			if w.JobName == job && w.State == v1alpha1.WorkloadPending {
				return w.Message
			}
		}
	}
	return ""
}

// ownedBy leaves out Jobs that only carry our labels, or belong to an earlier LiveStream of the same name.
func ownedBy(uid types.UID, jobs []batchv1.Job) []batchv1.Job {
	var owned []batchv1.Job
	for i := range jobs {
		if owner := metav1.GetControllerOf(&jobs[i]); owner != nil && owner.UID == uid {
			owned = append(owned, jobs[i])
		}
	}
	return owned
}
