package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// yields says whether the plan ends the broadcast where an older LiveStream keeps the stream, or the PushDomain is gone, or the older
// one has to be told of pushes.
func (v *view) yields(p plan.Plan) bool {
	before := &v.Stream.Status
	ends := before.OnAir() && p.Status.Broadcast.ID != before.Broadcast.ID
	return ends && (v.elder != nil || v.domain == nil) || v.elder != nil && v.handedOver() != nil
}

// toldBy is what another LiveStream of the stream tells of its pushes. The elder hears of all of them. Another one may not have heard of
// an end, and may end them by settings of its own: of it, only what callbacks ended is taken.
func (v *view) toldBy(other *v1alpha1.LiveStream) []v1alpha1.Push {
	switch {
	case other.UID == v.Stream.UID:
		return nil
	case v.elder != nil && other.UID == v.elder.UID:
		return push.WithoutStandIns(other.Status.Pushes)
	default:
		return push.Tombstones(push.Told(other.Status.Pushes, time.Time{}))
	}
}

// handedOver are the pushes of the elder with what this one knows and it does not; nil where it knows all. This one kept the stream until the
// elder turned up, or a receiver knew this one alone a moment ago. What it heard of longer ago, as one of several, may have ended unheard.
func (v *view) handedOver() []v1alpha1.Push {
	since := v.Now.Add(-push.ClaimGrace)
	if kept(v.Stream.Status) {
		since = time.Time{}
	}
	pushes, told := push.Claim(v.elder.Status.Pushes, push.Told(v.Stream.Status.Pushes, since), v.Now)
	if !told {
		return nil
	}
	return pushes
}

// kept says whether the LiveStream was the one that keeps its stream when it was looked at last.
func kept(status v1alpha1.LiveStreamStatus) bool {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	return status.OnAir() || ready != nil && ready.Reason != v1alpha1.ReasonDuplicateStream && ready.Reason != v1alpha1.ReasonPushDomainNotFound
}

// handOver tells the elder of the pushes before this one's broadcast ends: CSS does not repeat their starts for it. The write brings it.
func (r *LiveStreamReconciler) handOver(ctx context.Context, v *view) error {
	if v.elder == nil {
		return nil
	}
	pushes := v.handedOver()
	if pushes == nil {
		return nil
	}
	next, err := r.writePushes(ctx, v.elder, pushes)
	if err != nil {
		return fmt.Errorf("handing pushes over to LiveStream %q: %w", v.elder.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Handed pushes over", "to", next.Name, "live", len(push.Live(pushes)))
	v.elder = next
	return nil
}

// confirmOthers reads again for what the broadcast yields, as confirm does the LiveStream: the cache may still show an older
// LiveStream that is gone, or not yet a PushDomain that was made anew.
func (r *LiveStreamReconciler) confirmOthers(ctx context.Context, v *view) error {
	if v.domain == nil {
		domain, err := livePushDomain(ctx, r.Live, domainOf(v.Stream))
		if err != nil {
			return err
		}
		if domain != nil {
			v.domain = domain
			if err := r.observeSettings(ctx, v); err != nil {
				return err
			}
		}
	}
	for v.elder != nil {
		elder, err := r.keeper(ctx, v.elder, v.Domain)
		if err != nil {
			return err
		}
		if elder != nil {
			v.elder = elder
			return nil
		}
		v.setHolders(v.holders[1:])
	}
	return nil
}

// keeper is the LiveStream as the API server has it, nil where it holds no stream of that host any more.
func (r *LiveStreamReconciler) keeper(ctx context.Context, known *v1alpha1.LiveStream, host string) (*v1alpha1.LiveStream, error) {
	latest, err := r.latest(ctx, known)
	if latest == nil || err != nil {
		return nil, wrapped(err, fmt.Sprintf("reading the older LiveStream %q", known.Name))
	}
	domain, err := livePushDomain(ctx, r.Live, domainOf(latest))
	if err != nil || domain == nil || index.Host(domain.Spec.Domain) != index.Host(host) {
		return nil, err
	}
	return latest, nil
}

// livePushDomain is the PushDomain as the API server has it, nil where there is none. It lists, which the operator may anyway.
func livePushDomain(ctx context.Context, live client.Reader, name types.NamespacedName) (*v1alpha1.PushDomain, error) {
	var domains v1alpha1.PushDomainList
	if err := live.List(ctx, &domains, client.InNamespace(name.Namespace), client.MatchingFields{"metadata.name": name.Name}); err != nil {
		return nil, fmt.Errorf("reading PushDomain %q at the API server: %w", name.Name, err)
	}
	if len(domains.Items) == 0 {
		return nil, nil
	}
	return &domains.Items[0], nil
}
