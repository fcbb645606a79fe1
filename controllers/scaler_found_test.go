package controllers

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

// streamsOfThePast is a cache that has all LiveStreams as they were.
type streamsOfThePast struct {
	liveReader
	were v1alpha1.LiveStreamList
}

func (r streamsOfThePast) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	streams, is := list.(*v1alpha1.LiveStreamList)
	if !is {
		return r.liveReader.List(ctx, list, opts...)
	}
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	*streams = *r.were.DeepCopy()
	choose(streams, options.FieldSelector)
	return nil
}

// past is the cache as it is now, for later.
func (b *bench) past() streamsOfThePast {
	b.t.Helper()
	reader := streamsOfThePast{liveReader: liveReader{env.Client}}
	if err := env.Client.List(b.t.Context(), &reader.were, client.InNamespace(b.namespace)); err != nil {
		b.t.Fatal(err)
	}
	return reader
}

func TestALeaderWhoseCacheIsOfThePastTakesNoReplicasFromWhatIsOnAir(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		// before makes the past, since what has happened by now.
		before, since func(b *bench)
		want          int32
	}{
		{
			"the show had not begun", func(b *bench) { b.create(scaled("show", packagerRef, 3, 0)) },
			func(b *bench) { b.live("show", "A") }, 3,
		},
		{
			"its LiveStream was not there, but many others were", func(b *bench) {
				for i := range fewSharers + 1 {
					b.create(scaled(fmt.Sprint("another-", i), packagerRef, 2, 1))
				}
			},
			func(b *bench) {
				b.create(scaled("show", packagerRef, 3, 0))
				b.live("show", "A")
			}, fewSharers + 4,
		},
		{
			"it was on air with a smaller share", func(b *bench) {
				b.create(scaled("show", packagerRef, 1, 0))
				b.live("show", "A")
			},
			func(b *bench) {
				b.over("show", "A")
				edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.Workloads[0].Scale.ReplicasWhileLive = new(int32(3)) })
				b.live("show", "B")
			}, 3,
		},
		{
			"it is over by now", func(b *bench) {
				b.create(scaled("show", packagerRef, 3, 0), scaled("another", packagerRef, 2, 1))
				b.live("show", "A")
			},
			func(b *bench) { b.over("show", "A") }, 1,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newDeployment(0))
			tc.before(b)
			past := b.past()
			tc.since(b)
			b.wantReplicas("by the leader that saw it", tc.want)
			b.restart(env.Client)
			b.scaler.Client = past
			for range 2 {
				b.scale(packagerRef)
				if got := b.replicas(); got < tc.want {
					t.Errorf("%d replicas by a leader that has not seen it yet, want %d", got, tc.want)
				}
			}
			b.scaler.Client = liveReader{env.Client}
			b.wantReplicas("by that leader, once it has", tc.want)
		})
	}
}

// stopsAt is an API server that has something happen when it has answered once.
type stopsAt struct {
	liveReader
	scaleRead func()
}

func (s stopsAt) SubResource(name string) client.SubResourceClient {
	return stopsAtScale{s.liveReader.SubResource(name), s.scaleRead}
}

type stopsAtScale struct {
	client.SubResourceClient
	then func()
}

func (s stopsAtScale) Get(ctx context.Context, object, body client.Object, opts ...client.SubResourceGetOption) error {
	err := s.SubResourceClient.Get(ctx, object, body, opts...)
	s.then()
	return err
}

