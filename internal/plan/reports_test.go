package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

func happens(after int, what string, do func(w *world)) happening {
	return happening{after: after, what: what, do: func(_ *testing.T, w *world) { do(w) }}
}

// repeated is the same happening some seconds apart.
func repeated(times, apart int, h happening) []happening {
	var all []happening
	for i := range times {
		again := h
		again.after += i * apart
		all = append(all, again)
	}
	return all
}

// arrivesLate is an event that is told so many seconds after it happened.
func arrivesLate(seconds int, e happening, make func(at time.Time) provider.Event) happening {
	return event(e.after+seconds, e.what+fmt.Sprintf(", which is told %d s late", seconds), func(at time.Time) provider.Event {
		return make(at.Add(-time.Duration(seconds) * time.Second))
	})
}

// unseen is a happening while the operator is being started anew.
func unseen(h happening) happening {
	h.unseen, h.what = true, h.what+", while the operator is down"
	return h
}

// listed is CSS's list with a push that no callback told of.
func listed(after, since int) happening {
	return happens(after, fmt.Sprintf("CSS lists the stream as on air since +%ds", since), func(w *world) {
		pushes, changed := push.StandIn(w.stream.Status.Pushes, showTime.Add(time.Duration(since)*time.Second), w.now)
		w.stream.Status.Pushes = pushes
		w.note(fmt.Sprintf("   -> a push stands in: %t", changed))
	})
}

// notOnline is CSS's answer to the doubt that its list raised.
func notOnline(after int) happening {
	return happens(after, "CSS says that the stream is not on air", func(w *world) {
		var sequences []string
		for _, p := range push.Live(w.stream.Status.Pushes) {
			sequences = append(sequences, p.Sequence)
		}
		w.stream.Status.Pushes = push.End(w.stream.Status.Pushes, sequences, v1alpha1.PushReasonNotOnline, "CSS says that the stream is not on air", w.now)
	})
}

// claims is what came before there was a LiveStream.
func claims(after int, events ...provider.Event) happening {
	return happens(after, "the LiveStream is created", func(w *world) {
		var unclaimed []v1alpha1.UnclaimedPush
		for _, e := range events {
			e.App, e.Stream = "live", "test_stream"
			unclaimed, _, _ = push.ApplyUnclaimed(unclaimed, v1alpha1.UnknownStreams{}, e, e.Time)
		}
		pushes, changed := push.Claim(w.stream.Status.Pushes, push.OfStream(unclaimed, push.Stream{App: "live", Name: "test_stream"}), w.now)
		w.stream.Status.Pushes = pushes
		w.note(fmt.Sprintf("   -> it claims %d pushes: %t", len(unclaimed), changed))
	})
}

func domainGoes(after int) happening {
	return happens(after, "the PushDomain is deleted", func(w *world) { w.domain = "" })
}

func domainComes(after int) happening {
	return happens(after, "the PushDomain is created again", func(w *world) { w.domain = "push.example.com" })
}

func at(seconds int) time.Time { return showTime.Add(time.Duration(seconds) * time.Second) }

func suspends(after int) happening {
	return edits(after, "the user suspends the stream", func(s *v1alpha1.LiveStreamSpec) { s.State = v1alpha1.LiveStreamSuspended })
}

func resumes(after int) happening {
	return edits(after, "the user resumes the stream", func(s *v1alpha1.LiveStreamSpec) { s.State = v1alpha1.LiveStreamActive })
}

func join(parts ...[]happening) []happening {
	var all []happening
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// report is a timeline that users of another system were let down in.
type report struct {
	name  string
	setUp func(w *world)
	then  []happening
}

// TestTimelinesThatOthersReported answers reports of users of other systems, which each row names.
func TestTimelinesThatOthersReported(t *testing.T) {
	for _, r := range append(reportsOfCallbacks(), reportsOfWorkloads()...) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld("record")
			if r.setUp != nil {
				r.setUp(w)
			}
			w.play(t, r.then)
			compareGolden(t, r.name, w.trace.String())
		})
	}
}

