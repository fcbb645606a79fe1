package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

// badInput is one request that must be refused with a status of 4xx and a message that says what to do.
type badInput struct {
	name   string
	body   string
	status int
	says   string
	method string
	path   string
}

// edited is a good callback with one thing replaced; it panics where there is nothing to replace.
func edited(d *desk, old, with string) string {
	body := string(d.push("a").Start(showTime).Signed(callbackKey, showTime))
	if !strings.Contains(body, old) {
		panic("a good callback has no " + old)
	}
	return strings.Replace(body, old, with, 1)
}

func bodies(d *desk) []badInput {
	t := showTime.Add(10 * time.Minute).Unix()
	number := func(v int64) string { return strconv.FormatInt(v, 10) }
	sign := func(key, t string) string { return `"` + tencent.Sign(key, t) + `"` }
	goodSign := `"sign":` + sign(callbackKey, number(t))
	goodT := `"t":` + number(t)
	resigned := func(text string) string {
		return strings.Replace(edited(d, goodT, `"t":`+text), goodSign, `"sign":`+sign(callbackKey, strings.Trim(text, `"`)), 1)
	}
	return []badInput{
		{name: "an empty body", body: "", status: 400, says: "empty"},
		{name: "white space only", body: " \n\t ", status: 400, says: "empty"},
		{name: "one byte", body: "x", status: 400, says: "JSON object"},
		{name: "null", body: "null", status: 400, says: "JSON object"},
		{name: "an array", body: "[]", status: 400, says: "JSON object"},
		{name: "a number", body: "1", status: 400, says: "JSON object"},
		{name: "a string", body: `"x"`, status: 400, says: "JSON object"},
		{name: "a form", body: "event_type=1&app=test.domain.com", status: 400, says: "JSON object"},
		{name: "XML", body: "<event/>", status: 400, says: "JSON object"},
		{name: "half an object", body: `{"event_type":1`, status: 400, says: "valid JSON"},
		{name: "two objects", body: edited(d, "}", "}{}"), status: 400, says: "valid JSON"},
		{name: "rubbish after the object", body: edited(d, "}", "} x"), status: 400, says: "valid JSON"},
		{name: "a byte order mark", body: "\ufeff" + edited(d, "{", "{"), status: 400, says: "JSON object"},
		{name: "invalid UTF-8", body: edited(d, "test_stream", "test\xff"), status: 400, says: "UTF-8"},
		{name: "a gzipped body", body: "\x1f\x8b\x08\x00\x00", status: 400, says: "UTF-8"},
		{name: "nesting without end", body: strings.Repeat(`{"a":`, 12000), status: 400, says: "valid JSON"},
		{name: "an empty object", body: "{}", status: 401, says: "sign is missing"},
		{name: "64 KiB and a byte", body: edited(d, `"ok"`, `"`+strings.Repeat("x", maxBodyBytes)+`"`), status: 413, says: "64 KiB"},
		{name: "10 MB", body: strings.Repeat(" ", 10<<20), status: 413, says: "64 KiB"},
		{name: "sign twice", body: edited(d, `"sign":`, `"sign":"x","sign":`), status: 400, says: "twice"},
		{name: "event_type twice", body: edited(d, `"event_type":1`, `"event_type":0,"event_type":1`), status: 400, says: "twice"},
		{name: "stream_id twice", body: edited(d, `"stream_id":`, `"stream_id":"x","stream_id":`), status: 400, says: "twice"},
		{name: "Sign instead of sign", body: edited(d, `"sign"`, `"Sign"`), status: 401, says: "sign is missing"},
		{name: "T instead of t", body: edited(d, `"t":`, `"T":`), status: 401, says: "t is missing"},
		{name: "EVENT_TYPE instead of event_type", body: edited(d, `"event_type"`, `"EVENT_TYPE"`), status: 400, says: "event_type is missing"},
		{name: "Sequence instead of sequence", body: edited(d, `"sequence"`, `"Sequence"`), status: 400, says: "sequence is missing"},
		{name: "no event_type", body: edited(d, `"event_type":1,`, ""), status: 400, says: "event_type is missing"},
		{name: "event_type null", body: edited(d, `"event_type":1`, `"event_type":null`), status: 400, says: "event_type is missing"},
		{name: "event_type as words", body: edited(d, `"event_type":1`, `"event_type":"start"`), status: 400, says: "event_type must be a whole number"},
		{name: "event_type as a fraction", body: edited(d, `"event_type":1`, `"event_type":1.5`), status: 400, says: "event_type must be a whole number"},
		{name: "event_type true", body: edited(d, `"event_type":1`, `"event_type":true`), status: 400, says: "event_type must be a whole number"},
		{name: "event_type as an object", body: edited(d, `"event_type":1`, `"event_type":{}`), status: 400, says: "event_type must be a whole number"},
		{name: "event_type beyond 64 bits", body: edited(d, `"event_type":1`, `"event_type":9223372036854775808`), status: 400, says: "64 bits"},
		{name: "no app", body: edited(d, `"app":"test.domain.com",`, ""), status: 400, says: "app is missing"},
		{name: "app null", body: edited(d, `"app":"test.domain.com"`, `"app":null`), status: 400, says: "app is missing"},
		{name: "another domain", body: edited(d, "test.domain.com", "other.domain.com"), status: 403, says: "spec.domain"},
		{name: "another appid", body: edited(d, "12345678", "87654321"), status: 403, says: "spec.appID"},
		{name: "another appid as text", body: edited(d, "12345678", `"87654321"`), status: 403, says: "spec.appID"},
		{name: "appid as words", body: edited(d, "12345678", `"mine"`), status: 400, says: "appid must be a whole number"},
		{name: "a negative appid", body: edited(d, "12345678", "-1"), status: 400, says: "appid is -1"},
		{name: "no appname", body: edited(d, `"appname":"live",`, ""), status: 400, says: "appname is missing"},
		{name: "an empty appname", body: edited(d, `"appname":"live"`, `"appname":""`), status: 400, says: "appname is missing"},
		{name: "appname as an array", body: edited(d, `"appname":"live"`, `"appname":["live"]`), status: 400, says: "appname must be a string"},
		{name: "no stream_id", body: edited(d, `"stream_id":"test_stream",`, ""), status: 400, says: "stream_id is missing"},
		{name: "stream_id with a NUL", body: edited(d, `"stream_id":"test_stream"`, `"stream_id":"test\u0000"`), status: 400, says: "control characters"},
		{name: "stream_id with a line break", body: edited(d, `"stream_id":"test_stream"`, `"stream_id":"test\nstream"`), status: 400, says: "control characters"},
		{name: "stream_id of a kilobyte", body: edited(d, `"stream_id":"test_stream"`, `"stream_id":"`+strings.Repeat("x", 1024)+`"`), status: 400, says: "at most 255"},
		{name: "no sequence", body: edited(d, `"sequence":"a",`, ""), status: 400, says: "sequence is missing"},
		{name: "a long sequence", body: edited(d, `"sequence":"a"`, `"sequence":"`+strings.Repeat("1", 65)+`"`), status: 400, says: "at most 64"},
		{name: "sequence as an object", body: edited(d, `"sequence":"a"`, `"sequence":{"a":1}`), status: 400, says: "sequence must be a string"},
		{name: "no event_time", body: edited(d, `"event_time":`, `"event_thyme":`), status: 400, says: "event_time is missing"},
		{name: "event_time 0", body: edited(d, `"event_time":`+number(showTime.Unix()), `"event_time":0`), status: 400, says: "event_time is 0"},
		{name: "event_time negative", body: edited(d, `"event_time":`+number(showTime.Unix()), `"event_time":-5`), status: 400, says: "event_time is -5"},
		{name: "event_time in milliseconds", body: edited(d, `"event_time":`+number(showTime.Unix()), `"event_time":`+number(showTime.UnixMilli())), status: 400, says: "it must be from 1 to"},
		{name: "event_time of 64 bits", body: edited(d, `"event_time":`+number(showTime.Unix()), `"event_time":9223372036854775807`), status: 400, says: "it must be from 1 to"},
		{name: "event_time 1e400", body: edited(d, `"event_time":`+number(showTime.Unix()), `"event_time":1e400`), status: 400, says: "event_time must be a whole number"},
		{name: "no sign", body: edited(d, goodSign+",", ""), status: 401, says: "sign is missing"},
		{name: "an empty sign", body: edited(d, goodSign, `"sign":""`), status: 401, says: "sign is missing"},
		{name: "sign as a number", body: edited(d, goodSign, `"sign":1`), status: 401, says: "sign matches no callback key"},
		{name: "sign as an object", body: edited(d, goodSign, `"sign":{}`), status: 401, says: "sign is missing"},
		{name: "a sign of another length", body: edited(d, goodSign, `"sign":"ca3e"`), status: 401, says: "sign matches no callback key"},
		{name: "signed with another key", body: edited(d, goodSign, `"sign":`+sign("another", number(t))), status: 401, says: "keySecretRefs"},
		{name: "signed with the empty key", body: edited(d, goodSign, `"sign":`+sign("", number(t))), status: 401, says: "keySecretRefs"},
		{name: "no t", body: edited(d, ","+goodT, ""), status: 401, says: "t is missing"},
		{name: "t as words", body: edited(d, goodT, `"t":"soon"`), status: 401, says: "Unix seconds"},
		{name: "t with a sign", body: resigned(`"+` + number(t) + `"`), status: 401, says: "Unix seconds"},
		{name: "t with a blank", body: resigned(`" ` + number(t) + `"`), status: 401, says: "Unix seconds"},
		{name: "t as a float", body: resigned(number(t) + ".0"), status: 401, says: "Unix seconds"},
		{name: "t of 0", body: resigned("0"), status: 401, says: "t passed"},
		{name: "t negative", body: resigned("-1"), status: 401, says: "Unix seconds"},
		{name: "t past by a second beyond the skew", body: resigned(number(showTime.Add(-61 * time.Second).Unix())), status: 401, says: "t passed 61 s ago"},
		{name: "t in a hundred years", body: resigned(number(showTime.AddDate(100, 0, 0).Unix())), status: 401, says: "more than 10 minutes ahead"},
		{name: "t of 63 bits", body: resigned("9223372036854775807"), status: 401, says: "more than 10 minutes ahead"},
		{name: "t beyond 64 bits", body: resigned("99999999999999999999"), status: 401, says: "Unix seconds"},
		{name: "the vendor's sample as printed", body: css.VendorSample, status: 401, says: "sign matches no callback key"},
	}
}