// The next leader finds the target as it wants it, and writes nothing: nothing that a write of the last one would conflict with.
func TestALeaderThatWasStoppedPastItsLeaseTakesNoReplicasFromWhatIsOnAir(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		// stop has the leader stopped at some moment, for what happens meanwhile.
		stop func(b *bench, meanwhile func())
		want error
	}{
		{"when it has read the target", func(b *bench, meanwhile func()) {
			b.scaler.Client = stopsAt{liveReader{env.Client}, meanwhile}
		}, nil},
		{"when it has read the LiveStreams", func(b *bench, meanwhile func()) {
			b.scaler.Live = interceptor.NewClient(env.Client, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, name client.ObjectKey, stream client.Object, opts ...client.GetOption) error {
				err := c.Get(ctx, name, stream, opts...)
				meanwhile()
				return err
			}})
		}, errOldSum},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 1, 0))
			b.live("show", "A")
			b.wantReplicas("the show is on air", 1)
			b.over("show", "A")
			next := &Scaler{Client: liveReader{env.Client}, Live: env.Client, Clock: b.clock}
			key := TargetKey{b.namespace, packagerRef}
			stopped := b.scaler
			tc.stop(b, func() {
				b.pass(decisionLife + time.Second)
				b.live("show", "B")
				if _, err := next.Settle(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			})
			if _, err := stopped.Settle(t.Context(), key); !errors.Is(err, tc.want) {
				t.Errorf("Settle() = %v of a leader that was stopped, want %v", err, tc.want)
			}
			got, err := next.Settle(t.Context(), key)
			if want := (plan.Target{Wanted: 1, Asked: 1}); err != nil || got.Target != want {
				t.Errorf("the next leader finds %+v, %v, want %+v", got.Target, err, want)
			}
		})
	}
}

func TestNothingIsScaledWhereTheAPIServerDoesNotSayWhatIsOnAir(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(3), scaled("show", packagerRef, 3, 0))
	unreachable := errors.New("unreachable")
	b.scaler.Live = interceptor.NewClient(env.Client, interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return unreachable
	}})
	if _, err := b.scaler.Settle(t.Context(), TargetKey{b.namespace, packagerRef}); !errors.Is(err, unreachable) || b.replicas() != 3 {
		t.Errorf("Settle() = %v with %d replicas, want %v and 3", err, b.replicas(), unreachable)
	}
}

// 200 streams on air were Pending and Running again, one write each, whenever one more began.
func TestAStreamRunsOnWhileItsTargetGrowsForAnotherAndNotWhenItLosesReplicas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("one", packagerRef, 2, 0), scaled("two", packagerRef, 3, 0))
	is := func(when, name string, want v1alpha1.WorkloadState) {
		t.Helper()
		if w := b.stream(name).Status.Workloads[0]; w.State != want {
			t.Errorf("%s: %s is %s, want %s", when, name, w.State, want)
		}
	}
	has := func(replicas int32) {
		t.Helper()
		b.available(replicas)
		b.scale(packagerRef)
	}
	b.settle("two")
	b.live("one", "A")
	b.scale(packagerRef)
	is("nothing is there yet", "one", v1alpha1.WorkloadPending)
	has(2)
	is("all is there", "one", v1alpha1.WorkloadRunning)
	before := b.stream("one").ResourceVersion
	b.live("two", "A")
	b.wantReplicas("two is on air as well", 5)
	for _, have := range []int32{3, 5} {
		has(have)
		b.settle("one")
	}
	is("it has grown", "two", v1alpha1.WorkloadRunning)
	if after := b.stream("one").ResourceVersion; after != before {
		t.Errorf("one was written while its target grew for two, from version %s to %s", before, after)
	}
	has(4)
	for _, name := range []string{"one", "two"} {
		is("a replica is lost", name, v1alpha1.WorkloadPending)
	}
	has(5)
	is("it is back", "one", v1alpha1.WorkloadRunning)
	b.available(4)
	b.restart(env.Client)
	b.scale(packagerRef)
	is("a replica was lost while no operator ran", "one", v1alpha1.WorkloadPending)
}

func TestATargetThatNobodySharesAnyMoreIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 2, 0))
	b.settle("show")
	b.live("show", "A")
	b.wantReplicas("the show is on air", 2)
	b.delete(newStream("show"))
	b.reconcile("show")
	for range 3 {
		b.wantReplicas("the LiveStream is gone", 0)
		if n := len(b.scaler.seen); n != 0 {
			t.Errorf("%d targets are remembered, want none", n)
		}
	}
}

