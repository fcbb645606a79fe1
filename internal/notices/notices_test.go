package notices

import (
	"fmt"
	"testing"

	"k8s.io/client-go/tools/events"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func began(broadcast string) v1alpha1.LiveStreamStatus {
	return v1alpha1.LiveStreamStatus{State: v1alpha1.LiveStreamLive, Broadcast: v1alpha1.Broadcast{ID: broadcast}}
}

func TestChangeIsToldAsAnEvent(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	NewTeller(recorder).Changed(&v1alpha1.LiveStream{}, v1alpha1.LiveStreamStatus{}, began("b1"))
	if got, want := <-recorder.Events, "Normal StreamLive a push is live"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestNothingNewIsNotTold(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	NewTeller(recorder).Changed(&v1alpha1.LiveStream{}, began("b1"), began("b1"))
	if len(recorder.Events) > 0 {
		t.Errorf("told %q", <-recorder.Events)
	}
}

func TestStormOfChangesSendsFewEvents(t *testing.T) {
	recorder := events.NewFakeRecorder(10_000)
	teller := NewTeller(recorder)
	for i := range 10_000 {
		teller.Changed(&v1alpha1.LiveStream{}, v1alpha1.LiveStreamStatus{}, began(fmt.Sprint(i)))
	}
	if sent := len(recorder.Events); sent < AtOnce || sent > AtOnce+60*PerSecond {
		t.Errorf("%d Events were sent, want some %d", sent, AtOnce)
	}
}
