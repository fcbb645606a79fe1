package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
)

const (
	namespace    = "default"
	streamName   = "morning-show"
	callbackPath = "/callbacks/default/shows"
	callbackKey  = "test"
)

var (
	first = css.Push{Domain: "test.domain.com", App: "live", Stream: "test_stream", Sequence: "6674468118806626493", AppID: 12345678,
		ClientIP: "119.29.94.245", Node: "100.121.160.92"}
	second = css.Push{Domain: "test.domain.com", App: "live", Stream: "test_stream", Sequence: "2210464508206756938", AppID: 12345678,
		ClientIP: "119.29.94.245", Node: "42.81.194.37"}
)

// play runs the show. Each step says what happens, does it, and checks what must follow.
func (s *stage) play(ctx context.Context) error {
	began := time.Now()
	var job *batchv1.Job
	for _, step := range []struct {
		title string
		do    func() error
	}{
		{"A user applies a Secret, a PushDomain and a LiveStream", func() error { return s.apply(ctx) }},
		{"The vendor's sample callback, as its document prints it, is out of date: refused", func() error {
			return s.unchanged(ctx, 401, []byte(css.VendorSample))
		}},
		{"A callback with a wrong signature is refused", func() error {
			return s.unchanged(ctx, 401, first.Start(began).Signed("not the key", time.Now()))
		}},
		{"The sample, freshly signed: the stream is Live and its Job's pod runs", func() (err error) {
			job, err = s.goLive(ctx, first.Start(began))
			return err
		}},
		{"CSS sends the same callback again: nothing changes", func() error {
			return s.unchanged(ctx, 200, first.Start(began).Signed(callbackKey, time.Now()))
		}},
		{"The network drops the push: Interrupted, the Job stays", func() error {
			return s.interrupt(ctx, first.Interruption(time.Now(), time.Since(began), 12, "network error"), job)
		}},
		{"A new push within the window: Live again, the same Job", func() error {
			again, err := s.goLive(ctx, second.Start(time.Now()))
			if err == nil && again.UID != job.UID {
				err = fmt.Errorf("job %s was replaced by %s", job.Name, again.Name)
			}
			return err
		}},
		{"Late callbacks of the first push, its stop and its start: nothing changes", func() error {
			late := first.Interruption(time.Now(), time.Since(began), 12, "network error")
			return errors.Join(s.unchanged(ctx, 200, late.Signed(callbackKey, time.Now())),
				s.unchanged(ctx, 200, first.Start(began).Signed(callbackKey, time.Now())))
		}},
		{"The client stops, the window passes: the Job is ended gracefully, the stream is Idle", func() error { return s.end(ctx, job) }},
	} {
		say("\n== %s", step.title)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

func (s *stage) apply(ctx context.Context) error {
	if err := s.kubectl(ctx, "apply", "-f", filepath.Join(s.root, "config", "samples", "morning-show.yaml")); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "wait", "--for=condition=Ready", "pd/shows", "lvs/"+streamName, "--timeout=20s"); err != nil {
		return err
	}
	return errors.Join(s.kubectl(ctx, "get", "pd", "-o", "wide"), s.kubectl(ctx, "get", "lvs"))
}

// post sends a callback and checks the answer's status.
func (s *stage) post(ctx context.Context, want int, body []byte) error {
	status, answer, err := css.Post(ctx, s.receiver+callbackPath, body)
	if err != nil {
		return err
	}
	say("POST %s -> %d %s", callbackPath, status, answer)
	if status != want {
		return fmt.Errorf("the answer is %d, not %d", status, want)
	}
	return nil
}

func (s *stage) stream(ctx context.Context) (*v1alpha1.LiveStream, error) {
	stream := &v1alpha1.LiveStream{}
	return stream, s.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: streamName}, stream)
}

// unchanged posts and checks that the LiveStream was not written.
func (s *stage) unchanged(ctx context.Context, want int, body []byte) error {
	before, err := s.stream(ctx)
	if err != nil {
		return err
	}
	if err := s.post(ctx, want, body); err != nil {
		return err
	}
	after, err := s.stream(ctx)
	if err != nil {
		return err
	}
	if before.ResourceVersion != after.ResourceVersion {
		return fmt.Errorf("the LiveStream was written: resourceVersion %s became %s", before.ResourceVersion, after.ResourceVersion)
	}
	return s.kubectl(ctx, "get", "lvs")
}

