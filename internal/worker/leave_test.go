package worker

import (
	"context"
	"errors"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

func TestAWorkerThatHasToGoSaysWhetherItKnewThatTheBroadcastIsOver(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	close(closed)
	for name, transcoding := range map[string]*recording.Transcoding{
		"a recorder": nil, "a transcoder": {Renditions: []ladder.Rendition{rendition("180p", 180)}},
	} {
		for over, stop := range map[bool]chan struct{}{false: make(chan struct{}), true: closed} {
			w := desk(t, t.TempDir(), 1)
			w.Config.Transcoding = transcoding
			w.Address = func() (string, error) { return "", errors.New("nothing is on air") }
			w.Stop, w.Ended = stop, closed
			if result := w.Run(t.Context()); result.Left == over || result.Ready || result.Message == "" {
				t.Errorf("%s, over %t: %+v", name, over, result)
			}
		}
	}
}

func TestAWorkerThatHasToGoBeforeItPullsDoesNotBegin(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	close(closed)
	for over, stop := range map[bool]chan struct{}{false: make(chan struct{}), true: closed} {
		w := desk(t, t.TempDir(), 1)
		w.Stop, w.Ended = stop, closed
		w.Address = func() (string, error) { return "", errors.New("nothing is on air") }
		got := w.pull(t.Context(), func(ctx context.Context) source {
			t.Errorf("over %t: it pulls", over)
			return w.source(ctx)
		})
		if got != over {
			t.Errorf("it says that the broadcast is over: %t, want %t", got, over)
		}
	}
}
