package fakecss

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

// sample is a body as the vendor prints it, and what it says.
func sample(t *testing.T, file string) (body string, says css.Callback) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "provider", "tencent", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &says); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text)), says
}

// The vendor masks the signatures of its samples of 2024: ours takes their place.
func TestABodyIsByteForByteTheVendorsSample(t *testing.T) {
	t.Parallel()
	start, startSays := sample(t, "push-start-2024.json")
	stop, stopSays := sample(t, "push-interruption-2024.json")
	const key = "test"
	want := []string{
		strings.Replace(start, startSays.Sign, tencent.Sign(key, "1703732078"), 1),
		strings.Replace(stop, stopSays.Sign, tencent.Sign(key, "1703732206"), 1),
	}

	w := newWorld(Options{Key: key, Node: "42.81.194.37", Sequence: func() string { return "2210464508206756938" }})
	w.engine.options.Domain = "test.domain.com"
	n, err := parseNotice("", "app=live&flashver=&swfurl=&tcurl=&pageurl=&addr=1.1.1.1&clientid=1&call=publish&name=test_stream&type=live&stream_param=test")
	if err != nil {
		t.Fatal(err)
	}
	w.now = time.Unix(1703731478, 0)
	w.engine.published(n, w.now)
	w.settle()
	w.now = w.now.Add(128581 * time.Millisecond)
	w.engine.unpublished(n.client, w.now)
	w.settle()

	var got []string
	for _, body := range w.bodies {
		got = append(got, string(body))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The one sample whose key is known.
func TestTheVendorsSampleOf2018HasTheVendorsSignature(t *testing.T) {
	t.Parallel()
	_, says := sample(t, "push-start-2018.json")
	got := signed(css.Callback{}, "test", time.Unix(says.T, 0).Add(-10*time.Minute))
	if got.T != says.T || got.Sign != says.Sign {
		t.Errorf("t = %d and sign = %s, want %d and %s", got.T, got.Sign, says.T, says.Sign)
	}
}

func TestTheParameterIsSentAsCSSWritesIt(t *testing.T) {
	t.Parallel()
	real2017, says := sample(t, "push-start-2017-real.json")
	_, member, _ := strings.Cut(real2017, `"stream_param":`)
	member, _, _ = strings.Cut(member, `,"`)
	if got := string(encode(css.Callback{StreamParam: says.StreamParam})); !strings.Contains(got, `"stream_param":`+member+`,`) {
		t.Errorf("%s lacks %s", got, member)
	}
}

func TestWithoutAKeyThereIsNeitherSignNorT(t *testing.T) {
	t.Parallel()
	body := string(encode(signed(css.Callback{}, "", dawn)))
	if strings.Contains(body, `"sign"`) || strings.Contains(body, `"t"`) {
		t.Error(body)
	}
}

func TestSequencesAreDigitsThatDoNotGrow(t *testing.T) {
	t.Parallel()
	seen, fell := map[string]bool{}, 0
	last := ""
	for range 200 {
		s := randomSequence()
		if strings.Trim(s, "0123456789") != "" || s == "" || len(s) > 19 || seen[s] {
			t.Fatalf("sequence %q, seen before: %v", s, seen[s])
		}
		if len(s) < len(last) || len(s) == len(last) && s < last {
			fell++
		}
		seen[s], last = true, s
	}
	if fell < 50 {
		t.Errorf("only %d of 200 are smaller than the one before", fell)
	}
}

func TestAddressesThatAreNoneAreLeftOut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"1.1.1.1": "1.1.1.1", "2001:db8::1": "2001:db8::1", "unix:": "", "": "", "ngx-relay": ""} {
		if got := addressOf(text); got != want {
			t.Errorf("addressOf(%q) = %q, want %q", text, got, want)
		}
	}
}
