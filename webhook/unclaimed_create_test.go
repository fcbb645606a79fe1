package webhook

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// The clock of one replica is a little behind.
func TestAStartThatWasAnswered200GivesWayToNoneOfAnotherReplicaWhereLiveStreamsAreMade(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(domain *v1alpha1.PushDomain) { domain.Spec.UnknownStreams.Policy = v1alpha1.UnknownStreamCreate })
	other := openDesk(t, d.namespace, testclock.NewFakePassiveClock(showTime.Add(-3*time.Second)))
	other.knows("show")
	var answered []string
	var mu sync.Mutex
	var all sync.WaitGroup
	for replica, desk := range map[string]*desk{"first": d, "second": other} {
		for i := range push.MaxUnclaimed {
			all.Go(func() {
				p := desk.push("a")
				p.Stream = fmt.Sprintf("%s-%03d", replica, i)
				switch status := desk.post(p.Start(showTime)); status {
				case http.StatusOK:
					mu.Lock()
					defer mu.Unlock()
					answered = append(answered, p.Stream)
				case http.StatusServiceUnavailable:
				default:
					t.Errorf("%s is answered %d", p.Stream, status)
				}
			})
		}
	}
	all.Wait()
	var kept []string
	for _, p := range d.domain().Status.UnclaimedPushes {
		kept = append(kept, p.StreamName)
	}
	slices.Sort(answered)
	if diff := gocmp.Diff(answered, kept); diff != "" {
		t.Errorf("what was answered 200 is not what is kept (-answered +kept):\n%s", diff)
	}
	if len(kept) != push.MaxUnclaimed {
		t.Errorf("%d pushes are kept, want %d", len(kept), push.MaxUnclaimed)
	}
}
