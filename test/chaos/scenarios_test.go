//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// scenario is what happens to one stream, called show.
type scenario struct {
	name    string
	options options
	play    func(w *world) error
}

// scenarios are played without faults, and with each fault at each of their calls.
var scenarios = []scenario{
	{name: "start", play: func(w *world) error { return w.all(w.start("A")) }},
	{name: "duplicate start", play: func(w *world) error {
		return w.all(w.start("A"), w.started("A"), w.started("A"), w.onAir(), w.silently(w.started("A")), w.sameJob(1))
	}},
	{name: "stop", play: func(w *world) error {
		return w.all(w.start("A"), w.stopped("A", clean), w.idle(), w.silently(w.started("A")), w.silently(w.stopped("A", clean)), w.idle(), w.sameJob(1))
	}},
	{name: "stop before start", play: func(w *world) error {
		return w.all(w.stopped("A", clean), w.started("A"), w.idle(), w.sameJob(0))
	}},
	{name: "two pushers", play: func(w *world) error {
		// The second has the lower number.
		return w.all(w.start("1000"), w.started("90"), w.onAir(), w.stopped("1000", clean), w.holds(2*time.Second, w.onAir()), w.sameJob(1), w.stopped("90", clean), w.idle())
	}},
	{name: "reconnect", play: func(w *world) error {
		return w.all(w.start("A"), w.stopped("A", lost), w.waits(2*time.Second), w.started("B"), w.onAir(), w.sameJob(1), w.stopped("A", lost), w.onAir(), w.stopped("B", clean), w.idle())
	}},
	{name: "next broadcast", play: func(w *world) error {
		return w.all(w.start("900"), w.stopped("900", clean), w.offAir(), w.started("1000"), w.onAir(), w.sameJob(2), w.stopped("1000", clean), w.idle())
	}},
	{name: "no type", play: func(w *world) error {
		return w.all(w.start("A"), w.typeless("A"), w.onAir(), w.sameJob(1))
	}},
	{name: "deleted on air", options: options{scaled: true, change: scales}, play: func(w *world) error {
		return w.all(w.start("A"), w.deleted(), w.waits(2*time.Second))
	}},
	{name: "deleted off air", play: func(w *world) error {
		return w.all(w.start("A"), w.stopped("A", clean), w.idle(), w.deleted(), w.waits(2*time.Second))
	}},
	{name: "edited on air", play: func(w *world) error {
		return w.all(w.start("A"), w.edited("another"), w.started("B"), w.onAir(), w.sameJob(1), w.stopped("A", clean), w.stopped("B", clean), w.idle(), w.start("C"), w.runs("another"))
	}},
	{name: "Job failed", play: func(w *world) error {
		return w.all(w.start("A"), w.exits("1"), w.onAir(), w.stopped("A", clean), w.idle())
	}},
	{name: "Job completed early", play: func(w *world) error {
		return w.all(w.start("A"), w.exits("0"), w.onAir(), w.stopped("A", clean), w.idle())
	}},
	{name: "after the end", options: options{change: afterEnd}, play: func(w *world) error {
		return w.all(w.start("A"), w.stopped("A", clean), w.idle(), w.start("B"), w.stopped("B", clean), w.idle())
	}},
	{name: "failover", options: options{replicas: 2}, play: func(w *world) error {
		return w.all(w.start("A"), w.stopped("A", clean), w.idle(), w.start("B"), w.oneReconciles(), w.loses(), w.stopped("B", clean), w.started("C"), w.onAir(), w.stopped("C", clean), w.idle())
	}},
}

func scales(s *v1alpha1.LiveStream) {
	s.Spec.Workloads = append(s.Spec.Workloads, v1alpha1.Workload{Name: "package", Scale: v1alpha1.WorkloadScale{APIVersion: "apps/v1", Kind: "Deployment", Name: "packager"}})
}

