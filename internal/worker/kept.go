package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// keep says what is on the volume, when the store does not take it.
func (w *Worker) keep(cause error) recording.Result {
	result := recording.Result{URI: cmp.Or(w.Config.Spool, "file://"+w.Spool.dir)}
	message := cause.Error()
	if parts, err := w.Spool.Parts(); err == nil {
		parts = recording.Sort(parts)
		result.Parts, result.DurationMilliseconds = len(parts), recording.Duration(parts).Milliseconds()
		// The spool keeps some minutes of what is stored.
		inStore := w.Store.URI(w.folder() + recording.PartsFolder)
		switch {
		case len(parts) == 0:
			message += "; all that was stored is in " + inStore
		case parts[0].Job > 1 || parts[0].Number > 1:
			message += fmt.Sprintf("; what was stored before %s is in %s alone", parts[0].Start.UTC().Format(time.RFC3339), inStore)
		}
	}
	result.Message = bounded(message)
	return result
}

// joinKept makes a recording on the volume of what is there.
func (w *Worker) joinKept(result recording.Result) recording.Result {
	parts, err := w.Spool.Parts()
	if err != nil || len(parts) == 0 {
		return result
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	path := filepath.Join(w.Spool.dir, recording.FileName(recording.FMP4))
	file, err := os.Create(path) //nolint:gosec // the folder is the spool's own, and the name a constant
	if err != nil {
		return result
	}
	if err := errors.Join(w.join(ctx, recording.Sort(parts), file), file.Close()); err != nil {
		_ = os.Remove(path)
		w.Log.Error("Could not join the parts on the volume; they are there one by one", "error", err)
		return result
	}
	if stat, err := os.Stat(path); err == nil {
		result.URI, result.SizeBytes = result.URI+"/"+filepath.Base(path), stat.Size()
	}
	return result
}
