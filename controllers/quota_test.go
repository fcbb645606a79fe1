package controllers

import (
	"testing"
	"time"
)

// Nothing of a Job changes when its Pod is refused: nobody wakes the reconciler, unless it comes back by itself.
func TestAJobWithoutAPodIsLookedAtAgainByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.clock.SetTime(time.Now())
	b.show()
	b.record("show", b.starts("A"))
	if again := b.settle("show"); again.RequeueAfter <= 0 || again.RequeueAfter > time.Minute {
		t.Errorf("a Job without a Pod is looked at again after %s; want within a minute, or its quota is never explained", again.RequeueAfter)
	}
}
