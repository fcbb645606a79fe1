package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
	"github.com/livestream-operator/livestream-operator/internal/ladder"
)

// encoding is one run of ffmpeg, which makes a run of each rendition.
type encoding struct {
	*transcoder
	process *ffmpeg.Process
	runs    []*openRun
	// frames were encoded of the first rendition.
	frames atomic.Int64
	told   *io.PipeWriter
	read   chan struct{}
	// destinations are what renditions are pushed to.
	destinations destinations
	pushed       pushed
	// renewed says that it was told to end.
	renewed bool
}

// flushWithin is how long an encoder has for what it holds.
const flushWithin = 20 * time.Second

// begin starts to encode an address, or what is written to piped.
func (t *transcoder) begin(ctx context.Context, from string, piped *os.File) (*encoding, error) {
	e := &encoding{transcoder: t, read: make(chan struct{})}
	outputs, err := e.outputs()
	if err == nil {
		err = e.start(ctx, from, piped, outputs)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// outputs are where the renditions go: each to a run of its spool, or to a push.
func (e *encoding) outputs() ([]ffmpeg.Output, error) {
	var outputs []ffmpeg.Output
	e.destinations.signed, e.destinations.urls = e.Clock.Now(), map[string]string{}
	for _, r := range e.chosen() {
		o := ffmpeg.Output{Rendition: r.Rendition}
		if e.PushAddress != nil {
			to, err := e.PushAddress(r.Name)
			if err != nil {
				return nil, err
			}
			o.Push, e.destinations.urls[r.Name] = to, to
		} else {
			run, err := r.Spool.Begin()
			if err != nil {
				return nil, err
			}
			e.runs = append(e.runs, run)
			o.Pattern = filepath.Join(run.dir, "%07d.ts")
		}
		outputs = append(outputs, o)
	}
	return outputs, nil
}

func (e *encoding) start(ctx context.Context, from string, piped *os.File, outputs []ffmpeg.Output) error {
	encoder := ffmpeg.CPU
	if e.Config.Transcoding.GPU {
		encoder = ffmpeg.NVENC
	}
	arguments, err := ffmpeg.Transcode(from, outputs, time.Duration(e.Config.SegmentSeconds)*time.Second, encoder)
	if err != nil {
		return err
	}
	told, output := io.Pipe()
	e.told = output
	options := ffmpeg.Options{Binary: e.FFmpeg, Output: output, Said: e.destinations.said}
	if piped != nil {
		options.Input = piped
	}
	// It is ended by us, so that it can close its files.
	if e.process, err = ffmpeg.Start(context.WithoutCancel(ctx), arguments, options); err != nil {
		return err
	}
	go func() {
		defer close(e.read)
		e.follow(told)
	}()
	return nil
}

func (e *encoding) follow(told io.Reader) {
	lines := bufio.NewScanner(told)
	var reader ffmpeg.ProgressReader
	for lines.Scan() {
		now, whole := reader.Line(lines.Text())
		if !whole {
			continue
		}
		e.Health.Encoding(now)
		at, grew := e.Clock.Now(), now.Frames > e.frames.Swap(now.Frames)
		taken := e.PushAddress == nil || e.push(at, now.Time, grew)
		if grew && taken {
			e.Health.Bytes(at)
		}
	}
	_, _ = io.Copy(io.Discard, told)
}

const (
	// answersWithin is how long a destination that says nothing may be about to refuse.
	answersWithin = 3 * time.Second
	// comesBackWithin is how long a destination may be away before its URL is looked at.
	comesBackWithin = 5 * time.Second
)

// pushed is how far pushing is.
type pushed struct {
	// counted is how much media was pushed, or refused.
	counted time.Duration
	// began is when there was something to push, refused since when a destination takes nothing; zero where all do.
	began, refused time.Time
}

// push notes what becomes of what was encoded, and says whether all destinations take it.
func (e *encoding) push(now time.Time, encoded time.Duration, grew bool) bool {
	p := &e.pushed
	if grew && p.began.IsZero() {
		p.began = now
	}
	refusing, why := e.destinations.refuse()
	switch refusing {
	case 0:
		p.refused = time.Time{}
		if now.Sub(p.began) < answersWithin {
			return false
		}
	default:
		if p.refused.IsZero() {
			p.refused = now
		}
		e.hinder(why)
		if now.Sub(p.refused) > comesBackWithin {
			e.renew(now)
		}
	}
	if refusing < len(e.chosen()) {
		e.Health.Pushed(encoded - p.counted)
		e.went.Store(e.went.Load() || grew)
	}
	p.counted = encoded
	return refusing == 0
}

// renew ends the encoder where a destination wants another signature; the one that follows signs anew. It costs the other renditions what is
// before the next key frame.
func (e *encoding) renew(now time.Time) {
	validity := time.Duration(e.Config.Transcoding.Push.ValiditySeconds) * time.Second
	if e.renewed || !e.destinations.outdated(now, validity, e.PushAddress) {
		return
	}
	e.renewed = true
	e.Log.Info("A destination takes nothing, and its URL is old; signing anew")
	go e.process.Finish(closeWithin)
}

// take makes parts of all files but the newest of each run, which is still written. One rendition stands for all where media is counted.
func (e *encoding) take() {
	for i, run := range e.runs {
		files, err := os.ReadDir(run.dir)
		if err != nil {
			e.Log.Error("Could not look for segments", "error", err)
			continue
		}
		all := names(files)
		for _, name := range all[:max(0, len(all)-1)] {
			part, is, err := run.close(name)
			if err != nil {
				e.Log.Error("Could not take a segment", "error", err)
				break
			}
			if is && i == 0 {
				e.Health.Parts(part.Duration, part.Size)
			}
		}
	}
}

// ended waits until ffmpeg, of which the input has ended or that was told to finish, has written all, and makes parts of it.
func (e *encoding) ended() error {
	timer := time.NewTimer(flushWithin)
	defer timer.Stop()
	select {
	case <-e.process.Done():
	case <-timer.C:
		e.Log.Warn("The encoder does not end; what it holds is lost")
		e.process.Kill()
	}
	err := e.process.Wait()
	e.close()
	return err
}

func (e *encoding) close() {
	if e.told != nil {
		_ = e.told.Close()
	}
	if e.process != nil {
		<-e.read
	}
	for i, run := range e.runs {
		if i == 0 && e.process != nil {
			e.take()
		}
		if err := run.closeAll(); err != nil {
			e.Log.Error("Could not close the segments of a connect", "error", err)
		}
	}
}

// probeWithin bounds one look at the source.
const probeWithin = 15 * time.Second

// settle chooses the renditions at the first connect of the broadcast. What a callback says of the size of the source may be 0x0.
func (t *transcoder) settle(ctx context.Context, from string, piped io.Reader) error {
	if t.chosen() != nil {
		return nil
	}
	arguments, err := ffmpeg.Probe(from)
	if err != nil {
		return err
	}
	probing, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	text, err := ffmpeg.RunProbe(probing, arguments, piped)
	if err != nil {
		return fmt.Errorf("looking at the source: %w", err)
	}
	source, err := ffmpeg.ParseProbe(text)
	if err != nil {
		return err
	}
	renditions := ladder.Choose(t.Config.Transcoding.Renditions, source)
	t.Log.Info("Chose the renditions", "width", source.Width, "height", source.Height, "renditions", len(renditions), "of", len(t.Config.Transcoding.Renditions))
	if t.PushAddress == nil {
		if err := t.keepLadder(renditions); err != nil {
			return err
		}
	}
	// What comes meanwhile waits, and must not pass for a stream that stalls.
	looking, done := context.WithTimeout(ctx, stallAfter/2)
	defer done()
	return t.choose(looking, renditions)
}

var (
	errEncoder = errors.New("the encoder ended")
	errRefused = errors.New("a destination takes nothing")
)
