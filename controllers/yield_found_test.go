package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// otherDomain is a second PushDomain of the same host, and ofOther a LiveStream of the same stream that refers to it.
func otherDomain() *v1alpha1.PushDomain {
	domain := newDomain()
	domain.Name = "other"
	return domain
}

func ofOther(name string) *v1alpha1.LiveStream {
	stream := newStream(name)
	stream.Spec.PushDomainRef.Name = "other"
	return stream
}

// remembered is a cache that still shows what is gone, of what is reached through the client.
func remembered(through client.WithWatch, streams []v1alpha1.LiveStream, domains []v1alpha1.PushDomain) client.WithWatch {
	return interceptor.NewClient(through, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		err := c.List(ctx, list, opts...)
		switch list := list.(type) {
		case *v1alpha1.LiveStreamList:
			list.Items = append(list.Items, streams...)
		case *v1alpha1.PushDomainList:
			list.Items = append(list.Items, domains...)
		}
		return err
	}})
}

// The younger one took over, and the next leader begins on a view of the time before.
func TestAnOlderLiveStreamThatOnlyTheCacheShowsEndsNoBroadcast(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(b *bench) client.WithWatch{
		"it was deleted": func(b *bench) client.WithWatch {
			gone := b.stream("a-first")
			b.delete(b.stream("a-first"))
			return remembered(env.Client, []v1alpha1.LiveStream{*gone}, nil)
		},
		"it was deleted, and the Job is not shown either": func(b *bench) client.WithWatch {
			gone := b.stream("a-first")
			b.delete(b.stream("a-first"))
			return remembered(noJobs(interceptor.Funcs{}), []v1alpha1.LiveStream{*gone}, nil)
		},
		"its PushDomain was deleted": func(b *bench) client.WithWatch {
			gone := b.domain()
			b.delete(newDomain())
			return remembered(env.Client, nil, []v1alpha1.PushDomain{*gone})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), otherDomain(), newStream("a-first"), ofOther("b-second"))
			for _, name := range []string{"a-first", "b-second"} {
				b.settle(name)
			}
			then := remove(b)
			b.live("b-second", "A")
			job := b.onlyJob()
			b.restart(then)
			b.settle("b-second")
			status := b.wantState("b-second", v1alpha1.LiveStreamLive)
			if running := b.running(); len(running) != 1 || running[0].UID != job.UID || len(status.History) != 0 {
				t.Errorf("%d Jobs run, history = %+v, want the broadcast carried on", len(running), status.History)
			}
			wantCondition(t, status.Conditions, v1alpha1.ConditionReady, "True", v1alpha1.ReasonReconciled)
		})
	}
}

func TestAPushDomainThatTheCacheDoesNotShowYetEndsNoBroadcast(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	job := b.onlyJob()
	b.delete(newDomain())
	b.settle("show")
	b.pass(59 * time.Second)
	b.create(newDomain())
	b.pass(2 * time.Second)
	b.restart(interceptor.NewClient(env.Client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if _, is := object.(*v1alpha1.PushDomain); is {
				return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("pushdomains").GroupResource(), key.Name)
			}
			return c.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, is := list.(*v1alpha1.PushDomainList); is {
				return nil
			}
			return c.List(ctx, list, opts...)
		},
	}))
	b.reconcile("show")
	status := b.stream("show").Status
	if running := b.running(); len(running) != 1 || running[0].UID != job.UID || len(status.History) != 0 {
		t.Errorf("%d Jobs run, history = %+v, want the broadcast carried on", len(running), status.History)
	}
	b.restart(env.Client)
	b.settle("show")
	if status := b.wantState("show", v1alpha1.LiveStreamLive); len(status.History) != 0 {
		t.Errorf("history = %+v, want the broadcast carried on", status.History)
	}
}

// takenOver are two LiveStreams of one stream; the PushDomain of the older one is gone, and the younger one took over.
func takenOver(b *bench) {
	b.t.Helper()
	b.create(newSecret(), newDomain(), otherDomain(), newStream("a-first"), ofOther("b-second"))
	b.settle("a-first")
	b.settle("b-second")
	b.delete(newDomain())
	b.settle("a-first")
	b.settle("b-second")
}

// runningOf are the Jobs of a LiveStream that nobody told to end.
func (b *bench) runningOf(name string) []batchv1.Job {
	b.t.Helper()
	return slices.DeleteFunc(b.running(), func(job batchv1.Job) bool { return job.Labels[v1alpha1.LabelLiveStream] != name })
}

