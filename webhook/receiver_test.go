package webhook

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

func TestEveryFieldOfACallbackHasItsPlace(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if status := d.post(d.push("a").Start(showTime)); status != http.StatusOK {
		t.Fatalf("the start is answered %d", status)
	}
	end := d.push("a").Interruption(showTime.Add(2*time.Minute), 128581*time.Millisecond, 1, "The push client actively stopped the push")
	end.Width, end.Height, end.SetID = 1920, 1080, 9
	if status := d.post(end); status != http.StatusOK {
		t.Fatalf("the interruption is answered %d", status)
	}
	want := []v1alpha1.Push{{
		Sequence: "a", StartTime: new(metav1.NewTime(showTime)), EndTime: new(metav1.NewTime(showTime.Add(2 * time.Minute))),
		RecordedTime: new(metav1.NewTime(showTime)), ClientIP: "1.1.1.1", Node: "42.81.194.37", Region: v1alpha1.RegionGlobal,
		Width: 1920, Height: 1080, DurationMilliseconds: new(int64(128581)), ErrorCode: new(int32(1)),
		Reason: v1alpha1.PushReasonClientStopped, Message: "The push client actively stopped the push",
	}}
	if diff := gocmp.Diff(want, d.stream("show").Status.Pushes); diff != "" {
		t.Errorf("pushes mismatch (-want +got):\n%s", diff)
	}
}

func TestEventsOfAStreamInAnyOrder(t *testing.T) {
	t.Parallel()
	start := func(s string) func(*desk) css.Callback {
		return func(d *desk) css.Callback { return d.push(s).Start(showTime) }
	}
	end := func(s string) func(*desk) css.Callback {
		return func(d *desk) css.Callback {
			return d.push(s).Interruption(showTime.Add(time.Minute), time.Minute, 12, "")
		}
	}
	for _, tc := range []struct {
		name   string
		events []func(*desk) css.Callback
		want   string
		writes int
	}{
		{"a start is live", []func(*desk) css.Callback{start("a")}, "A", 1},
		{"a repeated start is written once", []func(*desk) css.Callback{start("a"), start("a"), start("a")}, "A", 1},
		{"an interruption ends its push", []func(*desk) css.Callback{start("a"), end("a")}, "a", 2},
		{"an interruption before its start leaves a tombstone and the start starts nothing", []func(*desk) css.Callback{end("a"), start("a")}, "a", 1},
		{"an interruption leaves the other pusher alone", []func(*desk) css.Callback{start("a"), start("b"), end("a")}, "a B", 3},
		{"a late stop of an earlier push stops nothing", []func(*desk) css.Callback{start("a"), end("a"), start("b"), end("a"), start("a")}, "a B", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			versions := map[string]bool{d.stream("show").ResourceVersion: true}
			for _, e := range tc.events {
				if status := d.post(e(d)); status != http.StatusOK {
					t.Fatalf("answered %d", status)
				}
				versions[d.stream("show").ResourceVersion] = true
			}
			if got := shape(d.stream("show").Status.Pushes); got != tc.want {
				t.Errorf("pushes = %q, want %q", got, tc.want)
			}
			if got := len(versions) - 1; got != tc.writes {
				t.Errorf("%d writes, want %d", got, tc.writes)
			}
		})
	}
}

// Two replicas with caches of their own take the callbacks of one stream at once.
func TestConcurrentEventsOfAStreamAreAllKept(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := openDesk(t, d.namespace, d.clock)
	other.knows("show")
	const pushes = 24
	var wait sync.WaitGroup
	for i := range pushes {
		for _, replica := range []*desk{d, other} {
			wait.Go(func() {
				body := d.push(fmt.Sprintf("s%d", i)).Start(showTime).Signed(callbackKey, showTime)
				// CSS comes again on anything but 200.
				for try := 0; ; try++ {
					status, answer, err := css.Post(context.Background(), replica.url+d.path(), body)
					if err == nil && status == http.StatusOK {
						return
					}
					if try == 12 {
						t.Errorf("push %d is given up: %d %s %v", i, status, answer, err)
						return
					}
				}
			})
		}
	}
	wait.Wait()
	if got := len(push.Live(d.stream("show").Status.Pushes)); got != pushes {
		t.Errorf("%d pushes are live, want %d: an acknowledged event is lost", got, pushes)
	}
}

func TestTheReconcilersFieldsAreLeftAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	stream := d.stream("show")
	stream.Status.State = v1alpha1.LiveStreamIdle
	stream.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Reconciled", LastTransitionTime: metav1.NewTime(showTime)}}
	if err := env.Client.Status().Update(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	if status := d.post(d.push("a").Start(showTime)); status != http.StatusOK {
		t.Fatalf("answered %d", status)
	}
	after := d.stream("show").Status
	if after.State != v1alpha1.LiveStreamIdle || len(after.Conditions) != 1 || shape(after.Pushes) != "A" {
		t.Errorf("status = %+v", after)
	}
}

func TestARotatedKeyWorksAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	now := d.clock.(*testclock.FakePassiveClock)
	if status := d.post(d.push("a").Start(showTime)); status != http.StatusOK {
		t.Fatalf("answered %d", status)
	}
	secret := &corev1.Secret{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: d.namespace, Name: "css"}, secret); err != nil {
		t.Fatal(err)
	}
	secret.Data["callbackKey"] = []byte("anotherKey\n")
	if err := env.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	now.SetTime(showTime.Add(SecretAgainAfter))
	status, answer, err := css.Post(t.Context(), d.url+d.path(), d.push("b").Start(showTime).Signed("anotherKey", now.Now()))
	if err != nil || status != http.StatusOK {
		t.Errorf("a callback with the new key is answered %d %s %v", status, answer, err)
	}
	now.SetTime(now.Now().Add(KeepSecrets))
	if status := d.post(d.push("c").Start(showTime)); status != http.StatusUnauthorized {
		t.Errorf("a callback with the old key is answered %d, want 401", status)
	}
}

func TestOtherCallbacksAreAcknowledged(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before := d.stream("show").ResourceVersion
	for _, body := range []string{
		`{"event_type":314,"appid":4,"callback_event":"TaskExit","interface":"general_callback"}`,
		string(d.push("a").Start(showTime).WithType(100).Signed(callbackKey, showTime)),
		string(d.push("a").Start(showTime).WithType(9999).Signed(callbackKey, showTime)),
		strings.Replace(string(d.push("a").Start(showTime).Signed(callbackKey, showTime)), `"stream_id":"test_stream"`, `"stream_id":"nobody_claims_it"`, 1),
	} {
		status, answer, err := css.Post(t.Context(), d.url+d.path(), []byte(body))
		if err != nil || status != http.StatusOK {
			t.Errorf("%s is answered %d %s %v, want 200", body, status, answer, err)
		}
	}
	if after := d.stream("show").ResourceVersion; after != before {
		t.Error("a callback that tells of no push of the stream changed it")
	}
}

func TestTheOldestOfTwoStreamsGetsTheEvent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.create(d.newStream("a-later-one"))
	d.knows("a-later-one")
	if oldest := d.stream("show"); oldest.CreationTimestamp.Equal(new(d.stream("a-later-one").CreationTimestamp)) {
		// Both of one second: then the name decides, and the test is about something else.
		t.Log("created within one second; the name decides")
		if d.post(d.push("a").Start(showTime)); shape(d.stream("a-later-one").Status.Pushes) != "A" {
			t.Error("the event is not at the stream that is first by name")
		}
		return
	}
	if d.post(d.push("a").Start(showTime)); shape(d.stream("show").Status.Pushes) != "A" {
		t.Error("the event is not at the older stream")
	}
}

func TestThePushDomainTellsOfItsCallbacksAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- d.handler.Domains.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}()
	domain := func() *v1alpha1.PushDomain {
		domain := &v1alpha1.PushDomain{}
		if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: d.namespace, Name: "shows"}, domain); err != nil {
			t.Fatal(err)
		}
		return domain
	}
	d.post(d.push("a").Start(showTime))
	d.eventually("the push domain is verified", func() bool {
		s := domain().Status
		return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionVerified) && s.LastCallbackTime != nil
	})
	d.eventually("the receiver's cache knows it", func() bool {
		cached := &v1alpha1.PushDomain{}
		return d.handler.Cache.Get(t.Context(), client.ObjectKeyFromObject(domain()), cached) == nil && cached.ResourceVersion == domain().ResourceVersion
	})
	version := domain().ResourceVersion
	for i := range 20 {
		d.post(d.push(fmt.Sprint("b", i)).Start(showTime))
		if _, _, err := css.Post(t.Context(), d.url+d.path(), d.push("x").Start(showTime).Signed("wrong", showTime)); err != nil {
			t.Fatal(err)
		}
	}
	if due, _ := d.handler.Domains.take(); len(due) != 0 || domain().ResourceVersion != version {
		t.Errorf("callbacks within a minute are written to the push domain: due %v", due)
	}
}

func TestWhatAClockThatWasAheadWroteOfAPushDomainIsWrittenAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	domain, tomorrow := d.domain(), metav1.NewTime(showTime.Add(24*time.Hour))
	domain.Status.LastCallbackTime = &tomorrow
	refused := verifiedCondition(false)
	refused.LastTransitionTime = tomorrow
	meta.SetStatusCondition(&domain.Status.Conditions, refused)
	if err := env.Client.Status().Update(t.Context(), domain); err != nil {
		t.Fatal(err)
	}
	d.eventually("the receiver's cache knows it", func() bool {
		cached := &v1alpha1.PushDomain{}
		return d.handler.Cache.Get(t.Context(), client.ObjectKeyFromObject(domain), cached) == nil && cached.ResourceVersion == domain.ResourceVersion
	})
	if status := d.post(d.push("a").Start(showTime)); status != http.StatusOK {
		t.Fatalf("answered %d", status)
	}
	d.writesDomains()
	status := d.domain().Status
	verified := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionVerified)
	if verified.Status != metav1.ConditionTrue || !verified.LastTransitionTime.Time.Equal(showTime) {
		t.Errorf("Verified = %+v, want True since now", verified)
	}
	if !status.LastCallbackTime.Time.Equal(showTime) {
		t.Errorf("lastCallbackTime = %s, want now", status.LastCallbackTime)
	}
}

