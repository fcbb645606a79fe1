package fakecss

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The forms that nginx 1.22 with nginx-rtmp-module 1.2.2 posts, as they came from ffmpeg 5.1.
func TestTheFormsOfNginx(t *testing.T) {
	t.Parallel()
	const head = "app=live&flashver=FMLE/3.0%20(compatible%3B%20Lavf59.27&swfurl=&tcurl=rtmp://127.0.0.1:1935/live&pageurl=&addr=127.0.0.1&clientid=1"
	show := func(c call) notice {
		return notice{call: c, client: client{"", "1"}, app: "live", stream: "a+b", address: "127.0.0.1"}
	}
	with := func(n notice, param string, onAir time.Duration) notice {
		n.param, n.onAir = param, onAir
		return n
	}
	for _, tc := range []struct {
		name, form string
		want       notice
	}{
		{"publish without arguments", head + "&call=publish&name=a%2Bb&type=live", show(publish)},
		{"publish with arguments, which stay as they are", head + "&call=publish&name=a%2Bb&type=live&txSecret=a%2Fb&txTime=6955B900", with(show(publish), "txSecret=a%2Fb&txTime=6955B900", 0)},
		{
			"publish with arguments that have nginx's names", head + "&call=publish&name=a%2Bb&type=live&name=x&app=y&call=publish_done&clientid=2&type=z&addr=8.8.8.8",
			with(show(publish), "name=x&app=y&call=publish_done&clientid=2&type=z&addr=8.8.8.8", 0),
		},
		{"publish_done", head + "&call=publish_done&name=a%2Bb", show(publishDone)},
		{"publish_done with arguments", head + "&call=publish_done&name=a%2Bb&txSecret=abc", show(publishDone)},
		{"update", head + "&call=update_publish&time=12&timestamp=11500&name=a%2Bb&txSecret=abc", with(show(update), "txSecret=abc", 12*time.Second)},
		{"play", head + "&call=play&name=a%2Bb&start=4294965296&duration=0&reset=0&txSecret=q", show(play)},
		{"something else that nginx tells of", "call=update_play&app=live", notice{call: "update_play", app: "live"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseNotice("", tc.form)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(notice{}, client{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFormsThatAreNotNginxs(t *testing.T) {
	t.Parallel()
	for form, want := range map[string]string{
		"":                                     "no call",
		"a=b":                                  "no call",
		"{}":                                   "no call",
		"call":                                 "no call",
		"call=publish&app=live&clientid=1":     "publish without",
		"call=publish&name=show&clientid=1":    "publish without",
		"call=publish_done&app=live&name=show": "publish_done without",
		"call=update_publish&app=live&name=show&clientid=1&time=1%3A0":             "time",
		"call=update_publish&app=live&name=show&clientid=1":                        "time",
		"call=play&app=live&clientid=1&name=":                                      "play without",
		"call=update_publish&app=live&name=show&clientid=1&time=99999999999999999": "time",
	} {
		if _, err := parseNotice("", form); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseNotice(%q): %v, want %q", form, err, want)
		}
	}
}
