package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
)

// ladderSource pulls RTMP or HTTP-FLV with one ffmpeg, and feeds with it the one that encodes: an encoder that pulled by itself would not
// write what it holds while it waits for a server that sends nothing more.
type ladderSource struct {
	*transcoder

	late latecomer
}

const (
	// probeAfter is how much of a stream is looked at to choose the renditions, probeAtMost in bytes.
	probeAfter  = 1500 * time.Millisecond
	probeAtMost = 4 << 20
)

func (s *ladderSource) run(ctx context.Context) error { return s.connectAgain(ctx, s.connect) }

func (s *ladderSource) connect(ctx context.Context) (bool, error) {
	from, err := s.Address()
	if err != nil {
		return false, err
	}
	arguments, err := ffmpeg.PullStream(from)
	if err != nil {
		return false, err
	}
	pulled, output, err := os.Pipe()
	if err != nil {
		return false, fmt.Errorf("opening a pipe for what is pulled: %w", err)
	}
	defer func() { _ = pulled.Close() }()
	heard := newWarnings()
	process, err := ffmpeg.Start(context.WithoutCancel(ctx), arguments, ffmpeg.Options{Binary: s.FFmpeg, Output: output, Said: heard.said})
	_ = output.Close()
	if err != nil {
		return false, err
	}
	f := &feeder{transcoder: s.transcoder, ended: make(chan error, 1)}
	go func() { f.ended <- f.run(context.WithoutCancel(ctx), pulled) }()
	got := s.watch(ctx, process, f, heard)
	// It holds nothing back.
	process.Kill()
	_ = process.Wait()
	if err = <-f.ended; err != nil {
		s.hinder(err)
	}
	if ctx.Err() != nil || got {
		err = nil
	}
	return got, err
}

// watch returns when the connect has ended, stalls, or is not wanted any more, and says whether media came.
func (s *ladderSource) watch(ctx context.Context, process *ffmpeg.Process, f *feeder, heard warnings) (got bool) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	s.late.came = false
	last, before := s.Clock.Now(), int64(0)
	for {
		select {
		case <-ctx.Done():
			return got
		case <-process.Done():
			return got
		case <-heard.broken:
			s.Log.Info("The stream began anew within the connect; connecting again")
			return got
		case <-heard.late:
			s.late.came = true
		case err := <-f.ended:
			f.ended <- err
			return false
		case <-tick.C:
		}
		now := s.Clock.Now()
		if count := f.count.Load(); count != before {
			before, last, got = count, now, true
		}
		switch {
		case s.late.due(now):
			s.Log.Info("Sound or picture began within the connect; connecting again")
			return got
		case got && now.Sub(last) > stallAfter:
			s.Log.Info("The stream stalls; connecting again", "seconds", now.Sub(last).Seconds())
			return got
		case !got && now.Sub(last) > openWithin:
			return got
		}
	}
}

// feeder takes what one connect brings to an encoder.
type feeder struct {
	*transcoder
	// count is of bytes that came.
	count atomic.Int64
	ended chan error
}

// run feeds until there is nothing more, and returns when the encoder has written all.
func (f *feeder) run(ctx context.Context, pulled *os.File) error {
	first, err := f.sample(ctx, pulled)
	if err != nil || len(first) == 0 {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("opening the encoder's input: %w", err)
	}
	e, err := f.begin(ctx, ffmpeg.Piped, read)
	_ = read.Close()
	if err != nil {
		return errors.Join(err, write.Close())
	}
	done := make(chan struct{})
	taking := make(chan struct{})
	go func() {
		defer close(taking)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				e.take()
			}
		}
	}()
	err = f.copy(write, io.MultiReader(bytes.NewReader(first), pulled))
	close(done)
	<-taking
	_ = write.Close()
	if err != nil {
		e.process.Kill()
	}
	return errors.Join(err, e.ended())
}

// copy ends with the pull, or with an encoder that takes nothing more.
func (f *feeder) copy(to *os.File, from io.Reader) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		f.count.Add(int64(n))
		if n > 0 {
			if err := to.SetWriteDeadline(f.Clock.Now().Add(fedWithin)); err != nil {
				return fmt.Errorf("feeding the encoder: %w", err)
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return fmt.Errorf("%w while it was fed: %w", errEncoder, err)
			}
		}
		if err != nil {
			return nil //nolint:nilerr // the pull is over, however it ended
		}
	}
}

// sample reads as much of the stream as it takes to choose the renditions, if that is still to be done.
func (f *feeder) sample(ctx context.Context, pulled *os.File) ([]byte, error) {
	var first []byte
	buffer := make([]byte, 64<<10)
	until := f.Clock.Now().Add(probeAfter)
	for {
		n, err := pulled.Read(buffer)
		if len(first) == 0 {
			until = f.Clock.Now().Add(probeAfter)
		}
		first = append(first, buffer[:n]...)
		f.count.Add(int64(n))
		if f.chosen() != nil && n > 0 {
			return first, nil
		}
		if err == nil && len(first) < probeAtMost && f.Clock.Now().Before(until) {
			continue
		}
		if len(first) == 0 {
			return nil, nil
		}
		chosen := f.settle(ctx, ffmpeg.Piped, bytes.NewReader(first))
		if chosen == nil || err != nil || len(first) >= probeAtMost {
			return first, chosen
		}
		until = f.Clock.Now().Add(probeAfter)
	}
}
