package tencent

import (
	"errors"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/provider"
)

type refusal struct {
	name string
	body string
	want error
	// says is the part of the message that tells what to do.
	says string
}

func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := (Parser{}).Parse([]byte(started()), checked(testKey)); err != nil {
		t.Fatalf("what every row breaks is refused as it is: %v", err)
	}
	for _, rows := range [][]refusal{badBodies(), badSignatures(), badIdentities(), badNumbers()} {
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				callback, err := Parser{}.Parse([]byte(row.body), checked("OtherKey99", testKey))
				if !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.says) {
					t.Fatalf("Parse: %v\nwant %v with %q", err, row.want, row.says)
				}
				if diff := gocmp.Diff(provider.Callback{}, callback); diff != "" {
					t.Errorf("a refused callback says something: %s", diff)
				}
				for _, secret := range []string{testKey, "OtherKey99", Sign(testKey, "1767226200"), "0123param4567", "txSecret", "Sekr1t"} {
					if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(secret)) {
						t.Errorf("the message tells the secret %q: %v", secret, err)
					}
				}
			})
		}
	}
}

func badBodies() []refusal {
	const notObject, notJSON = "the body is not a JSON object; send the callback as CSS does, in JSON and not as a form", "the body is not valid JSON; send one JSON object and nothing after it"
	bad := provider.ErrMalformed
	whole := started()
	return []refusal{
		{"an empty body", "", bad, "the body is empty; send the callback as a JSON object"},
		{"nothing but white space", " \r\n\t ", bad, "the body is empty"},
		{"a form", "event_type=1&sign=Sekr1t&stream_param=" + testParam, bad, notObject},
		{"a byte order mark", "\ufeff" + whole, bad, notObject},
		{"an array of callbacks", "[" + whole + "]", bad, notObject},
		{"a string", `"Sekr1t"`, bad, notObject},
		{"a number", "1", bad, notObject},
		{"null", "null", bad, notObject},
		{"true", "true", bad, notObject},
		{"a NUL before the body", "\x00" + whole, bad, notObject},
		{"invalid UTF-8 in a name", strings.Replace(whole, "show", "sh\xffow", 1), bad, "the body is not UTF-8; send JSON in UTF-8"},
		{"half of a UTF-8 character", strings.Replace(whole, "show", "sh\xe6\x8eow", 1), bad, "not UTF-8"},
		{"UTF-16", "{\x00\"\x00a\x00\"\x00:\x001\x00}\x00", bad, notJSON},
		{"a body that breaks off", whole[:len(whole)-1], bad, notJSON},
		{"a body that breaks off in a string", whole[:len(whole)/2], bad, notJSON},
		{"two callbacks in one body", whole + whole, bad, notJSON},
		{"text after the callback", whole + "Sekr1t", bad, notJSON},
		{"a NUL after the callback", whole + "\x00", bad, notJSON},
		{"a comma too many", strings.TrimSuffix(whole, "}") + ",}", bad, notJSON},
		{"a comment", strings.Replace(whole, "{", "{/* Sekr1t */", 1), bad, notJSON},
		{"single quotes", "{'event_type':1}", bad, notJSON},
		{"names without quotes", "{event_type:1}", bad, notJSON},
		{"NaN", started(set("event_time", "NaN")), bad, notJSON},
		{"Infinity", started(set("event_time", "Infinity")), bad, notJSON},
		{"a number with a leading zero", started(set("event_time", "01767225590")), bad, notJSON},
		{"a number with a plus", started(set("t", "+1767226200")), bad, notJSON},
		{"a line break as it is in a string", started(set("stream_id", "\"sh\now\"")), bad, notJSON},
		{"a NUL as it is in a string", started(set("stream_id", "\"sh\x00ow\"")), bad, notJSON},
		{"an escape that JSON does not have", started(set("stream_id", `"sh\xow"`)), bad, notJSON},
		{"nesting without end", strings.Repeat(`{"a":`, 20000), bad, notJSON},
		{"nesting deeper than any decoder goes", started(add("x", strings.Repeat("[", 20000)+strings.Repeat("]", 20000))), bad, notJSON},
		{"event_type twice", started(add("event_type", "0")), bad, "a field appears twice; send every field once"},
		{"sign twice", started(add("sign", `"Sekr1t"`)), bad, "a field appears twice"},
		{"stream_id twice with one value", started(add("stream_id", `"show"`)), bad, "a field appears twice"},
		{"sequence twice, once escaped", started(add(`s\u0065quence`, `"2"`)), bad, "a field appears twice"},
		{"an unknown field twice", started(add("x", "1"), add("x", "2")), bad, "a field appears twice"},
	}
}

