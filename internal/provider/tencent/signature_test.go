package tencent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/provider"
)

func TestSignVendorVector(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ key, t, want string }{
		{"test", "1545030873", "ca3e25e5dc17a6f9909a9ae7281e300d"},
		{"test", "1622600525", "57d158ed72263fdc06f71a4a3785eb3f"},
		{"test", "1754623810", "9e4bb18a54739577700a0d256b76c0ec"},
	} {
		if got := Sign(row.key, row.t); got != row.want {
			t.Errorf("Sign(%q, %q) = %s, want %s", row.key, row.t, got, row.want)
		}
	}
}

func TestVendorSampleIsVerifiedUntilItsTime(t *testing.T) {
	t.Parallel()
	body := fixture(t, "push-start-2018.json")
	const expiry = 1545030873
	for _, row := range []struct {
		name string
		now  time.Time
		key  string
		want error
	}{
		{"ten minutes before t it is accepted", time.Unix(expiry-600, 0), "test", nil},
		{"at t it is accepted", time.Unix(expiry, 0), "test", nil},
		{"after t and the skew it is expired", time.Unix(expiry, 0).Add(testSkew + time.Second), "test", provider.ErrExpired},
		{"at its own event_time, which is a day after t, it is expired", time.Unix(1545115790, 0), "test", provider.ErrExpired},
		{"with another key it is unauthenticated", time.Unix(expiry-600, 0), "Test", provider.ErrUnauthenticated},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			auth := provider.Authentication{Required: true, Keys: []string{row.key}, Skew: testSkew, Now: row.now}
			callback, err := Parser{}.Parse(body, auth)
			if !errors.Is(err, row.want) {
				t.Fatalf("Parse: %v, want %v", err, row.want)
			}
			if (callback.Event != nil) != (row.want == nil) {
				t.Errorf("Parse returned the event %v with the error %v", callback.Event, err)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	const second, third, fourth = "SecondKey0002", "ThirdKey00003", "FourthKey0004"
	sign := Sign(testKey, "1767226200")
	for _, row := range []struct {
		name string
		keys []string
		body string
		want error
	}{
		{"the only key matches", []string{testKey}, started(), nil},
		{"the first of four matches", []string{testKey, second, third, fourth}, started(), nil},
		{"the second of four matches", []string{second, testKey, third, fourth}, started(), nil},
		{"the third of four matches", []string{second, third, testKey, fourth}, started(), nil},
		{"the last of four matches", []string{second, third, fourth, testKey}, started(), nil},
		{"one key listed twice matches", []string{testKey, testKey}, started(), nil},
		{"an empty key beside the right one does no harm", []string{"", testKey, ""}, started(), nil},
		{"none of four matches", []string{second, third, fourth, "Fifth"}, started(), provider.ErrUnauthenticated},
		{"no keys at all never match", nil, started(), provider.ErrUnauthenticated},
		{"an empty key never matches, not even its own signature", []string{""}, started(set("sign", `"`+Sign("", "1767226200")+`"`)), provider.ErrUnauthenticated},
		{"a key that differs in case does not match", []string{strings.ToLower(testKey)}, started(), provider.ErrUnauthenticated},
		{"a key with white space around it is another key", []string{testKey + " "}, started(), provider.ErrUnauthenticated},
		{"an upper-case signature is accepted", []string{testKey}, started(set("sign", `"`+strings.ToUpper(sign)+`"`)), nil},
		{"a mixed-case signature is accepted", []string{testKey}, started(set("sign", `"`+strings.ToUpper(sign[:9])+sign[9:]+`"`)), nil},
		{"a signature of another t does not match", []string{testKey}, started(set("sign", `"`+Sign(testKey, "1767226201")+`"`)), provider.ErrUnauthenticated},
		{"the digits of t are signed as they are written", []string{testKey}, started(set("t", `"01767226200"`)), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if _, err := (Parser{}).Parse([]byte(row.body), checked(row.keys...)); !errors.Is(err, row.want) {
				t.Errorf("Parse: %v, want %v", err, row.want)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	now := testNow.Unix()
	for _, row := range []struct {
		name string
		t    int64
		skew time.Duration
		part time.Duration
		want error
	}{
		{"t now is accepted", now, testSkew, 0, nil},
		{"t past by the skew exactly is accepted", now - 60, testSkew, 0, nil},
		{"t past by the skew and a part of a second is accepted", now - 60, testSkew, 999 * time.Millisecond, nil},
		{"t past by the skew and one second is expired", now - 61, testSkew, 0, provider.ErrExpired},
		{"without a skew t now is accepted", now, 0, 0, nil},
		{"without a skew t past by one second is expired", now - 1, 0, 0, provider.ErrExpired},
		{"t ahead by ten minutes and the skew exactly is accepted", now + 660, testSkew, 0, nil},
		{"t ahead by ten minutes, the skew and one second is refused", now + 661, testSkew, 0, provider.ErrExpired},
		{"without a skew t ahead by ten minutes is accepted", now + 600, 0, 0, nil},
		{"without a skew t ahead by ten minutes and one second is refused", now + 601, 0, 0, provider.ErrExpired},
		{"t in milliseconds is refused", now * 1000, testSkew, 0, provider.ErrExpired},
		{"t zero is expired", 0, testSkew, 0, provider.ErrExpired},
		{"the largest t is refused", 1<<63 - 1, testSkew, 0, provider.ErrExpired},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			auth := provider.Authentication{Required: true, Keys: []string{testKey}, Skew: row.skew, Now: testNow.Add(row.part)}
			for _, form := range []string{`%d`, `"%d"`} {
				body := started(set("t", fmt.Sprintf(form, row.t)))
				if _, err := (Parser{}).Parse([]byte(body), auth); !errors.Is(err, row.want) {
					t.Errorf("Parse with t in the form %s: %v, want %v", form, err, row.want)
				}
			}
		})
	}
}

func TestSignaturesSwitchedOff(t *testing.T) {
	t.Parallel()
	off := provider.Authentication{Now: testNow}
	for name, body := range map[string]string{
		"unsigned":                   started(drop("sign"), drop("t")),
		"signed with another key":    started(set("sign", `"00000000000000000000000000000000"`)),
		"out of date":                started(set("t", "1")),
		"with a t that is no number": started(set("t", `"soon"`)),
	} {
		callback, err := Parser{}.Parse([]byte(body), off)
		if err != nil || callback.Event == nil {
			t.Errorf("a callback %s: event %v, error %v; nothing of it should be checked", name, callback.Event, err)
		}
	}
}

// The push is over, whatever is said about why: an interruption that is refused is lost.
func TestAnInterruptionWithDetailsThatMakeNoSenseStillEndsItsPush(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]edit{
		"errcode as words":          set("errcode", `"lost"`),
		"errcode beyond 32 bits":    set("errcode", "4294967296"),
		"errcode as an object":      set("errcode", "{}"),
		"push_duration negative":    set("push_duration", `"-1"`),
		"push_duration as words":    set("push_duration", `"long"`),
		"push_duration for ever":    set("push_duration", "9223372036854775807"),
		"errmsg as a number":        set("errmsg", "7"),
		"errmsg with line breaks":   set("errmsg", `"a\nb"`),
		"a node that is no address": set("node", `"ingest-7"`),
	} {
		callback, err := Parser{}.Parse([]byte(interrupted(change)), provider.Authentication{Now: testNow})
		if err != nil || callback.Event == nil || callback.Event.Kind != provider.Interrupted || callback.Event.Reason == "" {
			t.Errorf("%s: event %+v, error %v", name, callback.Event, err)
		}
	}
}
