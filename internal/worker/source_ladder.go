package worker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
	"github.com/livestream-operator/livestream-operator/internal/ladder"
)

// ladderSource pulls with one ffmpeg that encodes all renditions.
type ladderSource struct{ *transcoder }

const (
	// probeWithin bounds one look at the source.
	probeWithin = 15 * time.Second
	// encodesWithin is how long an encoder may give nothing after the first frame; it begins with some in hand.
	encodesWithin = 10 * time.Second
)

func (s *ladderSource) run(ctx context.Context) error {
	return s.connectAgain(ctx, func(ctx context.Context) (bool, error) { return s.connect(ctx) })
}

func (s *ladderSource) connect(ctx context.Context) (bool, error) {
	from, err := s.Address()
	if err != nil {
		return false, err
	}
	outputs, runs, err := s.outputs(ctx, from)
	defer func() {
		for _, r := range runs {
			if err := r.closeAll(); err != nil {
				s.Log.Error("Could not close the segments of a connect", "error", err)
			}
		}
	}()
	if err != nil {
		return false, err
	}
	encoder := ffmpeg.CPU
	if s.Config.Transcoding.GPU {
		encoder = ffmpeg.NVENC
	}
	arguments, err := ffmpeg.Transcode(from, outputs, time.Duration(s.Config.SegmentSeconds)*time.Second, encoder)
	if err != nil {
		return false, err
	}
	told, output := io.Pipe()
	// It is ended below, so that it can close its files.
	process, err := ffmpeg.Start(context.WithoutCancel(ctx), arguments, ffmpeg.Options{Binary: s.FFmpeg, Output: output})
	if err != nil {
		return false, err
	}
	progress := &encoded{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.follow(told, progress)
	}()
	s.watch(ctx, process, runs, progress)
	got := progress.frames.Load() > 0
	process.Finish(closeWithin)
	err = process.Wait()
	_ = output.Close()
	<-read
	if ctx.Err() != nil {
		err = nil
	}
	return got, err
}

// outputs are where the renditions go: each to a run of its spool, or to a push.
func (s *ladderSource) outputs(ctx context.Context, from string) ([]ffmpeg.Output, []*openRun, error) {
	if s.PushAddress != nil {
		renditions, err := s.choice(ctx, from)
		if err != nil {
			return nil, nil, err
		}
		var outputs []ffmpeg.Output
		for _, r := range renditions {
			to, err := s.PushAddress(r.Name)
			if err != nil {
				return nil, nil, err
			}
			outputs = append(outputs, ffmpeg.Output{Rendition: r, Push: to})
		}
		return outputs, nil, nil
	}
	if s.chosen() == nil {
		renditions, err := s.choice(ctx, from)
		if err != nil {
			return nil, nil, err
		}
		if err := s.choose(renditions); err != nil {
			return nil, nil, err
		}
	}
	var outputs []ffmpeg.Output
	var runs []*openRun
	for _, r := range s.chosen() {
		run, err := r.Spool.Begin()
		if err != nil {
			return nil, runs, err
		}
		runs = append(runs, run)
		outputs = append(outputs, ffmpeg.Output{Rendition: r.Rendition, Pattern: filepath.Join(run.dir, "%07d.ts")})
	}
	return outputs, runs, nil
}

// choice looks at the source: what a callback says of its size may be 0x0.
func (s *ladderSource) choice(ctx context.Context, from string) ([]ladder.Rendition, error) {
	arguments, err := ffmpeg.Probe(from)
	if err != nil {
		return nil, err
	}
	probing, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	text, err := ffmpeg.RunProbe(probing, arguments)
	if err != nil {
		return nil, fmt.Errorf("looking at the source: %w", err)
	}
	source, err := ffmpeg.ParseProbe(text)
	if err != nil {
		return nil, err
	}
	renditions := ladder.Choose(s.Config.Transcoding.Renditions, source)
	s.Log.Info("Chose the renditions", "width", source.Width, "height", source.Height, "renditions", len(renditions), "of", len(s.Config.Transcoding.Renditions))
	return renditions, nil
}

// encoded is what the process told last.
type encoded struct{ frames atomic.Int64 }

func (s *ladderSource) follow(told io.Reader, progress *encoded) {
	lines := bufio.NewScanner(told)
	var reader ffmpeg.ProgressReader
	var before time.Duration
	for lines.Scan() {
		now, whole := reader.Line(lines.Text())
		if !whole {
			continue
		}
		s.Health.Encoding(now)
		if s.PushAddress != nil {
			s.Health.Pushed(now.Time - before)
			before = now.Time
		}
		progress.frames.Store(now.Frames)
	}
	_, _ = io.Copy(io.Discard, told)
}

// watch takes segments that are closed, until the connect has ended, stalls, or is not wanted any more.
func (s *ladderSource) watch(ctx context.Context, process *ffmpeg.Process, runs []*openRun, progress *encoded) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last, before := s.Clock.Now(), int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-process.Done():
			return
		case <-tick.C:
		}
		now := s.Clock.Now()
		if frames := progress.frames.Load(); frames != before {
			before, last = frames, now
			s.Health.Bytes(now)
		}
		for i, run := range runs {
			s.take(run, i == 0)
		}
		patience := encodesWithin
		if before == 0 {
			patience = openWithin + encodesWithin
		}
		if now.Sub(last) > patience {
			s.Log.Info("Nothing is encoded; connecting again", "seconds", now.Sub(last).Seconds())
			return
		}
	}
}

// take makes parts of all files of a run but the newest, which is still written. One rendition stands for all where media is counted.
func (s *ladderSource) take(run *openRun, first bool) {
	files, err := os.ReadDir(run.dir)
	if err != nil {
		s.Log.Error("Could not look for segments", "error", err)
		return
	}
	all := names(files)
	for _, name := range all[:max(0, len(all)-1)] {
		part, is, err := run.close(name)
		if err != nil {
			s.Log.Error("Could not take a segment", "error", err)
			return
		}
		if is && first {
			s.Health.Parts(part.Duration, part.Size)
		}
	}
}