func requests(d *desk) []badInput {
	good := string(d.push("a").Start(showTime).Signed(callbackKey, showTime))
	rows := []badInput{
		{name: "no path", path: "/", status: 404},
		{name: "a path of another form", path: "/callback", status: 404},
		{name: "a push domain that does not exist", path: "/callbacks/" + d.namespace + "/other", status: 404},
		{name: "a namespace that does not exist", path: "/callbacks/nowhere/shows", status: 404},
		{name: "more path than there is", path: d.path() + "/more", status: 404},
		{name: "a slash at the end", path: d.path() + "/", status: 404},
		{name: "dots in the path", path: "/callbacks/../callbacks/" + d.namespace + "/shows", status: 404},
		{name: "upper case in the path", path: strings.ToUpper(d.path()), status: 404},
		{name: "an empty namespace", path: "/callbacks//shows", status: 404},
		{name: "two slashes before it", path: "/" + d.path(), status: 404},
		{name: "a slash that is escaped", path: strings.Replace(d.path(), "/shows", "%2F%2Fshows", 1), status: 404},
		{name: "dots that are escaped", path: "/callbacks/" + d.namespace + "/%2e%2e/shows", status: 404},
		{name: "a NUL at the end", path: d.path() + "%00", status: 404},
		{name: "a blank at the end", path: d.path() + "%20", status: 404},
		{name: "a parameter in the path", path: d.path() + ";x=1", status: 404},
		{name: "a backslash", path: strings.Replace(d.path(), "/shows", "%5Cshows", 1), status: 404},
		{name: "a path of 8 KB", path: "/callbacks/" + strings.Repeat("x", 8<<10), status: 404},
		{name: "the path of metrics", path: "/metrics", status: 404},
		{name: "the path of the profiler", path: "/debug/pprof/heap", status: 404},
	}
	for i := range rows {
		rows[i].says, rows[i].body = "status.callbackPath", good
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, "post", "BREW", "PROPFIND"} {
		rows = append(rows, badInput{name: "method " + method, method: method, body: good, status: 405, says: "POST"})
	}
	return rows
}

func TestBadInputIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	rows := slices.Concat(bodies(d), moreBodies(d), requests(d))
	if all := len(rows) + len(raw(d)); all < 190 {
		t.Fatalf("there are %d rows only", all)
	}
	before := d.stream("show").ResourceVersion
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { d.refuses(t, row) })
	}
	if after := d.stream("show").ResourceVersion; after != before {
		t.Error("bad input changed the stream")
	}
	// The same receiver still takes good input.
	if status := d.post(d.push("a").Start(showTime)); status != http.StatusOK {
		t.Errorf("a good callback is answered %d after all that", status)
	}
}

func (d *desk) refuses(t *testing.T, row badInput) {
	t.Helper()
	method, path := row.method, row.path
	if method == "" {
		method = http.MethodPost
	}
	if path == "" {
		path = d.path()
	}
	request, err := http.NewRequestWithContext(t.Context(), method, d.url+path, bytes.NewReader([]byte(row.body)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("the answer is not JSON: %q", text)
	}
	if response.StatusCode != row.status || answer.Code != row.status {
		t.Errorf("answered %d with code %d, want %d: %s", response.StatusCode, answer.Code, row.status, text)
	}
	if !strings.Contains(answer.Message, row.says) {
		t.Errorf("the message is %q, want one with %q", answer.Message, row.says)
	}
	if row.status == http.StatusMethodNotAllowed && response.Header.Get("Allow") != http.MethodPost {
		t.Errorf("Allow is %q", response.Header.Get("Allow"))
	}
}

func TestADomainWithoutAUsableKeyRefusesEverything(t *testing.T) {
	t.Parallel()
	for name, ref := range map[string]v1alpha1.SecretKeyReference{
		"the Secret does not exist": {Name: "missing", Key: "callbackKey"},
		"the entry does not exist":  {Name: "css", Key: "missing"},
		"the entry is empty":        {Name: "css", Key: "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(p *v1alpha1.PushDomain) { p.Spec.Callback.KeySecretRefs = []v1alpha1.SecretKeyReference{ref} })
			d.refuses(t, badInput{body: string(d.push("a").Start(showTime).Signed("", showTime)), status: 401, says: "no usable callback key"})
		})
	}
}

func TestWithoutAuthenticationUnsignedCallbacksAreTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(p *v1alpha1.PushDomain) {
		p.Spec.Callback = v1alpha1.Callback{Authentication: v1alpha1.CallbackAuthenticationNone}
	})
	status, answer, err := css.Post(t.Context(), d.url+d.path(), d.push("a").Start(showTime).Unsigned())
	if err != nil || status != http.StatusOK {
		t.Errorf("answered %d %s %v", status, answer, err)
	}
	if got := shape(d.stream("show").Status.Pushes); got != "A" {
		t.Errorf("pushes = %q", got)
	}
}
