package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/hls"
	"github.com/livestream-operator/livestream-operator/internal/mpegts"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// playlistSource takes the segments of an HLS playlist as parts.
type playlistSource struct {
	*Worker
	known []recording.Part
	run_  int
}

// lastLook is how long the playlist is still looked at when the broadcast is over: its last segment may just be closing.
const lastLook = 3 * time.Second

func (s *playlistSource) run(ctx context.Context) error {
	puller := &hls.Puller{Client: s.HTTP, Address: s.Address, Began: s.Config.Started, Clock: s.Clock}
	recorded := make([]recording.Segment, 0, len(s.known))
	for _, p := range s.known {
		recorded = append(recorded, p.Source)
		if p.Job == s.Config.Job {
			s.run_ = max(s.run_, p.Run)
		}
	}
	puller.Resume(recorded)
	s.run_++
	var failing string
	for {
		err := puller.Poll(ctx, s.add)
		switch {
		case ctx.Err() != nil:
			// What the broadcast's last seconds are in may have been closed since.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
			defer cancel()
			return errors.Join(puller.Poll(last, s.add), nil)
		case err == nil || errors.Is(err, hls.ErrNotLive):
			failing = ""
		case err.Error() != failing:
			failing = err.Error()
			s.Log.Warn("Could not load the playlist; trying again", "error", err)
		}
		if errors.Is(err, hls.ErrFormat) {
			// A person may have to mend it, or a gateway answered in place of the server: one such answer must not end the recording.
			s.Health.Failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(puller.Interval()):
		}
	}
}

func (s *playlistSource) add(found hls.Found) error {
	info, err := mpegts.Scan(bytes.NewReader(found.Content))
	if errors.Is(err, mpegts.ErrNoStream) {
		s.Log.Warn("A segment holds no media; left out", "sequence", found.Segment.Sequence)
		return nil
	}
	if err != nil {
		return err
	}
	if !found.Continues {
		s.run_++
	}
	length := info.Duration()
	if length < found.Duration/2 {
		// Of a frame alone nobody knows how long it is but the playlist.
		length = found.Duration
	}
	now := s.Clock.Now()
	s.Spool.MakeRoom()
	file := filepath.Join(s.Spool.dir, "segment.new")
	if err := os.WriteFile(file, found.Content, 0o600); err != nil {
		return fmt.Errorf("writing a segment to the spool: %w", err)
	}
	part, err := s.Spool.Add(recording.Part{
		Run: s.run_, Start: now.Add(-found.FromEnd - length), Duration: length, Source: found.Segment,
	}, file)
	if err != nil {
		return err
	}
	s.Health.Media(now, part.Duration, part.Size)
	return nil
}
