package controllers

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// staleDomain is a cache that still has an old version of the PushDomain.
type staleDomain struct {
	liveReader
	stale *v1alpha1.PushDomain
}

func (r staleDomain) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if domain, is := object.(*v1alpha1.PushDomain); is && key == client.ObjectKeyFromObject(r.stale) {
		r.stale.DeepCopyInto(domain)
		return nil
	}
	return r.liveReader.Get(ctx, key, object, opts...)
}

// Found by reading: where the watch stood still, the same patch was refused ten times a second.
func TestAPushDomainWhoseWatchStandsStillIsWrittenOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain())
	b.reconcileDomain()
	past := b.domain()
	b.recordUnclaimed(of(b.starts("A"), "live", "unknown"))
	b.delete(newSecret())
	b.pass(keysEvery)
	writes := 0
	current := liveReader{statusWrites(&writes)}
	for _, pass := range []struct {
		what   string
		cache  client.Client
		writes int
	}{
		{"the write that is refused", staleDomain{current, past}, 1},
		{"the next one, on what the API server has", staleDomain{current, past}, 1},
		{"the cache is still behind", staleDomain{current, past}, 0},
		{"it is not any more", current, 0},
	} {
		writes = 0
		b.domains.Client = pass.cache
		b.pass(conflictRetry)
		b.reconcileDomain()
		if writes != pass.writes {
			t.Errorf("%s: the status is written %d times, want %d", pass.what, writes, pass.writes)
		}
	}
	status := b.domain().Status
	wantCondition(t, status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCallbackKeyUnavailable)
	if len(status.UnclaimedPushes) != 1 {
		t.Errorf("%d unclaimed pushes, want the one that was recorded meanwhile", len(status.UnclaimedPushes))
	}
}

// Found by reading: no call can be made of such a name, and the PushDomain had no status at all.
func TestAPushDomainWithASecretNameThatNothingCanHaveSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain())
	// An earlier version stored it. The API server takes it in no spec any more.
	stored := b.domain()
	stored.Spec.Callback.KeySecretRefs[0].Name = "css/callbackKey"
	b.domains.Client = staleDomain{liveReader{env.Client}, stored}
	if again := b.reconcileDomain(); again.RequeueAfter != secretRetry {
		t.Errorf("looks again after %s, want %s", again.RequeueAfter, secretRetry)
	}
	ready := wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCallbackKeyUnavailable)
	if want := `secret is unavailable: no Secret can have the name "css/callbackKey": it may not contain '/'; correct it`; ready.Message != want {
		t.Errorf("Ready says %q, want %q", ready.Message, want)
	}
}