func reportsOfCallbacks() []report {
	lateStop := func(after int, sequence string) happening {
		return arrivesLate(60, drops(after, sequence), func(at time.Time) provider.Event {
			return interrupted(sequence, at, v1alpha1.PushReasonNetworkError)
		})
	}
	window := func(seconds int32) func(w *world) {
		return func(w *world) { w.stream.Spec.ReconnectWindowSeconds = new(seconds) }
	}
	maxDuration := func(w *world) { w.stream.Spec.MaxDurationSeconds = 600 }
	return []report{
		// OvenMediaEngine#1909: the closing of the old connection marks the new one offline.
		{"the closing of the old connection is told a minute after the next opening", nil, []happening{starts(0, "A"), starts(40, "B"), lateStop(35, "A"), stops(200, "B")}},
		// srs#3046: several unpublishes for one publish.
		{"three stops of the old push after a quick republish stop nothing", nil, []happening{starts(0, "A"), drops(100, "A"), starts(101, "B"), drops(102, "A"), drops(103, "A"), drops(104, "A"), stops(200, "B")}},
		// srs#3046: the publish is missing after a quick republish.
		{"the missing start of a quick republish is made up for by the list", window(120), []happening{starts(0, "A"), drops(100, "A"), listed(170, 105), stops(300, "B")}},
		// srs#3330: the same callback again and again.
		{"each callback comes thirteen times a minute apart", nil, join(repeated(13, 60, starts(0, "A")), repeated(13, 60, drops(750, "A")))},
		// srs#2837: publish and unpublish of two clients, shuffled.
		{"four events of two pushes arrive backwards", nil, []happening{stops(0, "B"), starts(1, "B"), stops(2, "A"), starts(3, "A")}},
		{"four events of two pushes arrive shuffled", nil, []happening{starts(0, "B"), stops(1, "A"), starts(2, "A"), stops(3, "B")}},
		// nginx-rtmp#617: publish_done is missing.
		{"a stop that never comes ends the show when nothing was heard for long", maxDuration, []happening{starts(0, "A")}},
		// nginx-rtmp#789: publish after its stop.
		{"a publish after its stop does not reopen the show that ended", nil, []happening{starts(0, "A"), stops(100, "A"), stops(110, "B"), starts(111, "B")}},
		// Ant-Media-Server#1389: wait for a reconnect.
		{"an encoder that is back after 20 s keeps its recording", nil, []happening{starts(0, "A"), drops(60, "A"), starts(80, "B"), stops(120, "B")}},
		// Ant-Media-Server#7047: the end is never sent when the stream was terminated unexpectedly; owncast#898: the stop is lost.
		{"a stop that was lost ends the show when CSS says so", nil, []happening{starts(0, "A"), notOnline(300)}},
		{"the stop that was lost comes after all and changes nothing", nil, []happening{starts(0, "A"), notOnline(300), drops(310, "A"), starts(320, "A"), starts(330, "B"), stops(400, "B")}},
		// livepeer/studio#723: isActive is unreliable.
		{"a stream that is on air longer than thought goes on while CSS says so", func(w *world) {
			maxDuration(w)
			w.onAir = func() bool { return w.now.Before(at(1500)) }
		}, []happening{starts(0, "A")}},
		// knative/eventing#8323: old events run again.
		{"the events of a show that ended run nothing when they come again", nil, join([]happening{starts(0, "A"), stops(60, "A")}, repeated(5, 600, starts(120, "A")), repeated(5, 600, stops(2700, "A")))},
		// livekit/egress#210: a drop of half a second ends the recording.
		{"a drop of no second keeps the recording", nil, []happening{starts(0, "A"), drops(60, "A"), starts(60, "B"), stops(120, "B")}},
		// Mux tells disconnected from idle, with a window of 0 to 1800 s.
		{"a window of no seconds ends the show at once", window(0), []happening{starts(0, "A"), drops(60, "A"), starts(61, "B"), drops(120, "B")}},
		{"a window of half an hour waits for an encoder that boots", window(1800), []happening{starts(0, "A"), drops(60, "A"), starts(1859, "B"), drops(1900, "B")}},
		{"a stream that was on air before its LiveStream is claimed with its start", nil, []happening{claims(60, started("A", at(-600))), stops(120, "A")}},
		{"a stream that came and went before its LiveStream starts nothing", nil, []happening{claims(60, started("A", at(-600)), interrupted("A", at(0), v1alpha1.PushReasonNetworkError), interrupted("B", at(1), v1alpha1.PushReasonNetworkError)), starts(70, "B")}},
		{"a push that comes and goes between two passes is counted", nil, []happening{starts(0, "A"), drops(60, "A"), unseen(starts(70, "B")), unseen(drops(75, "B")), starts(80, "C"), stops(120, "C")}},
		{"a show that comes and goes while the operator is down starts nothing", nil, []happening{unseen(starts(0, "A")), unseen(stops(20, "A")), starts(60, "A")}},
	}
}

