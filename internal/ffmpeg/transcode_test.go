package ffmpeg

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
)

func rendition(name string, height int) ladder.Rendition {
	return ladder.Rendition{Name: name, Height: height, VideoKbps: 1200, AudioKbps: 96, Codec: ladder.H264}
}

func TestOneDecodeFeedsAllRenditions(t *testing.T) {
	t.Parallel()
	slow := rendition("480p", 480)
	slow.FrameRate = 25
	got, err := Transcode("rtmp://play.example.com/live/show", []Output{
		{Rendition: rendition("720p", 720), Pattern: "/spool/720p/%07d.ts"}, {Rendition: slow, Pattern: "/spool/480p/%07d.ts"},
	}, 4*time.Second, CPU)
	if err != nil {
		t.Fatal(err)
	}
	encoded := "-map 0:a:0? -fps_mode vfr -b:v 1200k -maxrate 1200k -bufsize 2400k -force_key_frames expr:gte(t,n_forced*2.000) -g 6000 " +
		"-c:v libx264 -preset veryfast -profile:v high -forced-idr 1 -sc_threshold 0 -c:a aac -b:a 96k -ar 48000 -ac 2 -max_muxing_queue_size 4096 " +
		"-f segment -segment_format mpegts -segment_format_options flush_packets=1:mpegts_copyts=1:mpegts_flags=initial_discontinuity -segment_time 4.000 -segment_time_delta 0.02 "
	want := "-hide_banner -nostdin -loglevel level+warning -progress pipe:1 -stats_period 0.5 -protocol_whitelist rtmp,tcp -rw_timeout 90000000 " +
		"-fflags +genpts+discardcorrupt -analyzeduration 1000000 -probesize 2000000 -i rtmp://play.example.com/live/show " +
		"-filter_complex [0:v:0]split=2[s0][s1];[s0]scale=w=-2:h='min(720,trunc(ih/2)*2)',format=yuv420p[v0];" +
		"[s1]scale=w=-2:h='min(480,trunc(ih/2)*2)',fps=fps='min(25,source_fps)',format=yuv420p[v1] " +
		"-map [v0] " + encoded + "/spool/720p/%07d.ts -map [v1] " + encoded + "/spool/480p/%07d.ts"
	if diff := gocmp.Diff(strings.Fields(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestKeyFramesMakeSegmentsWhole(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]string{1: "1.000", 2: "2.000", 3: "1.500", 4: "2.000", 5: "1.667", 6: "2.000", 30: "2.000"} {
		got, err := Transcode("rtmp://a/b/c", []Output{{Rendition: rendition("a", 360), Pattern: "/a/%d.ts"}}, time.Duration(seconds)*time.Second, CPU)
		if err != nil || !slices.Contains(got, "expr:gte(t,n_forced*"+want+")") {
			t.Errorf("segments of %d s: %v, %v", seconds, got, err)
		}
	}
}

func TestTheEncoderIsThatOfTheCodecAndTheDevice(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		encoder Encoder
		codec   ladder.Codec
		want    string
	}{
		{CPU, ladder.H264, "libx264"}, {CPU, ladder.H265, "libx265"}, {NVENC, ladder.H264, "h264_nvenc"}, {NVENC, ladder.H265, "hevc_nvenc"},
	} {
		r := rendition("a", 360)
		r.Codec = row.codec
		got, err := Transcode("rtmp://a/b/c", []Output{{Rendition: r, Pattern: "/a/%d.ts"}}, time.Second, row.encoder)
		if i := slices.Index(got, "-c:v"); err != nil || got[i+1] != row.want {
			t.Errorf("%s of %q: %v, %v", row.codec, row.encoder, got, err)
		}
	}
}

func TestWhatCannotBeTranscodedIsRefused(t *testing.T) {
	t.Parallel()
	good := Output{Rendition: rendition("a", 360), Pattern: "/a/%d.ts"}
	with := func(change func(*Output)) []Output {
		o := good
		change(&o)
		return []Output{o}
	}
	for name, row := range map[string]struct {
		from    string
		outputs []Output
		encoder Encoder
	}{
		"a file":                    {"file:///etc/passwd", []Output{good}, CPU},
		"no rendition":              {"rtmp://a/b/c", nil, CPU},
		"a rendition of no height":  {"rtmp://a/b/c", with(func(o *Output) { o.Height = 0 }), CPU},
		"a rendition of no bitrate": {"rtmp://a/b/c", with(func(o *Output) { o.VideoKbps = 0 }), CPU},
		"a pattern that is none":    {"rtmp://a/b/c", with(func(o *Output) { o.Pattern = "-y" }), CPU},
		"a push to a file":          {"rtmp://a/b/c", with(func(o *Output) { o.Push = "file:///a" }), CPU},
		"a push over HTTP":          {"rtmp://a/b/c", with(func(o *Output) { o.Push = "http://a/b" }), CPU},
		"another encoder":           {"rtmp://a/b/c", []Output{good}, "-i"},
	} {
		if got, err := Transcode(row.from, row.outputs, time.Second, row.encoder); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSegmentsOfNoLengthAreRefusedWithoutAPanic(t *testing.T) {
	t.Parallel()
	for _, length := range []time.Duration{0, time.Nanosecond, -time.Second, 2 * time.Hour, math.MaxInt64} {
		if got, err := Transcode("rtmp://a/b/c", []Output{{Rendition: rendition("a", 360), Pattern: "/a/%d.ts"}}, length, CPU); err == nil {
			t.Errorf("%s: %v", length, got)
		}
	}
}

func TestNumbersThatAreNoneAreNotCountedWith(t *testing.T) {
	t.Parallel()
	for _, rate := range []string{"inf/1", "nan/1", "1/0", "-25/1", "1e308/1e-308", "x/1"} {
		source, err := ParseProbe([]byte(`{"streams":[{"codec_type":"video","width":2,"height":2,"avg_frame_rate":"` + rate + `"}]}`))
		if err != nil || source.FrameRate != 0 {
			t.Errorf("the rate %s is read as %v, %v", rate, source.FrameRate, err)
		}
	}
	var reader ProgressReader
	for _, line := range []string{"fps=nan", "speed=-infx", "bitrate=1e400kbits/s", "frame=-1", "out_time_us=9223372036854775807"} {
		reader.Line(line)
	}
	if p, _ := reader.Line("progress=end"); p.FPS != 0 || p.Speed != 0 || p.Kbps != 0 || p.Frames != 0 || p.Time < 0 {
		t.Errorf("progress is %+v", p)
	}
}

func TestARenditionThatIsPushedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	got, err := Transcode("rtmp://a/b/c", []Output{{Rendition: rendition("a", 360), Push: "rtmp://push.example.com/live/show_a?txSecret=1"}}, time.Second, CPU)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(got, " ")
	for _, needed := range []string{"-nostats -loglevel level+info", "-f fifo -fifo_format flv", "-attempt_recovery 1", "-recover_any_error 1", "-flags:v +global_header", "flvflags=no_duration_filesize rtmp://push.example.com/live/show_a?txSecret=1"} {
		if !strings.Contains(text, needed) {
			t.Errorf("%q is missing in %s", needed, text)
		}
	}
}

func TestAProbeTellsTheSource(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ladder.Source{
		`{"streams":[{"codec_type":"video","width":1920,"height":1080,"avg_frame_rate":"30000/1001"},{"codec_type":"audio","avg_frame_rate":"0/0"}]}`: {Width: 1920, Height: 1080, FrameRate: 30000.0 / 1001, Video: true, Audio: true},
		`{"streams":[{"codec_type":"video","width":854,"height":480,"avg_frame_rate":"0/0"}]}`:                                                        {Width: 854, Height: 480, Video: true},
		`{"streams":[{"codec_type":"data"},{"codec_type":"video","width":2,"height":2},{"codec_type":"video","width":8,"height":8}]}`:                 {Width: 2, Height: 2, Video: true},
	} {
		got, err := ParseProbe([]byte(text))
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	for _, text := range []string{`{"streams":[{"codec_type":"audio"}]}`, `{"streams":[{"codec_type":"video","width":0,"height":0}]}`, `{}`} {
		if got, err := ParseProbe([]byte(text)); !errors.Is(err, ErrNoVideo) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if _, err := ParseProbe([]byte("no JSON")); err == nil || errors.Is(err, ErrNoVideo) {
		t.Errorf("error = %v", err)
	}
	if _, err := Probe("file:///etc/passwd"); !errors.Is(err, ErrAddress) {
		t.Errorf("error = %v", err)
	}
}

func TestProgressIsReadAsItIsTold(t *testing.T) {
	t.Parallel()
	// As ffmpeg 5.1 writes it.
	const said = `frame=223
fps=29.97
stream_0_0_q=6.0
bitrate=1280.4kbits/s
total_size=1228800
out_time_us=7590000
out_time_ms=7590000
out_time=00:00:07.590000
dup_frames=1
drop_frames=2
speed=1.24x
progress=continue
`
	var r ProgressReader
	var got []Progress
	for line := range strings.Lines(said) {
		if p, whole := r.Line(line); whole {
			got = append(got, p)
		}
	}
	want := []Progress{{Frames: 223, FPS: 29.97, Kbps: 1280.4, Time: 7590 * time.Millisecond, Duplicated: 1, Dropped: 2, Speed: 1.24}}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, line := range []string{"", "=", "frame", "frame=N/A", "speed=N/A", "bitrate=N/A", "out_time_us=N/A"} {
		if _, whole := r.Line(line); whole {
			t.Errorf("%q ends a report", line)
		}
	}
}

func TestAStreamIsPulledAsItIs(t *testing.T) {
	t.Parallel()
	got, err := PullStream("rtmp://play.example.com/live/show")
	want := "-hide_banner -nostdin -loglevel level+warning -protocol_whitelist rtmp,tcp -rw_timeout 90000000 -fflags +genpts+discardcorrupt " +
		"-analyzeduration 1000000 -probesize 2000000 -i rtmp://play.example.com/live/show -map 0:v:0? -map 0:a:0? -c copy -max_muxing_queue_size 4096 " +
		"-f mpegts -flush_packets 1 -mpegts_copyts 1 pipe:1"
	if diff := gocmp.Diff(strings.Fields(want), got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := PullStream("file:///etc/passwd"); !errors.Is(err, ErrAddress) {
		t.Errorf("error = %v", err)
	}
}

func TestWhatIsPipedIsReadFromNowhereElse(t *testing.T) {
	t.Parallel()
	got, err := Transcode(Piped, []Output{{Rendition: rendition("a", 360), Pattern: "/a/%d.ts"}}, time.Second, CPU)
	if err != nil || !strings.Contains(strings.Join(got, " "), "-protocol_whitelist pipe -f mpegts -fflags") || !strings.Contains(strings.Join(got, " "), "-i pipe:0 ") {
		t.Errorf("%v, %v", got, err)
	}
	if probe, err := Probe(Piped); err != nil || !strings.HasSuffix(strings.Join(probe, " "), " pipe:0") {
		t.Errorf("%v, %v", probe, err)
	}
}
