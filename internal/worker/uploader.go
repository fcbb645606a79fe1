package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// uploader stores parts as they come, in order. A part that cannot be stored now holds up those behind it, never the recording.
type uploader struct {
	*Worker
	folder string
	// stored is called with each part that was stored, where it is set.
	stored func(context.Context, recording.Part)
	// turn keeps what stores parts as they come, and what stores the last ones, from storing the same.
	turn sync.Mutex
}

const firstUpload, longestUpload = 200 * time.Millisecond, 5 * time.Second

func (u *uploader) run(ctx context.Context) {
	pause := firstUpload
	for ctx.Err() == nil {
		err := u.all(ctx)
		wait := time.Second
		if err != nil {
			u.Health.Store(err)
			u.Log.Warn("Could not store a part; trying again", "error", err)
			wait, pause = pause, min(2*pause, longestUpload)
		} else {
			u.Health.Store(nil)
			pause = firstUpload
		}
		timer := time.NewTimer(wait)
		if err == nil {
			select {
			case <-ctx.Done():
			case <-u.Spool.Added():
			case <-timer.C:
			}
		} else {
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
		timer.Stop()
	}
}

// all stores what is ready.
func (u *uploader) all(ctx context.Context) error {
	u.turn.Lock()
	defer u.turn.Unlock()
	parts, err := u.Spool.Ready()
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err := u.one(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// rest stores all there is when nothing is pulled any more, with what could not be made a part when it came.
func (u *uploader) rest(ctx context.Context) error {
	untaken := u.Spool.recover()
	err := u.all(ctx)
	if err == nil && untaken != nil {
		// What is stored by now makes room.
		untaken = u.Spool.recover()
		err = u.all(ctx)
	}
	if untaken != nil {
		u.Log.Error("Could not take all that was pulled into the recording; it stays in the spool", "error", untaken)
	}
	return err
}

func (u *uploader) one(ctx context.Context, p recording.Part) error {
	object, err := u.Store.Put(ctx, u.folder+recording.PartsFolder+p.Name(), u.Spool.File(p))
	if err != nil {
		return fmt.Errorf("storing part %s: %w", p.Name(), err)
	}
	if object.Size != p.Size {
		return fmt.Errorf("part %s has %d bytes, and %d in the store", p.Name(), p.Size, object.Size)
	}
	u.Health.Stored(object.Size)
	if err := u.Spool.Stored(p); err != nil {
		return err
	}
	if u.stored != nil {
		u.stored(ctx, p)
	}
	return nil
}
