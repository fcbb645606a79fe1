package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

// moreBodies are good callbacks with one field that is not.
func moreBodies(d *desk) []badInput {
	expiry := strconv.FormatInt(showTime.Add(10*time.Minute).Unix(), 10)
	good := tencent.Sign(callbackKey, expiry)
	eventTime := `"event_time":` + strconv.FormatInt(showTime.Unix(), 10)
	signed := func(sign string) string { return edited(d, `"`+good+`"`, sign) }
	expires := func(t string) string { return edited(d, `"t":`+expiry, `"t":`+t) }
	resigned := func(t string) string {
		return strings.Replace(expires(`"`+t+`"`), good, tencent.Sign(callbackKey, t), 1)
	}
	stream := func(name string) string { return `"stream_id":"` + name + `"` }
	sum := sha256.Sum256([]byte(callbackKey + expiry))
	var rows []badInput
	add := func(status int, says string, bodies map[string]string) {
		for name, body := range bodies {
			rows = append(rows, badInput{name: name, body: body, status: status, says: says})
		}
	}
	add(400, "twice", map[string]string{
		"sign twice, once escaped": edited(d, `"sign":`, `"\u0073ign":"x","sign":`), "t twice": edited(d, `"t":`, `"t":1,"t":`), "app twice": edited(d, `"app":`, `"app":"x","app":`),
		"sequence twice": edited(d, `"sequence":`, `"sequence":"x","sequence":`), "event_time twice": edited(d, `"event_time":`, `"event_time":1,"event_time":`),
		"what nobody knows twice": edited(d, `"sequence":`, `"x":1,"x":2,"sequence":`),
	})
	add(400, "valid JSON", map[string]string{
		"a comma too many": edited(d, "}", ",}"), "a comment": edited(d, `"app":`, `/* x */"app":`), "NaN": edited(d, eventTime, `"event_time":NaN`), "Infinity": edited(d, eventTime, `"event_time":Infinity`),
		"a number in hexadecimal": edited(d, `"event_type":1`, `"event_type":0x1`), "a number with a zero before it": edited(d, `"event_type":1`, `"event_type":01`),
		"a number with a plus": edited(d, `"event_type":1`, `"event_type":+1`), "a line break in a string": edited(d, `"stream_id":"test_stream"`, stream("test\nstream")), "a name without quotes": edited(d, `"app"`, "app"),
		"single quotes": "{'event_type':1}", "an escape that is none": edited(d, `"stream_id":"test_stream"`, stream(`\x41`)), "half an escape": edited(d, `"stream_id":"test_stream"`, stream(`\u00`)), "true as True": edited(d, `"event_type":1`, `"event_type":True`),
	})
	add(400, "UTF-8", map[string]string{
		"UTF-16": "\xff\xfe{\x00}\x00", "an overlong dot": edited(d, `"stream_id":"test_stream"`, stream("test\xc0\xae")), "half a surrogate pair in bytes": edited(d, `"stream_id":"test_stream"`, stream("\xed\xa0\x80")), "a byte that is cut off": edited(d, `"stream_id":"test_stream"`, stream("\xe6\x97")),
	})
	add(400, "JSON object", map[string]string{"a NUL before it": "\x00{}", "a form with JSON in it": `payload={"event_type":1}`, "multipart": "--x\r\nContent-Disposition: form-data\r\n\r\n{}", "a negative number": "-1"})
	add(400, "event_type must be a whole number", map[string]string{"event_type in a list": edited(d, `"event_type":1`, `"event_type":[1]`), "event_type 1e0": edited(d, `"event_type":1`, `"event_type":1e0`)})
	add(400, "64 bits", map[string]string{"event_type of a thousand digits": edited(d, `"event_type":1`, `"event_type":`+strings.Repeat("1", 1000))})
	add(400, "event_type is missing", map[string]string{"event_type empty": edited(d, `"event_type":1`, `"event_type":""`), "event_type of blanks": edited(d, `"event_type":1`, `"event_type":"  "`)})
	add(400, "is missing", map[string]string{
		"app empty": edited(d, `"app":"test.domain.com"`, `"app":""`), "stream_id empty": edited(d, `"stream_id":"test_stream"`, `"stream_id":""`), "stream_id null": edited(d, `"stream_id":"test_stream"`, `"stream_id":null`),
		"sequence empty": edited(d, `"sequence":"a"`, `"sequence":""`), "sequence null": edited(d, `"sequence":"a"`, `"sequence":null`), "event_time empty": edited(d, eventTime, `"event_time":""`),
	})
	add(400, "must be a string", map[string]string{
		"app as an object": edited(d, `"app":"test.domain.com"`, `"app":{}`), "stream_id as a list": edited(d, `"stream_id":"test_stream"`, `"stream_id":["a"]`), "stream_id true": edited(d, `"stream_id":"test_stream"`, `"stream_id":true`),
		"sequence false": edited(d, `"sequence":"a"`, `"sequence":false`), "appname as an object": edited(d, `"appname":"live"`, `"appname":{"a":1}`),
	})
	add(400, "control characters", map[string]string{
		"app with a NUL": edited(d, `"app":"test`, `"app":"\u0000test`), "stream_id with a tab": edited(d, `"stream_id":"test_stream"`, stream(`test\tstream`)), "stream_id with a delete": edited(d, `"stream_id":"test_stream"`, stream("test\x7f")),
		"stream_id from right to left": edited(d, `"stream_id":"test_stream"`, stream(`test\u202e`)), "stream_id with a blank of no width": edited(d, `"stream_id":"test_stream"`, stream(`test\u200b`)), "stream_id with another blank": edited(d, `"stream_id":"test_stream"`, stream(`test\u00a0`)),
		"sequence with a line break": edited(d, `"sequence":"a"`, `"sequence":"a\n"`), "appname with a carriage return": edited(d, `"appname":"live"`, `"appname":"live\r"`), "stream_id with a line of its own": edited(d, `"stream_id":"test_stream"`, stream(`test\u2028`)),
	})
	add(400, "at most 255", map[string]string{"a long app": edited(d, `"app":"test`, `"app":"`+strings.Repeat("x", 300)), "a long appname": edited(d, `"appname":"live"`, `"appname":"`+strings.Repeat("x", 256)+`"`), "a long stream_id in Chinese": edited(d, `"stream_id":"test_stream"`, stream(strings.Repeat("播", 86)))})
	add(400, "whole number", map[string]string{
		"appid as a fraction": edited(d, "12345678", "1.5"), "appid beyond 64 bits": edited(d, "12345678", "99999999999999999999"), "appid in a list": edited(d, "12345678", "[1]"), "appid true": edited(d, "12345678", "true"),
		"event_time as words": edited(d, eventTime, `"event_time":"now"`), "event_time as a fraction": edited(d, eventTime, `"event_time":1.5`), "event_time in a list": edited(d, eventTime, `"event_time":[1]`), "event_time true": edited(d, eventTime, `"event_time":true`),
	})
	add(400, "it must be from 1 to", map[string]string{"event_time in two days": edited(d, eventTime, `"event_time":`+strconv.FormatInt(showTime.AddDate(0, 0, 2).Unix(), 10))})
	add(403, "spec.domain", map[string]string{
		"app as a number": edited(d, `"test.domain.com"`, "1"), "a domain with a dot at its end": edited(d, "test.domain.com", "test.domain.com."), "a domain with a port": edited(d, "test.domain.com", "test.domain.com:80"),
		"a domain below it": edited(d, "test.domain.com", "x.test.domain.com"), "a domain above it": edited(d, "test.domain.com", "domain.com"), "a domain with a blank": edited(d, "test.domain.com", "test.domain.com "),
		"a domain with a Cyrillic letter": edited(d, "test.domain.com", "test.dom\u0430in.com"), "a domain with a long s": edited(d, "test.domain.com", "te\u017ft.domain.com"), "a list of domains": edited(d, "test.domain.com", "test.domain.com,other"),
	})
	add(401, "sign is missing", map[string]string{"sign null": signed("null"), "sign true": signed("true"), "sign in a list": signed(`["` + good + `"]`)})
	add(401, "sign matches no callback key", map[string]string{
		"a sign with a blank": signed(`" ` + good + `"`), "a sign cut short": signed(`"` + good[:31] + `"`), "a sign with more": signed(`"` + good + `0"`), "a sign that is no hexadecimal": signed(`"` + strings.Repeat("g", 32) + `"`),
		"a sign of t and key": signed(`"` + tencent.Sign(expiry, callbackKey) + `"`), "a sign of the key alone": signed(`"` + tencent.Sign(callbackKey, "") + `"`), "a sign of t alone": signed(`"` + tencent.Sign("", expiry) + `"`),
		"a sign by SHA-256": signed(`"` + hex.EncodeToString(sum[:]) + `"`), "the key itself": signed(`"` + callbackKey + `"`), "a sign of zeros": signed(`"` + strings.Repeat("0", 32) + `"`), "a sign with a NUL": signed(`"` + good + `\u0000"`),
	})
	add(401, "t is missing", map[string]string{"t null": expires("null"), "t empty": expires(`""`), "t true": expires("true"), "t in a list": expires("[" + expiry + "]"), "t as an object": expires("{}")})
	add(401, "Unix seconds", map[string]string{
		"t in hexadecimal": resigned("0x6955b900"), "t with an underscore": resigned("1_767_226_200"), "t in Arabic digits": resigned("\u0661\u0667"), "t as 1e9": resigned("1e9"), "t minus zero": resigned("-0"),
		"t with a NUL": strings.Replace(expires(`"`+expiry+`\u0000"`), good, tencent.Sign(callbackKey, expiry+"\x00"), 1), "t of a thousand digits": resigned(strings.Repeat("1", 1000)), "t with a blank behind it": resigned(expiry + " "),
	})
	add(401, "more than 10 minutes ahead", map[string]string{"t a second too far ahead": resigned(strconv.FormatInt(showTime.Add(11*time.Minute+time.Second).Unix(), 10)), "t in milliseconds": resigned(expiry + "000")})
	return rows
}
