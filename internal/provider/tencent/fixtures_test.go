package tencent

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

// off is a receiver of that time that does not check signatures, which the vendor masked in most samples.
func off(now int64) provider.Authentication { return provider.Authentication{Now: time.Unix(now, 0)} }

// vendor is a receiver with the key of the vendor's checkable sample.
func vendor(now int64) provider.Authentication {
	return provider.Authentication{Required: true, Keys: []string{"test"}, Skew: testSkew, Now: time.Unix(now, 0)}
}

func TestFixtures(t *testing.T) {
	t.Parallel()
	const china = v1alpha1.RegionMainlandChina
	rows := []struct {
		file string
		auth provider.Authentication
		want provider.Callback
		err  error
		says string
	}{
		{file: "push-start-2018.json", auth: vendor(1545030273), want: provider.Callback{Kind: "start", Event: &provider.Event{
			Kind: provider.Started, Domain: "test.domain.com", App: "live", Stream: "test_stream", Sequence: "6674468118806626493",
			AppID: 12345678, Time: time.Date(2018, 12, 18, 6, 49, 50, 0, time.UTC), ClientIP: "119.29.94.245", Node: "100.121.160.92", Region: china,
		}}},
		{file: "push-start-2024.json", auth: off(1703731478), want: provider.Callback{Kind: "start", Event: &provider.Event{
			Kind: provider.Started, Domain: "test.domain.com", App: "live", Stream: "test_stream", Sequence: "2210464508206756938",
			AppID: 12345678, Time: time.Date(2023, 12, 28, 2, 44, 38, 0, time.UTC), ClientIP: "1.1.1.1", Node: "42.81.194.37", Region: china,
		}}},
		{file: "push-start-2024.json", auth: vendor(1703731478), err: provider.ErrUnauthenticated, says: "sign matches no callback key"},
		{file: "push-interruption-2024.json", auth: off(1703731606), want: provider.Callback{Kind: "interruption", Event: &provider.Event{
			Kind: provider.Interrupted, Domain: "test.domain.com", App: "live", Stream: "test_stream", Sequence: "2210464508206756938",
			AppID: 12345678, Time: time.Date(2023, 12, 28, 2, 46, 46, 0, time.UTC), ClientIP: "1.1.1.1", Node: "42.81.194.37", Region: china,
			Duration: new(int64(128581)), ErrorCode: 1, Reason: v1alpha1.PushReasonClientStopped, Message: "The push client actively stopped the push",
		}}},
		{file: "push-start-2017-real.json", auth: off(1509672429), want: provider.Callback{Kind: "start", Event: &provider.Event{
			Kind: provider.Started, Domain: "101.226.84.104", App: "live", Stream: "10888_100076", Sequence: "653434696377249304",
			Time: time.Date(2017, 11, 3, 1, 27, 8, 0, time.UTC), Node: "100.119.17.9", Region: china,
		}}},
		{file: "push-start-2017-real.json", auth: vendor(1509672429), err: provider.ErrUnauthenticated, says: "sign is missing"},
		{file: "push-interruption-2017-real.json", auth: off(1509672433), want: provider.Callback{Kind: "interruption", Event: &provider.Event{
			Kind: provider.Interrupted, Domain: "101.226.84.104", App: "live", Stream: "10888_100076", Sequence: "653434696377249304",
			Time: time.Date(2017, 11, 3, 1, 27, 12, 0, time.UTC), Node: "100.119.17.9", Region: china,
			ErrorCode: 1, Reason: v1alpha1.PushReasonClientStopped, Message: "recv rtmp deleteStream",
		}}},
		{file: "push-interruption-2018-real.json", auth: off(1534929780), want: provider.Callback{Kind: "interruption", Event: &provider.Event{
			Kind: provider.Interrupted, Domain: "25650.livepush.myqcloud.com", App: "live", Stream: "25650_5bff...", Sequence: "477771218361482575",
			Time: time.Date(2018, 8, 22, 9, 15, 58, 0, time.UTC), Region: china,
			Duration: new(int64(113224)), ErrorCode: 1, Reason: v1alpha1.PushReasonClientStopped, Message: "recv rtmp deleteStream",
		}}},
		{file: "100-recording.json", auth: off(1642089898), want: provider.Callback{Kind: "recording"}},
		{file: "100-recording.json", auth: vendor(1545030273), want: provider.Callback{Kind: "recording"}},
		{file: "200-screenshot.json", auth: off(1622599925), want: provider.Callback{Kind: "screenshot"}},
		{file: "200-screenshot.json", auth: vendor(1622599925), want: provider.Callback{Kind: "screenshot"}},
		{file: "314-relay.json", auth: vendor(1700000000), want: provider.Callback{Kind: "relay"}},
		{file: "317-image-audit.json", auth: off(1615859827), want: provider.Callback{Kind: "image-audit"}},
		{file: "317-image-audit.json", auth: vendor(1615859827), want: provider.Callback{Kind: "image-audit"}},
		{file: "321-push-error.json", auth: off(1670588075), want: provider.Callback{Kind: "push-error"}},
		{file: "321-push-error.json", auth: vendor(1754623210), want: provider.Callback{Kind: "push-error"}},
		{file: "332-recording-status.json", auth: off(1700207929), want: provider.Callback{Kind: "recording-status"}},
		{file: "332-recording-status.json", auth: vendor(1754623210), want: provider.Callback{Kind: "recording-status"}},
		{file: "341-recording-exception.json", auth: off(1739934527), want: provider.Callback{Kind: "recording-exception"}},
		{file: "341-recording-exception.json", auth: vendor(1754623210), want: provider.Callback{Kind: "recording-exception"}},
		{file: "329-streamlive-wrapped.json", auth: off(1757065592), err: provider.ErrMalformed, says: "event_type is missing"},
		{file: "348-summary.json", auth: vendor(1761212541), want: provider.Callback{Kind: "summary"}},
	}
	used := map[string]bool{"README.md": true, "fuzz": true}
	for _, row := range rows {
		used[row.file] = true
		name := row.file + ", signatures unchecked"
		if row.auth.Required {
			name = row.file + ", signatures checked"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parser{}.Parse(fixture(t, row.file), row.auth)
			if !errors.Is(err, row.err) || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Fatalf("Parse: %v, want %v: %s", err, row.err, row.says)
			}
			if diff := gocmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !used[file.Name()] {
			t.Errorf("testdata/%s is not tested", file.Name())
		}
	}
}

