package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// observer watches from outside what becomes of the streams and Jobs of a namespace, from its beginning on.
type observer struct {
	mu      sync.Mutex
	changed chan struct{}
	streams map[string]seenStream
	// versions are the resourceVersions of each stream.
	versions map[string][]uint64
	jobs     map[string]seenJob
	failed   error
}

type seenStream struct {
	state    v1alpha1.LiveStreamState
	workload v1alpha1.WorkloadState
	// pushes is how many the broadcast has had.
	broadcast  string
	pushes     int32
	generation int64
}

// seenJob is a Job as it was first seen.
type seenJob struct {
	name    string
	at      time.Time
	version uint64
	gone    bool
	object  *batchv1.Job
}

// observe watches until the context ends.
func (w *world) observe(ctx context.Context, namespace string) (*observer, error) {
	return w.observeBy(ctx, w.bare.operators, namespace)
}

// observeTwins watches the bare twins in place of the LiveStreams.
func (w *world) observeTwins(ctx context.Context, namespace string) (*observer, error) {
	return w.observeBy(ctx, w.bare.streams, namespace)
}

func (w *world) observeBy(ctx context.Context, client *rest.RESTClient, namespace string) (*observer, error) {
	o := &observer{changed: make(chan struct{}, 1), streams: map[string]seenStream{}, versions: map[string][]uint64{}, jobs: map[string]seenJob{}}
	streams, err := watchFrom(ctx, client, namespace, "livestreams", &v1alpha1.LiveStreamList{})
	if err != nil {
		return nil, fmt.Errorf("watching from outside: %w", err)
	}
	jobs, err := watchFrom(ctx, w.bare.jobs, namespace, "jobs", &batchv1.JobList{})
	if err != nil {
		return nil, fmt.Errorf("watching from outside: %w", err)
	}
	go o.follow(ctx, streams)
	go o.follow(ctx, jobs)
	return o, nil
}

func (o *observer) follow(ctx context.Context, s *stream) {
	err := s.follow(ctx, func(event watch.Event) {
		now := time.Now()
		o.mu.Lock()
		switch object := event.Object.(type) {
		case *v1alpha1.LiveStream:
			o.sawStream(object)
		case *batchv1.Job:
			o.sawJob(object, event.Type == watch.Deleted, now)
		}
		o.mu.Unlock()
		o.wake()
	})
	if err == nil || ctx.Err() != nil {
		return
	}
	o.mu.Lock()
	o.failed = err
	o.mu.Unlock()
	o.wake()
}

func (o *observer) wake() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

func version(object metav1.Object) uint64 {
	number, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	return number
}

func (o *observer) sawStream(stream *v1alpha1.LiveStream) {
	seen := seenStream{state: stream.Status.State, broadcast: stream.Status.Broadcast.ID, pushes: stream.Status.Broadcast.Pushes, generation: stream.Status.ObservedGeneration}
	if len(stream.Status.Workloads) > 0 {
		seen.workload = stream.Status.Workloads[0].State
	}
	o.streams[stream.Name] = seen
	o.versions[stream.Name] = append(o.versions[stream.Name], version(stream))
}

// sawJob keeps the last Job of each stream.
func (o *observer) sawJob(job *batchv1.Job, gone bool, now time.Time) {
	stream := job.Labels[streamLabel]
	if stream == "" {
		stream = job.Labels[v1alpha1.LabelLiveStream]
	}
	known, there := o.jobs[stream]
	if !there || known.name != job.Name {
		known = seenJob{name: job.Name, at: now, version: version(job), object: job}
	}
	known.gone = gone
	o.jobs[stream] = known
}

// needs has the observer fail when the process ends, for what is waited for will not come then.
func (o *observer) needs(p *process) {
	go func() {
		<-p.done
		o.mu.Lock()
		o.failed = fmt.Errorf("%s has ended; %s tells why", p.name, p.log)
		o.mu.Unlock()
		o.wake()
	}()
}

// writes is how many there were: each version of a stream is one, and each Job is made and deleted.
func (o *observer) writes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := 2 * len(o.jobs)
	for _, versions := range o.versions {
		count += len(versions)
	}
	return count
}

// anyJob is a Job of one of the streams; there has to be one.
func (o *observer) anyJob() *batchv1.Job {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, job := range o.jobs {
		return job.object
	}
	return nil
}

// streamLabel is on the reference's Jobs what the operator's own label is on its Jobs.
const streamLabel = "bench.livestream-operator.io/livestream"

// wait until the condition holds; it is asked after each change.
func (o *observer) wait(ctx context.Context, longest time.Duration, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for {
		o.mu.Lock()
		held, failed := holds(), o.failed
		o.mu.Unlock()
		if held || failed != nil {
			return failed
		}
		select {
		case <-o.changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		}
	}
}

// waitWorkloads waits until the workloads of so many streams are in the state.
func (o *observer) waitWorkloads(ctx context.Context, want v1alpha1.WorkloadState, count int) error {
	return o.wait(ctx, readyPatience, fmt.Sprintf("the workloads of %d streams are %s", count, want), func() bool {
		there := 0
		for _, seen := range o.streams {
			if seen.workload == want && (seen.state == v1alpha1.LiveStreamLive) == (want == v1alpha1.WorkloadRunning) {
				there++
			}
		}
		return there >= count
	})
}

// reconciled says whether the status of each of the streams speaks of the generation, or a later one.
func (o *observer) reconciled(generations map[string]int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, generation := range generations {
		if o.streams[name].generation < generation {
			return false
		}
	}
	return true
}