func reportsOfWorkloads() []report {
	upload := func(w *world) {
		w.stream.Spec.Workloads = append(w.stream.Spec.Workloads, v1alpha1.Workload{Name: "upload", Run: v1alpha1.WorkloadRunAfterEnd, Job: &batchv1.JobTemplateSpec{}})
	}
	packager := TargetRef{"apps/v1", "Deployment", "packager"}
	share := func(others int32, problem string) func(w *world) {
		return func(w *world) {
			w.targets[packager] = &simulatedTarget{others: others, wanted: others, asked: others, problem: problem}
			w.stream.Spec.Workloads = []v1alpha1.Workload{{Name: "package", Scale: v1alpha1.WorkloadScale{
				APIVersion: packager.APIVersion, Kind: packager.Kind, Name: packager.Name, ReplicasWhileLive: new(int32(3)), ReplicasWhileIdle: new(int32(1)),
			}}}
		}
	}
	return []report{
		// mediamtx#5411: one recording across reconnects.
		{"five short drops leave one recording", nil, []happening{
			starts(0, "A"), drops(30, "A"), starts(35, "B"), drops(60, "B"), starts(70, "C"), drops(90, "C"), starts(105, "D"), drops(120, "D"), starts(140, "E"), drops(160, "E"), starts(185, "F"), stops(240, "F"),
		}},
		// keda#1021: an update of the template kills what runs.
		{"an update of every workload kills none that runs", nil, []happening{starts(0, "A"), edits(20, "the user changes the template and adds a deadline", func(s *v1alpha1.LiveStreamSpec) {
			s.Workloads[0].Job = &batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{ActiveDeadlineSeconds: new(int64(60))}}
		}), edits(30, "the user takes the workload out", func(s *v1alpha1.LiveStreamSpec) { s.Workloads = nil }), drops(40, "A"), starts(50, "B"), stops(100, "B"), starts(200, "C"), stops(210, "C")}},
		{"what runs after the broadcast runs once when all its Jobs have ended", upload, []happening{starts(0, "A"), drops(60, "A"), starts(70, "B"), stops(100, "B"), stops(200, "B")}},
		// PeerTube#4998: streaming again before the previous replay job ended loses it.
		{"what runs after the broadcast runs beside the next broadcast", upload, []happening{starts(0, "A"), stops(60, "A"), starts(66, "B"), stops(80, "B")}},
		{"what runs after the broadcast waits while the stream is suspended", upload, []happening{starts(0, "A"), suspends(60), stops(70, "A"), resumes(300)}},
		{"what runs after the broadcast fails and is not run again", upload, []happening{starts(0, "A"), stops(60, "A"), jobEnds(72, "upload", workload.Failed, "exit code 1: no bucket"), starts(200, "B"), stops(210, "B")}},
		{"what was to run after the broadcast and was taken out of the spec says so", upload, []happening{starts(0, "A"), stops(60, "A"), edits(66, "the user takes upload out", func(s *v1alpha1.LiveStreamSpec) { s.Workloads = s.Workloads[:1] })}},
		{"a PushDomain that is deleted while live ends the show after the window", upload, []happening{starts(0, "A"), domainGoes(30)}},
		{"a PushDomain that is back within the window changes nothing", nil, []happening{starts(0, "A"), domainGoes(30), domainComes(80), stops(120, "A")}},
		{"a PushDomain that is back after the window begins another broadcast", nil, []happening{starts(0, "A"), domainGoes(30), domainComes(100), stops(120, "A")}},
		// keda#2901 and Ant-Media-Server#7107: scaling in ends streams that are on air.
		{"a target has its share while live and in the window and gives it back after it", share(0, ""), []happening{starts(0, "A"), drops(60, "A"), starts(90, "B"), drops(120, "B")}},
		{"a target keeps the shares of other streams", share(4, ""), []happening{starts(0, "A"), edits(20, "the user asks for 10 replicas", func(s *v1alpha1.LiveStreamSpec) { s.Workloads[0].Scale.ReplicasWhileLive = new(int32(10)) }), stops(60, "A"), suspends(120)}},
		{"a target that does not exist is told of", share(0, `Deployment "packager" does not exist: create it`), []happening{starts(0, "A"), happens(30, "the user creates the Deployment", func(w *world) {
			w.targets[packager].problem = ""
			w.scale()
		}), stops(60, "A")}},
	}
}

