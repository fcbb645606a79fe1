package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// inLane is how many events of the stream are not answered, and how many of them nobody writes yet.
func (d *desk) inLane(stream *v1alpha1.LiveStream) (users, waiting int) {
	lanes := &d.handler.Store.lanes
	lanes.mu.Lock()
	defer lanes.mu.Unlock()
	if of, there := lanes.of[stream.UID]; there {
		return of.users, len(of.waiting)
	}
	return 0, 0
}

// laterTogether posts callbacks one after the other, each once the one before it is in the lane of its stream, and the first of them has the turn there.
func (d *desk) laterTogether(stream *v1alpha1.LiveStream, callbacks ...css.Callback) (answers []<-chan int) {
	d.t.Helper()
	before, _ := d.inLane(stream)
	for i, c := range callbacks {
		answers = append(answers, d.later(c))
		d.eventually("the event is in its lane", func() bool {
			users, waiting := d.inLane(stream)
			return users == before+i+1 && (d.waiting() == 1 || waiting < users)
		})
	}
	return answers
}

// states tells of each push whether it is live.
func states(stream *v1alpha1.LiveStream) map[string]bool {
	live := map[string]bool{}
	for _, p := range stream.Status.Pushes {
		live[p.Sequence] = p.EndTime == nil
	}
	return live
}

func TestEventsOfAStreamThatWaitAreOneWriteAndDuplicatesWaitForNone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	known := d.startsKnown()
	show := d.stream("show")
	w := d.counts()
	queue := d.busy()
	answers := d.laterTogether(show,
		d.push("a").Interruption(showTime.Add(time.Minute), time.Minute, 12, ""), d.push("b").Start(showTime.Add(time.Minute)),
		d.push("b").Start(showTime.Add(time.Minute)), d.push("c").Interruption(showTime.Add(time.Minute), time.Second, 1, ""), d.push("c").Start(showTime))
	if waiting := d.waiting(); waiting != 1 {
		t.Errorf("%d wait for a turn, want one for all events of the stream", waiting)
	}
	if status := d.post(known); status != http.StatusOK {
		t.Errorf("a duplicate is answered %d while others of its stream wait", status)
	}
	queue.leave()
	d.allTaken(answers)
	d.eventually("the turn is given back", func() bool { return queue.turns.TryAcquire(1) })
	if diff := cmp.Diff(map[string]bool{"a": false, "b": true, "c": false}, states(d.stream("show"))); diff != "" || w.all != 1 {
		t.Errorf("after %d writes, want 1, the pushes that are live (-want +got):\n%s", w.all, diff)
	}
}

func TestAnEventThatComesWhileAnotherIsWrittenGoesOnFromIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	show := d.stream("show")
	w := d.slows()
	answers := d.laterTogether(show, d.push("a").Start(showTime))
	d.eventually("it is being written", func() bool { return w.count(0) == 1 })
	answers = append(answers, d.laterTogether(show, d.push("b").Start(showTime), d.push("a").Interruption(showTime.Add(time.Second), time.Second, 1, ""))...)
	for _, early := range answers[1:] {
		select {
		case status := <-early:
			t.Errorf("answered %d before it was written", status)
		default:
		}
	}
	close(w.let)
	d.allTaken(answers)
	if diff := cmp.Diff(map[string]bool{"a": false, "b": true}, states(d.stream("show"))); diff != "" || w.all != 2 {
		t.Errorf("after %d writes, want 2 without a conflict, the pushes that are live (-want +got):\n%s", w.all, diff)
	}
}

// Whoever sees but the outcome would take it for a push that never was on air: no broadcast, and nothing that runs after it.
func TestThePushThatBeginsAndEndsWhileItsEventsWaitIsOnAirBetweenTwoWrites(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	show := d.stream("show")
	w := d.counts()
	queue := d.busy()
	answers := d.laterTogether(show, d.push("a").Start(showTime), d.push("b").Start(showTime), d.push("a").Interruption(showTime.Add(time.Second), time.Second, 1, ""),
		d.push("b").Interruption(showTime.Add(time.Second), time.Second, 1, ""))
	queue.leave()
	d.allTaken(answers)
	if diff := cmp.Diff(map[string]bool{"a": false, "b": false}, states(d.stream("show"))); diff != "" || w.all != 2 {
		t.Errorf("after %d writes, want 2, the pushes that are live (-want +got):\n%s", w.all, diff)
	}
}

func TestEventsWhoseCommonWriteConflictsAreAllDecidedAnew(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	show := d.stream("show")
	other := openDesk(t, d.namespace, d.clock)
	other.knows("show")
	w := d.slows()
	queue := d.busy()
	answers := d.laterTogether(show, d.push("a").Start(showTime), d.push("b").Start(showTime), d.push("x").Interruption(showTime, time.Second, 1, ""))
	queue.leave()
	d.eventually("they are being written", func() bool { return w.count(0) == 1 })
	for _, c := range []css.Callback{d.push("x").Start(showTime), d.push("b").Start(showTime)} {
		if status := other.post(c); status != http.StatusOK {
			t.Fatalf("the other replica answers %d", status)
		}
	}
	close(w.let)
	d.allTaken(answers)
	if diff := cmp.Diff(map[string]bool{"a": true, "b": true, "x": false}, states(d.stream("show"))); diff != "" {
		t.Errorf("the pushes that are live (-want +got):\n%s", diff)
	}
}

