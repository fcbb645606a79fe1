package mainjob

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
)

// deploy makes a Deployment to scale.
func (s *show) deploy(name string) {
	s.t.Helper()
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "packager", Image: "packager"}}}},
	}}
	if err := api.Create(s.t.Context(), d); err != nil {
		s.t.Fatal(err)
	}
}

// replicas waits until the Deployment was told so many.
func (s *show) replicas(when, name string, want int32) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s: %d replicas", when, want), func() error {
		d := &appsv1.Deployment{}
		if err := api.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, d); err != nil {
			return err
		}
		if *d.Spec.Replicas != want {
			return fmt.Errorf("it has %d", *d.Spec.Replicas)
		}
		return nil
	})
}

func (s *show) of(stream, sequence string) css.Push {
	p := s.push(sequence)
	p.Stream = stream
	return p
}

func (s *show) stateOf(name string, want v1alpha1.LiveStreamState) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s is %s", name, want), func() error {
		stream := &v1alpha1.LiveStream{}
		if err := api.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, stream); err != nil {
			return err
		}
		if stream.Status.State != want {
			return fmt.Errorf("it is %q", stream.Status.State)
		}
		return nil
	})
}

func TestStreamsShareADeploymentAndGiveItBack(t *testing.T) {
	s := newShow(t)
	s.deploy("packager")
	for _, name := range []string{"one", "two", "three"} {
		stream := s.newStream(name, name)
		stream.Spec.Workloads = []v1alpha1.Workload{{Name: "package", Scale: v1alpha1.WorkloadScale{APIVersion: "apps/v1", Kind: "Deployment", Name: "packager", ReplicasWhileLive: new(int32(2))}}}
		if err := api.Create(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	m := startManager(t)
	for i, name := range []string{"one", "two", "three"} {
		s.deliver(m, s.of(name, "1").Start(time.Now()))
		s.replicas(name+" is live", "packager", int32(2*(i+1)))
	}
	eventually(t, "one says that its target runs", func() error {
		output := mustKubectl(t, "get", "lvs", "one", "-n", s.namespace, "-o", "jsonpath={.status.workloadSummary}")
		if output != "1/1" {
			return fmt.Errorf("it says %s", output)
		}
		return nil
	})
	s.deliver(m, s.of("one", "1").Interruption(time.Now(), time.Minute, 1, "stopped"))
	s.replicas("one is idle", "packager", 4)
	mustKubectl(t, "patch", "lvs", "two", "-n", s.namespace, "--type=merge", "-p", `{"spec":{"state":"Suspended"}}`)
	s.replicas("two is suspended", "packager", 2)
	mustKubectl(t, "delete", "lvs", "three", "-n", s.namespace, "--timeout=30s")
	s.replicas("three is deleted while live", "packager", 0)
	// What was live when its namespace goes holds nothing up.
	s.deliver(m, s.of("one", "2").Start(time.Now()))
	s.replicas("one is live again", "packager", 2)
	mustKubectl(t, "delete", "namespace", s.namespace, "--timeout=60s")
}

func TestALiveStreamAppliedAfterThePushGoesLiveWithinSeconds(t *testing.T) {
	s := newShow(t)
	m := startManager(t)
	s.isIdle()
	s.deliver(m, s.of("late", "1").Start(time.Now()))
	if err := api.Create(t.Context(), s.newStream("late", "late")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.stateOf("late", v1alpha1.LiveStreamLive)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	s.deliver(m, s.of("late", "1").Interruption(time.Now(), time.Minute, 1, "stopped"))
	s.stateOf("late", v1alpha1.LiveStreamIdle)
	mustKubectl(t, "delete", "lvs", "late", "-n", s.namespace)
	if err := api.Create(t.Context(), s.newStream("late", "late")); err != nil {
		t.Fatal(err)
	}
	s.hasEnded("late", "1")
	s.stateOf("late", v1alpha1.LiveStreamIdle)
}

// hasEnded waits until the LiveStream knows the push as one that has ended.
func (s *show) hasEnded(name, sequence string) {
	s.t.Helper()
	eventually(s.t, name+" knows that the push has ended", func() error {
		stream := &v1alpha1.LiveStream{}
		if err := api.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, stream); err != nil {
			return err
		}
		for _, p := range stream.Status.Pushes {
			if p.Sequence == sequence && p.EndTime != nil {
				return nil
			}
		}
		return fmt.Errorf("it knows %+v", stream.Status.Pushes)
	})
}

func TestALiveStreamDeletedAndMadeAnewIsOnAirAgain(t *testing.T) {
	s := newShow(t)
	m := startManager(t)
	s.isIdle()
	if err := api.Create(t.Context(), s.newStream("anew", "anew")); err != nil {
		t.Fatal(err)
	}
	s.stateOf("anew", v1alpha1.LiveStreamIdle)
	s.deliver(m, s.of("anew", "1").Start(time.Now()))
	s.stateOf("anew", v1alpha1.LiveStreamLive)
	mustKubectl(t, "delete", "lvs", "anew", "-n", s.namespace)
	if err := api.Create(t.Context(), s.newStream("anew", "anew")); err != nil {
		t.Fatal(err)
	}
	s.stateOf("anew", v1alpha1.LiveStreamLive)
	s.deliver(m, s.of("anew", "1").Interruption(time.Now(), time.Minute, 1, "stopped"))
	s.stateOf("anew", v1alpha1.LiveStreamIdle)
	mustKubectl(t, "delete", "lvs", "anew", "-n", s.namespace)
	if err := api.Create(t.Context(), s.newStream("anew", "anew")); err != nil {
		t.Fatal(err)
	}
	s.hasEnded("anew", "1")
	s.deliver(m, s.of("anew", "1").Start(time.Now()))
	s.hasEnded("anew", "1")
	s.stateOf("anew", v1alpha1.LiveStreamIdle)
}

func TestUnknownStreamsGetALiveStreamAndLoseItWhenIdle(t *testing.T) {
	s := newShow(t)
	mustKubectl(t, "patch", "pd", "shows", "-n", s.namespace, "--type=merge", "-p",
		`{"spec":{"unknownStreams":{"policy":"Create","maxStreams":3,"deleteAfterIdleSeconds":8},"template":{"metadata":{"labels":{"team":"studio"}},"spec":{"cleanStopWindowSeconds":1,
		"workloads":[{"name":"record","job":{"spec":{"template":{"spec":{"containers":[{"name":"ffmpeg","image":"ffmpeg"}]}}}}},
		{"name":"publish","run":"AfterEnd","job":{"metadata":{"annotations":{}},"spec":{"template":{"metadata":{"annotations":{"fake.livestream-operator.io/run-seconds":"1","fake.livestream-operator.io/exit-code":"0"}},"spec":{"containers":[{"name":"publish","image":"publish"}]}}}}}]}}}}`)
	m := startManager(t)
	hostile := "../Über_$(reboot);"
	s.deliver(m, s.of(hostile, "1").Start(time.Now()))
	for i := range 5 {
		s.deliver(m, s.of(fmt.Sprint("Stream_", i), "1").Start(time.Now()))
	}
	made := func() []v1alpha1.LiveStream {
		var streams v1alpha1.LiveStreamList
		if err := api.List(t.Context(), &streams, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.LabelPushDomain: "shows", "team": "studio"}); err != nil {
			t.Fatal(err)
		}
		return streams.Items
	}
	eventually(t, "as many as allowed are live", func() error {
		live := 0
		for _, stream := range made() {
			if stream.Status.WorkloadSummary == "1/1" {
				live++
			}
		}
		if live != 3 {
			return fmt.Errorf("%d of %d run their workload", live, len(made()))
		}
		return nil
	})
	eventually(t, "the push domain says that there are more", func() error {
		output := mustKubectl(t, "get", "pd", "shows", "-n", s.namespace, "-o", `jsonpath={.status.conditions[?(@.type=="UnknownStreamsLimited")].reason}`)
		if output != v1alpha1.ReasonMaxStreamsReached {
			return fmt.Errorf("it says %q", output)
		}
		return nil
	})
	first := made()[0]
	s.deliver(m, s.of(first.Spec.StreamName, "1").Interruption(time.Now(), time.Minute, 1, "stopped"))
	eventually(t, "the workload that runs after the broadcast has run", func() error {
		stream := &v1alpha1.LiveStream{}
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(&first), stream); err != nil {
			return err
		}
		if h := stream.Status.History; len(h) != 1 || len(h[0].AfterEnd) != 1 || h[0].AfterEnd[0].State != v1alpha1.WorkloadCompleted {
			return fmt.Errorf("history = %+v", h)
		}
		return nil
	})
	eventually(t, "the idle LiveStream is deleted, and its place taken by the next", func() error {
		if len(made()) != 3 {
			return fmt.Errorf("there are %d", len(made()))
		}
		for _, stream := range made() {
			if stream.Name == first.Name {
				return fmt.Errorf("%s is still there", first.Name)
			}
		}
		return nil
	})
	// What the policy made goes with its push domain; what the user wrote stays.
	mustKubectl(t, "delete", "pd", "shows", "-n", s.namespace)
	eventually(t, "what was made is gone", func() error {
		if left := made(); len(left) > 0 {
			return fmt.Errorf("%d are left", len(left))
		}
		return nil
	})
	s.stream()
}

