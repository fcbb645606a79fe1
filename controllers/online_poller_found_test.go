package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// A question that fails takes up to ten seconds of a worker. While CSS is ill, events of a stream in doubt must not each pay for it.
func TestAQuestionThatFailedIsNotAskedAgainAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.cssShow()
	css.Fail(csstest.StreamState, csstest.Always, csstest.InternalServerError)
	b.record("show", b.starts("A"))
	b.settle("show")
	b.pass(2 * time.Minute)
	b.poll()
	for range 10 {
		b.reconcile("show")
	}
	if calls := css.Calls(csstest.StreamState); calls > 1 {
		t.Errorf("%d questions at once, want 1", calls)
	}
}

func TestCSSThatHangsHoldsUpFewWorkers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	css.Fail(csstest.StreamState, csstest.Always, csstest.Hang)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	domain, told := b.domain(), make(chan error, 3*questions)
	for i := range 3 * questions {
		go func() {
			_, err := b.poller.OnAir(ctx, domain, push.Stream{App: "live", Name: fmt.Sprint(i)})
			told <- err
		}()
	}
	for range 2 * questions {
		if err := <-told; !errors.Is(err, errBusy) {
			t.Errorf("error = %v, want that CSS is busy", err)
		}
	}
	if calls := css.Calls(csstest.StreamState); calls > questions {
		t.Errorf("%d questions at once, want %d at most", calls, questions)
	}
}
