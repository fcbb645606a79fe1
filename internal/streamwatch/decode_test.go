package streamwatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/trim"
)

// read returns what a client with these serializers makes of the body, until it ends or fails.
func read(tb testing.TB, serializers runtime.NegotiatedSerializer, body string) ([]watch.Event, error) {
	tb.Helper()
	decoder := over(tb, serializers, io.NopCloser(strings.NewReader(body)))
	var all []watch.Event
	for {
		kind, object, err := decoder.Decode()
		if err != nil {
			return all, err
		}
		all = append(all, watch.Event{Type: kind, Object: object})
	}
}

// kept is what a cache keeps of them.
func kept(tb testing.TB, all []watch.Event) []watch.Event {
	tb.Helper()
	keep := trim.Streams()
	for i := range all {
		object, err := keep(all[i].Object)
		if err != nil {
			tb.Fatal(err)
		}
		all[i].Object = object.(runtime.Object)
	}
	return all
}

// tell fails the test where both clients do not make the same of the body, and returns what they do.
func tell(tb testing.TB, theirs runtime.NegotiatedSerializer, body string) ([]watch.Event, error) {
	tb.Helper()
	want, wantErr := read(tb, theirs, body)
	got, err := read(tb, serializers{theirs}, body)
	want, got = kept(tb, want), kept(tb, got)
	// Where a body is cut both say so alike; what is wrong with an event they say in other words.
	if !reflect.DeepEqual(want, got) || errors.Is(err, io.EOF) != errors.Is(wantErr, io.EOF) {
		tb.Fatalf("of %s\nclient-go ends with %v\nwe with          %v\n(-client-go +we):\n%s", body, wantErr, err, gocmp.Diff(want, got))
	}
	return got, err
}

// odd are values that are out of place almost anywhere.
func odd(r *rand.Rand) any {
	return []any{nil, "text", `"managedFields":[{`, `\`, "\u2028<&>", 12, -1.5, 1e30, true, map[string]any{}, []any{}, map[string]any{"managedFields": []any{1, "}]"}}, []any{nil}}[r.Intn(13)]
}

// spoil changes a value of an object here and there. What is in managedFields stays, as it is not looked at.
func spoil(r *rand.Rand, value any, seldom int) any {
	if r.Intn(seldom) == 0 {
		return odd(r)
	}
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			switch {
			case r.Intn(seldom) == 0:
				delete(value, key)
			case key != "managedFields":
				value[key] = spoil(r, value[key], seldom)
			}
		}
		if r.Intn(seldom) == 0 {
			value[[]string{"more", "spec", "name", "a\"\\", "kind", "", "Name", "STATE", "Metadata"}[r.Intn(9)]] = odd(r)
		}
	case []any:
		for i := range value {
			value[i] = spoil(r, value[i], seldom)
		}
	}
	return value
}

// write writes JSON as API servers do, or in other ways that say the same.
func write(r *rand.Rand, to *bytes.Buffer, value any, otherwise bool) {
	blank := func() {
		if otherwise && r.Intn(20) == 0 {
			to.WriteString(" \t")
		}
	}
	defer blank()
	blank()
	switch value := value.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(value))
		if otherwise && r.Intn(4) == 0 {
			r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		}
		if otherwise && len(keys) > 0 && r.Intn(10) == 0 {
			keys = append(keys, keys[r.Intn(len(keys))])
		}
		to.WriteByte('{')
		for i, key := range keys {
			if i > 0 {
				to.WriteByte(',')
			}
			write(r, to, key, otherwise)
			to.WriteByte(':')
			write(r, to, value[key], otherwise)
		}
		to.WriteByte('}')
	case []any:
		to.WriteByte('[')
		for i := range value {
			if i > 0 {
				to.WriteByte(',')
			}
			write(r, to, value[i], otherwise)
		}
		to.WriteByte(']')
	default:
		text, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		if key := string(text); otherwise && r.Intn(50) == 0 && len(key) > 2 && key[1] > 'A' && key[0] == '"' {
			text = fmt.Appendf(nil, `"\u%04x%s`, key[1], key[2:])
		}
		to.Write(text)
	}
}

func anything(tb testing.TB, text []byte) map[string]any {
	tb.Helper()
	var value map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		tb.Fatal(err)
	}
	return value
}

func TestRandomEventsAreWhatTheyAreToClientGo(t *testing.T) {
	t.Parallel()
	codecs := serializer.NewCodecFactory(newScheme(t))
	failed, told := 0, 0
	for seed := range int64(1500) {
		r := rand.New(rand.NewSource(seed))
		all := anything(t, event)
		if r.Intn(2) == 0 {
			stream := &v1alpha1.LiveStream{}
			fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(seed), codecs).NilChance(.3).NumElements(0, 3).Fill(stream)
			stream.TypeMeta = typeOfStreams
			text, err := json.Marshal(stream)
			if err != nil {
				t.Fatal(err)
			}
			all["object"] = anything(t, text)
		}
		if r.Intn(2) == 0 {
			all["object"] = spoil(r, all["object"], []int{20, 100, 300}[r.Intn(3)])
		}
		all["type"] = []string{"ADDED", "MODIFIED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "NONE"}[r.Intn(7)]
		if object, is := all["object"].(map[string]any); is && r.Intn(20) == 0 {
			object["kind"] = []string{"PushDomain", "LiveStreamList", "Nothing"}[r.Intn(3)]
		}
		var body bytes.Buffer
		// API servers write the type first.
		_, _ = fmt.Fprintf(&body, `{"type":%q,"object":`, all["type"])
		otherwise := r.Intn(3) == 0
		if otherwise && r.Intn(4) == 0 {
			body.Reset()
			write(r, &body, all, true)
		} else {
			write(r, &body, all["object"], otherwise)
			body.WriteByte('}')
		}
		events, err := tell(t, codecs.WithoutConversion(), body.String()+"\n"+string(event))
		if told += len(events); !errors.Is(err, io.EOF) {
			failed++
		}
	}
	t.Logf("%d events are told, and %d are not understood", told, failed)
	if told < 1000 || failed < 200 {
		t.Error("these are too few to tell anything")
	}
}