func afterEnd(s *v1alpha1.LiveStream) {
	publish := newWorkload("publish")
	publish.Run = v1alpha1.WorkloadRunAfterEnd
	publish.Job.Spec.Template.Annotations = map[string]string{controlplane.AnnotationRunSeconds: "1", controlplane.AnnotationExitCode: "0"}
	s.Spec.Workloads = append(s.Spec.Workloads, publish)
}

// step is a part of a scenario.
type step func() error

func (*world) all(steps ...step) error {
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) started(sequence string) step {
	return func() error { return w.deliver(started("show", sequence), 0) }
}

func (w *world) stopped(sequence string, code int32) step {
	return func() error { return w.deliver(ended("show", sequence, code), 0) }
}

func (w *world) start(sequence string) step {
	return func() error { return w.all(w.started(sequence), w.onAir()) }
}

func (w *world) onAir() step {
	return func() error {
		return w.until("the stream is on air and its workloads run", func() error { return errors.Join(w.agrees(), w.is(v1alpha1.LiveStreamLive)) })
	}
}

func (w *world) idle() step {
	return func() error {
		return w.until("the stream is idle and nothing runs", func() error { return errors.Join(w.agrees(), w.is(v1alpha1.LiveStreamIdle)) })
	}
}

// offAir does not wait for what runs to end.
func (w *world) offAir() step {
	return func() error {
		return w.until("the broadcast is over", func() error { return w.is(v1alpha1.LiveStreamIdle) })
	}
}

func (w *world) show() (*v1alpha1.LiveStream, error) {
	s := &v1alpha1.LiveStream{}
	return s, installed.API.Get(w.ctx, client.ObjectKey{Namespace: w.name, Name: "show"}, s)
}

func (w *world) is(state v1alpha1.LiveStreamState) error {
	s, err := w.show()
	if err == nil && s.Status.State != state {
		err = fmt.Errorf("it is %s", s.Status.State)
	}
	return err
}

func (*world) waits(d time.Duration) step {
	return func() error {
		<-time.After(d)
		return nil
	}
}

// holds sees that nothing changes for a while.
func (w *world) holds(d time.Duration, s step) step {
	return func() error { return w.all(w.waits(d), s) }
}

// silently sees that the step has the operator write nothing, unless something goes wrong around it.
func (w *world) silently(s step) step {
	return func() error {
		if w.faulty {
			return s()
		}
		w.rest()
		before := w.writes()
		if err := s(); err != nil {
			return err
		}
		<-time.After(500 * time.Millisecond)
		if n := w.writes() - before; n > 0 {
			w.fail(restless, "an event that changes nothing caused %d writes", n)
		}
		return nil
	}
}

func (w *world) jobs() ([]batchv1.Job, error) {
	var jobs batchv1.JobList
	err := installed.API.List(w.ctx, &jobs, client.InNamespace(w.name), client.MatchingLabels{v1alpha1.LabelLiveStream: "show"})
	ours := jobs.Items[:0]
	for _, j := range jobs.Items {
		if j.Labels[bystander] == "" && j.DeletionTimestamp == nil {
			ours = append(ours, j)
		}
	}
	return ours, err
}

// sameJob sees how many Jobs there ever were.
func (w *world) sameJob(want int) step {
	return func() error {
		w.catchUp()
		observed.mu.Lock()
		n := 0
		for _, j := range observed.worlds[w.name].jobs {
			if j.latest.Labels[bystander] == "" {
				n++
			}
		}
		observed.mu.Unlock()
		if n != want {
			w.fail(doubled, "%d Jobs were made, want %d", n, want)
		}
		return nil
	}
}

func (w *world) deleted() step {
	return func() error {
		s, err := w.show()
		if err != nil {
			return err
		}
		if err := installed.API.Delete(w.ctx, s); err != nil {
			return err
		}
		return w.until("the LiveStream is gone", func() error {
			if _, err := w.show(); err != nil {
				return client.IgnoreNotFound(err)
			}
			return errors.New("it is there")
		})
	}
}

