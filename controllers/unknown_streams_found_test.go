package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

func TestALimitThatIsKnownIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	for name, streams := range map[string][]string{"maxStreams": {"one", "two", "three"}, "a name": {"one", "../x"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.unknown(func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 2 })
			for _, stream := range streams {
				b.recordUnclaimed(of(b.starts("A"), "live", stream))
			}
			b.reconcileDomain()
			// The count of the LiveStreams follows within a minute.
			b.pass(time.Minute)
			b.reconcileDomain()
			writes := 0
			b.domains.Client = liveReader{statusWrites(&writes)}
			for range 3 {
				b.pass(keysEvery)
				b.reconcileDomain()
			}
			if writes != 0 {
				t.Errorf("%d status writes in 3 passes at rest, want none", writes)
			}
		})
	}
}

func TestALiveStreamIsNotDeletedWhileItsLastBroadcastIsBeingFinished(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown(func(d *v1alpha1.PushDomain) {
		d.Spec.UnknownStreams.DeleteAfterIdleSeconds = 60
		upload := *d.Spec.Template.Spec.Workloads[0].DeepCopy()
		upload.Name, upload.Run = "upload", v1alpha1.WorkloadRunAfterEnd
		d.Spec.Template.Spec.Workloads = append(d.Spec.Template.Spec.Workloads, upload)
	})
	name := b.pushed("test", "A")
	b.record(name, b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle(name)
	b.pass(5 * time.Second)
	b.settle(name)
	b.collect()
	b.settle(name)
	b.podReady(b.onlyJob())
	b.settle(name)
	b.pass(time.Hour)
	b.settle(name)
	if b.gone(name, &v1alpha1.LiveStream{}) {
		t.Error("the LiveStream was deleted, and its AfterEnd Job with it, while that ran")
	}
}

// The streams that only CSS's list tells of come in no order of their own.
func TestALimitOnListedStreamsIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(creates, func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 1 })
	for _, stream := range []string{"one", "two", "three", "four", "five", "six", "seven"} {
		css.SetOnline(host, "live", stream, showTime)
	}
	b.pass(2 * time.Minute)
	b.poll()
	b.pass(time.Minute)
	b.poll()
	writes := 0
	b.domains.Client = liveReader{statusWrites(&writes)}
	for range 5 {
		b.pass(keysEvery)
		b.poll()
	}
	if writes != 0 {
		t.Errorf("%d status writes in 5 passes at rest, want none", writes)
	}
}

// A quota or a policy of the cluster may refuse one LiveStream and let others pass.
func TestAStreamThatTheClusterRefusesHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	for _, stream := range []string{"one", "two", "three"} {
		b.recordUnclaimed(of(b.starts("A"), "live", stream))
	}
	b.domains.Client = liveReader{interceptor.NewClient(env.Client, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if s, ok := o.(*v1alpha1.LiveStream); ok && s.Spec.StreamName == "one" {
			return apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("livestreams").GroupResource(), o.GetName(), errors.New("denied by a policy"))
		}
		return c.Create(ctx, o, opts...)
	}})}
	b.reconcileDomain()
	if made := b.streams(); len(made) != 2 {
		t.Errorf("made %d LiveStreams, want those of the other two streams", len(made))
	}
	c := wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionUnknownStreamsLimited, metav1.ConditionTrue, v1alpha1.ReasonCreationRefused)
	if !strings.Contains(c.Message, `stream "one"`) || !strings.Contains(c.Message, "denied by a policy") {
		t.Errorf("message = %q", c.Message)
	}
}

func TestALiveStreamThatAUserEditedDoesNotGoWithItsPushDomain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	edited, untouched := b.pushed("edited", "A"), b.pushed("untouched", "A")
	edit(b, edited, &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.HistoryLimit = 7 })
	b.settle(edited)
	b.settle(untouched)
	if owners := b.stream(edited).OwnerReferences; len(owners) != 0 {
		t.Errorf("the edited one belongs to %+v", owners)
	}
	if owners := b.stream(untouched).OwnerReferences; len(owners) != 1 {
		t.Errorf("the untouched one belongs to %+v, want the PushDomain", owners)
	}
	b.wantState(edited, v1alpha1.LiveStreamLive)
}

