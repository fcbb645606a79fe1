package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

const (
	// tidyEvery is how often claimed pushes are taken out of a push domain's status, where nothing else is written.
	tidyEvery = 10 * time.Second
	// crowdedEvery is the same where they take more than half of the places: starts may come again until there is room.
	crowdedEvery = time.Second
)

// belongsTo says whether unknownStreams of the push domain made the LiveStream. A copy that a user made has another name.
func belongsTo(stream *v1alpha1.LiveStream, domain *v1alpha1.PushDomain) bool {
	owner := metav1.GetControllerOf(stream)
	return owner != nil && owner.UID == domain.UID &&
		stream.Name == workload.StreamName(domain.Name, stream.Spec.AppName, stream.Spec.StreamName)
}

// untouched says whether nobody edited a LiveStream that unknownStreams made: its spec is of the first generation, its labels and
// annotations are those that it was made with.
func untouched(stream *v1alpha1.LiveStream) bool {
	return stream.Generation == 1 && stream.Annotations[v1alpha1.AnnotationMadeAs] == digestOf(stream)
}

// digestOf is a digest of labels and annotations, but for the one that keeps it.
func digestOf(stream *v1alpha1.LiveStream) string {
	annotations := maps.Clone(stream.Annotations)
	delete(annotations, v1alpha1.AnnotationMadeAs)
	sum := sha256.New()
	for _, all := range []map[string]string{stream.Labels, annotations} {
		for _, key := range slices.Sorted(maps.Keys(all)) {
			_, _ = fmt.Fprintf(sum, "%q=%q,", key, all[key])
		}
		_, _ = fmt.Fprint(sum, ";")
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// setFree takes a LiveStream that unknownStreams made, and that somebody edited since, from its PushDomain: it would go with that. It counts against
// maxStreams still.
func (r *LiveStreamReconciler) setFree(ctx context.Context, v *view) error {
	if v.domain == nil || !belongsTo(v.Stream, v.domain) || untouched(v.Stream) {
		return nil
	}
	next := v.Stream.DeepCopy()
	next.OwnerReferences = slices.DeleteFunc(next.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == v.domain.UID })
	delete(next.Annotations, v1alpha1.AnnotationMadeAs)
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, v1alpha1.AnnotationSetFreeBy, string(v.domain.UID))
	if err := r.Patch(ctx, next, client.MergeFromWithOptions(v.Stream, client.MergeFromWithOptimisticLock{})); err != nil {
		return wrapped(err, "taking it from its PushDomain")
	}
	v.Stream = next
	return nil
}

// newLiveStream is what unknownStreams makes, but for AnnotationMadeAs. It leaves all settings to the template, so that a change of that reaches it.
func newLiveStream(domain *v1alpha1.PushDomain, stream push.Stream) *v1alpha1.LiveStream {
	labels := maps.Clone(domain.Spec.Template.Metadata.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1alpha1.LabelPushDomain], labels[v1alpha1.LabelManagedBy] = domain.Name, v1alpha1.ManagedBy
	made := &v1alpha1.LiveStream{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: domain.Namespace, Name: workload.StreamName(domain.Name, stream.App, stream.Name),
			Labels: labels, Annotations: maps.Clone(domain.Spec.Template.Metadata.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(domain, v1alpha1.GroupVersion.WithKind("PushDomain"))},
		},
		Spec: v1alpha1.LiveStreamSpec{
			PushDomainRef: v1alpha1.PushDomainReference{Name: domain.Name}, AppName: stream.App, StreamName: stream.Name,
		},
	}
	// Without this, deleting the PushDomain in the foreground would wait for the Jobs' grace periods one by one.
	made.OwnerReferences[0].BlockOwnerDeletion = nil
	if made.Annotations == nil {
		made.Annotations = map[string]string{}
	}
	return made
}

