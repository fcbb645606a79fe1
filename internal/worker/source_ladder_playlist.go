package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
	"github.com/livestream-operator/livestream-operator/internal/hls"
	"github.com/livestream-operator/livestream-operator/internal/mpegts"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

// ladderPlaylist feeds ffmpeg with the segments of an HLS playlist, each once: what ffmpeg itself pulled after a pause would be the end of
// the playlist again.
type ladderPlaylist struct {
	*transcoder

	now   *encoding
	input *os.File
	// fed is when the last segment was.
	fed    time.Time
	pulled []recording.Segment
}

const (
	// idleAfter is how long no segment may come at least before what the encoder holds is wanted; the next one begins a run of its own.
	idleAfter = 10 * time.Second
	// fedWithin is how long the encoder may take for a segment.
	fedWithin = 30 * time.Second
	// pulledKept is how many segments are remembered: more than a live playlist has.
	pulledKept = 256
)

func (s *ladderPlaylist) run(ctx context.Context) error {
	puller := &hls.Puller{Client: s.HTTP, Address: s.Address, Began: s.Config.Started, Clock: s.Clock}
	s.pulled = s.pulledBefore(ctx)
	puller.Resume(s.pulled)
	feed := func(f hls.Found) error {
		err := s.feed(ctx, f)
		if err != nil {
			s.hinder(err)
		}
		return err
	}
	var failing string
	for ctx.Err() == nil {
		err := puller.Poll(ctx, feed)
		switch {
		case ctx.Err() != nil:
		case err == nil || errors.Is(err, hls.ErrNotLive):
			failing = ""
		case err.Error() != failing:
			failing = err.Error()
			s.Log.Warn("Could not load the playlist; trying again", "error", err)
		}
		if errors.Is(err, hls.ErrFormat) {
			s.Health.Failed(err)
		}
		s.tend(puller.Target())
		select {
		case <-ctx.Done():
		case <-time.After(puller.Interval()):
		}
	}
	// What the broadcast's last seconds are in may have been closed since.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	_ = puller.Poll(last, feed)
	return s.end()
}

// tend takes what is encoded, and ends an encoder that has nothing to do, or has ended.
func (s *ladderPlaylist) tend(target time.Duration) {
	if s.now == nil {
		return
	}
	s.now.take()
	select {
	case <-s.now.process.Done():
	default:
		if s.Clock.Since(s.fed) < idle(target) {
			return
		}
	}
	if err := s.end(); err != nil {
		s.Log.Warn("The encoder ended; the next segment begins anew", "error", err)
	}
}

// idle is how long no segment may come from a playlist of segments that are so long.
func idle(target time.Duration) time.Duration { return max(idleAfter, 2*target) }

// end lets the encoder write all that it holds.
func (s *ladderPlaylist) end() error {
	if s.now == nil {
		return nil
	}
	_ = s.input.Close()
	err := s.now.ended()
	s.now = nil
	if err != nil {
		s.hinder(err)
	}
	return err
}

func (s *ladderPlaylist) feed(ctx context.Context, found hls.Found) error {
	if _, err := mpegts.Scan(bytes.NewReader(found.Content)); errors.Is(err, mpegts.ErrNoStream) {
		s.Log.Warn("A segment holds no media; left out", "sequence", found.Segment.Sequence)
		return nil
	} else if err != nil {
		return err
	}
	if err := s.settle(context.WithoutCancel(ctx), ffmpeg.Piped, bytes.NewReader(found.Content)); err != nil {
		return err
	}
	if !found.Continues {
		if err := s.end(); err != nil {
			s.Log.Warn("The encoder did not end well", "error", err)
		}
	}
	if s.now == nil {
		if err := s.open(ctx); err != nil {
			return err
		}
	}
	now := s.Clock.Now()
	// Past it even a segment that the encoder cannot take: the next one may do.
	s.remember(found.Segment)
	if err := s.input.SetWriteDeadline(now.Add(fedWithin)); err != nil {
		return fmt.Errorf("feeding the encoder: %w", err)
	}
	if _, err := s.input.Write(found.Content); err != nil {
		s.now.process.Kill()
		return errors.Join(fmt.Errorf("%w while it was fed: %w", errEncoder, err), s.end())
	}
	s.fed = now
	return nil
}

func (s *ladderPlaylist) open(ctx context.Context) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("opening the encoder's input: %w", err)
	}
	defer func() { _ = read.Close() }()
	e, err := s.begin(ctx, ffmpeg.Piped, read)
	if err != nil {
		return errors.Join(err, write.Close())
	}
	s.now, s.input = e, write
	return nil
}

// remember notes what was fed, for the process that comes after a kill; the first rendition takes it to the store with each segment.
func (s *ladderPlaylist) remember(segment recording.Segment) {
	s.pulled = append(s.pulled, segment)
	s.pulled = s.pulled[max(0, len(s.pulled)-pulledKept):]
	if s.PushAddress != nil {
		return
	}
	text, err := json.Marshal(s.pulled)
	if err == nil {
		err = writeNew(filepath.Join(s.Spool.dir, recording.PulledName), text)
	}
	if err != nil {
		s.Log.Warn("Could not note which segments were pulled", "error", err)
	}
}

// pulledBefore are the segments that an earlier worker fed, as the spool or the store knows them.
func (s *ladderPlaylist) pulledBefore(ctx context.Context) []recording.Segment {
	if s.PushAddress != nil {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(s.Spool.dir, recording.PulledName))
	if errors.Is(err, fs.ErrNotExist) {
		soon, cancel := context.WithTimeout(ctx, resumeTimeout)
		defer cancel()
		text, err = s.read(soon, s.folder()+recording.LadderFolder+recording.PulledName)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	var segments []recording.Segment
	if err == nil {
		err = json.Unmarshal(text, &segments)
	}
	if err != nil {
		s.Log.Warn("Could not look for what was pulled already; the end of the playlist may come twice", "error", err)
	}
	return segments
}
