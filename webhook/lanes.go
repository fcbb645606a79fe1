package webhook

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// lanes let the events of one stream take turns: of fifty that write at once forty-nine would conflict.
type lanes struct {
	mu sync.Mutex
	of map[types.UID]*lane
}

type lane struct {
	turn  chan struct{}
	users int
	// writes says that the lane has a turn in the queue, which the events in it hand on, until none is left.
	writes bool
	// last is what the last event in the lane wrote, nil where none did; the cache may not have it yet.
	last *change
}

// enter waits for its turn. A lane lives as long as somebody is in it; end is told when the last one left.
func (l *lanes) enter(ctx context.Context, stream types.UID, end func(*lane)) (*lane, func(), error) {
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
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if entered.users--; entered.users == 0 {
			delete(l.of, stream)
			end(entered)
		}
	}
	select {
	case entered.turn <- struct{}{}:
		return entered, func() { <-entered.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, nil, fmt.Errorf("waiting for other events of the stream: %w", ctx.Err())
	}
}
