package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// countLists counts the lists of Events, each of which takes as long as that by the test's clock.
func (b *bench) countLists(take time.Duration) *int {
	lists := 0
	b.beforeEvents(func(context.Context) error {
		lists++
		b.pass(take)
		return nil
	})
	return &lists
}

// Found by measuring: of 5,000 Jobs whose Pods were late each had all Events of the namespace read, ten times a second together.
func TestManyJobsWithoutPodsAreExplainedByOneList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.clock.SetTime(time.Now())
	b.create(newSecret(), newDomain())
	b.reconcileDomain()
	const streams = 5
	for i := range streams {
		stream := newStream(fmt.Sprintf("show-%d", i))
		stream.Spec.StreamName = stream.Name
		b.create(stream)
		b.live(stream.Name, "A")
	}
	for _, job := range b.jobs() {
		b.exceedsQuota(&job)
	}
	b.pass(time.Minute)
	lists := b.countLists(0)
	for i := range streams {
		name := fmt.Sprintf("show-%d", i)
		b.reconcile(name)
		if got := b.stream(name).Status.Workloads[0].Message; !strings.Contains(got, "exceeded quota") {
			t.Errorf("%s: message %q, want its quota told", name, got)
		}
	}
	if *lists != 1 {
		t.Errorf("Events were listed %d times, want once", *lists)
	}
	b.pass(30 * time.Second)
	b.reconcile("show-0")
	if *lists != 2 {
		t.Errorf("half a minute later Events were listed %d times, want twice", *lists)
	}
}

func TestWhereEventsAreManyTheyAreListedSeldom(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.clock.SetTime(time.Now())
	b.show()
	b.live("show", "A")
	b.pass(time.Minute)
	const take = 1500 * time.Millisecond
	lists := b.countLists(take)
	b.reconcile("show")
	for _, row := range []struct {
		after time.Duration
		want  int
	}{{eventsShare*take - time.Second, 1}, {2 * time.Second, 2}} {
		b.pass(row.after)
		b.reconcile("show")
		if *lists != row.want {
			t.Errorf("%s later Events were listed %d times, want %d", row.after, *lists, row.want)
		}
	}
}