// Found by reading: no call can be made of such a name. That was taken for what may pass, and the LiveStream could not be deleted.
func TestATargetWithANameThatNothingCanHaveIsToldAndHoldsNoDeletionUp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"deployment/packager", "100%", ".."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 2, 0))
			b.live("show", "A")
			// An earlier version stored it. The API server takes it in no spec any more.
			stored := b.stream("show")
			before := stored.DeepCopy()
			stored.Status.Workloads[0].Scale.Name = name
			if err := env.Client.Status().Patch(t.Context(), stored, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
			ref := plan.TargetRef{APIVersion: packagerRef.APIVersion, Kind: packagerRef.Kind, Name: name}
			if again := b.scale(ref).waitFor(); again != secretRetry {
				t.Errorf("looks again after %s, want %s", again, secretRetry)
			}
			if w := b.stream("show").Status.Workloads[0]; w.State != v1alpha1.WorkloadFailed || !strings.HasPrefix(w.Message, fmt.Sprintf("no Deployment can have the name %q: it may not ", name)) {
				t.Errorf("workload = %+v, want Failed, with what is wrong with the name", w)
			}
			b.delete(newStream("show"))
			b.reconcile("show")
			if !b.gone("show", &v1alpha1.LiveStream{}) {
				t.Error("the deletion is held up")
			}
		})
	}
}

// Found by reading: the workload was Pending without a word, and Ready said that all was well.
func TestATargetThatFailsForAWhileIsToldOnce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		// before is what came before it failed.
		before func(b *bench)
		want   v1alpha1.WorkloadState
	}{
		{"from the first look on", func(*bench) {}, v1alpha1.WorkloadPending},
		{"after it was scaled", func(b *bench) {
			b.scale(packagerRef)
			b.available(2)
			b.scale(packagerRef)
		}, v1alpha1.WorkloadRunning},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 2, 0))
			b.live("show", "A")
			tc.before(b)
			tries := 0
			b.scaler.Client = liveReader{interceptor.NewClient(env.Client, interceptor.Funcs{SubResourceGet: func(context.Context, client.Client, string, client.Object, client.Object, ...client.SubResourceGetOption) error {
				tries++
				return apierrors.NewInternalError(fmt.Errorf("webhook failed, request %d", tries))
			}})}
			r := &ScaleReconciler{Scaler: b.scaler, Changed: b.streamsAgain}
			settle := func(when string, fails bool, told int) {
				t.Helper()
				if _, err := r.Reconcile(t.Context(), TargetKey{b.namespace, packagerRef}); (err != nil) != fails || len(b.streamsAgain) != told {
					t.Errorf("%s: %v, %d streams told, want %d", when, err, len(b.streamsAgain), told)
				}
				for len(b.streamsAgain) > 0 {
					<-b.streamsAgain
				}
				b.settle("show")
			}
			settle("at once", true, 0)
			b.pass(troubleAfter - time.Second)
			settle("a moment later", true, 0)
			wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
			b.pass(time.Second)
			settle("after a while", true, 1)
			b.pass(time.Minute)
			settle("later on", true, 0)
			status := b.stream("show").Status
			const words = `scaling Deployment "packager": Internal error occurred: webhook failed, request 3`
			if w := status.Workloads[0]; w.State != tc.want || w.Message != words {
				t.Errorf("workload = %+v, want %s with %q", w, tc.want, words)
			}
			wantCondition(t, status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRetrying)
			wantCondition(t, status.Conditions, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonRetrying)
			b.scaler.Client = liveReader{env.Client}
			settle("once it has passed", false, 1)
			status = b.stream("show").Status
			wantCondition(t, status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
			if w := status.Workloads[0]; w.Message != "" || b.replicas() != 2 {
				t.Errorf("workload = %+v with %d replicas, want 2", w, b.replicas())
			}
		})
	}
}

func TestATargetHasOneWriterAlsoWhileItIsForgotten(t *testing.T) {
	t.Parallel()
	s, key := &Scaler{}, TargetKey{"studio", packagerRef}
	var writers, most atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5000 {
				entry := s.hold(key)
				if n := writers.Add(1); n > 1 {
					most.Store(n)
				}
				runtime.Gosched()
				// Whoever forgets it has written.
				writers.Add(-1)
				s.forget(key)
				entry.settling.Unlock()
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 0 {
		t.Errorf("%d wrote at once, want one", n)
	}
}
