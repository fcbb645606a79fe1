package fakecss

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

func TestWhatIsSentWhen(t *testing.T) {
	t.Parallel()
	run(t, []timeline{
		{
			name:  "a publish is a start and a stop of one sequence, and the next one has another",
			steps: []step{{0, up("1", "live")}, {90 * time.Second, down("1")}, {100 * time.Second, up("2", "live")}},
			want:  []string{"0s start s1 live/show", "1m30s stop s1 live/show errcode=1 duration=90000", "1m30s let go the players of live/show", "1m40s start s2 live/show"},
		},
		{
			name:  "streams do not mind each other",
			steps: []step{{0, up("1", "live")}, {0, upAs("2", "live", "other")}, {0, upAs("3", "vod", "show")}, {time.Second, down("2")}},
			want: []string{
				"0s start s1 live/show", "0s start s2 live/other", "0s start s3 vod/show",
				"1s stop s2 live/other errcode=1 duration=1000", "1s let go the players of live/other",
			},
		},
		{
			name:   "anything but 200 is tried 12 times more, a minute apart, and then never again",
			status: func(d *delivery) int { return []int{500, 204, 302, 0}[d.try%4] },
			steps:  []step{{0, up("1", "live")}},
			until:  time.Hour,
			want: []string{
				"0s start s1 live/show try=1 -> 204", "1m0s start s1 live/show try=2 -> 302", "2m0s start s1 live/show try=3 -> 0",
				"3m0s start s1 live/show try=4 -> 500", "4m0s start s1 live/show try=5 -> 204", "5m0s start s1 live/show try=6 -> 302",
				"6m0s start s1 live/show try=7 -> 0", "7m0s start s1 live/show try=8 -> 500", "8m0s start s1 live/show try=9 -> 204",
				"9m0s start s1 live/show try=10 -> 302", "10m0s start s1 live/show try=11 -> 0", "11m0s start s1 live/show try=12 -> 500",
				"12m0s start s1 live/show try=13 -> 204",
			},
		},
		{
			name:    "a try that is answered with 200 is the last, and one callback does not wait for another",
			options: Options{RetryEvery: 10 * time.Second},
			status: func(d *delivery) int {
				if d.callback.EventType == 1 && d.try < 3 {
					return 503
				}
				return 200
			},
			steps: []step{{0, up("1", "live")}, {15 * time.Second, down("1")}},
			until: time.Hour,
			want: []string{
				"0s start s1 live/show try=1 -> 503", "10s start s1 live/show try=2 -> 503", "15s stop s1 live/show errcode=1 duration=15000",
				"15s let go the players of live/show", "20s start s1 live/show try=3",
			},
		},
		{
			name: "the interruptions to come are as was said, each once or as often as was said, and then as usual",
			steps: []step{
				{0, next(Interruption{Stream: "other", Code: 5})},
				{0, next(Interruption{Code: 12, Count: 2})},
				{0, next(Interruption{App: "live", Stream: "show", Code: 3})},
				{0, up("1", "live")},
				{time.Second, down("1")},
				{time.Second, up("2", "live")},
				{2 * time.Second, down("2")},
				{2 * time.Second, up("3", "live")},
				{3 * time.Second, down("3")},
				{3 * time.Second, up("4", "live")},
				{4 * time.Second, down("4")},
			},
			options: Options{ErrorCode: 4},
			want: []string{
				"0s start s1 live/show", "1s stop s1 live/show errcode=12 duration=1000", "1s let go the players of live/show",
				"1s start s2 live/show", "2s stop s2 live/show errcode=12 duration=1000", "2s let go the players of live/show",
				"2s start s3 live/show", "3s stop s3 live/show errcode=3 duration=1000", "3s let go the players of live/show",
				"3s start s4 live/show", "4s stop s4 live/show errcode=4 duration=1000", "4s let go the players of live/show",
			},
		},
		{
			name:  "a stop of a connection that never published says nothing",
			steps: []step{{0, down("1")}, {0, up("1", "live")}, {time.Second, down("2")}},
			want:  []string{"0s start s1 live/show"},
		},
		{
			name:  "an ingest that counts its connections anew has lost those of before",
			steps: []step{{0, up("1", "live")}, {time.Minute, up("1", "live")}, {2 * time.Minute, down("1")}},
			want: []string{
				"0s start s1 live/show", "1m0s stop s1 live/show errcode=1 duration=60000", "1m0s start s2 live/show",
				"1m0s let go the players of live/show", "2m0s stop s2 live/show errcode=1 duration=60000", "2m0s let go the players of live/show",
			},
		},
		{
			name:  "an update of a push that is not known is a start of when it began",
			steps: []step{{time.Minute, alive("7", 20*time.Second)}, {70 * time.Second, alive("7", 30*time.Second)}, {80 * time.Second, down("7")}},
			want:  []string{"1m0s start s1 live/show", "1m20s stop s1 live/show errcode=1 duration=40000", "1m20s let go the players of live/show"},
		},
		{
			name: "an update of a push that an earlier run had named besides another tells its own name",
			steps: []step{{0, func(w *world) {
				n := noticeOf(update, "7", "live", "show~7")
				w.engine.updated(n, w.now)
			}}},
			want: []string{"0s start s1 live/show"},
		},
		{
			name:    "a push that was updated and then is silent for too long is over, one that was never updated is not",
			options: Options{SilentAfter: 30 * time.Second},
			steps:   []step{{0, up("1", "live")}, {0, upAs("2", "live", "other")}, {10 * time.Second, alive("1", 10*time.Second)}, {20 * time.Second, alive("1", 20*time.Second)}},
			until:   time.Hour,
			want:    []string{"0s start s1 live/show", "0s start s2 live/other", "50s stop s1 live/show errcode=8 duration=50000", "50s let go the players of live/show"},
		},
	})
}

