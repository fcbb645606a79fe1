package ffmpeg

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
)

// Encoder is what encodes video.
type Encoder string

// Encoders: x264 and x265 on the CPU, or NVENC.
const (
	CPU   Encoder = ""
	NVENC Encoder = "NVENC"
)

// Output is where a rendition goes: into files that a pattern names ("%d" counts), or to an RTMP server.
type Output struct {
	ladder.Rendition

	Pattern, Push string
}

// Piped is the transport stream that is written to standard input.
const Piped = "pipe:0"

// input are the arguments that read an address, or what is Piped.
func input(from string) ([]string, error) {
	if from == Piped {
		return []string{"-protocol_whitelist", "pipe", "-f", "mpegts"}, nil
	}
	allowed, err := address(from)
	if err != nil {
		return nil, err
	}
	return []string{"-protocol_whitelist", allowed, "-rw_timeout", microseconds(readTimeout)}, nil
}

// Transcode are the arguments that decode a stream once and encode it for all outputs, with key frames at the same times, so that all
// segments begin at the same ones. Nothing becomes larger than the source. Progress is written to standard output.
func Transcode(from string, outputs []Output, segment time.Duration, encoder Encoder) ([]string, error) {
	read, err := input(from)
	if err != nil {
		return nil, err
	}
	if len(outputs) == 0 {
		return nil, errors.New("there is no rendition to encode")
	}
	if segment < time.Millisecond || segment > longestSegment {
		return nil, fmt.Errorf("segments of %s cannot be made", segment)
	}
	arguments := append([]string{}, common...)
	if slices.ContainsFunc(outputs, func(o Output) bool { return o.Push != "" }) {
		// The fifo muxer says no louder whether a destination takes what comes.
		arguments = append(arguments, "-nostats", "-loglevel", "level+info")
	}
	arguments = append(append(arguments, "-progress", "pipe:1", "-stats_period", "0.5"), read...)
	arguments = append(arguments,
		"-fflags", "+genpts+discardcorrupt", "-analyzeduration", microseconds(analyze), "-probesize", "2000000",
		"-i", from, "-filter_complex", graph(outputs))
	for i, o := range outputs {
		encoded, err := encode(o.Rendition, segment, encoder)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, "-map", fmt.Sprintf("[v%d]", i), "-map", "0:a:0?")
		arguments = append(arguments, encoded...)
		to, err := output(o, segment)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, to...)
	}
	return arguments, nil
}

// graph decodes once: each output has its own size and rate of the same frames.
func graph(outputs []Output) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[0:v:0]split=%d", len(outputs))
	for i := range outputs {
		fmt.Fprintf(&b, "[s%d]", i)
	}
	for i, o := range outputs {
		// ih is the height of the source: it is never exceeded, whatever was known of it before. trunc keeps it even.
		fmt.Fprintf(&b, ";[s%d]scale=w=-2:h='min(%d,trunc(ih/2)*2)'", i, o.Height)
		if o.FrameRate > 0 {
			fmt.Fprintf(&b, ",fps=fps='min(%d,source_fps)'", o.FrameRate)
		}
		fmt.Fprintf(&b, ",format=yuv420p[v%d]", i)
	}
	return b.String()
}

// longestSegment is far beyond what is asked for.
const longestSegment = time.Hour

// keyEvery is how long there is no key frame at most: players change between renditions there.
const keyEvery = 2 * time.Second

func encode(r ladder.Rendition, segment time.Duration, encoder Encoder) ([]string, error) {
	if r.VideoKbps <= 0 || r.AudioKbps <= 0 || r.Height <= 0 {
		return nil, fmt.Errorf("rendition %q needs a height and bitrates", r.Name)
	}
	// As many as make a segment whole.
	keys := segment / ((segment + keyEvery - 1) / keyEvery)
	kbps := func(k int) string { return strconv.Itoa(k) + "k" }
	arguments := []string{
		"-fps_mode", "vfr", "-b:v", kbps(r.VideoKbps), "-maxrate", kbps(r.VideoKbps), "-bufsize", kbps(2 * r.VideoKbps),
		"-force_key_frames", fmt.Sprintf("expr:gte(t,n_forced*%.3f)", keys.Seconds()),
		// No others: they would not be at the same times in all renditions.
		"-g", "6000",
	}
	switch {
	case encoder == NVENC && r.Codec == ladder.H265:
		arguments = append(arguments, "-c:v", "hevc_nvenc", "-preset", "p4", "-rc", "cbr", "-forced-idr", "1", "-no-scenecut", "1")
	case encoder == NVENC:
		arguments = append(arguments, "-c:v", "h264_nvenc", "-preset", "p4", "-rc", "cbr", "-profile:v", "high", "-forced-idr", "1", "-no-scenecut", "1")
	case encoder != CPU:
		return nil, fmt.Errorf("encoder %q is not known", encoder)
	case r.Codec == ladder.H265:
		arguments = append(arguments, "-c:v", "libx265", "-preset", "veryfast", "-forced-idr", "1", "-x265-params", "log-level=error:scenecut=0:open-gop=0:keyint=6000")
	default:
		arguments = append(arguments, "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-forced-idr", "1", "-sc_threshold", "0")
	}
	return append(arguments, "-c:a", "aac", "-b:a", kbps(r.AudioKbps), "-ar", "48000", "-ac", "2", "-max_muxing_queue_size", "4096"), nil
}

