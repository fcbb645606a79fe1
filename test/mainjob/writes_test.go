package mainjob

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

var (
	requestTotal = regexp.MustCompile(`(?m)^apiserver_request_total\{(.*)\} (\S+)$`)
	labelOf      = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// writes counts the successful writes that only the operator makes: of LiveStreams and PushDomains, and the making and
// deleting of Jobs. The Job controller's own writes are of other kinds.
func writes(t *testing.T) map[string]int {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", cluster.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := clientset.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	total := map[string]int{}
	for _, match := range requestTotal.FindAllStringSubmatch(string(text), -1) {
		labels := map[string]string{}
		for _, l := range labelOf.FindAllStringSubmatch(match[1], -1) {
			labels[l[1]] = l[2]
		}
		ours := (labels["resource"] == "livestreams" || labels["resource"] == "pushdomains") && labels["subresource"] == "status" &&
			slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}, labels["verb"]) ||
			labels["resource"] == "jobs" && labels["subresource"] == "" && (labels["verb"] == "POST" || labels["verb"] == "DELETE")
		// A namespace that goes has all its Jobs deleted at once, which is not the operator's doing.
		if !ours || labels["scope"] != "resource" || !strings.HasPrefix(labels["code"], "2") {
			continue
		}
		count, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		total[labels["verb"]+" "+labels["resource"]] += int(count)
	}
	return total
}

func TestAPIWritesPerEvent(t *testing.T) {
	s := newShow(t)
	// The first callback of a push domain, and one a minute, are noted in its status; that is none of an event's writes.
	other := s.newStream("other", "other_stream")
	if err := api.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	m := startManager(t)
	s.isIdle()
	push := s.push("1")
	push.Stream = "other_stream"
	s.deliver(m, push.Start(time.Now()))
	eventually(t, "the push domain is verified and has counted its streams", func() error {
		output := mustKubectl(t, "get", "pd", "shows", "-n", s.namespace, "-o", `jsonpath={.status.lastCallbackTime}{.status.conditions[?(@.type=="Verified")].status}{.status.liveStreams}`)
		if !strings.HasSuffix(output, "True2") && !strings.HasSuffix(output, "True1") {
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
		if len(streams.Items) != 2 || len(jobs.Items) != 1 || running != 1 {
			return fmt.Errorf("there are %d LiveStreams, %d Jobs, %d running", len(streams.Items), len(jobs.Items), running)
		}
		return nil
	})
	settle(t)

	at := writes(t)
	step := func(what string, most int) {
		t.Helper()
		now := writes(t)
		count, kinds := 0, ""
		for kind, n := range now {
			if n > at[kind] {
				count += n - at[kind]
				kinds += fmt.Sprintf(" %d %s", n-at[kind], kind)
			}
		}
		t.Logf("%-55s %d writes, at most %d:%s", what, count, most, kinds)
		if count > most {
			t.Errorf("%s: %d writes, want at most %d", what, count, most)
		}
		at = now
	}
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
	step("a stop, until the status says Stopped", 5)
	s.deliver(m, start)
	settle(t)
	step("the late start of the ended push", 0)
	<-time.After(time.Minute)
	step("a minute of idleness", 0)
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
