//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// slot has one LiveStream after the other.
type slot struct {
	*storm

	number, generation int
	random             *rand.Rand
	stream             string
	withJob            bool
	left, played       int
	sending            sync.WaitGroup
}

func (s *storm) newSlots() []*slot {
	var slots []*slot
	for i := range s.slots {
		slots = append(slots, &slot{storm: s, number: i, withJob: i < s.withJobs, random: rand.New(rand.NewPCG(s.seed, uint64(100+i)))})
	}
	return slots
}

// mostDue is how many deliveries may be due at every replica. Beyond what the machine can do they only get in each other's way: caches lag,
// and each copy is a conflict more.
const mostDue = 24

// isBehind says that new pushes have to wait. One replica may be stopped.
func (s *storm) isBehind() bool {
	for i := range s.due {
		if s.due[i].Load() < mostDue {
			return false
		}
	}
	return true
}

// play plays pushes until the phase is over, and returns when all their callbacks were answered.
func (sl *slot) play(over <-chan struct{}) {
	defer sl.sending.Wait()
	for unlessOver(over, between(sl.random, 0, 2*sl.cycle)) {
		if sl.isBehind() {
			continue
		}
		if sl.left == 0 && !sl.renew() {
			return
		}
		sl.left--
		sl.push()
	}
}

// push plays one push. It may go on while the next one begins; the last one of a LiveStream may be on air when that is deleted.
func (sl *slot) push() {
	// Neither longer nor greater with time.
	sl.played++
	sl.pushed.Add(1)
	if sl.withJob {
		sl.withJobPushed.Add(1)
	}
	sequence := fmt.Sprintf("%d%04d", sl.played*7919%10_007, sl.number)
	onAir := between(sl.random, 0, sl.cycle)
	if sl.random.IntN(4) == 0 {
		onAir /= 100
	}
	sl.send(event{stream: sl.stream, sequence: sequence, start: true}, 0)
	if sl.left > 0 || sl.random.IntN(4) > 0 {
		sl.send(event{stream: sl.stream, sequence: sequence, code: []int32{clean, lost}[sl.random.IntN(2)]}, onAir)
	}
}

// atOnce is how many copies of an event come within its spread. The others take four times as long: CSS repeats for a quarter of an
// hour, and copies that come before every watch has told of the first are one conflict each, which the API server pays for.
const atOnce = 5

// send has an event come 1 to 13 times, as CSS repeats it when it gets no answer; mostly 13 times, and at times late.
func (sl *slot) send(e event, after time.Duration) {
	copies := 13
	if sl.random.IntN(3) == 0 {
		copies = 1 + sl.random.IntN(13)
	}
	e.at, e.exact = time.Now().Add(after), true
	first := after
	if sl.random.IntN(4) == 0 {
		first += between(sl.random, 0, sl.spread/4)
	}
	for n := range copies {
		due := first
		switch {
		case n >= atOnce:
			due = after + between(sl.random, sl.spread, 4*sl.spread)
		case n > 0:
			due = after + between(sl.random, 0, sl.spread)
		}
		to := sl.random.IntN(mortals + 1)
		sl.sending.Go(func() {
			<-time.After(due)
			sl.due[to].Add(1)
			defer sl.due[to].Add(-1)
			sl.underWay[to] <- struct{}{}
			defer func() { <-sl.underWay[to] }()
			if err := sl.w.deliver(e, to); err != nil {
				sl.w.fail(disagreement, "%v", err)
			}
		})
	}
}

// renew looks at the LiveStream that has had its pushes, deletes it, and makes the next.
func (sl *slot) renew() bool {
	sl.sending.Wait()
	if sl.stream != "" {
		if err := sl.w.untilEvery(500*time.Millisecond, "a stream agrees with the model", sl.agrees); err != nil {
			sl.w.fail(disagreement, "%v", err)
			return false
		}
		sl.forgets()
		if err := installed.API.Delete(sl.w.ctx, &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Namespace: sl.w.name, Name: sl.stream}}); err != nil {
			sl.w.fail(disagreement, "deleting a stream: %v", err)
			return false
		}
	}
	sl.left = 1 + sl.random.IntN(sl.life)
	sl.generation++
	sl.stream = fmt.Sprintf("s%d-%d", sl.number, sl.generation)
	stream := newStream(sl.stream)
	stream.Namespace = sl.w.name
	if !sl.withJob {
		stream.Spec.Workloads = nil
	}
	if err := installed.API.Create(sl.w.ctx, stream); err != nil {
		sl.w.fail(disagreement, "making a stream: %v", err)
		return false
	}
	err := sl.w.untilEvery(200*time.Millisecond, "a new stream is idle", func() error {
		if seen := observed.last(sl.w.name, sl.stream); seen == nil || seen.Status.State != v1alpha1.LiveStreamIdle {
			return errors.New("it is not")
		}
		return nil
	})
	if err != nil {
		sl.w.fail(disagreement, "%v", err)
	}
	return err == nil
}

func (sl *slot) get() (*v1alpha1.LiveStream, error) {
	stream := &v1alpha1.LiveStream{}
	return stream, installed.API.Get(sl.w.ctx, client.ObjectKey{Namespace: sl.w.name, Name: sl.stream}, stream)
}

func (sl *slot) agrees() error {
	stream, err := sl.get()
	if err != nil {
		return err
	}
	var jobs batchv1.JobList
	if sl.withJob {
		err = installed.API.List(sl.w.ctx, &jobs, client.InNamespace(sl.w.name), client.MatchingLabels{v1alpha1.LabelLiveStream: sl.stream})
	}
	if err := errors.Join(err, sl.w.agreesOn(stream, jobs.Items)); err != nil {
		return fmt.Errorf("%s: %w", sl.stream, err)
	}
	return nil
}

// forgets looks for all that was answered 200, after the last answer.
func (sl *slot) forgets() {
	stream, err := sl.get()
	if apierrors.IsNotFound(err) {
		sl.w.fail(ackedLost, "LiveStream %s is gone", sl.stream)
		return
	}
	if err != nil {
		sl.w.fail(disagreement, "%v", err)
		return
	}
	for sequence, isLive := range sl.w.pushesOf(sl.stream) {
		e := event{stream: sl.stream, sequence: sequence, start: isLive}
		if !slices.ContainsFunc(stream.Status.Pushes, e.isIn) {
			sl.w.fail(ackedLost, "push %s of %s (live: %v) was answered 200 and is not in the status", sequence, sl.stream, isLive)
		}
	}
}
