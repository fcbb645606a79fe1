package ffmpeg

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

func TestAPullIsACopyIntoPartsThatAreListed(t *testing.T) {
	t.Parallel()
	got, err := PullParts("rtmp://play.example.com/live/show?txSecret=1", "/spool/%07d.ts", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := "-hide_banner -nostdin -loglevel level+warning -protocol_whitelist rtmp,tcp -rw_timeout 90000000 -fflags +genpts+discardcorrupt " +
		"-analyzeduration 1000000 -probesize 2000000 -i rtmp://play.example.com/live/show?txSecret=1 -map 0:v:0? -map 0:a:0? -c copy -max_muxing_queue_size 4096 " +
		"-f segment -segment_format mpegts -segment_format_options flush_packets=1:mpegts_copyts=1:mpegts_flags=initial_discontinuity -segment_time 2.000 -break_non_keyframes 0 " +
		"-segment_list pipe:1 -segment_list_type flat /spool/%07d.ts"
	if strings.Join(got, " ") != want {
		t.Errorf("arguments:\n%s\nwant\n%s", strings.Join(got, " "), want)
	}
}

func TestAFileHasTheStreamsThatCome(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		got  []string
		want string
	}{
		"both":        {Join(256, 257, true), "-map 0:i:256 -map 0:i:257 -c copy -max_muxing_queue_size 4096 -bsf:a aac_adtstoasc -movflags"},
		"picture":     {Join(256, 0, false), "-i pipe:0 -map 0:i:256 -c copy"},
		"other sound": {Join(0, 512, false), "-i pipe:0 -map 0:i:512 -c copy -max_muxing_queue_size 4096 -movflags"},
	} {
		if text := strings.Join(row.got, " "); !strings.Contains(text, row.want) {
			t.Errorf("%s: %q is missing in %s", name, row.want, text)
		}
	}
}

func TestOnlyAddressesOfAFewProtocolsArePulled(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"rtmp://a/live/b": "rtmp,tcp", "http://a:8080/live/b.flv": "http,tcp", "https://a/live/b.flv": "https,http,tls,tcp",
		"file:///etc/passwd": "", "/etc/passwd": "", "concat:a|b": "", "http:a": "", "-i": "", "": "", "subfile,,start,0,end,0,,:/etc/passwd": "",
		"data:text/plain,x": "", "rtmp://": "", "http://a/b c": "", "http://a/\nb": "", "pipe:0": "", "http://-x/a": "", "async:http://a/b": "", "crypto+http://a/b": "",
	} {
		got, err := PullParts(address, "/spool/%d.ts", time.Second)
		if want == "" {
			if !errors.Is(err, ErrAddress) {
				t.Errorf("%q is pulled: %v, %v", address, got, err)
			}
			continue
		}
		if i := slices.Index(got, "-protocol_whitelist"); err != nil || got[i+1] != want {
			t.Errorf("%q may use %v, want %s; error %v", address, got, want, err)
		}
	}
}

// Names of streams are the pusher's: whatever they are, they stay within one address.
func FuzzNoNameBecomesAnOption(f *testing.F) {
	for _, name := range []string{"show", "-i", "a b", "$(x)", "a?b", "..", "%0a", "file:x", "concat:a|b", "\x00", "Über", "-protocol_whitelist", "a/../../b", "a#b"} {
		f.Add("live", name)
	}
	f.Fuzz(func(t *testing.T, app, name string) {
		for _, protocol := range []v1alpha1.PlaybackProtocol{v1alpha1.PlaybackProtocolFLV, v1alpha1.PlaybackProtocolRTMP} {
			from := tencent.PlaybackURL(v1alpha1.Playback{Domain: "play.example.com", Protocol: protocol}, app, name, "key", time.Unix(1767225600, 0))
			got, err := PullParts(from, "/spool/%07d.ts", time.Second)
			if err != nil {
				return
			}
			clean, err := PullParts(tencent.PlaybackURL(v1alpha1.Playback{Domain: "play.example.com", Protocol: protocol}, "live", "show", "key", time.Unix(1767225600, 0)), "/spool/%07d.ts", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(clean) {
				t.Fatalf("%q and %q make %d arguments, not %d: %q", app, name, len(got), len(clean), got)
			}
			for i := range got {
				address := i > 0 && clean[i-1] == "-i" && (strings.HasPrefix(got[i], "https://play.example.com/") || strings.HasPrefix(got[i], "rtmp://play.example.com/"))
				if got[i] != clean[i] && !address {
					t.Fatalf("%q and %q change argument %d from %q to %q", app, name, i, clean[i], got[i])
				}
			}
		}
	})
}

func TestFilesAreNamedFromTheRoot(t *testing.T) {
	t.Parallel()
	if _, err := PullParts("rtmp://a/b/c", "-y.ts", time.Second); err == nil {
		t.Error("a pattern that is an option is taken")
	}
	if _, err := Convert(Matroska, "-y"); err == nil {
		t.Error("a file that is an option is taken")
	}
}

func TestWhatIsSaidHasNoSignature(t *testing.T) {
	t.Parallel()
	var said []string
	p, err := Start(t.Context(), []string{"-c", `echo "http://a/b.flv?txSecret=0a1b2c&txTime=65B8: Server returned 403" >&2; exit 3`}, Options{Binary: "/bin/sh", Said: func(line string) { said = append(said, line) }})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Wait()
	if want := "ffmpeg: exit status 3: http://a/b.flv?txSecret=...&txTime=65B8: Server returned 403"; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	if len(said) != 1 || strings.Contains(said[0], "0a1b2c") {
		t.Errorf("said %q", said)
	}
}

func TestAProcessThatDoesNotFinishIsKilled(t *testing.T) {
	t.Parallel()
	p, err := Start(t.Context(), []string{"-c", `trap "" INT; while :; do sleep 1; done`}, Options{Binary: "/bin/sh"})
	if err != nil {
		t.Fatal(err)
	}
	p.Finish(100 * time.Millisecond)
	select {
	case <-p.Done():
	default:
		t.Error("it is still there")
	}
}
