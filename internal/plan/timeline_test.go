package plan

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

var update = flag.Bool("update", false, "write the golden files anew")

// happening is something that the world does to the operator, seconds after the show's time.
type happening struct {
	after int
	what  string
	do    func(t *testing.T, w *world)
	// unseen says that the operator does not look after it: it is just being started anew.
	unseen bool
}

func event(after int, what string, make func(at time.Time) provider.Event) happening {
	return happening{after: after, what: what, do: func(t *testing.T, w *world) {
		t.Helper()
		w.note("   -> " + w.receive(t, make(w.now)).String())
	}}
}

func starts(after int, sequence string) happening {
	return event(after, "push "+sequence+" starts", func(at time.Time) provider.Event { return started(sequence, at) })
}

func drops(after int, sequence string) happening {
	return event(after, "push "+sequence+" is lost to the network", func(at time.Time) provider.Event {
		return interrupted(sequence, at, v1alpha1.PushReasonNetworkError)
	})
}

func stops(after int, sequence string) happening {
	return event(after, "push "+sequence+" is stopped by its client", func(at time.Time) provider.Event {
		return interrupted(sequence, at, v1alpha1.PushReasonClientStopped)
	})
}

func jobEnds(after int, name string, phase workload.Phase, trouble string) happening {
	return happening{after: after, what: "the Job of " + name + " ends by itself", do: func(t *testing.T, w *world) {
		t.Helper()
		for _, job := range slices.Backward(w.jobs) {
			if job.run.Workload == name {
				job.run.Phase, job.run.Finished, job.run.Trouble, job.run.Ready = phase, w.now, trouble, job.ready
				return
			}
		}
		t.Fatalf("%s has no Job", name)
	}}
}

func edits(after int, what string, edit func(*v1alpha1.LiveStreamSpec)) happening {
	return happening{after: after, what: what, do: func(_ *testing.T, w *world) {
		edit(&w.stream.Spec)
		w.stream.Generation++
	}}
}

func TestTimelines(t *testing.T) {
	suspend := func(s *v1alpha1.LiveStreamSpec) { s.State = v1alpha1.LiveStreamSuspended }
	resume := func(s *v1alpha1.LiveStreamSpec) { s.State = v1alpha1.LiveStreamActive }
	for name, timeline := range map[string][]happening{
		"a push drops and comes back within the window":            {starts(0, "A"), drops(100, "A"), starts(120, "B"), stops(200, "B")},
		"a push that comes back after the window is a new show":    {starts(0, "A"), drops(100, "A"), starts(161, "B"), stops(200, "B")},
		"a stop that the client asked for has the short window":    {starts(0, "A"), stops(100, "A"), starts(104, "B"), stops(200, "B"), starts(206, "C")},
		"the backup pusher carries on when the main one ends":      {starts(0, "main"), starts(30, "backup"), drops(60, "main"), stops(120, "backup")},
		"the stop of a push arrives before its start":              {stops(10, "A"), starts(12, "A")},
		"a late stop of an earlier push stops nothing":             {starts(0, "A"), starts(50, "B"), drops(90, "A"), drops(300, "A"), stops(400, "B")},
		"the closing arrives after the next opening":               {starts(0, "A"), starts(72, "B"), drops(73, "A"), stops(200, "B")},
		"every callback comes twice":                               {starts(0, "A"), starts(1, "A"), drops(100, "A"), drops(101, "A"), starts(110, "B"), starts(111, "B"), stops(200, "B"), stops(201, "B")},
		"the late start of an ended push does not resurrect it":    {starts(0, "A"), stops(10, "A"), starts(70, "A")},
		"a tombstone in the window does not shorten or extend it":  {starts(0, "A"), drops(100, "A"), stops(130, "refused"), starts(155, "B"), stops(200, "B")},
		"a Job that fails while live runs again with backoff":      {starts(0, "A"), jobEnds(10, "record", workload.Failed, "exit code 1: no route"), jobEnds(25, "record", workload.Complete, "exit code 0"), stops(100, "A")},
		"a Job that ends in the window waits for the push":         {starts(0, "A"), drops(20, "A"), jobEnds(25, "record", workload.Failed, "exit code 1"), starts(50, "B"), stops(100, "B")},
		"suspending ends the broadcast, resuming begins another":   {starts(0, "A"), edits(50, "the user suspends the stream", suspend), edits(90, "the user resumes the stream", resume), stops(200, "A")},
		"pushes of a suspended stream are recorded and start none": {edits(0, "the user suspends the stream", suspend), starts(10, "A"), stops(50, "A")},
		"an edit while live reaches the next broadcast only": {starts(0, "A"), edits(20, "the user adds a workload", func(s *v1alpha1.LiveStreamSpec) {
			s.Workloads = append(s.Workloads, v1alpha1.Workload{Name: "thumbnails", Job: &batchv1.JobTemplateSpec{}})
		}), stops(50, "A"), starts(100, "B")},
		"flapping thirty times in a minute keeps one Job": flapping(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld("record")
			w.play(t, timeline)
			compareGolden(t, name, w.trace.String())
		})
	}
}

// play lets the timeline happen, and an hour more.
func (w *world) play(t *testing.T, timeline []happening) {
	t.Helper()
	for _, h := range timeline {
		w.advance(t, showTime.Add(time.Duration(h.after)*time.Second))
		w.note("== " + h.what)
		h.do(t, w)
		if !h.unseen {
			w.pass(t)
		}
	}
	w.advance(t, w.now.Add(time.Hour))
}

func flapping() []happening {
	var timeline []happening
	for i := range 30 {
		sequence := string(rune('a'+i%26)) + string(rune('a'+i/26))
		timeline = append(timeline, starts(2*i, sequence), drops(2*i+1, sequence))
	}
	return timeline
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run go test ./internal/plan -update", err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("timeline mismatch (-want +got):\n%s", diff)
	}
}
