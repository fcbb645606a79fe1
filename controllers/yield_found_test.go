package controllers

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
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
