package tencent

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		f.Add(fixture(f, filepath.Base(file)))
	}
	f.Add([]byte(started()))
	f.Add([]byte(interrupted()))
	for _, rows := range [][]refusal{badBodies(), badSignatures()} {
		for _, row := range rows {
			if len(row.body) < 4096 {
				f.Add([]byte(row.body))
			}
		}
	}
	// At these times the vendor's sample and ours are both valid.
	times := []time.Time{testNow, time.Unix(1545030273, 0)}
	keys := []string{"", testKey, "test"}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, now := range times {
			for _, required := range []bool{false, true} {
				callback, err := Parser{}.Parse(body, provider.Authentication{Required: required, Keys: keys, Skew: testSkew, Now: now})
				checkAnswer(t, callback, err)
				if callback.Event == nil {
					continue
				}
				checkEvent(t, *callback.Event, now)
				if required && !signed(body) {
					t.Fatalf("an unsigned push was accepted: %q", body)
				}
			}
		}
	})
}

func checkAnswer(t *testing.T, callback provider.Callback, err error) {
	t.Helper()
	if err == nil {
		if callback.Kind == "" || callback.Event != nil && callback.Kind != callback.Event.Kind.String() {
			t.Fatalf("accepted as the kind %q with the event %v", callback.Kind, callback.Event)
		}
		return
	}
	if callback != (provider.Callback{}) {
		t.Fatalf("refused (%v) and yet says %v", err, callback)
	}
	known := 0
	for _, sentinel := range []error{provider.ErrMalformed, provider.ErrUnauthenticated, provider.ErrExpired} {
		if errors.Is(err, sentinel) {
			known++
		}
	}
	if known != 1 || len(err.Error()) > 512 || strings.Contains(err.Error(), testKey) {
		t.Fatalf("an error that is not exactly one of the three, too long, or tells a key: %v", err)
	}
}

func checkEvent(t *testing.T, e provider.Event, now time.Time) {
	t.Helper()
	for text, longest := range map[*string]int{&e.Domain: 255, &e.App: 255, &e.Stream: 255, &e.Sequence: 64} {
		if *text == "" || len(*text) > longest || !utf8.ValidString(*text) || strings.ContainsFunc(*text, unicode.IsControl) {
			t.Fatalf("an identity that is empty, too long or not printable: %+v", e)
		}
	}
	if len(e.Message) > 256 || !utf8.ValidString(e.Message) || strings.ContainsFunc(e.Message, unicode.IsControl) {
		t.Fatalf("a message that is too long or not printable: %q", e.Message)
	}
	if e.Time.Unix() < 1 || e.Time.After(now.Add(24*time.Hour)) {
		t.Fatalf("a time out of bounds: %v", e.Time)
	}
	if e.Width < 0 || e.Height < 0 || e.AppID < 0 || e.Duration != nil && *e.Duration < 0 {
		t.Fatalf("a negative number: %+v", e)
	}
	for _, address := range []string{e.ClientIP, e.Node} {
		if _, err := netip.ParseAddr(address); address != "" && err != nil {
			t.Fatalf("an address that is none: %v", err)
		}
	}
	switch e.Kind {
	case provider.Interrupted:
		if e.Reason == "" {
			t.Fatalf("an interruption without a reason: %+v", e)
		}
	case provider.Started:
		if e.Duration != nil || e.ErrorCode != 0 || e.Reason != "" || e.Message != "" {
			t.Fatalf("a start that ended: %+v", e)
		}
	default:
		t.Fatalf("an event of no kind: %+v", e)
	}
}

// signed says by other means than Parse whether one of the keys signed the body.
func signed(body []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return false
	}
	var sign, t string
	if json.Unmarshal(members["sign"], &sign) != nil {
		sign = string(members["sign"])
	}
	if json.Unmarshal(members["t"], &t) != nil {
		t = string(members["t"])
	}
	for _, key := range []string{testKey, "test"} {
		if sum := md5.Sum([]byte(key + t)); strings.EqualFold(sign, hex.EncodeToString(sum[:])) {
			return true
		}
	}
	return false
}

// Whatever a stream is called, its URL leads to the playback domain, holds the name and nothing but the two parameters.
func FuzzPlaybackURL(f *testing.F) {
	for _, name := range []string{"show", "a?b", "a#b", "a%2Fb", "@evil.example.com", ":80", "$(LIVESTREAM_NAME)", "é", "..", "a&txTime=0"} {
		f.Add("live", name)
	}
	f.Fuzz(func(t *testing.T, app, stream string) {
		if app == "" || stream == "" || strings.ContainsAny(app+stream, "/?") || !utf8.ValidString(app+stream) {
			t.Skip("no name of a LiveStream")
		}
		text := PlaybackURL(v1alpha1.Playback{Domain: "play.example.com:8443"}, app, stream, "key", testNow)
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]any{"host": u.Host, "user": u.User.String(), "path": u.Path, "fragment": u.Fragment, "query": u.Query()}
		want := map[string]any{"host": "play.example.com:8443", "user": "", "path": "/" + app + "/" + stream + ".flv", "fragment": "", "query": url.Values{
			"txSecret": {Secret("key", stream, "6955B900")}, "txTime": {"6955B900"},
		}}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	})
}
