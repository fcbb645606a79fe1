package recording

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzConfig: whatever is read is read again as it is written.
func FuzzConfig(f *testing.F) {
	f.Add(`{"playback":{"domain":"play.example.com","protocol":"FLV"},"app":"live","stream":"show","broadcast":"b","started":"2026-01-02T20:00:00Z","job":1,"format":"FMP4","segmentSeconds":2,"storage":{"bucket":"b"}}`)
	f.Add(`{"transcoding":{"renditions":[{"name":"720p"}],"push":{"scheme":"rtmp"}}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			// A year beyond 9999 has no form in JSON.
			t.Skip(err)
		}
		if back, err := ParseConfig(string(again)); err != nil || !reflect.DeepEqual(c, back) {
			t.Errorf("%s is read back as %+v, %v", again, back, err)
		}
	})
}

// FuzzResult: what a container says at its end is in the status as it is, so it has to fit there.
func FuzzResult(f *testing.F) {
	f.Add(`{"ready":true,"uri":"s3://a/b","sha256":"` + strings.Repeat("0", 64) + `","sizeBytes":1,"durationMilliseconds":1,"gaps":1,"gapMilliseconds":1}`)
	f.Add(`{"message":"no\nroute"}`)
	f.Add(`{"nothing":true}`)
	f.Add(`{"ready":true,"gaps":4294967296,"sizeBytes":-1}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, said := ParseResult(text)
		if !said {
			return
		}
		if !fitsStatus(r) {
			t.Errorf("%+v does not fit the status", r)
		}
	})
}

func fitsStatus(r Result) bool {
	return len(r.URI) <= 2048 && isPrintable(r.URI) && (r.SHA256 == "" || len(r.SHA256) == 64) && r.SizeBytes >= 0 && r.DurationMilliseconds >= 0 &&
		r.Gaps >= 0 && int(int32(r.Gaps)) == r.Gaps && r.GapMilliseconds >= 0 && utf8.RuneCountInString(r.Message) <= 1024 && isPrintable(r.Message)
}

func isPrintable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// FuzzProgress: so has what a worker says meanwhile.
func FuzzProgress(f *testing.F) {
	f.Add(`{"mediaSeconds":725.4,"kbps":2412.4,"storedBytes":218300000,"secondsSinceMedia":12,"speed":0.5}`)
	f.Add(`{"mediaSeconds":1e308,"kbps":1e308,"fps":1e308,"speed":1e308,"secondsSinceMedia":1e308,"storeFails":true,"storedBytes":9223372036854775807,"droppedFrames":9223372036854775807}`)
	f.Add(`{"mediaSeconds":-1e308,"speed":1e-308,"droppedFrames":-9223372036854775808}`)
	f.Fuzz(func(t *testing.T, text string) {
		var p Progress
		if json.Unmarshal([]byte(text), &p) != nil {
			return
		}
		if said := p.Sentence(); len(said) > 512 || !isPrintable(said) || strings.Contains(said, "-") {
			t.Errorf("%+v is %q", p, said)
		}
	})
}

// FuzzPart: a key is of a part only where the part's name is that key again.
func FuzzPart(f *testing.F) {
	f.Add("a/parts/0001-0000001-r00001-t1767384000000-d2000-s7-0a1b2c3d.ts")
	f.Add("0001-0000001-r00001-t1767384000000-d2000.ts")
	f.Add("9999-9999999-r99999-t9999999999999-d999999999-s18446744073709551615-ffffffff.ts")
	f.Fuzz(func(t *testing.T, key string) {
		p, is := ParsePart(key)
		if !is {
			return
		}
		again, is := ParsePart(p.Name())
		if !is || !reflect.DeepEqual(p, again) {
			t.Errorf("%q is %+v, whose name %q is %+v", key, p, p.Name(), again)
		}
		if p.Job < 0 || p.Number < 0 || p.Run < 0 || p.Duration < 0 || p.Start.Unix() < 0 {
			t.Errorf("%+v", p)
		}
	})
}