// While the PushDomain of the older one is gone, receivers tell the younger one alone.
func TestAShowGoesOnInTheOlderLiveStreamWhenItsPushDomainIsBack(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{"a-first", "b-second", "a-first"}, {"b-second", "a-first"}} {
		t.Run(strings.Join(order, ", "), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			takenOver(b)
			b.live("b-second", "gone")
			b.over("b-second", "gone")
			b.live("b-second", "A")
			b.pass(10 * time.Minute)
			b.create(newDomain())
			if requests := b.reconciler.streamsOfHost(t.Context(), b.domain()); len(requests) != 2 {
				t.Errorf("the PushDomain brings %v, want both", requests)
			}
			for _, name := range order {
				b.settle(name)
			}
			status := b.wantState("a-first", v1alpha1.LiveStreamLive)
			var known []string
			for _, p := range status.Pushes {
				known = append(known, fmt.Sprint(p.Sequence, " ", push.IsLive(p)))
			}
			if diff := gocmp.Diff([]string{"gone false", "A true"}, known); diff != "" {
				t.Errorf("pushes of the older one mismatch (-want +got):\n%s", diff)
			}
			if running := b.running(); len(running) != 1 || len(b.runningOf("a-first")) != 1 {
				t.Errorf("%d Jobs run, want that of the older one", len(running))
			}
			younger := b.stream("b-second").Status
			if younger.OnAir() || younger.History[0].EndReason != v1alpha1.BroadcastEndDuplicateStream {
				t.Errorf("status of the younger one = %+v", younger)
			}
		})
	}
}

func TestTheYoungerOneGoesOnUntilTheOlderOneIsToldOfItsPush(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	takenOver(b)
	b.live("b-second", "A")
	b.create(newDomain())
	b.restart(interceptor.NewClient(env.Client, interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
		if o.GetName() == "a-first" {
			return apierrors.NewServiceUnavailable("not now")
		}
		return c.SubResource(sub).Patch(ctx, o, patch, opts...)
	}}))
	if _, err := b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "b-second"}}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("Reconcile() = %v, want what the API server said", err)
	}
	if status := b.wantState("b-second", v1alpha1.LiveStreamLive); len(b.runningOf("b-second")) != 1 || len(status.History) != 0 {
		t.Errorf("%d Jobs run, history = %+v, want the broadcast carried on", len(b.running()), status.History)
	}
}

// A receiver whose cache is behind tells the younger one alone, for a while.
func TestAPushThatTheYoungerOneAloneWasToldOfIsTheOlderOnes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ago  time.Duration
		want v1alpha1.LiveStreamState
	}{
		"a moment ago": {time.Second, v1alpha1.LiveStreamLive},
		// The older one may have heard of its end, and forgotten it.
		"long ago": {push.ClaimGrace + time.Second, v1alpha1.LiveStreamIdle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newStream("a-first"), newStream("b-second"))
			b.settle("a-first")
			b.settle("b-second")
			b.record("b-second", b.starts("A"))
			b.pass(tc.ago)
			b.settle("b-second")
			b.settle("a-first")
			b.wantState("a-first", tc.want)
			if running := b.runningOf("b-second"); len(running) != 0 {
				t.Errorf("%d Jobs of the younger one run", len(running))
			}
		})
	}
}

// It was on air when its PushDomain was deleted; the stop came through the other one.
func TestAPushThatEndedWhileThePushDomainWasGoneStartsNothingWhenItIsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), otherDomain(), newStream("a-first"), ofOther("b-second"))
	for _, name := range []string{"a-first", "b-second"} {
		b.live(name, "A")
	}
	b.delete(newDomain())
	b.settle("a-first")
	b.settle("b-second")
	b.pass(time.Minute)
	b.settle("a-first")
	b.over("b-second", "A")
	b.collect()
	b.create(newDomain())
	b.settle("a-first")
	b.wantState("a-first", v1alpha1.LiveStreamIdle)
	if jobs := b.running(); len(jobs) != 0 {
		t.Errorf("%d Jobs run for a push that has ended", len(jobs))
	}
}

// What is the younger one's own is how long a push may last; its older one may have other ideas.
func TestAPushThatTheYoungerOneGaveUpGoesOnInTheOlderOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	short := newStream("b-second")
	hourLong(short)
	b.create(newSecret(), newDomain(), newStream("a-first"), short)
	for _, name := range []string{"a-first", "b-second"} {
		b.settle(name)
		b.live(name, "A")
	}
	b.pass(2 * time.Hour)
	b.settle("b-second")
	if live := push.Live(b.stream("b-second").Status.Pushes); len(live) != 0 {
		t.Fatalf("the younger one knows %+v as live", live)
	}
	b.settle("a-first")
	b.wantState("a-first", v1alpha1.LiveStreamLive)
}
