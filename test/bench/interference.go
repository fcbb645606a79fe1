package main

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// benchInterference measures the time to a 200 while Jobs fail and slow senders hold connections, over the same in quiet. Bare writes are drawn
// among the callbacks: what the failing Jobs cost the API server itself shows there.
func benchInterference(ctx context.Context, w *world) error {
	failed, sockets := w.pick(200, 5000), 1000
	others, err := w.newPopulation(ctx, "failing", failing, failed)
	if err != nil {
		return err
	}
	r, err := w.newRig(ctx, "interference", withJob, 400)
	if err != nil {
		return err
	}
	defer r.close()
	streams, operator := r.streams, r.operator
	i := &interference{w: w, s: r.sender, streams: streams, twin: streams.twin(), plan: ackPlan{rate: 12, pairs: 15}, blocks: w.pick(4, 12)}
	quiet, err := i.measure(ctx)
	if err != nil {
		return err
	}
	toOthers := newSender(others.namespace, operator.receiver)
	defer toOthers.close()
	// As fast as they are taken: each fails a second later, and is made again with backoff.
	turns := make(chan struct{}, failed)
	for range failed {
		turns <- struct{}{}
	}
	close(turns)
	_, _, err = closedLoop(ctx, 16, time.Hour, func(int, int) error {
		if _, more := <-turns; !more {
			return errAllSent
		}
		return others.send(ctx, toOthers)
	})
	if err != nil && !errors.Is(err, errAllSent) {
		return err
	}
	if err := waitUntil(ctx, time.Now().Add(time.Duration(w.pick(5, 120))*time.Second)); err != nil {
		return err
	}
	loris := slowLoris(ctx, operator.receiver.callbacks, streams.namespace, sockets)
	defer loris.stop()
	var noisy []stats.Pair
	during := time.Duration(float64(i.blocks*2*i.plan.pairs) / i.plan.rate * float64(time.Second))
	err = w.profile(ctx, operator, "interference", during, func() (err error) {
		noisy, err = i.measure(ctx)
		return err
	})
	if err != nil {
		return err
	}
	i.put(quiet, noisy, map[string]float64{"failing_jobs": float64(failed), "slow_sockets": float64(loris.count())})
	return w.finish(ctx, operator, others, "malformed")
}

var errAllSent = errors.New("all are sent")

type interference struct {
	w             *world
	s             *sender
	streams, twin *population
	plan          ackPlan
	blocks        int
	done          int
}

func (i *interference) measure(ctx context.Context) ([]stats.Pair, error) {
	pairs := make([]stats.Pair, i.blocks)
	for block := range pairs {
		var err error
		if pairs[block], _, err = i.w.ackBlock(ctx, i.s, i.streams, i.twin, i.plan, i.done); err != nil {
			return nil, err
		}
		i.done++
	}
	return pairs, nil
}

// put tells the raw ratio, and the one that is over what bare writes suffered.
func (i *interference) put(quiet, noisy []stats.Pair, with map[string]float64) {
	ours, bare := make([]stats.Pair, i.blocks), make([]stats.Pair, i.blocks)
	for n := range quiet {
		ours[n], bare[n] = stats.Pair{Subject: noisy[n].Subject, Reference: quiet[n].Subject}, stats.Pair{Subject: noisy[n].Reference, Reference: quiet[n].Reference}
	}
	raw, barely := stats.PercentileRatio(ours, 0.99, i.w.seed), stats.PercentileRatio(bare, 0.99, i.w.seed)
	over := func(p float64, of func(stats.Pair) []float64, pairs []stats.Pair) float64 {
		all := make([][]float64, len(pairs))
		for n, pair := range pairs {
			all[n] = of(pair)
		}
		return stats.Percentile(slices.Concat(all...), p)
	}
	subject, reference := func(p stats.Pair) []float64 { return p.Subject }, func(p stats.Pair) []float64 { return p.Reference }
	with["p99_ms"], with["p50_ms"], with["bare_p99_ms"] = over(0.99, subject, noisy), over(0.5, subject, noisy), over(0.99, reference, noisy)
	i.w.report.put("interference_p99_ratio", result{
		Interval: raw, Blocks: i.blocks, Subject: with,
		Reference: map[string]float64{"p99_ms": over(0.99, subject, quiet), "p50_ms": over(0.5, subject, quiet), "bare_p99_ms": over(0.99, reference, quiet)},
	})
	i.w.report.put("interference_bare_p99_ratio", result{Interval: barely, Blocks: i.blocks, Note: "the same of bare writes: what the failing Jobs cost the API server itself"})
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