func TestAStormOfUnknownStreamsIsFewWrites(t *testing.T) {
	s := newShow(t)
	m := startManager(t)
	s.isIdle()
	settle(t)
	before, began := writes(t), time.Now()
	work, answers := make(chan int), make(chan int)
	for range 200 {
		go func() {
			for i := range work {
				status, err := s.send(m, s.of(fmt.Sprint("unknown-", i), "1").Start(time.Now()))
				if err != nil {
					status = 0
				}
				answers <- status
			}
		}()
	}
	const storm = 2000
	go func() {
		defer close(work)
		for i := range storm {
			work <- i
		}
	}()
	refused := 0
	for range storm {
		if status := <-answers; status != http.StatusOK {
			refused++
		}
	}
	took := time.Since(began)
	settle(t)
	after, total := writes(t), 0
	for kind, n := range after {
		total += n - before[kind]
	}
	t.Logf("%d unknown streams in %s: %d writes, %d refused", storm, took.Round(time.Millisecond), total, refused)
	if most := 3*int(took/time.Second) + 6; total > most || refused > 0 {
		t.Errorf("%d writes in %s, want at most %d; %d were refused", total, took, most, refused)
	}
	if output := mustKubectl(t, "describe", "pd", "shows", "-n", s.namespace); strings.Count(output, "Stream Name:") != 128 {
		t.Errorf("%d unclaimed pushes are shown, want 128", strings.Count(output, "Stream Name:"))
	}
}
