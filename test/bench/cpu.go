package main

import (
	"context"
	"errors"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/test/bench/stats"
)

// eventCost is what an event costs the operator, in seconds of CPU and in writes, and what it costs the bare handler beside it.
type eventCost struct {
	operator, handler []stats.Cost
	writes            []stats.Cost
	// parts is what each part of the operator and each component of the control plane spends for it.
	parts map[string][]stats.Cost
	// job is one that the operator made.
	job *batchv1.Job
	// atRest is what each part of the operator spends in a second in which nothing happens: it is in the cost of events, which are few a second.
	atRest map[string]float64
}

// add adds a block, and that of the bare handler beside it.
func (c *eventCost) add(block shown, handler stats.Cost) {
	c.operator, c.handler, c.writes, c.job = append(c.operator, block.cpu), append(c.handler, handler), append(c.writes, block.writes), block.job
	for name, spent := range block.parts {
		c.parts[name] = append(c.parts[name], stats.Cost{Spent: spent, Done: block.cpu.Done})
	}
}

// side is what is told of it, in microseconds.
func (c *eventCost) side() map[string]float64 {
	side := map[string]float64{"cpu_us": 1e6 * stats.PerThing(c.operator).Value, "writes": stats.PerThing(c.writes).Value}
	for name, spent := range c.parts {
		side[name+"_cpu_us"] = 1e6 * stats.PerThing(spent).Value
	}
	return side
}

func (c *eventCost) handlerSide() map[string]float64 {
	return map[string]float64{"cpu_us": 1e6 * stats.PerThing(c.handler).Value}
}

// ratio is what the drawn blocks cost over what they cost the bare handler.
func (c *eventCost) ratio(drawn []int) float64 {
	return stats.PerThingOf(c.operator, drawn) / stats.PerThingOf(c.handler, drawn)
}

// costOver is the one's ratio over the other's, which did not run beside it.
func (w *world) costOver(subject, reference *eventCost) result {
	return result{
		Interval: stats.BootstrapApart(len(subject.operator), len(reference.operator), w.seed, func(ours, theirs []int) float64 {
			return subject.ratio(ours) / reference.ratio(theirs)
		}),
		Blocks: min(len(subject.operator), len(reference.operator)), Drift: stats.DriftOfCosts(slices.Concat(reference.handler, subject.handler)),
	}
}

const (
	// hotStreams have the events; others, where there are any, are idle.
	hotStreams = 100
	// eventRate is what two cores bear: what follows a start is a dozen writes by others.
	eventRate = 4.0
)

// benchCPU measures the CPU time that our process spends for an event, with all that it does because of it: the event, the Job, the
// status, the end. Half of the events are starts, half are stops.
func benchCPU(ctx context.Context, w *world) error {
	cost, err := w.cost(ctx)
	if err != nil {
		return err
	}
	subject := cost.side()
	cost.tellRest(subject)
	w.report.put("cpu_per_event_ratio", result{
		Interval: stats.CostRatio(cost.operator, cost.handler, w.seed), Blocks: len(cost.operator), Drift: stats.DriftOfCosts(cost.handler),
		Reference: cost.handlerSide(), Subject: subject,
	})
	if w.quick {
		return nil
	}
	return w.cpuPlain(ctx, cost)
}

// cost measures among few streams, once a run.
func (w *world) cost(ctx context.Context) (*eventCost, error) {
	switch {
	case w.costAt100 != nil:
		return w.costAt100, nil
	case w.crowd != nil:
		return nil, errors.New("an event among few streams is to be measured before there are many: ask for cpu first")
	}
	streams, err := w.newPopulation(ctx, "cpu", withJob, hotStreams)
	if err != nil {
		return nil, err
	}
	operator, err := w.startOperator(ctx)
	if err != nil {
		return nil, err
	}
	defer operator.kill()
	if w.costAt100, err = w.costOf(ctx, "cpu", operator, streams, w.pick(2, 20), w.pick(12, 20)); err != nil {
		return nil, err
	}
	if w.costAt100.atRest, err = w.restCPU(ctx, operator); err != nil {
		return nil, err
	}
	return w.costAt100, w.finish(ctx, operator, streams)
}

// costOf measures pairs of blocks. The first streams of the population have the events.
func (w *world) costOf(ctx context.Context, name string, operator *operator, streams *population, pairs, perBlock int) (*eventCost, error) {
	handler, err := w.startBareHandler(ctx, streams.namespace)
	if err != nil {
		return nil, err
	}
	defer handler.kill()
	toOperator, toHandler := newSender(streams.namespace, operator.receiver), newSender(streams.namespace, handler)
	defer toOperator.close()
	defer toHandler.close()
	if err := operator.idle(ctx); err != nil {
		return nil, err
	}
	cost := &eventCost{parts: map[string][]stats.Cost{}}
	measure := func(counted bool) error {
		block, err := w.showBlock(ctx, operator, streams, toOperator, perBlock)
		if err != nil {
			return err
		}
		reference, err := w.bareBlock(ctx, handler, streams, toHandler, perBlock)
		if err != nil {
			return err
		}
		if !counted {
			return nil
		}
		cost.add(block, reference)
		return nil
	}
	if err := measure(false); err != nil {
		return nil, err
	}
	for range pairs {
		if err := measure(true); err != nil {
			return nil, err
		}
	}
	err = w.profile(ctx, operator, name, time.Duration(2*float64(perBlock)/eventRate*float64(time.Second)), func() error { return measure(false) })
	return cost, err
}

