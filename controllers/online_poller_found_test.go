package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
	"github.com/livestream-operator/livestream-operator/internal/online"
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

// ask asks about a stream of a push domain like the one given, of that UID, and has told get the error.
func (b *bench) ask(ctx context.Context, like *v1alpha1.PushDomain, uid types.UID, stream string, told chan<- error) {
	domain := *like
	domain.UID = uid
	go func() {
		_, err := b.poller.OnAir(ctx, &domain, push.Stream{App: "live", Name: stream})
		told <- err
	}()
}

// asked waits until CSS got so many questions about streams.
func asked(t *testing.T, css *csstest.Server, questions int) {
	t.Helper()
	for css.Calls(csstest.StreamState) < questions {
		select {
		case <-t.Context().Done():
			t.Fatal("too few questions")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestCSSThatHangsHoldsUpFewWorkers(t *testing.T) {
	t.Parallel()
	for _, domains := range []int{1, 3 * questions} {
		t.Run(fmt.Sprint(domains, " push domains"), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			css := b.css()
			css.Fail(csstest.StreamState, csstest.Always, csstest.Hang)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			domain, told := b.domain(), make(chan error, 4*questions)
			for i := range questions {
				b.ask(ctx, domain, types.UID(fmt.Sprint(i%domains)), fmt.Sprint(i), told)
			}
			asked(t, css, questions)
			for i := range 3 * questions {
				b.ask(ctx, domain, types.UID(fmt.Sprint(i%domains)), fmt.Sprint("another ", i), told)
			}
			begun := time.Now()
			for i := range 3 * questions {
				if err := <-told; !errors.Is(err, errBusy) {
					t.Errorf("error = %v, want that CSS is busy", err)
				}
				// Of 32 workers 8 wait for CSS, and 8 for their turn.
				if took := time.Since(begun); i < 2*questions && took >= questionWait {
					t.Errorf("the %dth waited for %s, more than %d others wait", i+1, took, questions)
				}
			}
			if calls := css.Calls(csstest.StreamState); calls > questions {
				t.Errorf("%d questions at once, want %d at most", calls, questions)
			}
		})
	}
}

// Without that, each of a thousand streams would hold up a worker for as long as one question takes.
func TestWhileCSSDoesNotAnswerOneQuestionAtATimeFindsOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	css.Fail(csstest.StreamState, csstest.Always, csstest.InternalServerError)
	domain, told := b.domain(), make(chan error, 1)
	ask := func(uid types.UID, stream string) error {
		b.ask(t.Context(), domain, uid, stream, told)
		return <-told
	}
	wantCalls := func(when string, want int) {
		t.Helper()
		if calls := css.Calls(csstest.StreamState); calls != want {
			t.Errorf("%s: %d questions, want %d", when, calls, want)
		}
	}
	first := ask("shows", "a")
	for _, stream := range []string{"b", "c", "d"} {
		if err := ask("shows", stream); err == nil || err.Error() != first.Error() {
			t.Errorf("%s: error = %v, want that of a: %v", stream, err, first)
		}
	}
	wantCalls("no answer came a moment ago", 1)
	_ = ask("others", "a")
	wantCalls("another push domain, which may be of another account", 2)

	b.pass(answerKept)
	css.Fail(csstest.StreamState, csstest.Always, csstest.Hang)
	ctx, cancel := context.WithCancel(t.Context())
	probe := make(chan error, 1)
	b.ask(ctx, domain, "shows", "b", probe)
	asked(t, css, 3)
	if err := ask("shows", "c"); err == nil || err.Error() != first.Error() {
		t.Errorf("error = %v, want that of a: %v", err, first)
	}
	wantCalls("one finds out", 3)
	cancel()
	if err := <-probe; err == nil {
		t.Error("a question that was given up has an answer")
	}

	css.Recover(csstest.StreamState)
	for i, stream := range []string{"c", "d"} {
		if err := ask("shows", stream); err != nil {
			t.Error(err)
		}
		wantCalls("it answers again", 4+i)
	}
}

// What is wrong with one stream says nothing of the others.
func TestAnErrorThatCSSAnswersIsThatOfOneStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	css.Fail(csstest.StreamState, 1, csstest.InternalError)
	domain, told := b.domain(), make(chan error, 1)
	for stream, fails := range []bool{true, false} {
		b.ask(t.Context(), domain, "shows", fmt.Sprint(stream), told)
		if err := <-told; (err != nil) != fails {
			t.Errorf("stream %d: error = %v", stream, err)
		}
	}
}

// busy is CSS while too many other streams are asked about.
type busy struct{ Truth }

func (busy) OnAir(context.Context, *v1alpha1.PushDomain, push.Stream) (bool, error) {
	return false, errBusy
}

func TestABroadcastIsHeldOpenForAMinuteAlsoWhereCSSIsNotAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.cssShow()
	b.reconciler.Truth = busy{b.poller}
	b.live("show", "A")
	b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	b.settle("show")
	b.pass(time.Minute)
	over := b.clock.Now().Add(holdOpen)
	for again := b.settle("show"); b.clock.Now().Add(again.RequeueAfter).Before(over); again = b.settle("show") {
		b.wantState("show", v1alpha1.LiveStreamInterrupted)
		if again.RequeueAfter == 0 || again.RequeueAfter > askWhenBusy {
			t.Fatalf("looks again after %s", again.RequeueAfter)
		}
		b.pass(again.RequeueAfter)
	}
	b.clock.SetTime(over)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
}

func TestAPushIsOnAirForMaxDurationAndAnHourWhereCSSIsNotAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.cssShow(hourLong)
	b.reconciler.Truth = busy{b.poller}
	b.live("show", "A")
	for _, at := range []time.Duration{time.Hour, time.Hour + online.Patience, time.Hour + 2*online.Patience - time.Second} {
		b.clock.SetTime(showTime.Add(at))
		if again := b.settle("show"); again.RequeueAfter == 0 || again.RequeueAfter > askWhenBusy {
			t.Errorf("looks again after %s", again.RequeueAfter)
		}
		b.wantState("show", v1alpha1.LiveStreamLive)
	}
	b.pass(time.Second)
	b.settle("show")
	if p := b.wantState("show", v1alpha1.LiveStreamInterrupted).Pushes[0]; p.Reason != v1alpha1.PushReasonMaxDurationReached {
		t.Errorf("push = %+v, want MaxDurationReached", p)
	}
}