func TestThe70SecondRule(t *testing.T) {
	t.Parallel()
	lostAt10 := []step{{0, next(Interruption{Code: 12, Count: 9})}, {0, up("1", "live")}, {10 * time.Second, down("1")}, {10 * time.Second, onAir}}
	rule := Options{Resume: 70 * time.Second}
	run(t, []timeline{
		{
			name:  "without it a lost connection is told of at once",
			steps: lostAt10,
			want:  []string{"0s start s1 live/show", "10s stop s1 live/show errcode=12 duration=10000", "10s let go the players of live/show", "10s on air: 0"},
		},
		{
			name: "one that comes back within it goes on with its sequence, and nothing is sent", options: rule,
			steps: append(lostAt10, step{79 * time.Second, up("2", "live")}, step{3 * time.Minute, down("2")}, step{200 * time.Second, onAir}),
			until: time.Hour,
			want:  []string{"0s start s1 live/show", "10s on air: 1", "3m20s on air: 1", "4m10s stop s1 live/show errcode=12 duration=250000", "4m10s let go the players of live/show"},
		},
		{
			name: "one that does not is told of when it is over", options: rule,
			steps: append(lostAt10, step{80 * time.Second, up("2", "live")}),
			until: time.Hour,
			want:  []string{"0s start s1 live/show", "10s on air: 1", "1m20s stop s1 live/show errcode=12 duration=80000", "1m20s let go the players of live/show", "1m20s start s2 live/show"},
		},
		{
			name: "a client that stopped is not waited for", options: rule,
			steps: []step{{0, up("1", "live")}, {time.Second, down("1")}, {2 * time.Second, up("2", "live")}},
			want:  []string{"0s start s1 live/show", "1s stop s1 live/show errcode=1 duration=1000", "1s let go the players of live/show", "2s start s2 live/show"},
		},
		{
			name: "what comes through another application is another push", options: Options{Resume: 70 * time.Second, Feeds: map[string]string{"backup": "live"}},
			steps: append(lostAt10, step{20 * time.Second, up("2", "backup")}),
			until: time.Minute,
			want:  []string{"0s start s1 live/show", "10s on air: 1", "20s start s2 live/show"},
		},
		{
			name:    "the standby plays while one waits, and goes on when that comes back",
			options: Options{Resume: 70 * time.Second, Feeds: map[string]string{"backup": "live"}, Controls: map[string]string{"": "c"}},
			steps: []step{
				{0, up("1", "live")}, {time.Second, up("2", "backup")}, {2 * time.Second, next(Interruption{Code: 13})}, {2 * time.Second, down("1")},
				{3 * time.Second, up("2", "backup")}, {3 * time.Second, down("2")}, {4 * time.Second, up("3", "live")}, {5 * time.Second, down("3")},
			},
			until: time.Hour,
			want: []string{
				"0s start s1 live/show", "1s start s2 live/show", "2s move the standby: client 2 of live/show, show",
				"5s stop s1 live/show errcode=1 duration=5000",
			},
		},
	})
}

