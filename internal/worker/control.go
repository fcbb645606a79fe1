package worker

import (
	"context"
	"os"
	"strings"
	"time"
)

// controlEvery is how often the file with the Pod's annotations is read: it is replaced by a link, which file events follow badly.
const controlEvery = 200 * time.Millisecond

// WatchStop closes the returned channel when the file holds the annotation. The file has one line for each: key="value".
func WatchStop(ctx context.Context, file, annotation string) <-chan struct{} {
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(controlEvery)
		defer tick.Stop()
		for {
			if text, err := os.ReadFile(file); err == nil && holds(string(text), annotation) { //nolint:gosec // the operator mounts it
				close(stop)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return stop
}

func holds(text, annotation string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, annotation+"=") {
			return true
		}
	}
	return false
}
