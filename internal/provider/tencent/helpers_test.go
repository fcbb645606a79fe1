package tencent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

const (
	testKey = "Kc4vTestCallbackKey"
	// testParam stands for the credential that every push URL holds.
	testParam = "txSecret=0123param4567&txTime=6955B900"
	testSkew  = time.Minute
)

var testNow = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // 1767225600

func checked(keys ...string) provider.Authentication {
	return provider.Authentication{Required: true, Keys: keys, Skew: testSkew, Now: testNow}
}

// field is one member of a callback; raw is its value as JSON text.
type field struct{ name, raw string }

type edit func([]field) []field

// set gives the field another value, in its place, or adds it.
func set(name, raw string) edit {
	return func(fields []field) []field {
		for i := range fields {
			if fields[i].name == name {
				fields[i].raw = raw
				return fields
			}
		}
		return append(fields, field{name, raw})
	}
}

// add puts the field at the end, even where there is one of that name.
func add(name, raw string) edit {
	return func(fields []field) []field { return append(fields, field{name, raw}) }
}

func drop(name string) edit {
	return func(fields []field) []field {
		return slices.DeleteFunc(fields, func(f field) bool { return f.name == name })
	}
}

func rename(from, to string) edit {
	return func(fields []field) []field {
		for i := range fields {
			if fields[i].name == from {
				fields[i].name = to
			}
		}
		return fields
	}
}

// started is the start of a push, signed with testKey after the edits: only what a row edits can be why it is refused. An
// edit of sign itself stands.
func started(edits ...edit) string {
	fields := []field{
		{"app", `"push.example.com"`},
		{"appid", `12345678`},
		{"appname", `"live"`},
		{"channel_id", `"show"`},
		{"errcode", `0`},
		{"errmsg", `"ok"`},
		{"event_time", `1767225590`},
		{"event_type", `1`},
		{"height", `1080`},
		{"idc_id", `34`},
		{"node", `"42.81.194.37"`},
		{"sequence", `"2210464508206756938"`},
		{"set_id", `2`},
		{"sign", ``},
		{"stream_id", `"show"`},
		{"stream_param", `"` + testParam + `"`},
		{"t", `1767226200`},
		{"user_ip", `"1.1.1.1"`},
		{"width", `1920`},
	}
	for _, e := range edits {
		fields = e(fields)
	}
	t := ""
	for _, f := range fields {
		if f.name == "t" || f.name == "T" {
			t = f.raw
			var text string
			if json.Unmarshal([]byte(f.raw), &text) == nil {
				t = text
			}
		}
	}
	members := make([]string, 0, len(fields))
	for _, f := range fields {
		if f.raw == "" {
			f.raw = `"` + Sign(testKey, t) + `"`
		}
		members = append(members, `"`+f.name+`":`+f.raw)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func interrupted(edits ...edit) string {
	return started(append([]edit{
		set("event_type", "0"), set("errcode", "12"), set("errmsg", `"network"`), set("push_duration", `"128581"`),
	}, edits...)...)
}

// startedEvent is what started() says.
func startedEvent(change func(*provider.Event)) *provider.Event {
	e := &provider.Event{
		Kind: provider.Started, Domain: "push.example.com", App: "live", Stream: "show", Sequence: "2210464508206756938",
		AppID: 12345678, Time: time.Unix(1767225590, 0).UTC(), ClientIP: "1.1.1.1", Node: "42.81.194.37",
		Region: v1alpha1.RegionMainlandChina, Width: 1920, Height: 1080,
	}
	if change != nil {
		change(e)
	}
	return e
}

// interruptedEvent is what interrupted() says.
func interruptedEvent(change func(*provider.Event)) *provider.Event {
	return startedEvent(func(e *provider.Event) {
		e.Kind, e.Duration = provider.Interrupted, new(int64(128581))
		e.ErrorCode, e.Reason, e.Message = 12, v1alpha1.PushReasonNetworkError, "network"
		if change != nil {
			change(e)
		}
	})
}

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return body
}
