package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

// yields says whether the plan ends the broadcast where an older LiveStream keeps the stream, or the PushDomain is gone.
func (v *view) yields(p plan.Plan) bool {
	before := &v.Stream.Status
	return (v.elder != nil || v.domain == nil) && before.OnAir() && p.Status.Broadcast.ID != before.Broadcast.ID
}

// confirmOthers reads again for what the broadcast yields, as confirm does the LiveStream: the cache may still show an older
// LiveStream that is gone, or not yet a PushDomain that was made anew.
func (r *LiveStreamReconciler) confirmOthers(ctx context.Context, v *view) error {
	if v.domain == nil {
		domain, err := r.livePushDomain(ctx, v.Stream)
		if err != nil {
			return err
		}
		if domain != nil {
			if err := r.observeBy(ctx, v, domain); err != nil {
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
	latest := &v1alpha1.LiveStream{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(known), latest); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the older LiveStream %q: %w", known.Name, err)
	}
	if latest.UID != known.UID || !latest.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	domain, err := r.livePushDomain(ctx, latest)
	if err != nil || domain == nil || index.Host(domain.Spec.Domain) != index.Host(host) {
		return nil, err
	}
	return latest, nil
}

// livePushDomain is pushDomain from the API server itself. It lists, which it may anyway.
func (r *LiveStreamReconciler) livePushDomain(ctx context.Context, stream *v1alpha1.LiveStream) (*v1alpha1.PushDomain, error) {
	var domains v1alpha1.PushDomainList
	name := stream.Spec.PushDomainRef.Name
	if err := r.Live.List(ctx, &domains, client.InNamespace(stream.Namespace), client.MatchingFields{"metadata.name": name}); err != nil {
		return nil, fmt.Errorf("reading PushDomain %q at the API server: %w", name, err)
	}
	if len(domains.Items) == 0 {
		return nil, nil
	}
	return &domains.Items[0], nil
}
