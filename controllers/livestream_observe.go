package controllers

import (
	"context"
	"fmt"

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

// observe reads all that the plan rests on, and writes nothing.
func (r *LiveStreamReconciler) observe(ctx context.Context, stream *v1alpha1.LiveStream) (plan.Observed, error) {
	o := plan.Observed{Now: r.Clock.Now(), Stream: stream}
	domain, err := r.pushDomain(ctx, stream)
	if err != nil {
		return o, err
	}
	if domain != nil {
		o.Domain = domain.Spec.Domain
	}
	if o.DuplicateOf, err = r.olderWithSameStream(ctx, stream); err != nil {
		return o, err
	}
	ofStream := []client.ListOption{client.InNamespace(stream.Namespace), client.MatchingFields{ownerIndex: stream.Name}}
	var jobs batchv1.JobList
	if err := r.List(ctx, &jobs, ofStream...); err != nil {
		return o, fmt.Errorf("listing the Jobs of the stream: %w", err)
	}
	var pods corev1.PodList
	if err := r.List(ctx, &pods, ofStream...); err != nil {
		return o, fmt.Errorf("listing the Pods of the stream: %w", err)
	}
	o.Runs = workload.Runs(ownedBy(stream.UID, jobs.Items), pods.Items)
	return o, nil
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

func (r *LiveStreamReconciler) olderWithSameStream(ctx context.Context, stream *v1alpha1.LiveStream) (string, error) {
	var same v1alpha1.LiveStreamList
	if err := r.List(ctx, &same, client.InNamespace(stream.Namespace), client.MatchingFields{index.ByStream: index.KeyOf(stream)}); err != nil {
		return "", fmt.Errorf("listing the LiveStreams of the same stream: %w", err)
	}
	if oldest := index.Oldest(same.Items); oldest != nil && oldest.UID != stream.UID {
		return oldest.Name, nil
	}
	return "", nil
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
