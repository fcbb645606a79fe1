package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

// withRestarts lets Jobs that ended at once be made again in turns, and takes all turns there are.
func (b *bench) withRestarts() *Restarts {
	b.t.Helper()
	restarts := NewRestarts(b.clock, b.streamsAgain)
	b.takeTurns(restarts, "other")
	b.reconciler.Restarts = restarts
	return restarts
}

func (b *bench) takeTurns(restarts *Restarts, others string) {
	b.t.Helper()
	for i := range 1000 {
		if restarts.holds(types.NamespacedName{Name: fmt.Sprintf("%s-%d", others, i)}, plan.Again{Jobs: 1, Part: 1}) {
			return
		}
	}
	b.t.Fatal("there is no end of turns")
}

// slowWriter takes a second for the patch of a status.
type slowWriter struct {
	client.Client
	clock *testclock.FakePassiveClock
}

func (w slowWriter) Status() client.SubResourceWriter { return slowStatus{w.Client.Status(), w.clock} }

type slowStatus struct {
	client.SubResourceWriter
	clock *testclock.FakePassiveClock
}

func (w slowStatus) Patch(ctx context.Context, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	w.clock.SetTime(w.clock.Now().Add(time.Second))
	return w.SubResourceWriter.Patch(ctx, o, patch, opts...)
}

// ended puts the show on air and has its Job end at once, while all turns are taken, and waits for its backoff.
func (b *bench) ended() *Restarts {
	b.t.Helper()
	b.show()
	b.live("show", "A")
	restarts := b.withRestarts()
	b.fail(b.onlyJob())
	b.reconcile("show")
	b.pass(11 * time.Second)
	return restarts
}

func TestAJobThatEndedAtOnceIsMadeAgainWhenItIsItsTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	restarts := b.ended()
	before := b.stream("show")
	b.reconcile("show")
	b.onlyJob()
	after := b.stream("show")
	if after.ResourceVersion != before.ResourceVersion || after.Status.Workloads[0].State != v1alpha1.WorkloadWaiting {
		t.Errorf("it waits for its turn with a write, or as %s", after.Status.Workloads[0].State)
	}
	select {
	case <-b.streamsAgain:
		t.Fatal("it was brought before it was its turn")
	default:
	}

	b.pass(time.Minute)
	restarts.GiveTurns(t.Context())
	brought := map[string]bool{}
	for len(b.streamsAgain) > 0 {
		brought[(<-b.streamsAgain).Object.GetName()] = true
	}
	if !brought["show"] {
		t.Fatalf("%v were brought, and not the show", brought)
	}
	b.reconcile("show")
	if jobs := b.jobs(); len(jobs) != 2 {
		t.Fatalf("there are %d Jobs after its turn, want 2", len(jobs))
	}
}

func TestAJobThatRanForLongIsMadeAgainWithoutATurn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	b.podReady(b.onlyJob())
	b.reconcile("show")
	b.pass(11 * time.Minute)
	b.withRestarts()
	b.fail(b.onlyJob())
	b.reconcile("show")
	b.pass(11 * time.Second)
	b.reconcile("show")
	if jobs := b.jobs(); len(jobs) != 2 {
		t.Fatalf("there are %d Jobs, want 2", len(jobs))
	}
}

// request is a pass without a look at what the status says.
func (b *bench) request(name string) {
	b.t.Helper()
	if _, err := b.reconciler.Reconcile(b.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: name}}); err != nil {
		b.t.Fatalf("reconciling %s: %v", name, err)
	}
}

func TestAStreamThatIsOverOrGoneWaitsForNoTurn(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*bench){
		"the push has ended": func(b *bench) { b.over("show", "A") },
		"the LiveStream is gone": func(b *bench) {
			b.delete(b.stream("show"))
			b.request("show")
		},
		"the LiveStream is going": func(b *bench) {
			edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Finalizers = []string{"example.com/held"} })
			b.delete(b.stream("show"))
			b.request("show")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			restarts := b.ended()
			others := restarts.budget.Waiting()
			b.reconcile("show")
			if got := restarts.budget.Waiting(); got != others+1 {
				t.Fatalf("%d wait for their turn, want the show too, so %d", got, others+1)
			}
			end(b)
			if got := restarts.budget.Waiting(); got != others {
				t.Errorf("%d wait for their turn, want %d", got, others)
			}
		})
	}
}