// restCPU is what each part of the operator spends in a second in which nothing happens. It takes two minutes to see all that comes by time alone, such as
// Go's collections.
func (w *world) restCPU(ctx context.Context, operator *operator) (map[string]float64, error) {
	if err := operator.idle(ctx); err != nil {
		return nil, err
	}
	receiver, reconciler, err := operator.cpu()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := waitUntil(ctx, began.Add(time.Duration(w.pick(5, 120))*time.Second)); err != nil {
		return nil, err
	}
	receiverAfter, reconcilerAfter, err := operator.cpu()
	took := time.Since(began).Seconds()
	return map[string]float64{"receiver": (receiverAfter - receiver) / took, "reconciler": (reconcilerAfter - reconciler) / took}, err
}

func (c *eventCost) tellRest(to map[string]float64) {
	for name, spent := range c.atRest {
		to[name+"_rest_us_per_s"] = 1e6 * spent
	}
}

// allCPU is what each part of the operator and each component of the control plane has run so far, in seconds.
func (w *world) allCPU(ctx context.Context, operator *operator) (map[string]float64, error) {
	spent, err := w.componentsCPU(ctx)
	if err != nil {
		return nil, err
	}
	spent["receiver"], spent["reconciler"], err = operator.cpu()
	return spent, err
}

// shown is what a block of broadcasts cost.
type shown struct {
	// cpu is what the operator spent, in seconds, parts what each of its parts and each component of the control plane did.
	cpu, writes stats.Cost
	parts       map[string]float64
	// job is one of those that the operator made.
	job *batchv1.Job
}

// showBlock has the operator put so many streams on air and off again, and waits for all that follows.
func (w *world) showBlock(ctx context.Context, operator *operator, streams *population, s *sender, count int) (shown, error) {
	seen, stop, err := w.watched(ctx, w.observe, streams.namespace)
	if err != nil {
		return shown{}, err
	}
	defer stop()
	writesBefore, err := w.installed.Writes(ctx)
	if err != nil {
		return shown{}, err
	}
	// What was spent is asked after it, since to tell the writes costs the API server.
	parts, err := show(ctx, seen, streams, s, count, func(ctx context.Context) (map[string]float64, error) { return w.allCPU(ctx, operator) })
	if err != nil {
		return shown{}, err
	}
	writesAfter, err := w.installed.Writes(ctx)
	events := float64(2 * count)
	return shown{
		cpu:    stats.Cost{Spent: parts["receiver"] + parts["reconciler"], Done: events},
		writes: stats.Cost{Spent: float64(sumOf(writesAfter) - sumOf(writesBefore)), Done: events},
		parts:  parts, job: seen.anyJob(),
	}, err
}

// watched observes until it is stopped.
func (w *world) watched(ctx context.Context, observe func(context.Context, string) (*observer, error), namespace string) (*observer, context.CancelFunc, error) {
	watching, stop := context.WithCancel(ctx)
	seen, err := observe(watching, namespace)
	if err != nil {
		stop()
	}
	return seen, stop, err
}

// show puts so many of the hot streams on air and off again, and returns what was spent meanwhile.
func show(ctx context.Context, seen *observer, streams *population, s *sender, count int, spent func(context.Context) (map[string]float64, error)) (map[string]float64, error) {
	first := int(streams.turn.Load()) % hotStreams
	before, err := spent(ctx)
	if err != nil {
		return nil, err
	}
	for _, want := range []v1alpha1.WorkloadState{v1alpha1.WorkloadRunning, v1alpha1.WorkloadStopped} {
		err = oneByOne(ctx, stats.Arrivals(eventRate, count), func(i int) error {
			return s.deliver(ctx, streams.nextEvent((first+i)%hotStreams, time.Now()))
		})
		if err != nil {
			return nil, err
		}
		if err := seen.waitWorkloads(ctx, want, count); err != nil {
			return nil, err
		}
	}
	took, err := spent(ctx)
	for name := range took {
		took[name] -= before[name]
	}
	streams.turn.Add(int64(count))
	return took, err
}

// bareBlock sends the same events at the same rate to the bare handler.
func (w *world) bareBlock(ctx context.Context, handler *process, streams *population, s *sender, count int) (stats.Cost, error) {
	before, err := handler.cpu()
	if err != nil {
		return stats.Cost{}, err
	}
	err = oneByOne(ctx, stats.Arrivals(eventRate, 2*count), func(i int) error {
		return s.deliver(ctx, streams.event(i%hotStreams, i).Signed(callbackKey, time.Now()))
	})
	if err != nil {
		return stats.Cost{}, err
	}
	after, err := handler.cpu()
	return stats.Cost{Spent: after - before, Done: float64(2 * count)}, err
}