func TestReplicasWhoseClocksDifferWriteOverEachOtherAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	clock := testclock.NewFakePassiveClock(showTime)
	domains := NewDomainStatus(nil, nil, nil, clock)
	domain := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: "shows", Namespace: "studio"}}
	for i, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {0, 0}, {59 * time.Second, 0}, {time.Second, 1}, {time.Second, 0}} {
		clock.SetTime(clock.Now().Add(step.after))
		// The other one wrote it again.
		domain.Status.LastCallbackTime = new(metav1.NewTime(clock.Now().Add(5 * time.Minute)))
		domains.Saw(domain, seen{changed: true})
		if due, _ := domains.take(); len(due) != step.want {
			t.Errorf("callback %d brings %d writes, want %d", i, len(due), step.want)
		}
	}
}

// The server's bounds, at the real server: what must hold before any handler runs.
func TestTheServerListensOnlyWhileItRuns(t *testing.T) {
	t.Parallel()
	server := &Server{Address: "127.0.0.1:0", Handler: http.NotFoundHandler()}
	if server.Ready(nil) == nil {
		t.Error("ready before it was started")
	}
	if server.NeedLeaderElection() {
		t.Error("only the leader would receive")
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	(&desk{t: t}).eventually("the server is ready", func() bool { return server.Ready(nil) == nil })
	cancel()
	if err := <-stopped; err != nil {
		t.Errorf("Start() = %v after its context ended", err)
	}
	if server.Ready(nil) == nil {
		t.Error("ready after it was stopped")
	}
	if err := (&Server{Address: "256.0.0.1:x"}).Start(t.Context()); err == nil {
		t.Error("an address that cannot be listened on is no error")
	}
}

func TestTooManyAtOnceAreToldToComeAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for range maxInFlight {
		d.handler.inFlight <- struct{}{}
	}
	response, err := http.Post(d.url+d.path(), "application/json", strings.NewReader(string(d.push("a").Start(showTime).Signed(callbackKey, showTime))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("answered %d with Retry-After %q", response.StatusCode, response.Header.Get("Retry-After"))
	}
	<-d.handler.inFlight
	if status := d.post(d.push("a").Start(showTime)); status != http.StatusOK {
		t.Errorf("answered %d once there is a place again", status)
	}
}

func TestEventsThatWouldWaitTooLongAreToldToComeAgainAtOnceAndDuplicatesAreNot(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	known := d.startsKnown()
	queue := d.busy()
	queue.took = 2 * maxWait
	began := time.Now()
	response, err := http.Post(d.url+d.path(), "application/json", strings.NewReader(string(d.push("b").Start(showTime).Signed(callbackKey, showTime))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("an event that would wait too long is answered %d with Retry-After %q", response.StatusCode, response.Header.Get("Retry-After"))
	}
	if took := time.Since(began); took >= maxWait {
		t.Errorf("it is told so after %s: it waited", took)
	}
	if status := d.post(known); status != http.StatusOK {
		t.Errorf("a duplicate, which is not written, is answered %d", status)
	}
	queue.leave()
	if status := d.post(d.push("b").Start(showTime)); status != http.StatusOK {
		t.Errorf("answered %d once there is time again", status)
	}
}

func TestNoSecretIsLoggedAnsweredStoredOrCounted(t *testing.T) {
	d := newDesk(t)
	callback := d.push("a").Start(showTime)
	callback.StreamParam = "txSecret=deadbeefdeadbeef&txTime=59FC927F&token=hunter2"
	good := callback.Signed(callbackKey, showTime)
	sign := string(good[strings.Index(string(good), `"sign":"`)+8:][:32])
	var answers strings.Builder
	for _, body := range [][]byte{
		good, good, callback.Signed("wrong", showTime), callback.Signed(callbackKey, showTime.Add(-time.Hour)),
		[]byte(strings.Replace(string(good), `"stream_id"`, `"stream_id":1,"stream_id"`, 1)), good[:len(good)-1],
		[]byte(strings.Replace(string(good), "test.domain.com", "other.domain.com", 1)),
	} {
		_, answer, err := css.Post(t.Context(), d.url+d.path(), body)
		if err != nil {
			t.Fatal(err)
		}
		answers.WriteString(answer)
	}
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	stored := fmt.Sprintf("%+v", d.stream("show").Status)
	ctrl.Log.Info("a line that the capture must hold")
	if !strings.Contains(logged.String(), "a line that the capture must hold") || !strings.Contains(logged.String(), "Recorded push event") {
		t.Fatal("the log is not captured")
	}
	for where, text := range map[string]string{"log": logged.String(), "answers": answers.String(), "status": stored, "metrics": fmt.Sprint(families)} {
		for _, secret := range []string{callbackKey, sign, "deadbeefdeadbeef", "hunter2", "txSecret", "stream_param"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s hold %q", where, secret)
			}
		}
	}
}
