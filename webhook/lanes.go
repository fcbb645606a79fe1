package webhook

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// lanes let the events of one stream take turns: of fifty that write at once forty-nine would conflict. Those that wait are written together by the
// one whose turn it is: of a push that is lost and comes back while the API server is busy, stop and start are one write.
type lanes struct {
	mu sync.Mutex
	of map[types.UID]*lane
}

type lane struct {
	turn  chan struct{}
	users int
	// waiting are the events that nobody writes yet, in the order in which they came; the lock of lanes guards them.
	waiting []*entry
	// writes says that the lane has a turn in the queue, which the events in it hand on, until none is left.
	writes bool
	// last is what the last event in the lane wrote, nil where none did; the cache may not have it yet.
	last *change
}

// entry is an event, and what becomes of it.
type entry struct {
	event provider.Event
	// domain and keeper are what a write depends on besides: only events that agree on them are written together.
	domain types.UID
	keeper string

	outcome push.Outcome
	err     error
	// written is closed once it is known what becomes of it, and that is in etcd where it changes anything, whichever event of the lane wrote it.
	written chan struct{}
	// gone says that nobody waits for it any more.
	gone bool
}

func newEntry(event provider.Event, domain types.UID, keeper string) *entry {
	return &entry{event: event, domain: domain, keeper: keeper, written: make(chan struct{})}
}

func (e *entry) isWritten() bool {
	select {
	case <-e.written:
		return true
	default:
		return false
	}
}

func (e *entry) failed() bool { return e.err != nil }

func (e *entry) recordedIn(stream *v1alpha1.LiveStream) Recorded {
	return Recorded{Stream: stream.Name, Outcome: e.outcome}
}

// answer tells who waits for them that outcome and err are known.
func answer(events []*entry) {
	for _, e := range events {
		close(e.written)
	}
}

// enter waits until it is the events' turn, or other events' writes carried them. A lane lives as long as somebody is in it; end is told when the last
// one left.
func (l *lanes) enter(ctx context.Context, stream types.UID, end func(*lane), events ...*entry) (*lane, func(), error) {
	l.mu.Lock()
	if l.of == nil {
		l.of = map[types.UID]*lane{}
	}
	entered, there := l.of[stream]
	if !there {
		entered = &lane{turn: make(chan struct{}, 1)}
		l.of[stream] = entered
	}
	entered.users++
	entered.waiting = append(entered.waiting, events...)
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, e := range events {
			e.gone = true
		}
		entered.waiting = slices.DeleteFunc(entered.waiting, func(e *entry) bool { return slices.Contains(events, e) })
		if entered.users--; entered.users == 0 {
			delete(l.of, stream)
			end(entered)
		}
	}
	select {
	case entered.turn <- struct{}{}:
		return entered, func() { leave(); <-entered.turn }, nil
	// They are written in their order.
	case <-events[len(events)-1].written:
		return entered, leave, nil
	case <-ctx.Done():
		leave()
		return nil, nil, fmt.Errorf("waiting for other events of the stream: %w", ctx.Err())
	}
}

// take takes the events that are to be written with one that has its turn, itself among them, out of those that wait.
func (l *lanes) take(from *lane, own *entry) []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var taken []*entry
	from.waiting = slices.DeleteFunc(from.waiting, func(e *entry) bool {
		together := e.domain == own.domain && e.keeper == own.keeper
		if together {
			taken = append(taken, e)
		}
		return together
	})
	return taken
}

// giveBack has events wait again that were not written: each has a patience of its own, and may fare better.
func (l *lanes) giveBack(to *lane, events []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to.waiting = append(slices.DeleteFunc(events, func(e *entry) bool { return e.gone }), to.waiting...)
}
