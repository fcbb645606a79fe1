package tencent

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
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
		if strings.EqualFold(sign, md5Hex(key+t)) {
			return true
		}
	}
	return false
}

// md5Hex is what the vendor signs by, written down here once more: what is tested must not be asked what is right.
func md5Hex(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Whatever a stream is called, its URL leads to the playback domain, holds the name and nothing but the two parameters: the expiry in
// hexadecimal, and the MD5 of key, stream and that, as document 31059 has it.
func FuzzPlaybackURL(f *testing.F) {
	for _, name := range []string{"show", "a?b", "a#b", "a%2Fb", "@evil.example.com", ":80", "$(LIVESTREAM_NAME)", "é", "..", "a&txTime=0"} {
		f.Add("live", name, "key", uint32(testNow.Unix()))
	}
	f.Add("live", "show", "", uint32(0))
	f.Add("live", "show", "k\x00&é", uint32(0xabcdef))
	f.Fuzz(func(t *testing.T, app, stream, key string, expiry uint32) {
		if app == "" || stream == "" || strings.ContainsAny(app+stream, "/?") || !utf8.ValidString(app+stream) {
			t.Skip("no name of a LiveStream")
		}
		text := PlaybackURL(v1alpha1.Playback{Domain: "play.example.com:8443"}, app, stream, key, time.Unix(int64(expiry), 0))
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		query := url.Values{}
		if key != "" {
			txTime := strings.ToUpper(strconv.FormatUint(uint64(expiry), 16))
			query = url.Values{"txSecret": {md5Hex(key + stream + txTime)}, "txTime": {txTime}}
		}
		got := map[string]any{"host": u.Host, "user": u.User.String(), "path": u.Path, "fragment": u.Fragment, "query": u.Query()}
		want := map[string]any{"host": "play.example.com:8443", "user": "", "path": "/" + app + "/" + stream + ".flv", "fragment": "", "query": query}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	})
}

// FuzzSignatureAndTime: a callback passes if and only if a key that is not empty made its sign of its t as it is written, and the t is
// a number within its ten minutes, give or take the skew. The model is arithmetic; it knows nothing of how a body is read.
func FuzzSignatureAndTime(f *testing.F) {
	now := testNow.Unix()
	for _, text := range []string{"1767226200", "0", "-1", "+1767226200", "01767226200", "1767226200.0", "1e9", "", " 1767226200", "9223372036854775807", "99999999999999999999", "\u0661\u0667"} {
		f.Add(text, "", uint8(60))
		f.Add(text, md5Hex(text), uint8(0))
		f.Add(text, strings.ToUpper(md5Hex(testKey+text)), uint8(0))
	}
	f.Fuzz(func(t *testing.T, text, sign string, skew uint8) {
		if !utf8.ValidString(text) || !utf8.ValidString(sign) {
			t.Skip("no JSON")
		}
		if sign == "" {
			sign = md5Hex(testKey + text)
		}
		quoted := func(s string) string {
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		body := started(set("t", quoted(text)), set("sign", quoted(sign)))
		auth := provider.Authentication{Required: true, Keys: []string{"", testKey}, Skew: time.Duration(skew) * time.Second, Now: testNow}
		callback, err := Parser{}.Parse([]byte(body), auth)
		at, digits := new(big.Int).SetString(text, 10)
		digits = digits && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		within := digits && at.Cmp(big.NewInt(now-int64(skew))) >= 0 && at.Cmp(big.NewInt(now+600+int64(skew))) <= 0
		want := strings.EqualFold(sign, md5Hex(testKey+text)) && within
		if (err == nil) != want || (callback.Event != nil) != want {
			t.Errorf("t %q with sign %q and %d s is answered with %v, want it taken: %t", text, sign, skew, err, want)
		}
	})
}