func TestSignedOtherKindsAreAccepted(t *testing.T) {
	t.Parallel()
	const t0 = "1754623810"
	for _, file := range []string{"321-push-error.json", "332-recording-status.json", "341-recording-exception.json"} {
		body := strings.Replace(string(fixture(t, file)), Sign("test", "1545030873"), Sign("test", t0), 1)
		callback, err := Parser{}.Parse([]byte(body), vendor(1754623210))
		if err != nil || callback.Event != nil {
			t.Errorf("%s, signed for its own t: event %v, error %v", file, callback.Event, err)
		}
	}
}

func TestKindsOfOtherEvents(t *testing.T) {
	t.Parallel()
	for eventType, want := range map[string]string{
		"100": "recording", "200": "screenshot", "314": "relay", "315": "audio-audit", "317": "image-audit", "321": "push-error",
		"328": "monitoring", "329": "streamlive-start", "330": "streamlive-interruption", "332": "recording-status",
		"341": "recording-exception", "343": "quality", "344": "evaluation-threshold", "345": "evaluation-average", "348": "summary",
		`"100"`: "recording", "2": "other", "-1": "other", "318": "other", "9223372036854775807": "other", "-9223372036854775808": "other",
	} {
		callback, err := Parser{}.Parse([]byte(`{"event_type":`+eventType+`}`), checked(testKey))
		if err != nil {
			t.Errorf("event_type %s: %v", eventType, err)
		}
		if diff := gocmp.Diff(provider.Callback{Kind: want}, callback); diff != "" {
			t.Errorf("event_type %s: %s", eventType, diff)
		}
	}
}
