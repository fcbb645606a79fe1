package worker

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
	"github.com/livestream-operator/livestream-operator/internal/mpegts"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// tag is one of FLV.
// Source: Adobe Flash Video File Format Specification 10.1, annex E.
type tag struct {
	kind byte
	at   time.Duration
	all  []byte
}

const audioTag, videoTag = 8, 9

// begins says whether the tag holds what a decoder has to know; keyFrame whether a player can begin with it.
func (g tag) begins() bool   { return len(g.all) > 12 && g.all[12] == 0 }
func (g tag) keyFrame() bool { return g.kind == videoTag && !g.begins() && g.all[11]>>4 == 1 }

// flvTags are those of a file, without its metadata. The tag of what a kind's decoder has to know comes with the first one of that kind.
func flvTags(t *testing.T, file []byte) []tag {
	t.Helper()
	var tags []tag
	for at := 13; at+15 <= len(file); {
		size := int(file[at+1])<<16 | int(file[at+2])<<8 | int(file[at+3])
		ms := uint32(file[at+7])<<24 | uint32(file[at+4])<<16 | uint32(file[at+5])<<8 | uint32(file[at+6])
		g := tag{file[at] & 0x1f, time.Duration(ms) * time.Millisecond, file[at : at+15+size]}
		if g.kind == audioTag || g.kind == videoTag {
			tags = append(tags, g)
		}
		at += 15 + size
	}
	return tags
}

// show is a stream over HTTP-FLV, as CSS plays it: who connects gets the headers of what there is by now, and goes on from the last key frame.
// One kind of it begins late.
func show(t *testing.T, late byte, after time.Duration) string {
	t.Helper()
	arguments := append([]string{"-v", "error"}, shown(30, "320x180")...)
	file, err := exec.CommandContext(t.Context(), "ffmpeg", append(arguments, "-f", "flv", "-flvflags", "no_duration_filesize", "-")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := flvTags(t, file)
	onAir := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		now := time.Since(onAir)
		from := time.Duration(0)
		for _, g := range all {
			if g.keyFrame() && g.at <= now && (late != videoTag || g.at >= after) {
				from = g.at
			}
		}
		headers := map[byte][]byte{}
		_, _ = out.Write([]byte("FLV\x01\x00\x00\x00\x00\x09\x00\x00\x00\x00"))
		for _, g := range all {
			if g.begins() {
				headers[g.kind] = g.all
				continue
			}
			if g.at < from || g.kind == late && g.at < after {
				continue
			}
			if wait := g.at - time.Since(onAir); wait > 0 {
				out.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(wait):
				}
			}
			if header := headers[g.kind]; header != nil {
				_, _ = out.Write(withTime(header, g.at))
				headers[g.kind] = nil
			}
			_, _ = out.Write(g.all)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/live/show.flv"
}

func withTime(flv []byte, at time.Duration) []byte {
	moved := slices.Clone(flv)
	ms := at.Milliseconds()
	moved[4], moved[5], moved[6], moved[7] = byte(ms>>16), byte(ms>>8), byte(ms), byte(ms>>24)
	return moved
}

func TestSoundOrPictureThatBeginsLateIsRecorded(t *testing.T) {
	t.Parallel()
	const after = 4 * time.Second
	for name, late := range map[string]byte{"sound": audioTag, "picture": videoTag} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := desk(t, t.TempDir(), 1)
			w.Config.SegmentSeconds = 1
			address := show(t, late, after)
			w.Address = func() (string, error) { return address, nil }
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- (&ffmpegSource{Worker: w}).run(ctx) }()
			testmedia.Eventually(t, "a part has both", func() bool {
				parts, _ := w.Spool.Parts()
				return slices.ContainsFunc(parts, func(p recording.Part) bool { return hasBoth(t, w.Spool.File(p)) })
			})
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			parts, err := w.Spool.Parts()
			if err != nil || hasBoth(t, w.Spool.File(recording.Sort(parts)[0])) {
				t.Errorf("the first part has both already, %v: %+v", err, parts)
			}
			if result := w.end(t, true); !result.Ready || result.DurationMilliseconds < after.Milliseconds() {
				t.Errorf("result = %+v", result)
			}
		})
	}
}

func hasBoth(t *testing.T, file string) bool {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	info, err := mpegts.Scan(f)
	return err == nil && info.VideoPID > 0 && info.AudioPID > 0
}

func TestSoundThatBeginsLateIsInTheLadder(t *testing.T) {
	t.Parallel()
	w := desk(t, t.TempDir(), 1)
	w.Config.SegmentSeconds, w.Config.Format, w.Config.Playback.Protocol = 1, recording.HLS, "FLV"
	w.Config.Transcoding = &recording.Transcoding{Renditions: []ladder.Rendition{rendition("144p", 144)}}
	address := show(t, audioTag, 4*time.Second)
	w.Address = func() (string, error) { return address, nil }
	stop := make(chan struct{})
	w.Stop = stop
	results := make(chan recording.Result, 1)
	go func() { results <- w.Run(t.Context()) }()
	testmedia.Eventually(t, "a segment has both", func() bool {
		files, _ := filepath.Glob(filepath.Join(w.Spool.dir, "144p", "*", "*.ts"))
		return slices.ContainsFunc(files, func(f string) bool { return hasBoth(t, f) })
	})
	close(stop)
	if result := <-results; !result.Ready {
		t.Errorf("result = %+v", result)
	}
}

func TestOnlyAStreamThatAppearsIsLate(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		// ffmpeg 5.1.
		"[flv @ 0x1] [warning] New audio stream 0:1 at pos:52140 and DTS:4.011s": true,
		// From 6.1 on.
		"[in#0/flv @ 0x1] [warning] New video stream with index 1 at pos:52140 and DTS:4.011s": true,
		"[flv @ 0x1] [warning] New data stream 0:2 at pos:52140 and DTS:4.011s":                false,
		"[flv @ 0x1] [warning] Packet mismatch 5 16 27":                                        false,
	} {
		heard := newWarnings()
		heard.said(line)
		if got := len(heard.late) == 1; got != want {
			t.Errorf("%s: %v", strings.TrimSpace(line), got)
		}
	}
}

func TestSoundThatComesAndGoesEndsNoConnectAgainAtOnce(t *testing.T) {
	t.Parallel()
	var l latecomer
	for second, want := range []bool{true, false, false} {
		l.came = true
		if got := l.due(began.Add(time.Duration(second) * time.Second)); got != want {
			t.Errorf("after %d s: %t", second, got)
		}
	}
	if !l.due(began.Add(lateEvery)) {
		t.Error("it is never heard again")
	}
}
