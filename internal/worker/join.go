package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
	"github.com/livestream-operator/livestream-operator/internal/mpegts"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// errJoin means that the parts cannot be joined, however often it is tried.
var errJoin = errors.New("joining the parts")

// errLetGo is what a writer gets whose reader has ended: why that ended is what counts.
var errLetGo = errors.New("it is not read any more")

// joinFailed is for an end of ffmpeg that nothing else explains. One that was killed may do it the next time.
func joinFailed(err error) error {
	if err == nil || ffmpeg.Killed(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errJoin, err)
}

// join writes the parts as one fragmented MP4 file: as one transport stream with one clock to ffmpeg.
func (w *Worker) join(ctx context.Context, parts []recording.Part, out io.Writer) error {
	first, err := w.piece(ctx, parts[0])
	if err != nil {
		return err
	}
	info, err := w.scanned(parts[0], first)
	if err != nil {
		return err
	}
	stream, in := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := w.oneClock(ctx, parts, in)
		_ = in.CloseWithError(err)
		written <- err
	}()
	taken := &outlet{Writer: out}
	err = w.ffmpeg(ctx, ffmpeg.Join(info.VideoPID, info.AudioPID, info.AAC), stream, taken)
	_ = stream.CloseWithError(errLetGo)
	switch reading := <-written; {
	case ctx.Err() != nil && err != nil:
		return err
	case reading != nil && !errors.Is(reading, errLetGo):
		return reading
	case taken.failed() != nil:
		return taken.failed()
	}
	return joinFailed(err)
}

// outlet notes why what ffmpeg writes was not taken: ffmpeg itself only tells that it was not.
type outlet struct {
	io.Writer

	mu  sync.Mutex
	err error
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.err = err
	}
	return n, err
}

func (o *outlet) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (w *Worker) ffmpeg(ctx context.Context, arguments []string, in io.Reader, out io.Writer) error {
	process, err := ffmpeg.Start(ctx, arguments, ffmpeg.Options{Binary: w.FFmpeg, Input: in, Output: out})
	if err != nil {
		return err
	}
	return process.Wait()
}

// container is what fragmented MP4 has to be converted into; false where it is what is wanted.
func container(f recording.Format) (ffmpeg.Container, bool) {
	switch f {
	case recording.MKV:
		return ffmpeg.Matroska, true
	case recording.FLV:
		return ffmpeg.FlashVideo, true
	default:
		return ffmpeg.FragmentedMP4, false
	}
}

// jump is how far a timestamp within a run may be from where it should be before it is taken for a new clock.
const jump = mpegts.Ticks(10 * 90000)

// errMixed means that the source changed to what the file that was begun has no place for.
var errMixed = errors.New("the source changed its streams")

// streams are those of the recording so far: the file has those of its first part, which ffmpeg tells apart by their PIDs.
type streams struct {
	begun        bool
	video, audio elementary
}

type elementary struct {
	pid   uint16
	codec uint32
}

// take notes the streams of a part, and fails where the file has no place for them.
func (s *streams) take(p recording.Part, info mpegts.Info) error {
	for _, kind := range []struct {
		of  *elementary
		now elementary
	}{{&s.video, elementary{info.VideoPID, info.VideoCodec}}, {&s.audio, elementary{info.AudioPID, info.AudioCodec}}} {
		switch {
		case kind.now.pid == 0:
		case !s.begun:
			*kind.of = kind.now
		case kind.now.pid != kind.of.pid || !sameCodec(kind.now.codec, kind.of.codec):
			return fmt.Errorf("%w with part %s", errMixed, p.Name())
		default:
			// What the first part did not tell.
			kind.of.codec |= kind.now.codec
		}
	}
	s.begun = true
	return nil
}

// sameCodec is for the low byte, which is the stream's type; the others are of a header that not every part has, or begins with. 0 is not known.
func sameCodec(a, b uint32) bool {
	return a == b || a == 0 || b == 0 || a&0xff == b&0xff && (a>>8 == 0 || b>>8 == 0)
}

// oneClock writes all parts so that each run begins where the one before it ended.
func (w *Worker) oneClock(ctx context.Context, parts []recording.Part, out io.Writer) error {
	var by, end mpegts.Ticks
	var sofar streams
	for i, p := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		open, err := w.piece(ctx, p)
		if err != nil {
			return err
		}
		info, err := w.scanned(p, open)
		if err != nil {
			return err
		}
		if err := sofar.take(p, info); err != nil {
			return err
		}
		newClock := i == 0 || p.Job != parts[i-1].Job || p.Run != parts[i-1].Run
		if at := info.First + by; newClock || at < end-jump || at > end+jump {
			by = end - info.First
		}
		if err := moved(open, out, by); err != nil {
			return err
		}
		end = max(end, info.End+by)
	}
	return nil
}

// inMemory is how long a part may be that is kept there between the two times that it is needed.
const inMemory = 64 << 20

// piece is a part to be opened more than once: a bucket is asked for it once.
func (w *Worker) piece(ctx context.Context, p recording.Part) (func() (io.ReadCloser, error), error) {
	if p.Size > inMemory {
		return func() (io.ReadCloser, error) { return w.open(ctx, p) }, nil
	}
	in, err := w.open(ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	content, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("reading part %s: %w", p.Name(), err)
	}
	if int64(len(content)) != p.Size {
		return nil, fmt.Errorf("reading part %s: %d bytes came of %d", p.Name(), len(content), p.Size)
	}
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }, nil
}

func (w *Worker) scanned(p recording.Part, open func() (io.ReadCloser, error)) (mpegts.Info, error) {
	in, err := open()
	if err != nil {
		return mpegts.Info{}, err
	}
	defer func() { _ = in.Close() }()
	info, err := mpegts.Scan(in)
	if errors.Is(err, mpegts.ErrNoStream) {
		if w.Spool.forget(p) {
			return info, fmt.Errorf("the copy of part %s in the spool is lost; that in the store comes next: %w", p.Name(), err)
		}
		// It held media when it was taken. Of the others there may be a file yet, and what is not listed is not dropped.
		w.lifeless = append(w.lifeless, p.Name())
		return info, fmt.Errorf("part %s %w: %w", p.Name(), errLeftOut, err)
	}
	return info, err
}

func moved(open func() (io.ReadCloser, error), out io.Writer, by mpegts.Ticks) error {
	in, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	return mpegts.Move(out, in, by)
}

// open reads a part from the spool where it is whole there, or from the store.
func (w *Worker) open(ctx context.Context, p recording.Part) (io.ReadCloser, error) {
	local, err := w.Spool.Open(p)
	if err == nil {
		return local, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading part %s: %w", p.Name(), err)
	}
	in, err := w.Store.Open(ctx, w.folder()+recording.PartsFolder+p.Name())
	if err != nil {
		return nil, fmt.Errorf("reading part %s: %w", p.Name(), err)
	}
	return in, nil
}
