package fakecss

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNginxIsAskedToMoveCutAndLetGo(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	nginx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path + "?" + r.URL.RawQuery
		_, _ = io.WriteString(w, "1")
	}))
	t.Cleanup(nginx.Close)
	r := newReceiver(t)
	o := Options{Callback: r.url}
	Nginx{Play: "127.0.0.1:1936", HTTP: strings.TrimPrefix(nginx.URL, "http://"), Feeds: map[string]string{"backup": "live"}}.Apply(&o)
	b := newBench(t, o)
	if code, location := b.ingest("publish", "live", "show", "1", "&type=live"); code != http.StatusFound || location != "rtmp://127.0.0.1:1936/live/show" {
		t.Errorf("the first is answered %d, Location %q", code, location)
	}
	if code, location := b.ingest("publish", "backup", "show", "2", "&type=live"); code != http.StatusOK || location != "" {
		t.Errorf("the second is answered %d, Location %q", code, location)
	}
	if code, location := b.ingest("publish", "backup", "show", "3", "&type=live"); code != http.StatusFound || location != "show~3" {
		t.Errorf("the third is answered %d, Location %q", code, location)
	}
	want := func(want string) {
		t.Helper()
		select {
		case got := <-asked:
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		case <-time.After(patience):
			t.Fatalf("nginx is not asked for %s", want)
		}
	}
	b.ingest("publish_done", "live", "show", "1", "")
	want("/control/redirect/publisher?app=backup&clientid=2&name=show&newname=show")
	b.ingest("publish_done", "backup", "show", "2", "")
	if code, location := b.ingest("publish", "backup", "show", "2", "&type="); code != http.StatusFound || location != "rtmp://127.0.0.1:1936/live/show" {
		t.Errorf("the move is answered %d, Location %q", code, location)
	}
	if err := b.Cut(Interruption{Stream: "show", Code: 21}); err != nil {
		t.Error(err)
	}
	want("/control/drop/publisher?app=backup&clientid=2&name=show")
	b.ingest("publish_done", "backup", "show", "2", "")
	want("/control/redirect/publisher?app=backup&clientid=3&name=show~3&newname=show~3")
	b.ingest("publish", "backup", "show~3", "3", "&type=")
	b.ingest("publish_done", "backup", "show", "3", "")
	b.ingest("publish_done", "backup", "show", "3", "")
	want("/control/drop/subscriber?app=live&name=show&srv=1")
	// Callbacks do not wait for one another: those of one moment come in any order.
	codes := map[int32]int{}
	for _, record := range b.tries(6) {
		if record.Callback.StreamID != "show" {
			t.Errorf("a callback of %s", record.Callback.StreamID)
		}
		if record.Callback.EventType == 0 {
			codes[record.Callback.ErrorCode]++
		}
	}
	if diff := cmp.Diff(map[int32]int{1: 2, 21: 1}, codes); diff != "" {
		t.Error(diff)
	}
}

func TestAStandbyThatNginxCannotMoveEndsAllTheSame(t *testing.T) {
	t.Parallel()
	nginx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }))
	t.Cleanup(nginx.Close)
	r := newReceiver(t)
	b := newBench(t, Options{Callback: r.url, Feeds: map[string]string{"backup": "live"}, Controls: map[string]string{"": nginx.URL}})
	b.ingest("publish", "live", "show", "1", "&type=live")
	b.ingest("publish", "backup", "show", "2", "&type=live")
	b.ingest("publish_done", "live", "show", "1", "")
	b.ingest("publish_done", "backup", "show", "2", "")
	b.tries(4)
	if got := b.Pushes(); len(got) != 0 {
		t.Errorf("still on air: %+v", got)
	}
	if !strings.Contains(b.log(), "cannot move the standby of live/show: nginx answers 500") {
		t.Errorf("the log does not say why:\n%s", b.log())
	}
}

func TestTheControl(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := newBench(t, Options{Callback: r.url})
	for _, tc := range []struct {
		name, target string
		want         int
	}{
		{"a next interruption", "/control/next?errcode=12&stream=show&message=by+hand", 200},
		{"two of them", "/control/next?errcode=3&count=2&app=live", 200},
		{"without a code", "/control/next", 400},
		{"with a code that is none", "/control/next?errcode=x", 400},
		{"with a code that is too large", "/control/next?errcode=2147483648", 400},
		{"none of them", "/control/next?errcode=3&count=0", 400},
		{"a cut without the control of nginx", "/control/cut?errcode=21", 409},
		{"a form that is not nginx's", "/ingest", 400},
		{"a player of what is not on air", "/ingest?app=live&name=other", 400},
		{"something else", "/", 404},
	} {
		response := b.post(tc.target, "")
		_ = response.Body.Close()
		if response.StatusCode != tc.want {
			t.Errorf("%s: %s is answered %d, want %d", tc.name, tc.target, response.StatusCode, tc.want)
		}
	}
	if code, _ := b.ingest("play", "live", "show", "9", ""); code != http.StatusNotFound {
		t.Errorf("a player of what is not on air is answered %d", code)
	}
	b.ingest("publish", "live", "show", "1", "&type=live")
	if code, _ := b.ingest("play", "live", "show", "9", ""); code != http.StatusOK {
		t.Errorf("a player of what is on air is answered %d", code)
	}
	recorder := httptest.NewRecorder()
	b.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/control/pushes", http.NoBody))
	var pushes []Push
	if err := json.Unmarshal(recorder.Body.Bytes(), &pushes); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.Pushes(), pushes, cmp.Comparer(time.Time.Equal)); diff != "" || len(pushes) != 1 || !pushes[0].Played {
		t.Errorf("%d pushes: %s", len(pushes), diff)
	}
	b.ingest("publish_done", "live", "show", "1", "")
	var got []string
	for _, record := range b.tries(2) {
		got = append(got, record.Callback.ErrorMessage)
	}
	if diff := cmp.Diff(map[string]bool{"ok": true, "by hand": true}, map[string]bool{got[0]: true, got[1]: true}); diff != "" {
		t.Error(diff)
	}
}