func TestTwoPushersOnOneName(t *testing.T) {
	t.Parallel()
	two := Options{Feeds: map[string]string{"backup": "live", "b/live": "live"}, Play: "rtmp://play", Controls: map[string]string{"": "c", "b": "c"}}
	with := func(second Second) Options {
		o := two
		o.Second = second
		return o
	}
	const first = `0s client 1 goes on as show, relayed to "rtmp://play/live/show", refused false`
	run(t, []timeline{
		{
			name: "of two applications: two sequences, the second takes over when the first ends, and players are let go after it", options: two,
			steps: []step{
				{0, up("1", "live")}, {time.Second, up("2", "backup")}, {time.Second, onAir}, {2 * time.Second, down("1")},
				{3 * time.Second, down("2")}, {3 * time.Second, up("2", "backup")}, {3 * time.Second, onAir}, {4 * time.Second, down("2")}, {4 * time.Second, onAir},
			},
			want: []string{
				first,
				"0s start s1 live/show",
				"1s start s2 live/show",
				"1s on air: 2",
				"2s stop s1 live/show errcode=1 duration=2000",
				"2s move the standby: client 2 of live/show, show",
				`3s client 2 goes on as show, relayed to "rtmp://play/live/show", refused false`,
				"3s on air: 1",
				"4s stop s2 live/show errcode=1 duration=3000",
				"4s let go the players of live/show",
				"4s on air: 0",
			},
		},
		{
			name: "the standby ends first: the first goes on", options: two,
			steps: []step{{0, up("1", "live")}, {time.Second, up("2", "backup")}, {2 * time.Second, down("2")}, {3 * time.Second, down("1")}},
			want: []string{
				first,
				"0s start s1 live/show",
				"1s start s2 live/show",
				"2s stop s2 live/show errcode=1 duration=1000",
				"3s stop s1 live/show errcode=1 duration=3000",
				"3s let go the players of live/show",
			},
		},
		{
			name: "of two servers: their connections have the same numbers", options: two,
			steps: []step{{0, up("1", "live")}, {time.Second, up("b1", "live")}, {2 * time.Second, down("b1")}, {3 * time.Second, onAir}},
			want: []string{
				first,
				"0s start s1 live/show",
				"1s start s2 live/show",
				"2s stop s2 live/show errcode=1 duration=1000",
				"3s on air: 1",
			},
		},
		{
			name: "of one application: the second goes on under another name, which no callback tells", options: two,
			steps: []step{{0, up("1", "live")}, {time.Second, up("2", "live")}, {2 * time.Second, down("1")}},
			want: []string{
				first,
				"0s start s1 live/show",
				`1s client 2 goes on as show~2, relayed to "", refused false`,
				"1s start s2 live/show",
				"2s stop s1 live/show errcode=1 duration=2000",
				"2s move the standby: client 2 of live/show, show~2",
			},
		},
		{
			name: "nginx tells of the move in the other order", options: two,
			steps: []step{
				{0, up("1", "live")}, {time.Second, up("2", "backup")}, {2 * time.Second, down("1")}, {3 * time.Second, up("2", "backup")}, {3 * time.Second, down("2")},
				{4 * time.Second, onAir},
			},
			want: []string{
				first,
				"0s start s1 live/show",
				"1s start s2 live/show",
				"2s stop s1 live/show errcode=1 duration=2000",
				"2s move the standby: client 2 of live/show, show",
				`3s client 2 goes on as show, relayed to "rtmp://play/live/show", refused false`,
				"4s on air: 1",
			},
		},
		{
			name: "nginx does not find the standby yet: it is asked again", options: two,
			steps: []step{{0, up("1", "live")}, {time.Second, up("2", "backup")}, {2 * time.Second, down("1")}, {2 * time.Second, failed(movePusher, "2", "s2")}},
			until: time.Minute,
			want: []string{
				first,
				"0s start s1 live/show",
				"1s start s2 live/show",
				"2s stop s1 live/show errcode=1 duration=2000",
				"2s move the standby: client 2 of live/show, show",
				"3s move the standby: client 2 of live/show, show",
			},
		},
		{
			name: "the standby ends while it is to be moved: that is its end", options: two,
			steps: []step{
				{0, up("1", "live")}, {time.Second, up("2", "backup")}, {2 * time.Second, down("1")}, {2 * time.Second, down("2")}, {2 * time.Second, onAir},
				{3 * time.Second, failed(movePusher, "2", "s2")},
			},
			until: time.Minute,
			want: []string{
				first,
				"0s start s1 live/show",
				"1s start s2 live/show",
				"2s stop s1 live/show errcode=1 duration=2000",
				"2s move the standby: client 2 of live/show, show",
				"2s on air: 1",
				"3s stop s2 live/show errcode=1 duration=2000",
				"3s let go the players of live/show",
			},
		},
		{
			name: "an account that replaces: the first is cut, and its stop says 21", options: with(Replace),
			steps: []step{{0, up("1", "live")}, {time.Second, up("2", "backup")}, {2 * time.Second, down("1")}},
			want: []string{
				first,
				"0s start s1 live/show",
				"1s start s2 live/show",
				"1s cut the push: client 1 of live/show, ",
				"2s stop s1 live/show errcode=21 duration=2000",
				"2s move the standby: client 2 of live/show, show",
			},
		},
		{
			name: "an account that refuses: the second is not let in, and there is a stop of what never started", options: with(Refuse),
			steps: []step{{0, up("1", "live")}, {time.Second, up("2", "backup")}, {time.Second, down("2")}, {2 * time.Second, onAir}},
			want: []string{
				first,
				"0s start s1 live/show",
				`1s client 2 goes on as , relayed to "", refused true`,
				"1s stop s2 live/show errcode=18 duration=0",
				"2s on air: 1",
			},
		},
		{
			name: "without a control nothing is moved", options: Options{Feeds: two.Feeds},
			steps: []step{{0, up("1", "live")}, {time.Second, up("2", "backup")}, {2 * time.Second, down("1")}, {3 * time.Second, down("2")}},
			want: []string{
				"0s start s1 live/show",
				"1s start s2 live/show",
				"2s stop s1 live/show errcode=1 duration=2000",
				"3s stop s2 live/show errcode=1 duration=2000",
				"3s let go the players of live/show",
			},
		},
	})
}