func (w *world) edited(image string) step {
	return func() error {
		s, err := w.show()
		if err != nil {
			return err
		}
		next := s.DeepCopy()
		next.Spec.Workloads[0].Job.Spec.Template.Spec.Containers[0].Image = image
		return installed.API.Patch(w.ctx, next, client.MergeFrom(s))
	}
}

func (w *world) runs(image string) step {
	return func() error {
		jobs, err := w.jobs()
		for _, j := range jobs {
			if got := j.Spec.Template.Spec.Containers[0].Image; active(&j) && got != image {
				w.fail(disagreement, "Job %s runs %s, want %s", j.Name, got, image)
			}
		}
		return err
	}
}

// exits has the Pods of the Jobs that run end with this code.
func (w *world) exits(code string) step {
	return func() error {
		var pods corev1.PodList
		if err := installed.API.List(w.ctx, &pods, client.InNamespace(w.name), client.MatchingLabels{v1alpha1.LabelLiveStream: "show"}); err != nil {
			return err
		}
		var ending []string
		for i := range pods.Items {
			pod := &pods.Items[i]
			if !livePod(pod) {
				continue
			}
			next := pod.DeepCopy()
			next.Annotations = map[string]string{controlplane.AnnotationExitCode: code}
			if err := installed.API.Patch(w.ctx, next, client.MergeFrom(pod)); err != nil {
				return err
			}
			ending = append(ending, pod.Labels[batchv1.JobNameLabel])
		}
		return w.until("the Job ends", func() error {
			for _, name := range ending {
				j := &batchv1.Job{}
				if err := installed.API.Get(w.ctx, client.ObjectKey{Namespace: w.name, Name: name}, j); err != nil {
					return client.IgnoreNotFound(err)
				}
				if active(j) {
					return fmt.Errorf("%s runs", name)
				}
			}
			return nil
		})
	}
}

// oneReconciles sees that the replica which got no callback did nothing but watch and count.
func (w *world) oneReconciles() step {
	return func() error {
		r := w.replicas[1].proxy
		for _, c := range r.Calls()[w.marks[1]:] {
			asked := c.Resource != "" && c.Resource != "leases" && c.Verb != "list" && c.Verb != "watch"
			if asked && c.Resource != "pushdomains/status" && c.Resource != "pushdomains" && c.Resource != "secrets" && !w.faulty {
				w.fail(disagreement, "the replica that does not lead acts: %s", c.Key())
			}
		}
		return nil
	}
}

// loses kills the leader. It is back at once, and does not lead.
func (w *world) loses() step {
	return func() error {
		w.replicas[0].kill()
		return nil
	}
}

// act plays the scenario in a world of its own; prepare says what goes wrong in it.
func (s scenario) act(ctx context.Context, binary string, prepare func(*world)) (outcome, error) {
	o := s.options
	o.binary, o.streams = binary, []string{"show"}
	w, err := newWorld(ctx, o)
	if w == nil {
		return outcome{}, err
	}
	if err == nil {
		if prepare != nil {
			prepare(w)
		}
		err = s.play(w)
	}
	if err != nil {
		w.fail(disagreement, "%v", err)
	}
	return w.finish(), nil
}

// check plays the scenario and fails the test where anything is violated.
func (s scenario) check(t *testing.T, prepare func(*world)) outcome {
	t.Helper()
	o, err := s.act(t.Context(), binary, prepare)
	if err != nil {
		t.Fatal(err)
	}
	// It waited for the end in its play: how long that took is not in this.
	o.settled = nil
	count(t, o)
	return o
}

func TestScenariosWithoutFaults(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			o := s.check(t, nil)
			keys := map[string]int{}
			for _, c := range slices.Concat(o.callsOf...) {
				keys[c.Key()]++
			}
			t.Logf("calls: %v", keys)
		})
	}
}