func TestFortyBroadcastsKeepWhatHasYetToRunAfterThem(t *testing.T) {
	t.Parallel()
	const broadcasts = 40
	w := newWorld("record")
	w.stream.Spec.HistoryLimit = 2
	w.stream.Spec.Workloads = append(w.stream.Spec.Workloads, v1alpha1.Workload{Name: "upload", Run: v1alpha1.WorkloadRunAfterEnd, Job: &batchv1.JobTemplateSpec{}})
	w.afterEndHangs = true
	for i := range broadcasts {
		w.play(t, []happening{starts(4000*i, fmt.Sprint(i)), stops(4000*i+60, fmt.Sprint(i))})
		if got := len(w.stream.Status.History); got != i+1 {
			t.Fatalf("after %d broadcasts, whose uploads all wait for a pod, the history has %d entries", i+1, got)
		}
	}
	for _, record := range w.stream.Status.History {
		if a := record.AfterEnd; len(a) != 1 || a[0].State != v1alpha1.WorkloadPending || a[0].JobName == "" {
			t.Errorf("the record of push %s says %+v of its upload, want it Pending", record.Sequence, a)
		}
	}
	w.afterEndHangs = false
	for _, job := range w.jobs {
		job.ready = w.now
	}
	w.advance(t, w.now.Add(afterRuns))
	w.pass(t)
	for _, record := range w.stream.Status.History {
		if record.AfterEnd[0].State != v1alpha1.WorkloadCompleted {
			t.Errorf("the record of push %s says %+v of its upload, want it Completed", record.Sequence, record.AfterEnd)
		}
	}
	w.play(t, []happening{starts(4000*broadcasts, "next"), stops(4000*broadcasts+60, "next")})
	if got := len(w.stream.Status.History); got != 2 {
		t.Errorf("once all have run the history has %d entries, want historyLimit", got)
	}
	if uploads := strings.Count(w.trace.String(), "start upload#1"); uploads != broadcasts+1 {
		t.Errorf("%d uploads ran for %d broadcasts", uploads, broadcasts+1)
	}
}

func TestTheHistoryNeverGrowsBeyondWhatTheAPITakes(t *testing.T) {
	t.Parallel()
	w := newWorld("record")
	w.stream.Spec.Workloads = append(w.stream.Spec.Workloads, v1alpha1.Workload{Name: "upload", Run: v1alpha1.WorkloadRunAfterEnd, Job: &batchv1.JobTemplateSpec{}})
	w.afterEndHangs = true
	for i := range 60 {
		w.play(t, []happening{starts(4000*i, fmt.Sprint(i)), stops(4000*i+60, fmt.Sprint(i))})
	}
	if h := w.stream.Status.History; len(h) != 50 || h[0].Sequence != "59" || h[49].Sequence != "10" {
		t.Errorf("the history has %d entries, want the last 50 broadcasts", len(h))
	}
}
