package tencent

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// The vectors are the vendor's own examples, the last one of a transcoded stream; see document 31059.
func TestSecretVendorVectors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ key, stream, txTime, want string }{
		{"e12c46f2612d5106e2034781ab261ca3", "test", "5C271099", "f85a2ab363fe4deaffef9754d79da6fe"},
		{"ngoeiq03", "test01", "5C01D608", "ce797dc6238156d548ef945e6ad1ea20"},
		{"somestring", "test", "5c2acacc", "b77e812107e1d8b8f247885a46e1bd34"},
		{"somestring", "test_900", "5c2acacc", "4beae959b16c77da6a65c7edda1dfefe"},
	} {
		if got := Secret(row.key, row.stream, row.txTime); got != row.want {
			t.Errorf("Secret(%q, %q, %q) = %s, want %s", row.key, row.stream, row.txTime, got, row.want)
		}
	}
}

func TestPlaybackURL(t *testing.T) {
	t.Parallel()
	const domain = "play.example.com"
	const rtmp, flv, hls = v1alpha1.PlaybackProtocolRTMP, v1alpha1.PlaybackProtocolFLV, v1alpha1.PlaybackProtocolHLS
	const vendorKey, signed = "e12c46f2612d5106e2034781ab261ca3", "?txSecret=f85a2ab363fe4deaffef9754d79da6fe&txTime=5C271099"
	for _, row := range []struct {
		name             string
		playback         v1alpha1.Playback
		app, stream, key string
		want             string
	}{
		{"without a domain there is none", v1alpha1.Playback{Protocol: rtmp}, "live", "test", vendorKey, ""},
		{"FLV over HTTPS when unset", v1alpha1.Playback{Domain: domain}, "live", "test", "", "https://play.example.com/live/test.flv"},
		{"FLV over HTTP", v1alpha1.Playback{Domain: domain, Protocol: flv, Scheme: v1alpha1.PlaybackSchemeHTTP}, "live", "test", "", "http://play.example.com/live/test.flv"},
		{"HLS over HTTPS", v1alpha1.Playback{Domain: domain, Protocol: hls, Scheme: v1alpha1.PlaybackSchemeHTTPS}, "live", "test", "", "https://play.example.com/live/test.m3u8"},
		{"HLS over HTTP with a port", v1alpha1.Playback{Domain: domain + ":8080", Protocol: hls, Scheme: v1alpha1.PlaybackSchemeHTTP}, "live", "test", "", "http://play.example.com:8080/live/test.m3u8"},
		{"RTMP has no suffix", v1alpha1.Playback{Domain: domain, Protocol: rtmp}, "live", "test", "", "rtmp://play.example.com/live/test"},
		{"RTMP with a port", v1alpha1.Playback{Domain: domain + ":1935", Protocol: rtmp}, "live", "test", "", "rtmp://play.example.com:1935/live/test"},
		{"RTMP has its own scheme", v1alpha1.Playback{Domain: domain, Protocol: rtmp, Scheme: v1alpha1.PlaybackSchemeHTTP}, "live", "test", "", "rtmp://play.example.com/live/test"},
		{"signed RTMP", v1alpha1.Playback{Domain: domain, Protocol: rtmp}, "live", "test", vendorKey, "rtmp://play.example.com/live/test" + signed},
		{"signed FLV signs the name without its suffix", v1alpha1.Playback{Domain: domain, Protocol: flv}, "live", "test", vendorKey, "https://play.example.com/live/test.flv" + signed},
		{"signed HLS signs the name without its suffix", v1alpha1.Playback{Domain: domain, Protocol: hls}, "live", "test", vendorKey, "https://play.example.com/live/test.m3u8" + signed},
		{"the application is not signed", v1alpha1.Playback{Domain: domain, Protocol: rtmp}, "other", "test", vendorKey, "rtmp://play.example.com/other/test" + signed},
		{"a question mark does not begin parameters", v1alpha1.Playback{Domain: domain}, "live", "a?txTime=1", "", "https://play.example.com/live/a%3FtxTime=1.flv"},
		{"a hash does not cut the path", v1alpha1.Playback{Domain: domain}, "live", "a#b", "", "https://play.example.com/live/a%23b.flv"},
		{"a percent sign is not an escape", v1alpha1.Playback{Domain: domain}, "live", "a%2Fb", "", "https://play.example.com/live/a%252Fb.flv"},
		{"quotes, blanks and shell characters are escaped", v1alpha1.Playback{Domain: domain}, "li ve", "a\"`|<>\\^{}b", "", "https://play.example.com/li%20ve/a%22%60%7C%3C%3E%5C%5E%7B%7Db.flv"},
		{"what a path may hold stays", v1alpha1.Playback{Domain: domain}, "live", "a-b_c.d~e$f&g+h,i:j;k=l@m", "", "https://play.example.com/live/a-b_c.d~e$f&g+h,i:j;k=l@m.flv"},
		{"the name is signed as it is, not as it is escaped", v1alpha1.Playback{Domain: domain}, "live", "a#b", "key", "https://play.example.com/live/a%23b.flv?txSecret=" + Secret("key", "a#b", "5C271099") + "&txTime=5C271099"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := PlaybackURL(row.playback, row.app, row.stream, row.key, time.Unix(0x5C271099, 999)); got != row.want {
				t.Errorf("PlaybackURL:\n got %s\nwant %s", got, row.want)
			}
		})
	}
}
