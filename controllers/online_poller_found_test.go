package controllers

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
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