// reach waits for a state in which the one workload is as wanted.
func (s *stage) reach(ctx context.Context, state v1alpha1.LiveStreamState, workload v1alpha1.WorkloadState) error {
	return until(ctx, fmt.Sprintf("the stream is %s and its workload %s", state, workload), func() error {
		stream, err := s.stream(ctx)
		switch {
		case err != nil:
			return err
		case stream.Status.State != state:
			return fmt.Errorf("the stream is %s", stream.Status.State)
		case len(stream.Status.Workloads) != 1:
			return fmt.Errorf("the status lists %d workloads", len(stream.Status.Workloads))
		case stream.Status.Workloads[0].State != workload:
			return fmt.Errorf("the workload is %s", stream.Status.Workloads[0].State)
		}
		return nil
	})
}

// onlyJob is the one Job there is.
func (s *stage) onlyJob(ctx context.Context) (*batchv1.Job, error) {
	var jobs batchv1.JobList
	if err := s.client.List(ctx, &jobs, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	if len(jobs.Items) != 1 {
		return nil, fmt.Errorf("there are %d Jobs, not one", len(jobs.Items))
	}
	return &jobs.Items[0], nil
}

func (s *stage) goLive(ctx context.Context, callback css.Callback) (*batchv1.Job, error) {
	if err := s.post(ctx, 200, callback.Signed(callbackKey, time.Now())); err != nil {
		return nil, err
	}
	if err := s.reach(ctx, v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning); err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := s.client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	if len(pods.Items) != 1 || pods.Items[0].Status.Phase != corev1.PodRunning {
		return nil, fmt.Errorf("there is not one running pod: %d pods", len(pods.Items))
	}
	job, err := s.onlyJob(ctx)
	if err != nil {
		return nil, err
	}
	return job, errors.Join(s.kubectl(ctx, "get", "lvs"), s.kubectl(ctx, "get", "jobs,pods"))
}

func (s *stage) interrupt(ctx context.Context, callback css.Callback, before *batchv1.Job) error {
	if err := s.post(ctx, 200, callback.Signed(callbackKey, time.Now())); err != nil {
		return err
	}
	if err := s.reach(ctx, v1alpha1.LiveStreamInterrupted, v1alpha1.WorkloadRunning); err != nil {
		return err
	}
	job, err := s.onlyJob(ctx)
	if err != nil {
		return err
	}
	if job.UID != before.UID || job.DeletionTimestamp != nil {
		return fmt.Errorf("job %s did not stay", before.Name)
	}
	return errors.Join(s.kubectl(ctx, "get", "lvs"), s.kubectl(ctx, "get", "jobs"))
}

func (s *stage) end(ctx context.Context, job *batchv1.Job) error {
	stopped := second.Interruption(time.Now(), 5*time.Second, 1, "The push client actively stopped the push")
	if err := s.post(ctx, 200, stopped.Signed(callbackKey, time.Now())); err != nil {
		return err
	}
	if err := s.reach(ctx, v1alpha1.LiveStreamIdle, v1alpha1.WorkloadStopped); err != nil {
		return err
	}
	if err := until(ctx, "the Job is gone", func() error {
		err := s.client.Get(ctx, client.ObjectKeyFromObject(job), &batchv1.Job{})
		if err == nil {
			return errors.New("it is still there")
		}
		return client.IgnoreNotFound(err)
	}); err != nil {
		return err
	}
	stream, err := s.stream(ctx)
	if err != nil {
		return err
	}
	if len(stream.Status.History) != 1 || stream.Status.History[0].Pushes != 2 {
		return fmt.Errorf("the history is not one broadcast with two pushes: %+v", stream.Status.History)
	}
	return errors.Join(s.kubectl(ctx, "get", "lvs"), s.kubectl(ctx, "get", "lvs", streamName,
		"-o", "jsonpath={range .status.history[*]}broadcast {.id}: {.pushes} pushes, {.interruptions} interruption, ended by {.endReason}{\"\\n\"}{end}{range .status.workloads[*]}workload {.name}: {.state}, {.message}{\"\\n\"}{end}"),
		s.kubectl(ctx, "get", "events.events.k8s.io", "--field-selector", "regarding.kind=LiveStream", "-o", "custom-columns=REASON:.reason,NOTE:.note"))
}
