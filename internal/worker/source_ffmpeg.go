package worker

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
	"github.com/livestream-operator/livestream-operator/internal/mpegts"
)

// ffmpegSource pulls RTMP or HTTP-FLV with ffmpeg, which cuts it into parts.
type ffmpegSource struct {
	*Worker

	late latecomer
}

const (
	// stallAfter is how long nothing may come before it is connected anew. CSS keeps a push that stalls for up to 70 s, and says
	// nothing: connecting again does no harm meanwhile.
	stallAfter = 3 * time.Second
	// openWithin is how long a connect may wait for its first byte: nginx-rtmp lets a player wait for a stream that is not on air.
	openWithin = 10 * time.Second
	// lookEvery is how often the growth of the files is looked at.
	lookEvery = 250 * time.Millisecond
	// firstRetry and longestRetry bound the pause between connects.
	firstRetry, longestRetry = 100 * time.Millisecond, 2 * time.Second
	// closeWithin is how long ffmpeg has to close its file.
	closeWithin = 3 * time.Second
)

func (s *ffmpegSource) run(ctx context.Context) error { return s.connectAgain(ctx, s.connect) }

// connectAgain repeats connects until the context ends, and pauses longer where none brings media.
func (w *Worker) connectAgain(ctx context.Context, connect func(context.Context) (got bool, err error)) error {
	pause := firstRetry
	for ctx.Err() == nil {
		got, err := connect(ctx)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			w.Log.Warn("The pull ended; connecting again", "error", err)
		}
		if got {
			pause = firstRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longestRetry)
	}
	return nil
}

// connect pulls until the connect is of no use any more, and says whether media came.
func (s *ffmpegSource) connect(ctx context.Context) (bool, error) {
	run, err := s.Spool.Begin()
	if err != nil {
		return false, err
	}
	defer func() {
		if err := run.closeAll(); err != nil {
			s.Log.Error("Could not close the parts of a connect", "error", err)
		}
	}()
	from, err := s.Address()
	if err != nil {
		return false, err
	}
	arguments, err := ffmpeg.PullParts(from, filepath.Join(run.dir, "%07d.ts"), time.Duration(s.Config.SegmentSeconds)*time.Second)
	if err != nil {
		return false, err
	}
	closed, output := io.Pipe()
	heard := newWarnings()
	// It is ended below, so that it can close its file.
	process, err := ffmpeg.Start(context.WithoutCancel(ctx), arguments, ffmpeg.Options{Binary: s.FFmpeg, Output: output, Said: heard.said})
	if err != nil {
		return false, err
	}
	parts := make(chan struct{})
	go func() {
		defer close(parts)
		s.take(run, closed)
	}()
	got := s.watch(ctx, run, process, heard)
	process.Finish(closeWithin)
	err = process.Wait()
	_ = output.Close()
	<-parts
	if ctx.Err() != nil || got {
		err = nil
	}
	return got, err
}

// goesBack are ffmpeg's words, before and since 6.1, for a timestamp that is not behind the one before it.
var goesBack = regexp.MustCompile(`(?i)non[- ]monoton.*?: (-?\d+)(?:, current: | >= )(-?\d+)`)

// farBack is how far a clock goes back that began anew. Encoders go back a little now and then, which ffmpeg mends; each connect would
// lose what is before the next key frame.
const farBack = mpegts.Ticks(45000)

// jumped says whether ffmpeg complains of timestamps that go back: another push began within the connect. It would drop all frames
// until the clock is where it was.
func jumped(line string) bool {
	m := goesBack.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	before, err := strconv.ParseInt(m[1], 10, 64)
	now, err2 := strconv.ParseInt(m[2], 10, 64)
	return err == nil && err2 == nil && mpegts.Ticks(before-now) > farBack
}

// appears are ffmpeg's words, before and since 6.1, for a stream that comes after it looked at what there is. It drops it, for as long as it
// runs.
var appears = regexp.MustCompile(`New (?:audio|video) stream (?:\d+:\d+|with index \d+) at pos:`)

// warnings are what ffmpeg says of a connect that has to end.
type warnings struct{ broken, late chan struct{} }

func newWarnings() warnings { return warnings{make(chan struct{}, 1), make(chan struct{}, 1)} }

func (w warnings) said(line string) {
	signal := func(to chan<- struct{}) {
		select {
		case to <- struct{}{}:
		default:
		}
	}
	switch {
	case jumped(line):
		signal(w.broken)
	case appears.MatchString(line):
		signal(w.late)
	}
}

// lateEvery is how often a connect may be ended for what began within it: each costs what is before the next key frame.
const lateEvery = 30 * time.Second

// latecomer is sound or picture that a connect began without.
type latecomer struct {
	came bool
	// ended is when a connect was ended for one last.
	ended time.Time
}

// due says whether the connect has to end.
func (l *latecomer) due(now time.Time) bool {
	if !l.came || now.Sub(l.ended) < lateEvery {
		return false
	}
	l.came, l.ended = false, now
	return true
}

// take makes parts of the files that ffmpeg says it has closed.
func (s *ffmpegSource) take(run *openRun, closed io.Reader) {
	lines := bufio.NewScanner(closed)
	for lines.Scan() {
		name := filepath.Base(strings.TrimSpace(lines.Text()))
		if name == "." {
			continue
		}
		part, is, err := run.close(name)
		if err != nil {
			s.Log.Error("Could not take a part", "error", err)
			continue
		}
		if is {
			s.Health.Parts(part.Duration, part.Size)
		}
	}
	_, _ = io.Copy(io.Discard, closed)
}

// watch returns when the connect has ended, stalls, or is not wanted any more.
func (s *ffmpegSource) watch(ctx context.Context, run *openRun, process *ffmpeg.Process, heard warnings) (got bool) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	s.late.came = false
	began := s.Clock.Now()
	last, before := began, newestSize(run.dir)
	for {
		select {
		case <-ctx.Done():
			return got
		case <-process.Done():
			return got
		case <-heard.broken:
			s.Log.Info("The stream began anew within the connect; connecting again")
			return true
		case <-heard.late:
			s.late.came = true
		case <-tick.C:
		}
		now := s.Clock.Now()
		if size := newestSize(run.dir); size != before {
			s.Health.Bytes(now)
			before, last, got = size, now, true
		}
		switch {
		case s.late.due(now):
			s.Log.Info("Sound or picture began within the connect; connecting again")
			return true
		case got && now.Sub(last) > stallAfter:
			s.Log.Info("The stream stalls; connecting again", "seconds", now.Sub(last).Seconds())
			return true
		case !got && now.Sub(began) > openWithin:
			return false
		}
	}
}

// newest tells a file from the one before it, and its growth.
type newest struct {
	name string
	size int64
}

func newestSize(dir string) newest {
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		return newest{}
	}
	all := names(files)
	n := newest{name: all[len(all)-1]}
	if info, err := os.Stat(filepath.Join(dir, n.name)); err == nil {
		n.size = info.Size()
	}
	return n
}
