package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/trim"
)

// cached reads from a cache as the operator has it.
type cached struct {
	client.Client
	cache cache.Cache
}

func (c cached) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	return c.cache.Get(ctx, key, object, opts...)
}

func (c cached) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.cache.List(ctx, list, opts...)
}

func newCached(tb testing.TB) client.Client {
	tb.Helper()
	c, err := cache.New(env.Config, cache.Options{Scheme: env.Scheme, DefaultUnsafeDisableDeepCopy: new(true), ByObject: map[client.Object]cache.ByObject{
		&v1alpha1.LiveStream{}: {Transform: trim.Streams()}, &v1alpha1.PushDomain{}: {Transform: trim.PushDomain}, &batchv1.Job{}: {Transform: trim.Job}, &corev1.Pod{}: {Transform: trim.Pod},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	if err := index.Add(tb.Context(), c); err != nil {
		tb.Fatal(err)
	}
	if err := indexByStream(tb.Context(), c); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	tb.Cleanup(func() { cancel(); <-stopped })
	go func() {
		defer close(stopped)
		if err := c.Start(ctx); err != nil {
			tb.Errorf("running the cache: %v", err)
		}
	}()
	if !c.WaitForCacheSync(ctx) {
		tb.Fatal("the cache does not sync")
	}
	found, err := index.NewClient(tb.Context(), cached{env.Client, c}, c, &v1alpha1.PushDomain{}, &v1alpha1.LiveStream{}, &batchv1.Job{}, &corev1.Pod{})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// BenchmarkPassOverAStreamAtRest is what each LiveStream costs when the operator starts.
func BenchmarkPassOverAStreamAtRest(b *testing.B) {
	for name, workloads := range map[string]int{"without workloads": 0, "with a workload": 1} {
		b.Run(name, func(b *testing.B) {
			t := newBench(b)
			t.create(newSecret(), newDomain())
			for i := range 20 {
				stream := newStream(fmt.Sprintf("show-%d", i))
				stream.Spec.StreamName, stream.Spec.Workloads = stream.Name, stream.Spec.Workloads[:workloads]
				t.create(stream)
				t.reconcile(stream.Name)
			}
			t.record("show-0", t.starts("1"))
			t.reconcile("show-0")
			t.record("show-0", t.ends("1", 1, v1alpha1.PushReasonClientStopped))
			t.reconcile("show-0")
			t.pass(time.Minute)
			t.reconcile("show-0")
			t.reconciler.Client = newCached(b)
			request := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: t.namespace, Name: "show-0"}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.reconciler.Reconcile(b.Context(), request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
