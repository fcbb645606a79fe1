// Package ffmpeg runs ffmpeg: it builds its arguments from typed values, and looks after the process.
//
// Nothing that a user wrote becomes an option, a filter or a protocol: addresses are URLs of a few schemes, and files are named by
// the worker.
package ffmpeg

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrAddress means that an address cannot be pulled from, or pushed to.
var ErrAddress = errors.New("address is not usable")

// protocols that a scheme may need, and no others: a playlist or a redirect must lead to no file.
var protocols = map[string]string{
	"rtmp":  "rtmp,tcp",
	"rtmps": "rtmps,rtmp,tls,tcp",
	"http":  "http,tcp",
	"https": "https,http,tls,tcp",
}

// address checks a URL and returns what ffmpeg may use for it.
func address(text string) (allowed string, err error) {
	u, err := url.Parse(text)
	if err != nil {
		// The parser's words repeat the URL, which may be signed.
		return "", fmt.Errorf("%w: it is no URL", ErrAddress)
	}
	allowed, known := protocols[u.Scheme]
	if !known || u.Host == "" || u.Opaque != "" {
		return "", fmt.Errorf("%w: %q is none of rtmp, rtmps, http and https with a host", ErrAddress, u.Scheme)
	}
	if strings.HasPrefix(u.Host, "-") || strings.ContainsAny(text, "\r\n\x00 ") {
		return "", fmt.Errorf("%w: it has characters that no address has", ErrAddress)
	}
	return allowed, nil
}

// common keeps ffmpeg quiet, away from the terminal, and from guessing for long.
var common = []string{"-hide_banner", "-nostdin", "-loglevel", "level+warning"}

// PullParts are the arguments that copy a stream into parts of at least the given length, cut at key frames, as pattern names
// them ("%d" counts). The name of each is written to standard output when it is closed.
func PullParts(from, pattern string, length time.Duration) ([]string, error) {
	allowed, err := address(from)
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(pattern) {
		return nil, fmt.Errorf("pattern %q must be an absolute path", pattern)
	}
	arguments := append([]string{}, common...)
	return append(arguments,
		"-protocol_whitelist", allowed, "-rw_timeout", microseconds(readTimeout),
		"-fflags", "+genpts+discardcorrupt", "-analyzeduration", microseconds(analyze), "-probesize", "2000000",
		"-i", from,
		"-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy", "-max_muxing_queue_size", "4096",
		// The first part begins with the parameter sets, whatever the container kept of them.
		"-f", "segment", "-segment_format", "mpegts", "-segment_format_options", "flush_packets=1:mpegts_copyts=1:mpegts_flags=initial_discontinuity",
		"-segment_time", strconv.FormatFloat(length.Seconds(), 'f', 3, 64), "-break_non_keyframes", "0",
		"-segment_list", "pipe:1", "-segment_list_type", "flat",
		pattern), nil
}

// PullStream are the arguments that copy a stream to standard output, as a transport stream.
func PullStream(from string) ([]string, error) {
	allowed, err := address(from)
	if err != nil {
		return nil, err
	}
	arguments := append([]string{}, common...)
	return append(arguments,
		"-protocol_whitelist", allowed, "-rw_timeout", microseconds(readTimeout),
		"-fflags", "+genpts+discardcorrupt", "-analyzeduration", microseconds(analyze), "-probesize", "2000000",
		"-i", from,
		"-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy", "-max_muxing_queue_size", "4096",
		"-f", "mpegts", "-flush_packets", "1", "-mpegts_copyts", "1", "pipe:1"), nil
}

const (
	// readTimeout of the network; the worker itself notices a stall earlier.
	readTimeout = 90 * time.Second
	// analyze is how much of a stream is looked at before it is written: what is read meanwhile is not lost.
	analyze = time.Second
)

func microseconds(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// Container is a file format of a recording.
type Container string

// Containers that a recording can be joined into.
const (
	FragmentedMP4 Container = "mp4"
	Matroska      Container = "matroska"
	FlashVideo    Container = "flv"
)

// Join are the arguments that copy one transport stream from standard input into fragmented MP4 on standard output. Its table may list
// what never comes, which no file can hold: video and audio are the PIDs of what does, 0 where there is none, and aac says whether that
// is AAC.
func Join(video, audio uint16, aac bool) []string {
	var maps []string
	for _, pid := range []uint16{video, audio} {
		if pid != 0 {
			maps = append(maps, "-map", "0:i:"+strconv.Itoa(int(pid)))
		}
	}
	arguments := copyFrom("mpegts", maps...)
	if aac {
		// A transport stream has AAC with headers of its own, which no file format takes.
		arguments = append(arguments, "-bsf:a", "aac_adtstoasc")
	}
	return append(arguments, "-movflags", "+frag_keyframe+delay_moov+default_base_moof", "-frag_duration", microseconds(longestFragment), "-f", string(FragmentedMP4), "pipe:1")
}

// longestFragment bounds what ffmpeg holds of a file that it writes: it ends fragments at key frames, which sound alone has none of. Key frames are
// closer, as a rule: 250 frames is what x264 does without being told.
const longestFragment = 20 * time.Second

// Convert are the arguments that copy fragmented MP4 from standard input into a file of another container: its length and its index
// are written when all is there. From a transport stream itself they could not: their headers need what only fragmented MP4 can
// wait for.
func Convert(into Container, file string) ([]string, error) {
	if !filepath.IsAbs(file) {
		return nil, fmt.Errorf("file %q must be an absolute path", file)
	}
	return append(copyFrom(string(FragmentedMP4), "-map", "0:v:0?", "-map", "0:a:0?"), "-f", string(into), "-y", file), nil
}

func copyFrom(format string, maps ...string) []string {
	arguments := append([]string{}, common...)
	arguments = append(append(arguments, "-f", format, "-i", "pipe:0"), maps...)
	return append(arguments, "-c", "copy", "-max_muxing_queue_size", "4096")
}
