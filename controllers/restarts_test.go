package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

// withRestarts lets Jobs that ended at once be made again in turns, and takes all turns there are.
func (b *bench) withRestarts() *Restarts {
	b.t.Helper()
	restarts := NewRestarts(b.clock, b.streamsAgain)
	for i := 0; ; i++ {
		if i > 1000 {
			b.t.Fatal("there is no end of turns")
		}
		if !restarts.hasTurn(types.NamespacedName{Name: fmt.Sprintf("other-%d", i)}, plan.Again{Jobs: 1, Part: 1}) {
			break
		}
	}
	b.reconciler.Restarts = restarts
	return restarts
}

func TestAJobThatEndedAtOnceIsMadeAgainWhenItIsItsTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	restarts := b.withRestarts()
	b.fail(b.onlyJob())
	b.reconcile("show")
	b.pass(11 * time.Second)
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

func TestAStreamThatIsOverOrGoneWaitsForNoTurn(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*bench){
		"the push has ended":        func(b *bench) { b.over("show", "A") },
		"the LiveStream is deleted": func(b *bench) { b.delete(b.stream("show")); b.reconcile("show") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show()
			b.live("show", "A")
			restarts := b.withRestarts()
			others := restarts.budget.Waiting()
			b.fail(b.onlyJob())
			b.pass(11 * time.Second)
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

// TestTurnsAreGivenWhileNothingElseHappens has no pass that would ask.
func TestTurnsAreGivenWhileNothingElseHappens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	restarts := b.withRestarts()
	waiting := restarts.budget.Waiting()
	stopped := make(chan error)
	go func() { stopped <- restarts.Start(t.Context()) }()
	b.pass(time.Minute)
	restarts.hasTurn(types.NamespacedName{Name: "one more"}, plan.Again{Jobs: 1, Part: 1})
	for range waiting + 1 {
		select {
		case <-b.streamsAgain:
		case err := <-stopped:
			t.Fatalf("it stopped: %v", err)
		}
	}
}
