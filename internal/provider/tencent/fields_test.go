package tencent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

func TestFieldsOfEvents(t *testing.T) {
	t.Parallel()
	type event = provider.Event
	long := strings.Repeat("a", 255)
	rows := []struct {
		name string
		body string
		want *provider.Event
	}{
		{"a start says who, where, when and what", started(), startedEvent(nil)},
		{"an interruption says how long and why as well", interrupted(), interruptedEvent(nil)},
		{"a start has no error code, even if it carries one", started(set("errcode", "12"), set("errmsg", `"Maybe Error return Data no record!"`)), startedEvent(nil)},
		{"a start has no duration, even if it carries one", started(set("push_duration", `"1"`)), startedEvent(nil)},
		{"what an interruption alone needs is not looked at in a start", started(set("errcode", `"x"`), set("push_duration", `{}`)), startedEvent(nil)},

		{"numbers may be strings", interrupted(set("event_type", `"0"`), set("appid", `"12345678"`), set("event_time", `"1767225590"`), set("errcode", `"12"`), set("width", `"1920"`), set("height", `"1080"`), set("set_id", `"2"`), set("t", `"1767226200"`)), interruptedEvent(nil)},
		{"numbers in strings may have white space around them", started(set("event_type", `" 1\n"`), set("event_time", `" 1767225590 "`)), startedEvent(nil)},
		{"push_duration may be a number", interrupted(set("push_duration", "128581")), interruptedEvent(nil)},
		{"a push_duration of zero is known", interrupted(set("push_duration", `"0"`)), interruptedEvent(func(e *event) { e.Duration = new(int64(0)) })},
		{"the longest push_duration is taken", interrupted(set("push_duration", "9223372036854")), interruptedEvent(func(e *event) { e.Duration = new(int64(9223372036854)) })},
		{"a missing push_duration is unknown", interrupted(drop("push_duration")), interruptedEvent(func(e *event) { e.Duration = nil })},
		{"an empty push_duration is unknown", interrupted(set("push_duration", `""`)), interruptedEvent(func(e *event) { e.Duration = nil })},
		{"a null push_duration is unknown", interrupted(set("push_duration", `null`)), interruptedEvent(func(e *event) { e.Duration = nil })},
		{"a sequence that is a number beyond 2^53 keeps its digits", started(set("sequence", "9007199254740993")), startedEvent(func(e *event) { e.Sequence = "9007199254740993" })},
		{"a sequence that is a number beyond 2^64 keeps its digits", started(set("sequence", "184467440737095516170")), startedEvent(func(e *event) { e.Sequence = "184467440737095516170" })},
		{"a sequence keeps its leading zeros", started(set("sequence", `"000000000000000000"`)), startedEvent(func(e *event) { e.Sequence = "000000000000000000" })},
		{"a sequence need not be a number", started(set("sequence", `"9f/x-1"`)), startedEvent(func(e *event) { e.Sequence = "9f/x-1" })},
		{"a sequence may have 64 bytes", started(set("sequence", `"`+long[:64]+`"`)), startedEvent(func(e *event) { e.Sequence = long[:64] })},
		{"a stream name that is a number is its digits", started(set("stream_id", "10888")), startedEvent(func(e *event) { e.Stream = "10888" })},

		{"names may have 255 bytes", started(set("app", `"`+long+`"`), set("appname", `"`+long+`"`), set("stream_id", `"`+long+`"`)), startedEvent(func(e *event) { e.Domain, e.App, e.Stream = long, long, long })},
		{"a leading blank of the stream's name stays", started(set("stream_id", `" show"`)), startedEvent(func(e *event) { e.Stream = " show" })},
		{"names keep their case", started(set("app", `"Push.Example.COM"`), set("stream_id", `"Show"`)), startedEvent(func(e *event) { e.Domain, e.Stream = "Push.Example.COM", "Show" })},
		{"escapes in names are read", started(set("stream_id", `"\u0073how\u002d1"`)), startedEvent(func(e *event) { e.Stream = "show-1" })},
		{"channel_id names nothing", started(set("channel_id", `"3954_ea88"`)), startedEvent(nil)},
		{"a callback without channel_id, errcode, errmsg and stream_param is complete", started(drop("channel_id"), drop("errcode"), drop("errmsg"), drop("stream_param")), startedEvent(nil)},
		{"fields that nobody knows are ignored, whatever they hold", started(add("extra", `{"sign":1,"sign":2,"deep":[[[null]]]}`), add("idc_id2", `[]`)), startedEvent(nil)},
		{"fields that differ in case only are others", started(add("STREAM_ID", `"other"`), add("Event_Type", `0`), add("SIGN", `"x"`)), startedEvent(nil)},
		{"white space around the body is ignored", " \r\n\t" + started() + "\n", startedEvent(nil)},

		{"a missing appid is unknown", started(drop("appid")), startedEvent(func(e *event) { e.AppID = 0 })},
		{"the largest appid is taken", started(set("appid", "9223372036854775807")), startedEvent(func(e *event) { e.AppID = 1<<63 - 1 })},
		{"an event_time a day ahead is taken", started(set("event_time", "1767312000")), startedEvent(func(e *event) { e.Time = testNow.Add(24 * time.Hour) })},
		{"the first event_time is taken, since retries have no bound of age", started(set("event_time", "1")), startedEvent(func(e *event) { e.Time = time.Unix(1, 0).UTC() })},

		{"no address is better than a wrong one", started(set("user_ip", `"$(reboot)"`), set("node", `"example.com"`)), startedEvent(func(e *event) { e.ClientIP, e.Node = "", "" })},
		{"an address with a port is none", started(set("user_ip", `"1.1.1.1:1935"`)), startedEvent(func(e *event) { e.ClientIP = "" })},
		{"an address with a zone is none", started(set("user_ip", `"fe80::1%eth0"`)), startedEvent(func(e *event) { e.ClientIP = "" })},
		{"an address of another type is none", started(set("user_ip", `{"ip":"1.1.1.1"}`)), startedEvent(func(e *event) { e.ClientIP = "" })},
		{"IPv6 addresses have their short form", started(set("user_ip", `" 2001:DB8:0:0::1 "`)), startedEvent(func(e *event) { e.ClientIP = "2001:db8::1" })},

		{"set_id 1 is mainland China", started(set("set_id", "1")), startedEvent(nil)},
		{"set_id 6 is mainland China", started(set("set_id", "6")), startedEvent(nil)},
		{"set_id 7 is global", started(set("set_id", "7")), startedEvent(func(e *event) { e.Region = v1alpha1.RegionGlobal })},
		{"set_id 200 is global", started(set("set_id", "200")), startedEvent(func(e *event) { e.Region = v1alpha1.RegionGlobal })},
		{"set_id 0 is unknown", started(set("set_id", "0")), startedEvent(func(e *event) { e.Region = "" })},
		{"set_id 201 is unknown", started(set("set_id", "201")), startedEvent(func(e *event) { e.Region = "" })},
		{"a missing set_id is unknown", started(drop("set_id")), startedEvent(func(e *event) { e.Region = "" })},
		{"a set_id that is no number is unknown", started(set("set_id", `"cn"`)), startedEvent(func(e *event) { e.Region = "" })},

		{"a size that has not arrived is unknown", started(set("width", "0"), set("height", "0")), startedEvent(func(e *event) { e.Width, e.Height = 0, 0 })},
		{"a missing size is unknown", started(drop("width"), drop("height")), startedEvent(func(e *event) { e.Width, e.Height = 0, 0 })},
		{"a size that makes no sense is unknown", started(set("width", "-1"), set("height", "65536")), startedEvent(func(e *event) { e.Width, e.Height = 0, 0 })},
		{"a size of another type is unknown", started(set("width", "[1920]"), set("height", "1e400")), startedEvent(func(e *event) { e.Width, e.Height = 0, 0 })},
		{"the largest size is taken", started(set("width", "65535")), startedEvent(func(e *event) { e.Width = 65535 })},

		{"a missing errcode is an unknown error", interrupted(drop("errcode")), interruptedEvent(func(e *event) { e.ErrorCode, e.Reason = 0, v1alpha1.PushReasonUnknownError })},
		{"a negative errcode is an unknown error", interrupted(set("errcode", "-2147483648")), interruptedEvent(func(e *event) { e.ErrorCode, e.Reason = -1<<31, v1alpha1.PushReasonUnknownError })},
		{"a missing errmsg is empty", interrupted(drop("errmsg")), interruptedEvent(func(e *event) { e.Message = "" })},
		{"an errmsg of another type is empty", interrupted(set("errmsg", `["x"]`)), interruptedEvent(func(e *event) { e.Message = "" })},
		{"an errmsg that is a number is its digits", interrupted(set("errmsg", `404`)), interruptedEvent(func(e *event) { e.Message = "404" })},
		{"an errmsg is made printable", interrupted(set("errmsg", `" a\u0000\n\u001b[31mb\u200b "`)), interruptedEvent(func(e *event) { e.Message = "a   [31mb" })},
		{"an errmsg in Chinese stays", interrupted(set("errmsg", `"推流端主动断流"`)), interruptedEvent(func(e *event) { e.Message = "推流端主动断流" })},
		{"a long errmsg is cut between characters", interrupted(set("errmsg", `"a`+strings.Repeat("é", 200)+`"`)), interruptedEvent(func(e *event) { e.Message = "a" + strings.Repeat("é", 127) })},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parser{}.Parse([]byte(row.body), checked(testKey))
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(provider.Callback{Event: row.want, Kind: row.want.Kind.String()}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The vendor's table of interruption records, document 31083, in its order.
func TestReasons(t *testing.T) {
	t.Parallel()
	const (
		client       = v1alpha1.PushReasonClientStopped
		disconnected = v1alpha1.PushReasonClientDisconnected
		network      = v1alpha1.PushReasonNetworkError
		platform     = v1alpha1.PushReasonPlatformError
		protocol     = v1alpha1.PushReasonProtocolError
		idle         = v1alpha1.PushReasonIdleTimeout
		operator     = v1alpha1.PushReasonByOperator
		refused      = v1alpha1.PushReasonRefused
		unknown      = v1alpha1.PushReasonUnknownError
	)
	want := []v1alpha1.PushReason{
		0: unknown, 1: client, 2: client, 3: disconnected, 4: disconnected, 5: platform, 6: protocol, 7: protocol, 8: idle, 9: platform,
		10: platform, 11: platform, 12: network, 13: network, 14: network, 15: network, 16: network, 17: network, 18: refused, 19: refused,
		20: idle, 21: operator, 22: unknown, 23: protocol, 24: platform, 25: unknown, 26: unknown, 27: unknown, 28: unknown, 29: unknown,
		30: unknown, 31: unknown, 32: unknown, 33: protocol, 34: unknown, 35: client, 36: unknown, 37: platform, 38: platform, 39: protocol,
		40: unknown,
	}
	for code, reason := range want {
		body := interrupted(set("errcode", fmt.Sprint(code)))
		callback, err := Parser{}.Parse([]byte(body), checked(testKey))
		if err != nil {
			t.Fatalf("errcode %d: %v", code, err)
		}
		if callback.Event.Reason != reason || callback.Event.ErrorCode != int32(code) {
			t.Errorf("errcode %d: code %d, reason %s; want %s", code, callback.Event.ErrorCode, callback.Event.Reason, reason)
		}
	}
	for _, code := range []int32{-1, 41, 100, 1 << 30, -1 << 31, 1<<31 - 1} {
		if got := ReasonOf(code); got != unknown {
			t.Errorf("ReasonOf(%d) = %s, want %s", code, got, unknown)
		}
	}
}
