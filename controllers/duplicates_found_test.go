package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// The receiver tells all LiveStreams of a stream of an event; a younger one was not there when the push began.
func TestAYoungerLiveStreamKnowsThePushesThatBeganBeforeIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	younger := newStream("younger")
	b.create(younger)
	b.settle("younger")
	if live := push.Live(b.stream("younger").Status.Pushes); len(live) != 1 || live[0].Sequence != "A" {
		t.Errorf("it knows %+v, want A live", live)
	}
	b.wantState("younger", v1alpha1.LiveStreamLive)
	if jobs := b.jobs(); len(jobs) != 1 {
		t.Errorf("%d Jobs, want that of the older one", len(jobs))
	}
}

// The receiver answers 403 to whatever comes of the domain that was.
func TestPushesEndWhenThePushDomainIsMadeAnewForAnotherDomain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	b.delete(newDomain())
	another := newDomain()
	another.Spec.Domain = "push.another.example.com"
	b.create(another)
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamInterrupted)
	if p := status.Pushes[0]; p.Reason != v1alpha1.PushReasonNotOnline || p.Message != "the PushDomain is one of push.another.example.com now, it was one of push.example.com" {
		t.Errorf("push = %+v", p)
	}
	b.pass(time.Minute)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	if len(b.running()) != 0 {
		t.Error("the Job was not stopped")
	}
}

// Two names of hosts are longer than the message of a push may be. Refused, it would be refused on every pass.
func TestPushesEndHoweverLongTheNamesOfTheDomainsAre(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	long := func(label string) *v1alpha1.PushDomain {
		d := newDomain()
		d.Spec.Domain = strings.Repeat(label+".", 25) + "example.com"
		return d
	}
	b.create(newSecret(), long("one"), newStream("show"))
	b.settle("show")
	b.live("show", "A")
	b.delete(newDomain())
	b.create(long("another"))
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamInterrupted)
	if p := status.Pushes[0]; push.IsLive(p) || !strings.HasPrefix(p.Message, "the PushDomain is one of another.another.") {
		t.Errorf("push = %+v", p)
	}
}
