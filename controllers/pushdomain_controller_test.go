package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func (b *bench) domain() *v1alpha1.PushDomain {
	b.t.Helper()
	domain := &v1alpha1.PushDomain{}
	if err := env.Client.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "shows"}, domain); err != nil {
		b.t.Fatal(err)
	}
	return domain
}

func TestAPushDomainTellsWhereItsCallbacksGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	status := b.domain().Status
	if want := fmt.Sprintf("/callbacks/%s/shows", b.namespace); status.CallbackPath != want {
		t.Errorf("callbackPath = %q, want %q", status.CallbackPath, want)
	}
	verified := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionVerified)
	if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) || verified.Status != metav1.ConditionUnknown || verified.Reason != v1alpha1.ReasonNoCallback {
		t.Errorf("conditions = %+v", status.Conditions)
	}
}

func TestAMissingKeyIsNamedAndLookedForAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newDomain())
	if again := b.reconcileDomain(); again.RequeueAfter != secretRetry {
		t.Errorf("looks again after %s, want %s", again.RequeueAfter, secretRetry)
	}
	ready := meta.FindStatusCondition(b.domain().Status.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonCallbackKeyUnavailable || !strings.Contains(ready.Message, `Secret "css" does not exist`) {
		t.Errorf("Ready = %+v", ready)
	}
	b.create(newSecret())
	b.pass(secretRetry)
	b.reconcileDomain()
	if c := b.domain().Status.Conditions; !meta.IsStatusConditionTrue(c, v1alpha1.ConditionReady) || meta.FindStatusCondition(c, v1alpha1.ConditionStalled) != nil {
		t.Errorf("conditions = %+v, want Ready=True without Stalled", c)
	}
}

func TestSwitchedOffSignaturesShowInACondition(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	domain := newDomain()
	domain.Spec.Callback = v1alpha1.Callback{Authentication: v1alpha1.CallbackAuthenticationNone}
	b.create(newSecret(), domain)
	b.reconcileDomain()
	verified := meta.FindStatusCondition(b.domain().Status.Conditions, v1alpha1.ConditionVerified)
	if verified.Status != metav1.ConditionFalse || verified.Reason != v1alpha1.ReasonAuthenticationDisabled {
		t.Errorf("Verified = %+v", verified)
	}
}

func TestLiveStreamsAreCountedAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain())
	b.reconcileDomain()
	b.create(newStream("one"))
	b.reconcileDomain()
	if got := *b.domain().Status.LiveStreams; got != 1 {
		t.Errorf("liveStreams = %d, want 1", got)
	}
	before := b.domain()
	b.create(newStream("two"))
	if again := b.reconcileDomain(); again.RequeueAfter <= 0 || again.RequeueAfter > countEvery {
		t.Errorf("looks again after %s, want within %s", again.RequeueAfter, countEvery)
	}
	if after := b.domain(); after.ResourceVersion != before.ResourceVersion {
		t.Error("the status was written twice in a minute")
	}
	b.pass(time.Minute)
	b.reconcileDomain()
	if got := *b.domain().Status.LiveStreams; got != 2 {
		t.Errorf("liveStreams = %d, want 2", got)
	}
}
