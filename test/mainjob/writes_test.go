package mainjob

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

func writes(t *testing.T) map[string]int {
	t.Helper()
	total, err := installed.Writes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func TestAPIWritesPerEvent(t *testing.T) {
	s := newShow(t)
	// The first callback of a push domain, and one a minute, are noted in its status; that is none of an event's writes.
	other := s.newStream("other", "other_stream")
	bare := s.newStream("bare", "bare_stream")
	bare.Spec.Workloads = nil
	if err := errors.Join(api.Create(t.Context(), other), api.Create(t.Context(), bare)); err != nil {
		t.Fatal(err)
	}
	m := startManager(t)
	s.isIdle()
	push := s.push("1")
	push.Stream = "other_stream"
	s.deliver(m, push.Start(time.Now()))
	eventually(t, "the push domain is verified and has counted its streams", func() error {
		output := mustKubectl(t, "get", "pd", "shows", "-n", s.namespace, "-o", `jsonpath={.status.lastCallbackTime}{.status.conditions[?(@.type=="Verified")].status}{.status.liveStreams}`)
		if !slices.ContainsFunc([]string{"True1", "True2", "True3"}, func(end string) bool { return strings.HasSuffix(output, end) }) {
			return fmt.Errorf("its status is %s", output)
		}
		return nil
	})
	eventually(t, "the other stream's workload runs, and nothing of other tests is left", func() error {
		var streams v1alpha1.LiveStreamList
		var jobs batchv1.JobList
		if err := errors.Join(api.List(t.Context(), &streams), api.List(t.Context(), &jobs)); err != nil {
			return err
		}
		running := 0
		for _, stream := range streams.Items {
			if stream.Status.WorkloadSummary == "1/1" {
				running++
			}
		}
		if len(streams.Items) != 3 || len(jobs.Items) != 1 || running != 1 {
			return fmt.Errorf("there are %d LiveStreams, %d Jobs, %d running", len(streams.Items), len(jobs.Items), running)
		}
		return nil
	})
	settle(t)

	step := counter(t)
	start := s.start("1001")
	s.deliver(m, start)
	eventually(t, "the Job exists", func() error {
		if len(s.jobs()) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	// The status may already be under way, so what came until here is counted together with it.
	s.reaches(v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning)
	settle(t)
	step("a start, until the status says Running", 4)
	s.deliver(m, start)
	settle(t)
	step("the same start again", 0)
	s.deliver(m, s.stop("1001"))
	s.reaches(v1alpha1.LiveStreamIdle, v1alpha1.WorkloadStopped)
	settle(t)
	step("a stop, until the status says Stopped", 4)
	s.deliver(m, start)
	settle(t)
	step("the late start of the ended push", 0)
	for _, e := range []struct {
		what  string
		event css.Callback
		state v1alpha1.LiveStreamState
		most  int
	}{
		{"a start, of a stream without workloads", s.of("bare_stream", "1").Start(time.Now()), v1alpha1.LiveStreamLive, 1},
		{"its loss", s.of("bare_stream", "1").Interruption(time.Now(), time.Second, 12, ""), v1alpha1.LiveStreamInterrupted, 1},
		{"its return", s.of("bare_stream", "2").Start(time.Now()), v1alpha1.LiveStreamLive, 1},
		{"its stop, until it is Idle with its history", s.of("bare_stream", "2").Interruption(time.Now(), time.Second, 1, ""), v1alpha1.LiveStreamIdle, 2},
	} {
		s.deliver(m, e.event)
		s.stateOf("bare", e.state)
		settle(t)
		step(e.what, e.most)
	}
	<-time.After(time.Minute)
	step("a minute of idleness", 0)
}

// counter tells the writes since it was asked last, and fails where they are too many. On a slow machine the write of the push domain's status
// that comes once a minute falls among those of a callback, and is none of its own.
func counter(t *testing.T) func(what string, most int) {
	t.Helper()
	const domain = "PATCH pushdomains"
	at, told := writes(t), time.Now()
	return func(what string, most int) {
		t.Helper()
		now := writes(t)
		count, kinds := 0, ""
		for kind, n := range now {
			if n > at[kind] {
				count += n - at[kind]
				kinds += fmt.Sprintf(" %d %s", n-at[kind], kind)
			}
		}
		if now[domain]-at[domain] == 1 && most > 0 && time.Since(told) > 20*time.Second {
			count, told = count-1, time.Now()
		}
		t.Logf("%-55s %d writes, at most %d:%s", what, count, most, kinds)
		if count > most {
			t.Errorf("%s: %d writes, want at most %d", what, count, most)
		}
		at = now
	}
}

// Every feature adds the writes that do its own work, and none to those of an event: a scale target one when the sum changes, a
// second workload one for its own Running, a workload after the broadcast its Job and where that stands.
func TestAPIWritesWithEveryFeatureOn(t *testing.T) {
	s := newShow(t)
	s.alone()
	s.deploy("packager")
	server := csstest.NewServer(t, cssapi.Credentials{SecretID: "id", SecretKey: "key"})
	server.SetOnline("push.example.com", "live", "other", time.Now())
	mustKubectl(t, "create", "secret", "generic", "css-api", "-n", s.namespace, "--from-literal=secretId=id", "--from-literal=secretKey=key")
	mustKubectl(t, "patch", "pd", "shows", "-n", s.namespace, "--type=merge", "-p", `{"spec":{
		"api":{"credentialsSecretRef":{"name":"css-api"},"endpoint":"`+server.Endpoint()+`","callbackSetup":{"baseURL":"https://hooks.example.com"}},
		"unknownStreams":{"policy":"Create"},"template":{"spec":{"historyLimit":9,"workloads":[{"name":"unused","job":{"spec":{"template":{"spec":{"containers":[{"name":"x","image":"x"}]}}}}}]}}}}`)
	stream := s.stream()
	publish := *stream.Spec.Workloads[0].DeepCopy()
	publish.Name, publish.Run = "publish", v1alpha1.WorkloadRunAfterEnd
	publish.Job.Spec.Template.Annotations = map[string]string{"fake.livestream-operator.io/run-seconds": "1", "fake.livestream-operator.io/exit-code": "0"}
	stream.Spec.Workloads = append(stream.Spec.Workloads, publish,
		v1alpha1.Workload{Name: "package", Scale: v1alpha1.WorkloadScale{APIVersion: "apps/v1", Kind: "Deployment", Name: "packager"}})
	if err := api.Update(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	m := startManager(t, "--css-api-hosts=127.0.0.1")
	s.isIdle()
	s.deliver(m, s.of("other", "1").Start(time.Now()))
	eventually(t, "the push domain has said all that it has to say", func() error {
		output := mustKubectl(t, "get", "pd", "shows", "-n", s.namespace, "-o", `jsonpath={.status.conditions[?(@.status=="True")].type} {.status.lastCallbackTime} {.status.unclaimedPushes}`)
		for _, want := range []string{"Ready", "Verified", "APIAvailable", "CallbackSetUp", "20"} {
			if !strings.Contains(output, want) {
				return fmt.Errorf("its status is %s", output)
			}
		}
		return nil
	})
	// What was unclaimed is taken out of its status within ten seconds.
	eventually(t, "the push domain is at rest", func() error {
		if output := mustKubectl(t, "get", "pd", "shows", "-n", s.namespace, "-o", `jsonpath={.status.unclaimedPushes}`); output != "" {
			return fmt.Errorf("it remembers %s", output)
		}
		return nil
	})
	settle(t)
	count := counter(t)
	s.deliver(m, s.start("1001"))
	eventually(t, "both workloads run", func() error {
		if status := s.stream().Status; status.WorkloadSummary != "2/2" {
			return fmt.Errorf("it is %s with %+v", status.State, status.Workloads)
		}
		return nil
	})
	settle(t)
	count("a start, until both workloads run", 4+1+1)
	s.deliver(m, s.start("1001"))
	settle(t)
	count("the same start again", 0)
	s.deliver(m, s.stop("1001"))
	eventually(t, "what runs after the broadcast has completed", func() error {
		history := s.stream().Status.History
		if len(history) != 1 || len(history[0].AfterEnd) != 1 || history[0].AfterEnd[0].State != v1alpha1.WorkloadCompleted {
			return fmt.Errorf("history is %+v", history)
		}
		return nil
	})
	settle(t)
	count("a stop, until what runs after the broadcast is done", 4+1+5)
	<-time.After(70 * time.Second)
	// The push domain tells the number of its LiveStreams within a minute after it changed.
	count("more than a minute of idleness, with a list of CSS in it", 1)
}

// alone takes away what other tests left in namespaces that are still going: the operator writes for those too.
func (s *show) alone() {
	s.t.Helper()
	eventually(s.t, "no other push domain is left", func() error {
		var domains v1alpha1.PushDomainList
		if err := api.List(s.t.Context(), &domains); err != nil {
			return err
		}
		left := 0
		for i := range domains.Items {
			if domains.Items[i].Namespace != s.namespace {
				left++
				if err := client.IgnoreNotFound(api.Delete(s.t.Context(), &domains.Items[i])); err != nil {
					return err
				}
			}
		}
		if left > 0 {
			return fmt.Errorf("%d are left", left)
		}
		return nil
	})
}

// settle waits until no write has come for a second: what is measured is what does not happen.
func settle(t *testing.T) {
	t.Helper()
	last, since := writes(t), time.Now()
	eventually(t, "the operator is at rest", func() error {
		if now := writes(t); !maps.Equal(now, last) {
			last, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < time.Second {
			return fmt.Errorf("the last write was %s ago", quiet)
		}
		return nil
	})
}
