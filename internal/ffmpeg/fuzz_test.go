package ffmpeg

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
)

// options of a list of arguments are those that begin with a dash; what follows -i and what is pushed to or written are not.
func options(arguments []string) []string {
	return slices.DeleteFunc(slices.Clone(arguments), func(a string) bool { return !strings.HasPrefix(a, "-") })
}

// FuzzTranscode: no address, name or number becomes an option, a filter or a protocol.
func FuzzTranscode(f *testing.F) {
	f.Add("https://play.example.com/live/show.flv", "720p", "rtmp://push.example.com/live/show", 720, 30, 2000, 128, int64(4*time.Second), false)
	f.Add("http://a/-i", "-i", "", 360, 0, 800, 64, int64(0), true)
	f.Add("file:///etc/passwd", "a,movie=/etc/passwd", "concat:a|b", -1, -1, -1, -1, int64(-1), false)
	f.Add("http://a/", "a';b", "rtmps://b/'", 1<<62, 1<<62, 1<<62, 1<<62, int64(math.MaxInt64), false)
	f.Fuzz(func(t *testing.T, from, name, push string, height, rate, video, audio int, segment int64, gpu bool) {
		encoder := CPU
		if gpu {
			encoder = NVENC
		}
		outputs := []Output{{Rendition: ladder.Rendition{Name: name, Height: height, FrameRate: rate, VideoKbps: video, AudioKbps: audio}, Push: push}}
		if push == "" {
			outputs[0].Pattern = "/spool/%07d.ts"
		}
		got, err := Transcode(from, outputs, time.Duration(segment), encoder)
		if err != nil {
			return
		}
		plain := outputs[0]
		plain.Name, plain.Height, plain.VideoKbps, plain.AudioKbps = "720p", 720, 2000, 128
		if plain.Push != "" {
			plain.Push = "rtmp://push.example.com/live/show"
		}
		want, err := Transcode("https://play.example.com/live/show.flv", []Output{plain}, 4*time.Second, encoder)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(options(got), options(want)) || len(got) != len(want) {
			t.Errorf("arguments\n%q\nhave other options than\n%q", got, want)
		}
		checkSource(t, got, from)
		// All that is written of the name is in no filter: only numbers are.
		graph := got[slices.Index(got, "-filter_complex")+1]
		if strings.Contains(graph, "movie") || strings.Count(graph, ";") != 1 || strings.Count(graph, "'") > 4 {
			t.Errorf("the filters are %s", graph)
		}
	})
}

func checkSource(t *testing.T, arguments []string, from string) {
	t.Helper()
	allowed := arguments[slices.Index(arguments, "-protocol_whitelist")+1]
	for protocol := range strings.SplitSeq(allowed, ",") {
		if !slices.Contains([]string{"rtmp", "rtmps", "tcp", "tls", "http", "https"}, protocol) {
			t.Errorf("%q may use %s", from, allowed)
		}
	}
	scheme, _, _ := strings.Cut(strings.ToLower(from), ":")
	if !slices.Contains([]string{"rtmp", "rtmps", "http", "https"}, scheme) || strings.ContainsAny(from, "\r\n\x00 ") {
		t.Errorf("%q is pulled", from)
	}
}

// FuzzProbe: no address becomes an option of ffprobe.
func FuzzProbe(f *testing.F) {
	for _, from := range []string{"https://a/b.flv", "rtmp://a/b/c", "-i", "file:///etc/passwd", "http:a", "HTTP://a/b", "http://[::1]/", "http://a/%0a"} {
		f.Add(from)
	}
	f.Fuzz(func(t *testing.T, from string) {
		got, err := Probe(from)
		if err != nil {
			return
		}
		if got[len(got)-1] != from || strings.HasPrefix(from, "-") || len(options(got)) != 8 {
			t.Errorf("%q is probed with %q", from, got)
		}
		checkSource(t, got, from)
	})
}

// FuzzParseProbe: what a source is said to be can be counted with.
func FuzzParseProbe(f *testing.F) {
	f.Add([]byte(`{"streams":[{"codec_type":"video","width":1920,"height":1080,"avg_frame_rate":"30000/1001"},{"codec_type":"audio"}]}`))
	f.Add([]byte(`{"streams":[{"codec_type":"video","width":2,"height":2,"avg_frame_rate":"inf/1"}]}`))
	f.Add([]byte(`{"streams":[{"codec_type":"video","width":2,"height":2,"avg_frame_rate":"1/1e-320"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseProbe(text)
		if err != nil {
			return
		}
		if s.Width <= 0 || s.Height <= 0 || s.FrameRate < 0 || math.IsNaN(s.FrameRate) || math.IsInf(s.FrameRate, 0) {
			t.Errorf("the source is %+v", s)
		}
	})
}

// FuzzProgressLines: nothing that ffmpeg tells is more than a number.
func FuzzProgressLines(f *testing.F) {
	f.Add("frame=1\nfps=25.0\nbitrate=2000.1kbits/s\nout_time_us=1000\nspeed=1.01x\ndrop_frames=1\nprogress=continue")
	f.Add("fps=nan\nspeed=infx\nbitrate=N/A\nout_time_us=9223372036854775807\nprogress=end")
	f.Fuzz(func(t *testing.T, text string) {
		var reader ProgressReader
		for line := range strings.Lines(text) {
			p, complete := reader.Line(line)
			if !complete {
				continue
			}
			for _, number := range []float64{p.FPS, p.Speed, p.Kbps} {
				if math.IsNaN(number) || math.IsInf(number, 0) || number < 0 {
					t.Errorf("%q is %+v", text, p)
				}
			}
			if p.Time < 0 || p.Frames < 0 || p.Dropped < 0 {
				t.Errorf("%q is %+v", text, p)
			}
		}
	})
}