func badSignatures() []refusal {
	const noSign, noT = "sign is missing; set the callback key in the CSS callback template", "t is missing; set the callback key in the CSS callback template"
	const noDigits, noKey = "t must be the expiry in Unix seconds, in digits", "put the key of the CSS callback template into the Secret that spec.callback.keySecretRefs names"
	bad := provider.ErrUnauthenticated
	sign := Sign(testKey, "1767226200")
	return []refusal{
		{"an empty object", `{}`, bad, noSign},
		{"no sign", started(drop("sign")), bad, noSign},
		{"no sign on an interruption", interrupted(drop("sign"), drop("t")), bad, noSign},
		{"no sign and no event_type", started(drop("sign"), drop("event_type")), bad, noSign},
		{"no sign and an event_type that is no number", started(drop("sign"), set("event_type", `"x"`)), bad, noSign},
		{"a null sign", started(set("sign", "null")), bad, noSign},
		{"an empty sign", started(set("sign", `""`)), bad, noSign},
		{"a sign that is an object", started(set("sign", `{"sign":"Sekr1t"}`)), bad, noSign},
		{"a sign that is an array", started(set("sign", `["`+sign+`"]`)), bad, noSign},
		{"a sign that is true", started(set("sign", "true")), bad, noSign},
		{"Sign instead of sign", started(rename("sign", "Sign")), bad, noSign},
		{"SIGN instead of sign", started(rename("sign", "SIGN")), bad, noSign},
		{"a sign that is a number", started(set("sign", "12345678901234567890123456789012")), bad, noKey},
		{"a sign of another key", started(set("sign", `"`+Sign("Sekr1t", "1767226200")+`"`)), bad, noKey},
		{"a sign one digit short", started(set("sign", `"`+sign[:31]+`"`)), bad, noKey},
		{"a sign one digit long", started(set("sign", `"`+sign+`0"`)), bad, noKey},
		{"a sign with white space", started(set("sign", `" `+sign+`"`)), bad, noKey},
		{"the key itself for a sign", started(set("sign", `"`+testKey+`"`)), bad, noKey},
		{"no t", started(drop("t")), bad, noT},
		{"a null t", started(set("t", "null")), bad, noT},
		{"an empty t", started(set("t", `""`)), bad, noT},
		{"a t that is an object", started(set("t", `{}`)), bad, noT},
		{"a t that is an array", started(set("t", `[1767226200]`)), bad, noT},
		{"a t that is true", started(set("t", `true`)), bad, noT},
		{"T instead of t", started(rename("t", "T")), bad, noT},
		{"a negative t", started(set("t", "-1767226200")), bad, noDigits},
		{"a t of minus zero", started(set("t", "-0")), bad, noDigits},
		{"a t with a plus", started(set("t", `"+1767226200"`)), bad, noDigits},
		{"a t with a space before", started(set("t", `" 1767226200"`)), bad, noDigits},
		{"a t with a space after", started(set("t", `"1767226200 "`)), bad, noDigits},
		{"a t with a fraction", started(set("t", "1767226200.0")), bad, noDigits},
		{"a t with an exponent", started(set("t", "1.7672262e9")), bad, noDigits},
		{"a t beyond any number", started(set("t", "1e400")), bad, noDigits},
		{"a t of 2^63", started(set("t", "9223372036854775808")), bad, noDigits},
		{"a t of 2^64 and the right time", started(set("t", "18446744075476777816")), bad, noDigits},
		{"a t in hex", started(set("t", `"0x6955b8d8"`)), bad, noDigits},
		{"a t with underscores", started(set("t", `"1_767_226_200"`)), bad, noDigits},
		{"a t in full-width digits", started(set("t", `"１７６７２２６２００"`)), bad, noDigits},
		{"a t of int64's edge", started(set("t", "9223372036854775807")), provider.ErrExpired, "t is more than 10 minutes ahead; check the operator's clock"},
		{"a t of long ago", started(set("t", "1545030873")), provider.ErrExpired, "CSS signs every retry anew, so check the operator's clock"},
	}
}