func TestEventsOfAPIServersAreDecodedWithoutTheirManagers(t *testing.T) {
	t.Parallel()
	theirs := serializer.NewCodecFactory(newScheme(t)).WithoutConversion()
	for _, kind := range []string{"ADDED", "MODIFIED", "DELETED", "BOOKMARK"} {
		body := strings.Replace(string(event), "MODIFIED", kind, 1)
		whole, _ := read(t, theirs, body)
		lean, _ := read(t, serializers{theirs}, body)
		if len(whole) != 1 || len(lean) != 1 {
			t.Fatalf("%s: client-go tells %d events, we %d", kind, len(whole), len(lean))
		}
		want := whole[0].Object.(*v1alpha1.LiveStream)
		if len(want.ManagedFields) == 0 {
			t.Fatal("the event has no managers that could be left out")
		}
		want.ManagedFields = nil
		if diff := gocmp.Diff(whole, lean); diff != "" {
			t.Errorf("%s (-client-go +we):\n%s", kind, diff)
		}
	}
}

func TestWhatIsNoLiveStreamIsLeftToClientGo(t *testing.T) {
	t.Parallel()
	theirs := serializer.NewCodecFactory(newScheme(t)).WithoutConversion()
	const stream = `{"apiVersion":"livestream-operator.io/v1alpha1","kind":"LiveStream",`
	for _, tc := range []struct {
		name, body string
		// want is the type of the object, or none where the watch ends.
		want any
	}{
		{"a watch that is too old", `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}}`, &metav1.Status{}},
		{"the end of the initial events", `{"type":"BOOKMARK","object":` + stream + `"metadata":{"annotations":{"k8s.io/initial-events-end":"true"},"creationTimestamp":null,"resourceVersion":"7"},"spec":{"appName":"","pushDomainRef":{}},"status":{}}}`, &v1alpha1.LiveStream{}},
		{"another kind", `{"type":"ADDED","object":{"apiVersion":"livestream-operator.io/v1alpha1","kind":"PushDomain","metadata":{"name":"a"}}}`, &v1alpha1.PushDomain{}},
		{"an event with more to it", `{"type":"ADDED","object":` + stream + `"metadata":{"name":"a"}},"more":{"a":1}}`, &v1alpha1.LiveStream{}},
		{"an event that begins otherwise", ` {"object":` + stream + `"metadata":{"name":"a"}},"type":"ADDED"}`, &v1alpha1.LiveStream{}},
		{"a kind that comes again", `{"type":"ADDED","object":` + stream + `"metadata":{"name":"a"},"kind":"PushDomain"}}`, &v1alpha1.PushDomain{}},
		{"keys in another case", `{"type":"ADDED","object":` + stream + `"metadata":{"name":"a","Name":"b"},"Spec":{"appName":"live"}}}`, &v1alpha1.LiveStream{}},
		{"nothing between events", "\n\n" + `{"type":"ADDED","object":` + stream + `"metadata":{"name":"a"}}}` + "\n\n", &v1alpha1.LiveStream{}},
		{"an unknown type", `{"type":"MOVED","object":` + stream + `"metadata":{"name":"a"}}}`, nil},
		{"an unknown kind", `{"type":"ADDED","object":{"apiVersion":"livestream-operator.io/v1","kind":"LiveStream","metadata":{"name":"a"}}}`, nil},
		{"a field of another type", `{"type":"ADDED","object":` + stream + `"metadata":{"name":1}}}`, nil},
		{"managers that are none", `{"type":"ADDED","object":` + stream + `"metadata":{"managedFields":"me"}}}`, nil},
		{"no object", `{"type":"ADDED"}`, nil},
		{"what is not JSON", `{"type":"ADDED","object":` + stream + `"metadata":{"name":"a"}}x}`, nil},
		{"an object that is too short", `{"type":"ADDED","object":` + stream + `"metadata":{"name":"a"}}`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			events, err := tell(t, theirs, tc.body+"\n")
			switch {
			case tc.want == nil && (len(events) > 0 || errors.Is(err, io.EOF)):
				t.Errorf("it is told as %+v, and the watch ends with %v", events, err)
			case tc.want != nil && (len(events) != 1 || reflect.TypeOf(events[0].Object) != reflect.TypeOf(tc.want)):
				t.Errorf("it is told as %+v, and the watch ends with %v; want a %T", events, err, tc.want)
			}
		})
	}
}

func TestAnEventThatIsCutIsNotTold(t *testing.T) {
	t.Parallel()
	codecs := serializer.NewCodecFactory(newScheme(t)).WithoutConversion()
	const whole = `{"type":"ADDED","object":{"apiVersion":"livestream-operator.io/v1alpha1","kind":"LiveStream","metadata":{"name":"a","managedFields":[{}]}}}`
	for length := range len(whole) + 1 {
		cut := whole[:length]
		events, err := read(t, serializers{codecs}, whole+"\n"+cut)
		want := io.ErrUnexpectedEOF
		if length == 0 {
			want = io.EOF
		}
		if len(events) != 1 || !errors.Is(err, want) {
			t.Fatalf("cut after %d bytes: %d events and %v, want 1 and %v", length, len(events), err, want)
		}
	}
}