// makeLiveStream first asks the API server what it would make of it: labels and annotations that the cluster's admission adds are nobody's edit.
func (r *PushDomainReconciler) makeLiveStream(ctx context.Context, domain *v1alpha1.PushDomain, stream push.Stream) error {
	next := newLiveStream(domain, stream)
	admitted := next.DeepCopy()
	if err := r.Create(ctx, admitted, client.DryRunAll); err != nil {
		return err
	}
	next.Annotations[v1alpha1.AnnotationMadeAs] = digestOf(admitted)
	return r.Create(ctx, next)
}

// adopt makes LiveStreams for streams on air that have none and await none, where the policy says so, and keeps status.unclaimedPushes. It
// returns how long to wait where something may be made or dropped later, 0 otherwise.
func (r *PushDomainReconciler) adopt(ctx context.Context, domain *v1alpha1.PushDomain) (time.Duration, error) {
	kept, unknown, claimable, err := r.unclaimed(ctx, domain)
	if err != nil {
		return 0, err
	}
	wait := r.keep(domain, kept, claimable)
	if !domain.Spec.UnknownStreams.Creates() {
		meta.RemoveStatusCondition(&domain.Status.Conditions, v1alpha1.ConditionUnknownStreamsLimited)
		return wait, nil
	}
	for _, stream := range r.Truth.Unknown(domain) {
		holders, err := index.Holders(ctx, r.Client, domain.Namespace, domain.Spec.Domain, stream.App, stream.Name)
		if err != nil {
			return 0, err
		}
		if len(holders) == 0 && !slices.Contains(unknown, stream) {
			unknown = append(unknown, stream)
		}
	}
	if len(unknown) == 0 {
		return wait, r.create(ctx, domain, nil)
	}
	awaited := r.released.awaited(domain, r.Clock.Now())
	unknown = slices.DeleteFunc(unknown, func(stream push.Stream) bool {
		wait = sooner(wait, awaited[stream])
		return awaited[stream] > 0
	})
	return wait, r.create(ctx, domain, unknown)
}

// unclaimed are the pushes that some LiveStream has still to claim, the streams on air that have no LiveStream, and whether there is one for any of the
// pushes.
func (r *PushDomainReconciler) unclaimed(ctx context.Context, domain *v1alpha1.PushDomain) (kept []v1alpha1.UnclaimedPush, unknown []push.Stream, claimable bool, err error) {
	now := r.Clock.Now()
	for _, p := range r.released.with(domain, now) {
		holders, err := index.Holders(ctx, r.Client, domain.Namespace, domain.Spec.Domain, p.AppName, p.StreamName)
		if err != nil {
			return nil, nil, false, err
		}
		if len(holders) > 0 && !slices.ContainsFunc(holders, func(s *v1alpha1.LiveStream) bool { return !push.Claimed(s.Status.Pushes, p.Push, now) }) {
			continue
		}
		kept = append(kept, p)
		claimable = claimable || len(holders) > 0
		if stream := push.StreamOf(p); len(holders) == 0 && push.IsLive(p.Push) && !slices.Contains(unknown, stream) {
			unknown = append(unknown, stream)
		}
	}
	return push.TidyUnclaimed(kept, now), unknown, claimable, nil
}

// keep sets status.unclaimedPushes: at once where a push comes in addition, once in a while where some only go. It returns how
// long to wait with that; no watch tells that a push was claimed.
func (r *PushDomainReconciler) keep(domain *v1alpha1.PushDomain, kept []v1alpha1.UnclaimedPush, claimable bool) time.Duration {
	before, every := domain.Status.UnclaimedPushes, tidyEvery
	crowded := len(before) > push.MaxUnclaimed/2
	if crowded {
		every = crowdedEvery
	}
	isNew := func(p v1alpha1.UnclaimedPush) bool {
		return !slices.ContainsFunc(before, func(q v1alpha1.UnclaimedPush) bool { return equality.Semantic.DeepEqual(p, q) })
	}
	if !slices.ContainsFunc(kept, isNew) {
		switch {
		case len(kept) == len(before) && claimable:
			return every
		case len(kept) == len(before):
			return 0
		}
		if wait := r.tidied(domain, every, r.Clock.Now()); wait > 0 {
			return wait
		}
	}
	domain.Status.UnclaimedPushes = kept
	return 0
}

