package worker

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// transcode runs a transcoder of what is shown until what it says of itself is so, and then tells it to stop.
func transcode(t *testing.T, w *Worker, protocol, address string, until func() bool) recording.Result {
	t.Helper()
	w.Config.SegmentSeconds, w.Config.Format, w.Config.Playback.Protocol = 1, recording.HLS, protocol
	w.Address = func() (string, error) { return address, nil }
	stop := make(chan struct{})
	w.Stop = stop
	results := make(chan recording.Result, 1)
	go func() { results <- w.Run(t.Context()) }()
	testmedia.Eventually(t, "it says why", until)
	close(stop)
	return <-results
}

// What the media cannot be made of is no show without media: the encoder of this Config needs a GPU, which the machines that run tests lack.
func TestATranscoderThatEncodesNothingIsNotReadyAndSaysWhy(t *testing.T) {
	t.Parallel()
	gpu := &recording.Transcoding{Renditions: []ladder.Rendition{rendition("144p", 144)}, GPU: true}
	cpu := &recording.Transcoding{Renditions: gpu.Renditions}
	for name, tc := range map[string]struct {
		protocol string
		settings *recording.Transcoding
		address  func(t *testing.T) string
		why      string
	}{
		"no GPU, over FLV": {"FLV", gpu, func(t *testing.T) string { t.Helper(); return show(t, audioTag, 0) }, "ffmpeg: exit status"},
		"no GPU, over HLS": {"HLS", gpu, func(t *testing.T) string {
			t.Helper()
			content := media(t, shown(1, "320x180")...)
			return playlist(t, content, func() string { return oneSegment })
		}, "ffmpeg: exit status"},
		"no video": {"FLV", cpu, func(t *testing.T) string { t.Helper(); return show(t, videoTag, time.Hour) }, "the stream has no video"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := desk(t, t.TempDir(), 1)
			w.Config.Transcoding = tc.settings
			result := transcode(t, w, tc.protocol, tc.address(t), func() bool {
				if why := w.Health.notReady(); why == "" {
					t.Fatal("it is ready")
				} else {
					return strings.Contains(why, tc.why)
				}
				return false
			})
			if result.Ready || result.Nothing || !strings.Contains(result.Message, "nothing was encoded: ") || !strings.Contains(result.Message, tc.why) {
				t.Errorf("result = %+v", result)
			}
		})
	}
}

func TestARenditionThatNoServerTakesIsNotPushed(t *testing.T) {
	t.Parallel()
	w := desk(t, t.TempDir(), 1)
	w.Config.Transcoding = &recording.Transcoding{Renditions: []ladder.Rendition{rendition("144p", 144)}, Push: &recording.Push{ValiditySeconds: 3600}}
	w.PushAddress = func(string) (string, error) { return "rtmp://127.0.0.1:1/live/show_144p?txSecret=0a1b2c&txTime=1", nil }
	const why = "a destination takes nothing: error opening rtmp://127.0.0.1:1/live/show_144p?txSecret=...&txTime=1: Connection refused"
	result := transcode(t, w, "FLV", show(t, audioTag, 0), func() bool {
		return w.Health.notReady() == why && w.Health.Progress().FPS > 0
	})
	if result.Ready || result.Message != "nothing was pushed: "+why {
		t.Errorf("result = %+v", result)
	}
	if pushed := w.Health.Progress().MediaSeconds; pushed != 0 {
		t.Errorf("%.1f s are said to be pushed", pushed)
	}
}

func TestADestinationRefusesUntilItTakesSomething(t *testing.T) {
	t.Parallel()
	var d destinations
	for _, said := range []struct {
		line    string
		refuse  int
		because string
	}{
		{"[fifo @ 0x1] [error] Error opening rtmp://a/live/s: Connection refused", 1, "a destination takes nothing: error opening rtmp://a/live/s: Connection refused"},
		{"[fifo @ 0x1] [info] Recovery failed: Connection refused", 1, "a destination takes nothing: error opening rtmp://a/live/s: Connection refused"},
		{"[info]     title           : [fifo @ 0x1] [info] Recovery successful", 1, "a destination takes nothing: error opening rtmp://a/live/s: Connection refused"},
		{"[fifo @ 0x2] [info] Recovery failed: Broken pipe", 2, ""},
		{"[fifo @ 0x1] [info] Recovery successful", 1, "a destination takes nothing: recovery failed: Broken pipe"},
		{"[fifo @ 0x2] [info] Recovery successful", 0, ""},
	} {
		d.said(said.line)
		refuse, why := d.refuse()
		if refuse != said.refuse || said.because != "" && why.Error() != said.because {
			t.Errorf("after %q: %d, %v", said.line, refuse, why)
		}
	}
}

// A server that is away for longer than a URL is valid would refuse that for ever.
func TestAURLThatIsOldIsSignedAnewForADestinationThatComesBack(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"FLV", "HLS"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			ingest := testmedia.Start(t)
			w := desk(t, t.TempDir(), 1)
			w.Config.Transcoding = &recording.Transcoding{Renditions: []ladder.Rendition{rendition("144p", 144)}, Push: &recording.Push{ValiditySeconds: 4}}
			var signed atomic.Int32
			w.PushAddress = func(string) (string, error) {
				if signed.Add(1) == 1 {
					return "rtmp://127.0.0.1:1/live/show_144p?txSecret=old", nil
				}
				return "rtmp://" + ingest.Host("RTMP") + "/live/show_144p?txSecret=new", nil
			}
			var sequence atomic.Int64
			address := ""
			if protocol == "FLV" {
				address = show(t, audioTag, 0)
			} else {
				content := media(t, shown(1, "320x180")...)
				address = playlist(t, content, func() string {
					return strings.Replace(oneSegment, "SEQUENCE:7", "SEQUENCE:"+strconv.FormatInt(sequence.Add(1), 10), 1)
				})
			}
			result := transcode(t, w, protocol, address, func() bool {
				return w.Health.Progress().MediaSeconds > 0 && heightOf(t, "http://"+ingest.Host("HLS")+"/live/show_144p.m3u8") == "144"
			})
			if !result.Ready {
				t.Errorf("result = %+v", result)
			}
		})
	}
}

func TestAnEncoderEndsForAnotherSignatureOnly(t *testing.T) {
	t.Parallel()
	d := destinations{signed: began, urls: map[string]string{"144p": "rtmp://a/live/s?txSecret=1"}}
	for name, tc := range map[string]struct {
		after time.Duration
		url   string
		want  bool
	}{
		"the URL is young":        {29 * time.Minute, "rtmp://a/live/s?txSecret=2", false},
		"it is old":               {30 * time.Minute, "rtmp://a/live/s?txSecret=2", true},
		"it is old, and unsigned": {30 * time.Minute, "rtmp://a/live/s?txSecret=1", false},
	} {
		if got := d.outdated(began.Add(tc.after), time.Hour, func(string) (string, error) { return tc.url, nil }); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
