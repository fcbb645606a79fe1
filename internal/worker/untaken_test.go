package worker

import (
	"context"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/recording"
)

func TestWhatAFullDiskHinderedIsTakenWhenTheStoreHasTheRest(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		// parts are those that were taken before the disk was full.
		parts int
		room  bool
		want  recording.Result
		says  string
	}{
		"there is room then":         {1, true, recording.Result{Ready: true, Parts: 2}, ""},
		"there is none":              {1, false, recording.Result{Ready: true, Parts: 1}, "what could not be taken into the recording is in the spool"},
		"nothing was taken, nor can": {0, false, recording.Result{}, "no media came; what could not be taken into the recording is in the spool"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := desk(t, t.TempDir(), 1)
			for second := range row.parts {
				w.record(t, second, media(t, shown(1, "64x36")...))
			}
			run, err := w.Spool.Begin()
			if err != nil {
				t.Fatal(err)
			}
			cut(t, run, 0, 0, 1)
			release := fill(t, w.Spool)
			u := &uploader{Worker: w, folder: w.folder(), stored: func(context.Context, recording.Part) {
				if row.room {
					release()
				}
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			got := w.finish(ctx, u, true)
			if got.Ready != row.want.Ready || got.Nothing || got.Parts != row.want.Parts || got.Message != row.says {
				t.Errorf("result = %+v", got)
			}
			if left, err := w.Spool.left(); err != nil || len(left) == 0 != row.room {
				t.Errorf("%d runs are left, %v", len(left), err)
			}
		})
	}
}