// No watch tells that a push was claimed.
func TestItIsLookedAgainWhetherAPushWasClaimed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	b.recordUnclaimed(of(b.starts("A"), "live", "unknown"))
	b.domains.Client = liveReader{remembering()}
	b.reconcileDomain()
	b.domains.Client = liveReader{remembering()}
	if again := b.reconcileDomain().RequeueAfter; again != tidyEvery {
		t.Errorf("it looks again after %s, want %s", again, tidyEvery)
	}
}

// While the list is full each further start is answered 503, and comes again after a minute.
func TestClaimedPushesLeaveACrowdedListWithinASecond(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	const half = push.MaxUnclaimed / 2
	nameOf := func(i int) string { return fmt.Sprintf("unknown-%03d", i) }
	var events []provider.Event
	for i := range half + 4 {
		events = append(events, of(b.starts("A"), "live", nameOf(i)))
	}
	b.recordUnclaimed(events...)
	look := func() time.Duration {
		b.domains.Client = liveReader{remembering()}
		return b.reconcileDomain().RequeueAfter
	}
	look()
	if again := look(); again != crowdedEvery {
		t.Errorf("it looks after %s whether LiveStreams claimed their pushes, want %s", again, crowdedEvery)
	}
	for i, step := range []struct {
		after time.Duration
		left  int
	}{{crowdedEvery, half + 2}, {crowdedEvery, half}, {crowdedEvery, half}, {tidyEvery - crowdedEvery, half - 4}} {
		for j := 2 * i; j < 2*i+2; j++ {
			b.settle(workload.StreamName("shows", "live", nameOf(j)))
		}
		b.pass(step.after)
		look()
		if got := len(b.domain().Status.UnclaimedPushes); got != step.left {
			t.Errorf("step %d: %d unclaimed pushes, want %d", i, got, step.left)
		}
	}
}

// Found by reading: one was made as soon as the user's was deleted. It was older than the user's next one, which ran nothing, in later shows neither.
func TestALiveStreamThatAUserMakesAnewKeepsItsStreamWhereUnknownOnesAreMade(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		copied        bool
		before, since func(b *bench)
	}{
		"it was on air":                         {false, func(b *bench) { b.live("show", "A") }, func(*bench) {}},
		"its push began while it was not there": {false, func(*bench) {}, func(b *bench) { b.recordUnclaimed(of(b.starts("A"), "live", "test")) }},
		"it is a copy of one that was made":     {true, func(b *bench) { b.live("show", "A") }, func(*bench) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.unknown()
			show := newStream("show")
			if tc.copied {
				show.Annotations = map[string]string{v1alpha1.AnnotationMadeAs: "as another was"}
			}
			b.create(show)
			b.settle("show")
			tc.before(b)
			b.deleteShow(true)
			tc.since(b)
			if again := b.reconcileDomain(); again.RequeueAfter <= 0 || again.RequeueAfter > awaitNext {
				t.Errorf("looks again after %s, want within %s", again.RequeueAfter, awaitNext)
			}
			b.pass(awaitNext - time.Second)
			b.reconcileDomain()
			b.wantStreams(map[string]bool{})
			b.create(newStream("show"))
			b.settle("show")
			b.pass(time.Minute)
			b.reconcileDomain()
			b.settle("show")
			b.wantStreams(map[string]bool{"show": true})
			status := b.wantState("show", v1alpha1.LiveStreamLive)
			wantCondition(t, status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
		})
	}
}

func TestAStreamWhoseLiveStreamWasDeletedForGoodGetsOneUnlessAnotherMayCome(t *testing.T) {
	t.Parallel()
	made := workload.StreamName("shows", "live", "test")
	for name, tc := range map[string]struct {
		deleted string
		after   time.Duration
	}{
		"a user's, after a while":           {"show", awaitNext},
		"one that was made for it, at once": {made, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.unknown()
			if tc.deleted == made {
				b.pushed("test", "A")
			} else {
				b.create(newStream(tc.deleted))
				b.live(tc.deleted, "A")
			}
			b.deleteSeen(tc.deleted, true)
			b.reconcileDomain()
			b.pass(tc.after)
			b.reconcileDomain()
			b.wantStreams(map[string]bool{made: true})
			b.settle(made)
			b.wantState(made, v1alpha1.LiveStreamLive)
		})
	}
}