// TestTurnsAreGivenAsTimePasses has nobody ask after the first.
func TestTurnsAreGivenAsTimePasses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	restarts := b.withRestarts()
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- restarts.Start(ctx) }()
	b.pass(time.Minute)
	<-b.streamsAgain
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAnotherTurnIsGivenWhenAJobHasItsPod(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	restarts := b.withRestarts()
	b.pass(time.Second)
	restarts.holds(types.NamespacedName{Name: "other-0"}, plan.Again{Podless: true})
	if restarts.GiveTurns(t.Context()); len(b.streamsAgain) > 0 {
		t.Fatalf("%s was brought while the Jobs have no Pods", (<-b.streamsAgain).Object.GetName())
	}
	select {
	case <-restarts.changed:
	default:
	}
	restarts.holds(types.NamespacedName{Name: "other-0"}, plan.Again{})
	if len(restarts.changed) != 1 {
		t.Error("nobody is told that a turn is free")
	}
	if restarts.GiveTurns(t.Context()); len(b.streamsAgain) != 1 {
		t.Errorf("%d were brought for the turn that is free, want 1", len(b.streamsAgain))
	}
}

func TestATurnIsKeptWhereItsPassMadeNothing(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*bench) error{
		"the API server is away": func(*bench) error { return apierrors.NewServiceUnavailable("away") },
		"it takes too long": func(b *bench) error {
			b.pass(decisionLife + time.Second)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			restarts := b.ended()
			b.reconcile("show")
			b.pass(time.Minute)
			restarts.GiveTurns(t.Context())
			b.takeTurns(restarts, "later")
			b.reconciler.Live = interceptor.NewClient(env.Client, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
				if err := read(b); err != nil {
					return err
				}
				return c.Get(ctx, key, object, opts...)
			}})
			for range 2 {
				if _, err := b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "show"}}); err == nil {
					t.Fatal("the pass did not fail")
				}
				b.takeTurns(restarts, "later")
			}
			b.reconciler.Live = env.Client
			b.reconcile("show")
			if jobs := b.jobs(); len(jobs) != 2 {
				t.Errorf("there are %d Jobs, want the second made in the turn that it had", len(jobs))
			}
		})
	}
}

func TestOnlyWritesThatSayHowLongTheyTakeAreNoted(t *testing.T) {
	t.Parallel()
	failed := errors.New("no")
	for _, tc := range []struct {
		name       string
		took, then time.Duration
		err        error
		slow       bool
	}{
		{name: "quick ones", took: time.Millisecond, then: time.Millisecond},
		{name: "slow ones", took: time.Millisecond, then: time.Second, slow: true},
		{name: "refused at once after slow ones", took: time.Second, then: time.Millisecond, err: failed, slow: true},
		{name: "failed after long", took: time.Millisecond, then: time.Second, err: failed, slow: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			clock := testclock.NewFakePassiveClock(showTime)
			restarts := NewRestarts(clock, nil)
			write := func(took time.Duration, err error) {
				begun := clock.Now()
				clock.SetTime(begun.Add(took))
				restarts.noteWrite(begun, err)
				clock.SetTime(clock.Now().Add(300 * time.Millisecond))
			}
			for range 100 {
				write(tc.took, nil)
			}
			for range 100 {
				write(tc.then, tc.err)
			}
			if got := restarts.budget.Rate() == 1; got != tc.slow {
				t.Errorf("the rate is %.1f, want slow %t", restarts.budget.Rate(), tc.slow)
			}
		})
	}
}

func TestTheStatusThatAPassWritesTellsHowLongWritesTake(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	restarts := NewRestarts(b.clock, b.streamsAgain)
	b.reconciler.Restarts = restarts
	b.reconciler.Client = slowWriter{b.reconciler.Client, b.clock}
	before := restarts.budget.Rate()
	for i := range 20 {
		edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) {
			s.Spec.State = []v1alpha1.LiveStreamActivity{v1alpha1.LiveStreamSuspended, v1alpha1.LiveStreamActive}[i%2]
		})
		b.reconcile("show")
	}
	if after := restarts.budget.Rate(); after >= before {
		t.Errorf("the rate is %.1f after writes of a second, and was %.1f before", after, before)
	}
}