func TestACutPushEndsAsTheCutSays(t *testing.T) {
	t.Parallel()
	cut := func(how Interruption) func(*world) {
		return func(w *world) { w.say("found %v", w.engine.cutOff(how)) }
	}
	run(t, []timeline{
		{
			name:  "with its code, before all that was said of interruptions to come",
			steps: []step{{0, next(Interruption{Code: 5})}, {0, up("1", "live")}, {time.Second, cut(Interruption{Stream: "show", Code: 21})}, {2 * time.Second, down("1")}},
			want: []string{
				"0s start s1 live/show", "1s found true", "1s cut the push: client 1 of live/show, ", "2s stop s1 live/show errcode=21 duration=2000",
				"2s let go the players of live/show",
			},
		},
		{
			name:  "nginx did not: it ends as others",
			steps: []step{{0, up("1", "live")}, {time.Second, cut(Interruption{Code: 21})}, {time.Second, failed(cutPusher, "1", "s1")}, {2 * time.Second, down("1")}},
			want: []string{
				"0s start s1 live/show", "1s found true", "1s cut the push: client 1 of live/show, ", "2s stop s1 live/show errcode=1 duration=2000",
				"2s let go the players of live/show",
			},
		},
		{
			name:  "there is none",
			steps: []step{{0, up("1", "live")}, {time.Second, cut(Interruption{Stream: "other", Code: 21})}},
			want:  []string{"0s start s1 live/show", "1s found false"},
		},
	})
}

func TestEveryTryIsSignedAnewAndTheReceiversParserTakesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(Options{Key: "SecretKey1", RetryEvery: 5 * time.Minute, Retries: 3})
	w.status = func(*delivery) int { return 500 }
	up("1", "live")(w)
	w.until(time.Hour)
	var got []time.Duration
	for i, body := range w.bodies {
		sent := dawn.Add(time.Duration(i) * 5 * time.Minute)
		// Without skew a signature of an earlier try would be refused from the third on, and one of a later try at once.
		callback, err := tencent.Parser{}.Parse(body, provider.Authentication{Required: true, Keys: []string{"SecretKey1"}, Now: sent})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, callback.Event.Time.Sub(dawn))
	}
	if diff := cmp.Diff(make([]time.Duration, 4), got); diff != "" {
		t.Errorf("the time of the event stays that of the start: %s", diff)
	}
}
