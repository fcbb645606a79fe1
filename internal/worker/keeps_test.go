package worker

import (
	"context"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/store"
)

// keeps is a store whose credentials may not delete.
type keeps struct{ store.Store }

func (keeps) Delete(context.Context, string) error { return store.ErrDenied }

func TestARecordingIsReadyAlsoWhereItsPartsCannotBeDropped(t *testing.T) {
	t.Parallel()
	w := desk(t, t.TempDir(), 1)
	w.Store, w.Patience = keeps{w.Store}, 2*time.Second
	w.record(t, 0, media(t, shown(1, "64x36")...))
	for _, when := range []string{"at first", "again"} {
		if result := w.end(t, true); !result.Ready {
			t.Errorf("%s: result = %+v", when, result)
		}
		// As a worker that was killed before it could say so.
		var err error
		if w.Spool, err = OpenSpool(t.TempDir(), 1, spoolLimit); err != nil {
			t.Fatal(err)
		}
	}
	if parts, err := w.stored(t.Context()); err != nil || len(parts) != 1 {
		t.Errorf("%d parts are left, %v: the test shows nothing", len(parts), err)
	}
}
