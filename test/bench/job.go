package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// jobRate is how many Jobs are asked for in a second: each has its Pod running before the next.
const jobRate = 5.0

// benchJob measures from the 200 until somebody else's watch shows the Job, over a program that does nothing but watch a kind and create a
// Job of the same size.
func benchJob(ctx context.Context, w *world) error {
	pairs, perBlock := w.pick(2, 20), w.pick(6, 25)
	// Each stream has one broadcast only. One block comes before those that count, and one after them.
	bareStreams, err := w.newPopulation(ctx, "job-bare", withJob, perBlock*(pairs+2))
	if err != nil {
		return err
	}
	r, err := w.newRig(ctx, "job", withJob, perBlock*(pairs+2))
	if err != nil {
		return err
	}
	defer r.close()
	streams, operator := r.streams, r.operator
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen, err := w.observe(watching, streams.namespace)
	if err != nil {
		return err
	}
	seenBare, err := w.observe(watching, bareStreams.namespace)
	if err != nil {
		return err
	}
	j := &jobBench{w: w, streams: streams, twins: bareStreams.twin(), sender: r.sender, seen: seen, seenBare: seenBare, perBlock: perBlock}
	// The first is not counted, and shows how large a Job is.
	first, err := j.operatorBlock(ctx)
	if err != nil || len(first) == 0 {
		return errors.Join(err, errors.New("the operator has made no Job"))
	}
	if err := j.startBare(watching); err != nil {
		return err
	}
	if _, err := j.bareBlock(ctx); err != nil {
		return err
	}
	measured := make([]stats.Pair, pairs)
	for i, side := range stats.ABBA(pairs) {
		var err error
		if side == stats.Subject {
			measured[i/2].Subject, err = j.operatorBlock(ctx)
		} else {
			measured[i/2].Reference, err = j.bareBlock(ctx)
		}
		if err != nil {
			return err
		}
	}
	err = w.profile(ctx, operator, "job", time.Duration(float64(j.perBlock)/jobRate*float64(time.Second)), func() error {
		_, err := j.operatorBlock(ctx)
		return err
	})
	if err != nil {
		return err
	}
	w.putLatency("job", measured)
	return errors.Join(w.finish(ctx, operator, streams), w.remove(ctx, bareStreams.namespace))
}

type jobBench struct {
	w              *world
	streams, twins *population
	sender         *sender
	seen, seenBare *observer
	perBlock       int
}

// operatorBlock starts so many streams, one after the other, and returns how long after each 200 its Job was seen, in milliseconds.
func (j *jobBench) operatorBlock(ctx context.Context) ([]float64, error) {
	chosen := make([]int, j.perBlock)
	took := make([]float64, j.perBlock)
	err := oneByOne(ctx, stats.Arrivals(jobRate, j.perBlock), func(i int) error {
		chosen[i] = j.streams.take()
		body := j.streams.nextEvent(chosen[i], time.Now())
		if err := j.sender.deliver(ctx, body); err != nil {
			return err
		}
		return j.await(ctx, j.seen, j.streams.kind.nameOf(chosen[i]), &took[i], time.Now())
	})
	if err != nil {
		return nil, err
	}
	if err := j.seen.waitWorkloads(ctx, v1alpha1.WorkloadRunning, j.perBlock); err != nil {
		return nil, err
	}
	for _, i := range chosen {
		if err := j.sender.deliver(ctx, j.streams.nextEvent(i, time.Now())); err != nil {
			return nil, err
		}
	}
	return took, j.gone(ctx, j.seen)
}

// bareBlock does the same with a bare write in place of the callback.
func (j *jobBench) bareBlock(ctx context.Context) ([]float64, error) {
	chosen := make([]int, j.perBlock)
	took := make([]float64, j.perBlock)
	err := oneByOne(ctx, stats.Arrivals(jobRate, j.perBlock), func(i int) error {
		chosen[i] = int(j.twins.turn.Load()) % j.twins.count
		if err := j.twins.write(ctx, j.w.bare); err != nil {
			return err
		}
		return j.await(ctx, j.seenBare, j.twins.kind.nameOf(chosen[i]), &took[i], time.Now())
	})
	if err != nil {
		return nil, err
	}
	for i := range j.perBlock {
		j.twins.turn.Store(int64(chosen[i]))
		if err := j.twins.write(ctx, j.w.bare); err != nil {
			return nil, err
		}
	}
	if err := j.w.bare.deleteJobs(ctx, j.twins.namespace, streamLabel); err != nil {
		return nil, fmt.Errorf("deleting the reference's Jobs: %w", err)
	}
	return took, j.gone(ctx, j.seenBare)
}

// await waits until the observer sees a Job of the stream that is not gone.
func (j *jobBench) await(ctx context.Context, seen *observer, stream string, took *float64, since time.Time) error {
	return seen.wait(ctx, readyPatience, "the Job is there", func() bool {
		job, there := seen.jobs[stream]
		*took = milliseconds(job.at.Sub(since))
		return there && !job.gone
	})
}

func (j *jobBench) gone(ctx context.Context, seen *observer) error {
	return seen.wait(ctx, readyPatience, "the Jobs are gone", func() bool {
		for _, job := range seen.jobs {
			if !job.gone {
				return false
			}
		}
		return true
	})
}

// startBare starts the reference: it watches, and creates a Job for each stream that goes on air.
func (j *jobBench) startBare(ctx context.Context) error {
	template, err := newJobTemplate(j.seen.anyJob(), j.twins.namespace)
	if err != nil {
		return err
	}
	events, err := watchFrom(ctx, j.w.bare.streams, j.twins.namespace, "livestreams", &v1alpha1.LiveStreamList{})
	if err != nil {
		return err
	}
	go func() {
		err := events.follow(ctx, func(event watch.Event) {
			stream, is := event.Object.(*v1alpha1.LiveStream)
			if !is || len(push.Live(stream.Status.Pushes)) == 0 {
				return
			}
			job, _ := template.of(stream)
			go func() {
				if err := j.w.bare.createJob(ctx, j.twins.namespace, job); err != nil && ctx.Err() == nil {
					j.w.say("the reference could not create a Job: %v", err)
				}
			}()
		})
		if err != nil && ctx.Err() == nil {
			j.w.say("the reference: %v", err)
		}
	}()
	return nil
}