func TestAnEventThatIsRefusedIsRefusedAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	show := d.stream("show")
	queue := d.busy()
	var callbacks []css.Callback
	for i := range push.MaxLive + 1 {
		callbacks = append(callbacks, d.push(fmt.Sprint(i)).Start(showTime))
	}
	answers := d.laterTogether(show, append(callbacks, d.push("0").Interruption(showTime.Add(time.Second), time.Second, 1, ""))...)
	queue.leave()
	for i, answer := range answers {
		want := http.StatusOK
		if i == push.MaxLive {
			want = http.StatusServiceUnavailable
		}
		if status := <-answer; status != want {
			t.Errorf("event %d is answered %d, want %d", i, status, want)
		}
	}
	if live := len(push.Live(d.stream("show").Status.Pushes)); live != push.MaxLive-1 {
		t.Errorf("%d pushes are live, want %d", live, push.MaxLive-1)
	}
}

func TestEventsWhoseCommonWriteFailsAreTriedAgainButForTheOneThatWrote(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	show := d.stream("show")
	var tried atomic.Int32
	d.handler.Store.Writer = interceptor.NewClient(env.Client, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, subResource string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			if tried.Add(1) == 1 {
				return errors.New("the API server does not answer")
			}
			return c.SubResource(subResource).Patch(ctx, object, patch, options...)
		},
	})
	queue := d.busy()
	answers := d.laterTogether(show, d.push("a").Start(showTime), d.push("b").Start(showTime), d.push("c").Start(showTime))
	queue.leave()
	var got []int
	for _, answer := range answers {
		got = append(got, <-answer)
	}
	if want := []int{http.StatusServiceUnavailable, http.StatusOK, http.StatusOK}; !slices.Equal(got, want) {
		t.Errorf("answered %v, want %v", got, want)
	}
	live := states(d.stream("show"))
	if !live["b"] || !live["c"] || tried.Load() != 2 {
		t.Errorf("after %d writes, want 2, b and c are live: %v", tried.Load(), live)
	}
	if users, waiting := d.inLane(show); users != 0 || waiting != 0 {
		t.Errorf("%d are in the lane, %d wait, want none", users, waiting)
	}
}

// madeAnew has a PushDomain of another host in the place of the desk's, and its cache know it.
func (d *desk) madeAnew() {
	d.t.Helper()
	old := d.domain()
	anew := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: old.Name, Namespace: old.Namespace}, Spec: *old.Spec.DeepCopy()}
	anew.Spec.Domain = "another.domain.com"
	if err := env.Client.Delete(d.t.Context(), old); err != nil {
		d.t.Fatal(err)
	}
	d.create(anew)
	d.eventually("the cache has the new PushDomain", func() bool {
		known := &v1alpha1.PushDomain{}
		return d.handler.Cache.Get(d.t.Context(), client.ObjectKeyFromObject(anew), known) == nil && known.UID == anew.UID
	})
}

func TestAnEventThatWaitsIsNotWrittenForAPushDomainThatWasMadeAnewMeanwhile(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.counts()
	queue := d.busy()
	answers := d.laterTogether(d.stream("show"), d.push("a").Start(showTime), d.push("b").Start(showTime))
	d.madeAnew()
	queue.leave()
	for i, answer := range answers {
		if status := <-answer; status != http.StatusServiceUnavailable {
			t.Errorf("event %d is answered %d, want 503: it is to come again", i, status)
		}
	}
	if w.count(0); w.all != 0 {
		t.Errorf("%d writes, want none", w.all)
	}
}

func TestAnEventWhoseWriteConflictsIsNotWrittenForAPushDomainThatWasMadeAnewMeanwhile(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.slows()
	answer := d.later(d.push("a").Start(showTime))
	d.eventually("it is being written", func() bool { return w.count(0) == 1 })
	other := openDesk(t, d.namespace, d.clock)
	other.knows("show")
	if status := other.post(d.push("b").Start(showTime)); status != http.StatusOK {
		t.Fatalf("the other replica answers %d", status)
	}
	d.madeAnew()
	close(w.let)
	if status := <-answer; status != http.StatusServiceUnavailable {
		t.Errorf("answered %d, want 503: it is to come again", status)
	}
	if got := shape(d.stream("show").Status.Pushes); got != "B" {
		t.Errorf("the pushes are %q, want B", got)
	}
}

func TestWhoGaveUpIsNotKeptWaitingForAndEventsOfOtherKeepersAreNotTakenAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		own, other, gone := newEntry(provider.Event{Sequence: "own"}, "shows", "show"), newEntry(provider.Event{Sequence: "other"}, "shows", "another"), newEntry(provider.Event{Sequence: "gone"}, "shows", "show")
		lane, leave, err := l.enter(t.Context(), "stream", func(*lane) {}, own)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan error, 2)
		for _, e := range []*entry{other, gone} {
			go func() {
				_, _, err := l.enter(ctx, "stream", nil, e)
				answered <- err
			}()
			synctest.Wait()
		}
		together := l.take(lane, own)
		if want := []*entry{own, gone}; !slices.Equal(together, want) {
			t.Errorf("%d events are written together, want own and gone", len(together))
		}
		cancel()
		for range 2 {
			if err := <-answered; !errors.Is(err, context.Canceled) {
				t.Errorf("enter() = %v for who gave up, want %v", err, context.Canceled)
			}
		}
		l.giveBack(lane, together)
		if want := []*entry{own}; !slices.Equal(lane.waiting, want) {
			t.Errorf("%d wait after who wrote failed, want itself alone", len(lane.waiting))
		}
		leave()
		if len(l.of) != 0 || len(lane.waiting) != 0 {
			t.Errorf("%d lanes and %d events are left, want none", len(l.of), len(lane.waiting))
		}
	})
}