func output(o Output, segment time.Duration) ([]string, error) {
	if o.Push != "" {
		if _, err := address(o.Push); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(o.Push, "rtmp") {
			return nil, fmt.Errorf("%w: renditions are pushed over rtmp or rtmps", ErrAddress)
		}
		// A server that goes away holds up no other rendition: it is tried again, from a key frame on.
		return []string{
			// FLV keeps the parameter sets apart, which fifo does not tell the encoders.
			"-flags:v", "+global_header", "-flags:a", "+global_header",
			"-f", "fifo", "-fifo_format", "flv", "-queue_size", "1000", "-drop_pkts_on_overflow", "1",
			"-attempt_recovery", "1", "-recover_any_error", "1", "-recovery_wait_time", "1", "-restart_with_keyframe", "1",
			"-format_opts", "flvflags=no_duration_filesize", o.Push,
		}, nil
	}
	if !filepath.IsAbs(o.Pattern) {
		return nil, fmt.Errorf("pattern %q must be an absolute path", o.Pattern)
	}
	return []string{
		"-f", "segment", "-segment_format", "mpegts", "-segment_format_options", "flush_packets=1:mpegts_copyts=1:mpegts_flags=initial_discontinuity",
		"-segment_time", strconv.FormatFloat(segment.Seconds(), 'f', 3, 64), "-segment_time_delta", "0.02", o.Pattern,
	}, nil
}

// Probe are the arguments of ffprobe that look at a stream, for ParseProbe.
func Probe(from string) ([]string, error) {
	read, err := input(from)
	if err != nil {
		return nil, err
	}
	return append(append([]string{"-hide_banner", "-loglevel", "error"}, read...),
		"-analyzeduration", microseconds(probeAnalyze), "-probesize", "5000000",
		"-show_entries", "stream=codec_type,width,height,avg_frame_rate", "-of", "json", from), nil
}

// probeAnalyze is longer than analyze: the size must be known.
const probeAnalyze = 5 * time.Second

// ErrNoVideo means that a stream has no video, or none whose size can be told yet.
var ErrNoVideo = errors.New("the stream has no video")

// ParseProbe reads what ffprobe found.
func ParseProbe(text []byte) (ladder.Source, error) {
	var found struct {
		Streams []struct {
			CodecType string `json:"codec_type"`
			Width     int    `json:"width"`
			Height    int    `json:"height"`
			Rate      string `json:"avg_frame_rate"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return ladder.Source{}, fmt.Errorf("reading what ffprobe found: %w", err)
	}
	var s ladder.Source
	for _, stream := range found.Streams {
		switch {
		case stream.CodecType == "audio":
			s.Audio = true
		case stream.CodecType == "video" && !s.Video && stream.Width > 0 && stream.Height > 0:
			s.Video, s.Width, s.Height, s.FrameRate = true, stream.Width, stream.Height, quotient(stream.Rate)
		}
	}
	if !s.Video {
		return s, ErrNoVideo
	}
	return s, nil
}

func quotient(text string) float64 {
	above, below, _ := strings.Cut(text, "/")
	a, err := strconv.ParseFloat(above, 64)
	b, err2 := strconv.ParseFloat(below, 64)
	if err != nil || err2 != nil {
		return 0
	}
	return number(a / b)
}

// number is 0 where it is none that can be counted with.
func number(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
		return 0
	}
	return f
}

// Progress is what ffmpeg tells twice a second.
type Progress struct {
	// Frames that were encoded of the first output, FPS of them now.
	Frames int64
	FPS    float64
	// Time is how much media was written, Speed how much of it in a second; 1 is as fast as it comes.
	Time  time.Duration
	Speed float64
	// Kbps of the first output, Dropped and Duplicated frames.
	Kbps                float64
	Dropped, Duplicated int64
}

// ProgressReader gathers the lines of -progress.
type ProgressReader struct{ now Progress }

// Line takes one line, and returns true where it ends a report.
func (p *ProgressReader) Line(line string) (Progress, bool) {
	key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
	value = strings.TrimSpace(value)
	whole := func() int64 {
		n, _ := strconv.ParseInt(value, 10, 64)
		return max(n, 0)
	}
	decimal := func(unit string) float64 {
		f, _ := strconv.ParseFloat(strings.TrimSuffix(value, unit), 64)
		return number(f)
	}
	switch key {
	case "frame":
		p.now.Frames = whole()
	case "fps":
		p.now.FPS = decimal("")
	case "bitrate":
		p.now.Kbps = decimal("kbits/s")
	case "out_time_us":
		p.now.Time = time.Duration(min(whole(), math.MaxInt64/1000)) * time.Microsecond
	case "dup_frames":
		p.now.Duplicated = whole()
	case "drop_frames":
		p.now.Dropped = whole()
	case "speed":
		p.now.Speed = decimal("x")
	case "progress":
		return p.now, true
	}
	return Progress{}, false
}