// tidied says how long it is until claimed pushes may be dropped again, which they are that often, 0 for now, and notes that they are.
func (r *PushDomainReconciler) tidied(domain *v1alpha1.PushDomain, every time.Duration, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if due := r.tidy[domain.UID].Add(every); now.Before(due) {
		return due.Sub(now)
	}
	if r.tidy == nil {
		r.tidy = map[types.UID]time.Time{}
	}
	for uid, at := range r.tidy {
		if now.Sub(at) > tidyEvery {
			delete(r.tidy, uid)
		}
	}
	r.tidy[domain.UID] = now
	return 0
}

// create makes LiveStreams up to the limit, and says in a condition what it did not make.
func (r *PushDomainReconciler) create(ctx context.Context, domain *v1alpha1.PushDomain, unknown []push.Stream) error {
	var limit *metav1.Condition
	defer func() {
		if limit != nil {
			limit.LastTransitionTime = metav1.NewTime(r.Clock.Now().Truncate(time.Second))
		}
		if limit == nil {
			meta.RemoveStatusCondition(&domain.Status.Conditions, v1alpha1.ConditionUnknownStreamsLimited)
		} else {
			meta.SetStatusCondition(&domain.Status.Conditions, *limit)
		}
	}()
	if len(unknown) == 0 {
		return nil
	}
	made, err := r.made(ctx, domain)
	if err != nil {
		return err
	}
	for _, stream := range unknown {
		if made >= domain.Spec.UnknownStreams.Limit() {
			limit = limited(domain, v1alpha1.ReasonMaxStreamsReached, fmt.Sprintf(
				"%d LiveStreams were made, as many as spec.unknownStreams.maxStreams allows, and more streams are on air, such as %s/%s; raise it, delete some, create LiveStreams yourself, or take the label "+v1alpha1.LabelPushDomain+" from those that you edited",
				made, bounded(stream.App), bounded(stream.Name)))
			return nil
		}
		err := r.makeLiveStream(ctx, domain, stream)
		switch {
		case err == nil:
			made++
			ctrl.LoggerFrom(ctx).Info("Made LiveStream for unknown stream", "app", stream.App, "stream", stream.Name)
		case apierrors.IsAlreadyExists(err):
		case apierrors.IsInvalid(err):
			limit = limited(domain, v1alpha1.ReasonNameRefused, fmt.Sprintf("no LiveStream can be made for stream %q of app %q: %s", stream.Name, stream.App, bounded(err.Error())))
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return nil
		case apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
			// A quota, or a policy of the cluster. The others may pass.
			limit = limited(domain, v1alpha1.ReasonCreationRefused, fmt.Sprintf("no LiveStream can be made for stream %q of app %q: %s", stream.Name, stream.App, bounded(err.Error())))
		default:
			return fmt.Errorf("making a LiveStream for an unknown stream: %w", err)
		}
	}
	return nil
}

func limited(domain *v1alpha1.PushDomain, reason, message string) *metav1.Condition {
	return &metav1.Condition{
		Type: v1alpha1.ConditionUnknownStreamsLimited, Status: metav1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: domain.Generation,
	}
}

// made counts the LiveStreams that the policy made, at the API server: the cache may not have the latest. Those that it set free are among them while
// they have its label: whatever edits all of them, such as a controller of the cluster, would lift the limit. Those without the annotation are
// not: an earlier version set them free for no edit, nobody knows of them, and they may be more than the limit.
func (r *PushDomainReconciler) made(ctx context.Context, domain *v1alpha1.PushDomain) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("LiveStreamList"))
	if err := r.Live.List(ctx, list, client.InNamespace(domain.Namespace), client.MatchingLabels{v1alpha1.LabelPushDomain: domain.Name}); err != nil {
		return 0, fmt.Errorf("counting the LiveStreams of unknown streams: %w", err)
	}
	count := 0
	for i := range list.Items {
		stream := &list.Items[i]
		if metav1.IsControlledBy(stream, domain) || stream.Annotations[v1alpha1.AnnotationSetFreeBy] == string(domain.UID) {
			count++
		}
	}
	return count, nil
}
