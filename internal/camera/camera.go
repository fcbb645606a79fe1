package camera

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

// Camera publishes. No two of one test have the same number.
type Camera struct {
	Push uint8
	// KeyFrames is one in how many frames is one that a player can begin with; half a second's when 0.
	KeyFrames int
}

// Publish publishes for so long in real time, by ffmpeg, and returns the frames that it gave it.
func (c Camera) Publish(ctx context.Context, to string, length time.Duration) ([]Frame, error) {
	size, rate := fmt.Sprintf("%dx%d", Width, Height), strconv.Itoa(FramesPerSecond)
	ffmpeg := exec.CommandContext(ctx, "ffmpeg", //nolint:gosec // built here
		"-v", "error", "-probesize", "32", "-analyzeduration", "0", "-f", "rawvideo", "-pix_fmt", "gray", "-video_size", size, "-framerate", rate, "-i", "pipe:0",
		"-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000", "-shortest",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", strconv.Itoa(cmp.Or(c.KeyFrames, keyFrames)), "-b:v", "400k",
		"-c:a", "aac", "-flush_packets", "1", "-f", "flv", to)
	var said bytes.Buffer
	ffmpeg.Stdout, ffmpeg.Stderr = &said, &said
	in, err := ffmpeg.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("opening the camera's pipe: %w", err)
	}
	if err := ffmpeg.Start(); err != nil {
		return nil, fmt.Errorf("starting the camera: %w", err)
	}
	frames, err := film(ctx, in, c.Push, int(length.Seconds()*FramesPerSecond))
	err = errors.Join(err, in.Close())
	if ended := ffmpeg.Wait(); ended != nil {
		// Why it ended tells more than that it takes no more.
		err = fmt.Errorf("publishing: %w: %s", ended, strings.TrimSpace(said.String()))
	}
	return frames, err
}

// film writes frames as they are due.
func film(ctx context.Context, out io.Writer, push uint8, count int) ([]Frame, error) {
	picture := make([]byte, Width*Height)
	frames := make([]Frame, 0, count)
	var began time.Time
	for n := range count {
		due := time.NewTimer(time.Until(began.Add(time.Duration(n) * time.Second / FramesPerSecond)))
		select {
		case <-ctx.Done():
			due.Stop()
			return frames, fmt.Errorf("filming: %w", ctx.Err())
		case <-due.C:
		}
		f := Frame{Push: push, At: uint32(clock.RealClock{}.Now().UnixMilli())} //nolint:gosec // as far as 32 bits go
		if n > 0 && int32(f.At-frames[n-1].At) <= 0 {                           //nolint:gosec // a difference of numbers that wrap
			f.At = frames[n-1].At + 1
		}
		f.paint(picture)
		if _, err := out.Write(picture); err != nil {
			return frames, fmt.Errorf("filming: %w", err)
		}
		frames = append(frames, f)
		if n < 2 {
			// The pipe holds one frame: with the second one ffmpeg is connected, and time begins.
			began = clock.RealClock{}.Now().Add(-time.Duration(n) * time.Second / FramesPerSecond)
		}
	}
	return frames, nil
}

// Read are the frames of a recording in the order in which a player shows them.
func Read(ctx context.Context, file string) ([]Frame, error) {
	ffmpeg := exec.CommandContext(ctx, "ffmpeg", //nolint:gosec // a file of the test
		"-v", "error", "-i", file, "-map", "0:v:0", "-vf", fmt.Sprintf("crop=%d:%d:0:0,format=gray", Width, codeHeight), "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1")
	var said bytes.Buffer
	ffmpeg.Stderr = &said
	out, err := ffmpeg.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("opening a recording's pipe: %w", err)
	}
	if err := ffmpeg.Start(); err != nil {
		return nil, fmt.Errorf("starting a player: %w", err)
	}
	frames, err := readAll(bufio.NewReader(out))
	_, _ = io.Copy(io.Discard, out)
	if ended := ffmpeg.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("playing: %w: %s", ended, strings.TrimSpace(said.String())))
	}
	return frames, err
}

func readAll(in io.Reader) ([]Frame, error) {
	top := make([]byte, Width*codeHeight)
	var frames []Frame
	for {
		if _, err := io.ReadFull(in, top); errors.Is(err, io.EOF) {
			return frames, nil
		} else if err != nil {
			return frames, fmt.Errorf("reading frame %d: %w", len(frames), err)
		}
		f, err := read(top)
		if err != nil {
			return frames, fmt.Errorf("frame %d: %w", len(frames), err)
		}
		frames = append(frames, f)
	}
}
