package controllers

import (
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

func TestOneListAMinuteServes200Streams(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	for i := range 200 {
		stream := newStream("show-" + string(rune('a'+i/26)) + string(rune('a'+i%26)))
		stream.Spec.StreamName = stream.Name
		b.create(stream)
		if i < 150 {
			css.SetOnline(host, "live", stream.Name, showTime)
			b.record(stream.Name, b.starts("A"))
		}
	}
	domains := []v1alpha1.PushDomain{*b.domain()}
	lists := 0
	for second := range 181 {
		b.clock.SetTime(showTime.Add(time.Duration(second) * time.Second))
		for _, d := range b.poller.due(domains) {
			lists++
			b.poller.Poll(t.Context(), &d)
		}
	}
	if lists != 4 || css.Calls(csstest.OnlineList) != 8 || css.Calls(csstest.StreamState) != 0 {
		t.Errorf("%d lists in 3 minutes with %d calls, and %d questions; want 4 (at 0, 1, 2 and 3 min) of two pages, and none", lists, css.Calls(csstest.OnlineList), css.Calls(csstest.StreamState))
	}
	if len(b.streamsAgain) != 0 {
		t.Errorf("%d passes were asked for where nothing disagrees", len(b.streamsAgain))
	}
	if due := b.poller.due(nil); len(due) != 0 || len(b.poller.listings) != 0 {
		t.Error("a PushDomain that is gone is remembered")
	}
}

func TestAPIAvailableTellsWhyCSSCannotBeAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	b.delete(apiSecret())
	wrong := apiSecret()
	wrong.StringData["secretKey"] = "wrong"
	said := func(status metav1.ConditionStatus, reason string) {
		t.Helper()
		b.pass(time.Minute)
		b.poll()
		wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionAPIAvailable, status, reason)
	}
	said(metav1.ConditionFalse, v1alpha1.ReasonCredentialsUnavailable)
	wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCredentialsUnavailable)
	b.create(wrong)
	said(metav1.ConditionFalse, v1alpha1.ReasonCredentialsRefused)
	b.delete(apiSecret())
	b.create(apiSecret())
	said(metav1.ConditionTrue, v1alpha1.ReasonListed)
	wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
	for _, tc := range []struct {
		how    csstest.Failure
		reason string
	}{{csstest.RateLimited, v1alpha1.ReasonRateLimited}, {csstest.InternalServerError, v1alpha1.ReasonUnreachable}, {csstest.BrokenJSON, v1alpha1.ReasonUnreachable}} {
		css.Fail(csstest.OnlineList, csstest.Always, tc.how)
		said(metav1.ConditionTrue, v1alpha1.ReasonListed)
		said(metav1.ConditionFalse, tc.reason)
		before := b.domain()
		for range 3 {
			said(metav1.ConditionFalse, tc.reason)
		}
		if after := b.domain(); after.ResourceVersion != before.ResourceVersion {
			t.Errorf("each failure is a write:\n%s", gocmp.Diff(before.Status, after.Status))
		}
		css.Recover(csstest.OnlineList)
		said(metav1.ConditionTrue, v1alpha1.ReasonListed)
	}
}

func TestWithoutAnAPINothingIsAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	if due := b.poller.due([]v1alpha1.PushDomain{*b.domain()}); len(due) != 0 {
		t.Error("a list is asked for")
	}
	if slices.ContainsFunc(b.domain().Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionAPIAvailable }) {
		t.Error("APIAvailable is there")
	}
}

func TestAnAPIThatIsTakenOutOfTheSpecIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	b.poll()
	wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionAPIAvailable, metav1.ConditionTrue, v1alpha1.ReasonListed)
	edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) { d.Spec.API = v1alpha1.API{} })
	b.reconcileDomain()
	if slices.ContainsFunc(b.domain().Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionAPIAvailable }) {
		t.Error("APIAvailable is still there")
	}
	if due := b.poller.due([]v1alpha1.PushDomain{*b.domain()}); len(due) != 0 || css.Calls(csstest.OnlineList) != 1 {
		t.Error("a list is asked for")
	}
}

// What CSS says of a host is said of it under every PushDomain.
func TestTheAPIOfAnotherPushDomainOfTheHostCountsToo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	other := newDomain()
	other.Name, other.Spec.Domain = "other", "PUSH.example.com"
	stream := newStream("show")
	stream.Spec.PushDomainRef.Name = "other"
	b.create(other, stream)
	b.settle("show")
	css.SetOnline(host, "live", "test", showTime)
	b.pass(2 * time.Minute)
	if diff := gocmp.Diff([]string{"show"}, b.poll()); diff != "" {
		t.Errorf("what the list disagrees with mismatch (-want +got):\n%s", diff)
	}
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamLive)
	css.SetOffline(host, "live", "test")
	b.pass(2 * time.Minute)
	b.poll()
	b.wantState("show", v1alpha1.LiveStreamInterrupted)
}

func TestASuspendedStreamIsKnownToBeOnAirAndRunsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow(func(s *v1alpha1.LiveStream) { s.Spec.State = v1alpha1.LiveStreamSuspended })
	css.SetOnline(host, "live", "test", showTime)
	b.pass(2 * time.Minute)
	b.poll()
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamLive)
	if jobs := b.jobs(); len(jobs) != 0 {
		t.Errorf("%d Jobs", len(jobs))
	}
}

// The last answer is used again for a few seconds, however many passes ask.
func TestManyPassesAskCSSOnceAboutAStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.Freeze()
	css.SetOnline(host, "live", "test", showTime)
	b.record("show", b.starts("A"))
	b.pass(2 * time.Minute)
	b.poll()
	for range 10 {
		b.reconcile("show")
	}
	if calls := css.Calls(csstest.StreamState); calls != 1 {
		t.Errorf("%d questions, want 1", calls)
	}
}