func badIdentities() []refusal {
	bad := provider.ErrMalformed
	rows := []refusal{
		{"app too long", started(set("app", `"`+strings.Repeat("a", 256)+`"`)), bad, "app has 256 bytes; at most 255 are allowed"},
		{"appname too long", started(set("appname", `"`+strings.Repeat("a", 256)+`"`)), bad, "appname has 256 bytes; at most 255"},
		{"stream_id too long in bytes, not in characters", started(set("stream_id", `"`+strings.Repeat("é", 128)+`"`)), bad, "stream_id has 256 bytes; at most 255"},
		{"sequence too long", started(set("sequence", `"`+strings.Repeat("1", 65)+`"`)), bad, "sequence has 65 bytes; at most 64"},
		{"sequence too long as a number", started(set("sequence", strings.Repeat("1", 65))), bad, "sequence has 65 bytes; at most 64"},
		{"streamId instead of stream_id", started(rename("stream_id", "streamId")), bad, "stream_id is missing"},
		{"App instead of app", started(rename("app", "App")), bad, "app is missing"},
	}
	for _, name := range []string{"app", "appname", "stream_id", "sequence"} {
		missing := name + " is missing; it is needed to tell which push this is"
		rows = append(rows,
			refusal{name + " missing", started(drop(name)), bad, missing},
			refusal{name + " missing in an interruption", interrupted(drop(name)), bad, missing},
			refusal{name + " null", started(set(name, "null")), bad, missing},
			refusal{name + " empty", started(set(name, `""`)), bad, missing},
			refusal{name + " true", started(set(name, "true")), bad, name + " must be a string"},
			refusal{name + " an object", started(set(name, `{"x":"Sekr1t"}`)), bad, name + " must be a string"},
			refusal{name + " an array", started(set(name, `["Sekr1t"]`)), bad, name + " must be a string"},
		)
		for what, text := range map[string]string{
			"NUL": `\u0000`, "a line break": `\n`, "a tab": `\t`, "DEL": `\u007f`, "an escape sequence": `\u001b[31m`,
			"a zero-width space": `\u200b`, "a line separator": `\u2028`, "a change of direction": `\u202e`,
		} {
			rows = append(rows, refusal{name + " with " + what, started(set(name, `"a`+text+`b"`)), bad, name + " has control characters; send it as it stands in the push URL"})
		}
	}
	return rows
}

func badNumbers() []refusal {
	bad := provider.ErrMalformed
	const noType = "event_type is missing; it is 1 for the start of a push and 0 for its interruption"
	rows := []refusal{
		{"event_type missing", started(drop("event_type")), bad, noType},
		{"event_type null", started(set("event_type", "null")), bad, noType},
		{"event_type empty", started(set("event_type", `""`)), bad, noType},
		{"EVENT_TYPE instead of event_type", started(rename("event_type", "EVENT_TYPE")), bad, noType},
		{"event_time missing", started(drop("event_time")), bad, "event_time is missing; it is the time of the event in Unix seconds"},
		{"event_time null", started(set("event_time", "null")), bad, "event_time is missing"},
		{"event_time zero", started(set("event_time", "0")), bad, "event_time is 0; it must be from 1 to"},
		{"event_time negative", started(set("event_time", "-1")), bad, "event_time is -1; it must be from 1 to"},
		{"event_time in milliseconds", started(set("event_time", "1767225590000")), bad, "event_time is 1767225590000; it must be from 1 to"},
		{"event_time one second more than a day ahead", started(set("event_time", "1767312001")), bad, "it must be from 1 to 1767312000"},
		{"event_time at int64's upper edge", started(set("event_time", "9223372036854775807")), bad, "it must be from 1 to"},
		{"event_time at int64's lower edge", started(set("event_time", "-9223372036854775808")), bad, "it must be from 1 to"},
		{"appid negative", started(set("appid", "-1")), bad, "appid is -1; it must be from 0 to"},
	}
	for _, name := range []string{"event_type", "event_time", "appid"} {
		for what, raw := range map[string]string{
			"a word": `"soon"`, "a fraction": "1.5", "an exponent": "1e0", "true": "true", "an object": `{"x":"Sekr1t"}`, "an array": "[1]",
			"beyond any number": "1e400", "beyond 64 bits": "9223372036854775808", "below 64 bits": "-9223372036854775809",
			"hex": `"0x10"`, "in full-width digits": `"１"`, "two numbers": `"1 0"`, "a thousand digits": strings.Repeat("1", 1000),
		} {
			rows = append(rows, refusal{name + " " + what, interrupted(set(name, raw)), bad, name + " must be a whole number"})
		}
	}
	return rows
}
