// Package worker records a broadcast: it pulls the stream into parts, stores each as it closes, and joins them into one file when it
// is told that the broadcast is over.
//
// Nothing is lost that was pulled: a part is in the spool until the store has it, verified. Each process goes on where the one before
// it was killed, by what the spool and the store hold.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"k8s.io/utils/clock"

	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

// Worker records one broadcast.
type Worker struct {
	Config recording.Config
	Store  store.Store
	Spool  *Spool
	// Address is the playback URL, signed anew at each call.
	Address func() (string, error)
	// Stop is closed when the broadcast is over.
	Stop <-chan struct{}
	// Ended is closed when the Pod has to go, whatever becomes of the broadcast.
	Ended  <-chan struct{}
	HTTP   *http.Client
	FFmpeg string
	Health *Health
	Log    *slog.Logger
	Clock  clock.PassiveClock
	// PushAddress is the URL that a rendition is pushed to, signed anew at each call; nil where the store takes it.
	PushAddress func(rendition string) (string, error)
	// subfolder of the broadcast's folder, ending in /; "" but for a rendition.
	subfolder string
	// Patience is how long after the broadcast the store is tried.
	Patience time.Duration
	// lifeless are the parts that turned out to hold no media when they were joined.
	lifeless []string
	// extra is the overtime of tests.
	extra time.Duration
}

const (
	// resumeTimeout bounds looking for what is recorded already: a store that is away must not keep the show from being recorded.
	resumeTimeout = 3 * time.Second
	// leaveWithin bounds what a Pod that has to go still does, under its grace period.
	leaveWithin = 4 * time.Minute
)

// Run records until it is told to stop, finishes, and says what became of the recording. The context ends it at once.
func (w *Worker) Run(ctx context.Context) recording.Result {
	if w.Config.Transcoding != nil {
		return newTranscoder(w).run(ctx)
	}
	uploads, endUploads := context.WithCancel(ctx)
	defer endUploads()
	u := &uploader{Worker: w, folder: w.folder()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.run(uploads)
	}()
	over := true
	if !w.Config.Finish {
		w.goOn(ctx)
		over = w.pull(ctx, w.source)
	}
	finishing, cancel := context.WithTimeout(ctx, w.patience(over))
	defer cancel()
	result := w.finish(finishing, u, over)
	result.Left = !over
	endUploads()
	<-done
	return result
}

// patience is how long finishing may take.
func (w *Worker) patience(over bool) time.Duration {
	if over {
		return w.Patience
	}
	return min(w.Patience, leaveWithin)
}

func (w *Worker) folder() string {
	return recording.Folder(w.Config, store.CleanKey) + "/" + w.subfolder
}

// pull records until the broadcast is over, which it returns, or the Pod has to go.
func (w *Worker) pull(ctx context.Context, from func(context.Context) source) (over bool) {
	if stopped(w.Ended) {
		return stopped(w.Stop)
	}
	pulling, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- from(pulling).run(pulling) }()
	for {
		select {
		case <-w.Stop:
			w.Log.Info("The broadcast is over")
			cancel()
			w.wait(ended)
			return true
		case <-w.Ended:
			w.Log.Info("Told to end before the broadcast")
			cancel()
			w.wait(ended)
			return stopped(w.Stop)
		case err := <-ended:
			if ctx.Err() != nil {
				return false
			}
			// Sources try again by themselves: this is what they cannot mend.
			w.Log.Error("Cannot record", "error", err)
			w.Health.Failed(err)
			ended = nil
		}
	}
}

// wait waits until the source has closed what was open; nil where it has ended before.
func (w *Worker) wait(ended <-chan error) {
	if ended == nil {
		return
	}
	if err := <-ended; err != nil {
		w.Log.Warn("The pull did not end well", "error", err)
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// source is what pulls with the protocol of the push domain.
type source interface {
	// run pulls until the context ends, and closes what is open.
	run(ctx context.Context) error
}

func (w *Worker) source(ctx context.Context) source {
	if w.Config.Playback.Protocol == "HLS" {
		return &playlistSource{Worker: w, known: w.known(ctx)}
	}
	return &ffmpegSource{Worker: w}
}

// goOn numbers the parts of an empty spool behind those that are stored: a Job that was deleted is made again under its name, and its new
// Pod must not number from 1 once more.
func (w *Worker) goOn(ctx context.Context) {
	if !w.Spool.Fresh() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	parts, err := w.stored(ctx)
	if err != nil {
		w.Log.Warn("Could not look for what is stored already; should the Job have been made again, its parts are out of order", "error", err)
	}
	w.Spool.Follow(parts)
}

// known are the parts of the broadcast that are recorded already.
func (w *Worker) known(ctx context.Context) []recording.Part {
	ctx, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	parts, err := w.stored(ctx)
	if err != nil {
		w.Log.Warn("Could not look for what is recorded already; segments that are loaded twice count once", "error", err)
	}
	local, err := w.Spool.Parts()
	if err != nil {
		w.Log.Warn("Could not read the spool", "error", err)
	}
	return recording.Sort(append(parts, local...))
}

// stored are the parts in the store, but those that nothing can be made of.
func (w *Worker) stored(ctx context.Context) ([]recording.Part, error) {
	objects, err := w.Store.List(ctx, w.folder()+recording.PartsFolder)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("listing the parts of the broadcast: %w", err)
	}
	var parts []recording.Part
	for _, o := range objects {
		p, is := recording.ParsePart(o.Key)
		switch {
		case is && o.Size == 0:
			// A node that lost its power may have stored it: nothing can be made of it, nor is it in anything.
			w.Log.Warn("A part is empty; it is left where it is", "part", p.Name())
		case is && slices.Contains(w.lifeless, p.Name()):
		case is:
			p.Size = o.Size
			parts = append(parts, p)
		}
	}
	return parts, nil
}
