package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchInterference measures the time to a 200 while Jobs fail and slow senders hold connections, over the same in quiet. Bare writes are drawn
// among the callbacks: what the failing Jobs cost the API server itself shows there.
func benchInterference(ctx context.Context, w *world) error {
	wanted, sockets := w.pick(100, 5000), 1000
	others, err := w.newPopulation(ctx, "failing", failing, wanted)
	if err != nil {
		return err
	}
	plan, blocks := ackPlan{rate: liveRate, pairs: w.pick(8, 25)}, w.pick(4, 24)
	// One block comes before each time that counts, and one after the last.
	r, err := w.newRig(ctx, "interference", withJob, plan.streams(2*blocks+3))
	if err != nil {
		return err
	}
	defer r.close()
	i := &interference{w: w, s: r.sender, streams: r.streams, twin: r.streams.twin(), plan: plan, blocks: blocks}
	quiet, err := i.measure(ctx)
	if err != nil {
		return err
	}
	if err := w.failAll(ctx, r.operator, others); err != nil {
		return err
	}
	loris := slowLoris(ctx, r.operator.receiver.callbacks, r.streams.namespace, sockets)
	defer loris.stop()
	before, err := w.failures(ctx, others.namespace)
	if err != nil {
		return err
	}
	noisy, err := i.measure(ctx)
	if err != nil {
		return err
	}
	after, err := w.failures(ctx, others.namespace)
	if err != nil {
		return err
	}
	i.put(quiet, noisy, map[string]float64{
		"failing_jobs": float64(before.streams), "failures_meanwhile": float64(after.jobs - before.jobs), "slow_sockets": float64(loris.count()), "refused": float64(noisy.refused),
	})
	err = w.profile(ctx, r.operator, "interference", plan.lasts(), func() error {
		_, _, err := i.block(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(w.finish(ctx, r.operator, others, "malformed", "busy", "unavailable"), w.remove(ctx, r.streams.namespace))
}

// failAll puts all streams on air, as fast as they are taken, and waits until the Job of each has failed once and the wave is over: Jobs that failed are made
// again, and few are on their way. It does not wait for ever, as it is told how many have failed.
func (w *world) failAll(ctx context.Context, operator *operator, streams *population) error {
	s := newSender(streams.namespace, operator.receiver)
	defer s.close()
	group, sending := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range streams.count {
		group.Go(func() error {
			for {
				err := s.deliver(sending, streams.event(i, 0).Signed(callbackKey, time.Now()))
				if !errors.Is(err, errRefused) {
					return err
				}
				if err := waitUntil(sending, time.Now().Add(time.Second)); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	const longest, every, onTheirWay = 20 * time.Minute, 10 * time.Second, 50
	for began := time.Now(); time.Since(began) < longest; {
		got, err := w.failures(ctx, streams.namespace)
		if err != nil || got.streams >= streams.count && got.pending <= onTheirWay {
			return err
		}
		w.say("%d of %d have a Job that failed, %d Jobs are on their way", got.streams, streams.count, got.pending)
		if err := waitUntil(ctx, time.Now().Add(every)); err != nil {
			return err
		}
	}
	return nil
}

// failures are the Jobs that have failed, and whose they are; pending are those that have not.
type failures struct{ jobs, streams, pending int }

func (w *world) failures(ctx context.Context, namespace string) (failures, error) {
	var got failures
	streams := map[string]bool{}
	options := []client.ListOption{client.InNamespace(namespace), client.Limit(500)}
	for next := ""; ; {
		var page batchv1.JobList
		if err := w.installed.API.List(ctx, &page, append(options, client.Continue(next))...); err != nil {
			return got, fmt.Errorf("looking for Jobs that failed: %w", err)
		}
		for i := range page.Items {
			if hasFailed(&page.Items[i]) {
				got.jobs++
				streams[page.Items[i].Labels[v1alpha1.LabelLiveStream]] = true
			} else {
				got.pending++
			}
		}
		if next = page.Continue; next == "" {
			got.streams = len(streams)
			return got, nil
		}
	}
}

func hasFailed(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue
	})
}

type interference struct {
	w             *world
	s             *sender
	streams, twin *population
	plan          ackPlan
	blocks        int
	done          int
}

// latencies are those of one time, in blocks.
type latencies struct {
	pairs   []stats.Pair
	refused int
}

// measure has one block that does not count, and then those that do.
func (i *interference) measure(ctx context.Context) (latencies, error) {
	var got latencies
	for n := range i.blocks + 1 {
		pair, refused, err := i.block(ctx)
		if err != nil {
			return got, err
		}
		if n > 0 {
			got.pairs, got.refused = append(got.pairs, pair), got.refused+refused
		}
	}
	return got, nil
}

func (i *interference) block(ctx context.Context) (stats.Pair, int, error) {
	i.done++
	return i.w.ackBlock(ctx, i.s, i.streams, i.twin, i.plan, i.done-1)
}

func (l latencies) ours() [][]float64 {
	return sideOf(l.pairs, func(p stats.Pair) []float64 { return p.Subject })
}
func (l latencies) bare() [][]float64 {
	return sideOf(l.pairs, func(p stats.Pair) []float64 { return p.Reference })
}

func sideOf(pairs []stats.Pair, side func(stats.Pair) []float64) [][]float64 {
	all := make([][]float64, len(pairs))
	for i, p := range pairs {
		all[i] = side(p)
	}
	return all
}

// put tells the raw ratio, what bare writes suffered, and the one over the other.
func (i *interference) put(quiet, noisy latencies, with map[string]float64) {
	fewest := len(slices.Concat(quiet.ours()...))
	for _, side := range [][][]float64{quiet.bare(), noisy.ours(), noisy.bare()} {
		fewest = min(fewest, len(slices.Concat(side...)))
	}
	p, told, note := tail(fewest)
	figuresOf := func(l latencies, with map[string]float64) map[string]float64 {
		for _, one := range []float64{0.5, p} {
			with[fmt.Sprintf("p%.0f_ms", 100*one)] = stats.Percentile(slices.Concat(l.ours()...), one)
			with[fmt.Sprintf("bare_p%.0f_ms", 100*one)] = stats.Percentile(slices.Concat(l.bare()...), one)
		}
		with["count"] = float64(len(slices.Concat(l.ours()...)))
		return with
	}
	reference, subject := figuresOf(quiet, map[string]float64{}), figuresOf(noisy, with)
	put := func(key string, interval stats.Interval) {
		// Of the reference in quiet alone: that it is another in the noise is what is asked.
		i.w.report.put(key, result{Interval: interval, Blocks: i.blocks, Drift: stats.Drift(medians(quiet.bare())), Percentile: told, Note: note, Reference: reference, Subject: subject})
	}
	put("interference_p99_ratio", stats.PercentileRatioApart(noisy.ours(), quiet.ours(), p, i.w.seed))
	put("interference_bare_p99_ratio", stats.PercentileRatioApart(noisy.bare(), quiet.bare(), p, i.w.seed))
	put("interference_over_bare", stats.BootstrapApart(len(noisy.pairs), len(quiet.pairs), i.w.seed, func(n, q []int) float64 {
		return stats.PercentileOf(noisy.ours(), p, n) / stats.PercentileOf(quiet.ours(), p, q) / (stats.PercentileOf(noisy.bare(), p, n) / stats.PercentileOf(quiet.bare(), p, q))
	}))
}

func medians(blocks [][]float64) []float64 {
	all := make([]float64, len(blocks))
	for i, block := range blocks {
		all[i] = stats.Percentile(block, 0.5)
	}
	return all
}

// loris holds connections whose requests never end, and opens those anew that the operator closes.
type loris struct {
	cancel context.CancelFunc
	done   chan struct{}
	most   int
}

func slowLoris(ctx context.Context, url, namespace string, count int) *loris {
	ctx, cancel := context.WithCancel(ctx)
	l := &loris{cancel: cancel, done: make(chan struct{})}
	address := strings.TrimPrefix(url, "http://")
	connections := make([]net.Conn, count)
	dial := func() net.Conn {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil
		}
		_, _ = io.WriteString(connection, "POST "+path(namespace)+" HTTP/1.1\r\nHost: a\r\nContent-Length: 600\r\n\r\n")
		return connection
	}
	for i := range connections {
		if connections[i] = dial(); connections[i] != nil {
			l.most++
		}
	}
	go func() {
		defer close(l.done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				for _, c := range connections {
					if c != nil {
						_ = c.Close()
					}
				}
				return
			case <-tick.C:
			}
			// A byte now and then; one that was closed is opened again.
			for i, c := range connections {
				if c == nil {
					connections[i] = dial()
				} else if _, err := io.WriteString(c, " "); err != nil {
					_ = c.Close()
					connections[i] = dial()
				}
			}
		}
	}()
	return l
}

func (l *loris) count() int { return l.most }

func (l *loris) stop() {
	l.cancel()
	<-l.done
}
