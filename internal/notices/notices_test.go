package notices

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func began(broadcast string) v1alpha1.LiveStreamStatus {
	return v1alpha1.LiveStreamStatus{State: v1alpha1.LiveStreamLive, Broadcast: v1alpha1.Broadcast{ID: broadcast}}
}

func TestChangeIsToldAsAnEvent(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	NewTeller(recorder, 0).Changed(&v1alpha1.LiveStream{}, v1alpha1.LiveStreamStatus{}, began("b1"))
	if got, want := <-recorder.Events, "Normal StreamLive a push is live"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestEventsComeAfterWhatTheyTellOfInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := events.NewFakeRecorder(10)
		teller := NewTeller(recorder, Delay)
		lost := began("b1")
		lost.State = v1alpha1.LiveStreamInterrupted
		lost.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLive, Reason: string(v1alpha1.PushReasonNetworkError), Message: "the connection was lost"}}
		teller.Changed(&v1alpha1.LiveStream{}, v1alpha1.LiveStreamStatus{}, began("b1"))
		time.Sleep(Delay - time.Millisecond)
		teller.Changed(&v1alpha1.LiveStream{}, began("b1"), lost)
		if len(recorder.Events) > 0 {
			t.Errorf("told %q before its time", <-recorder.Events)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got, want := <-recorder.Events, "Normal StreamLive a push is live"; got != want || len(recorder.Events) > 0 {
			t.Errorf("told %q and %d more, want %q", got, len(recorder.Events), want)
		}
		time.Sleep(Delay)
		synctest.Wait()
		if len(recorder.Events) != 1 {
			t.Fatalf("told %d, want the interruption", len(recorder.Events))
		}
		if got, want := <-recorder.Events, "Warning StreamInterrupted the connection was lost"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func TestNothingNewIsNotTold(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	NewTeller(recorder, 0).Changed(&v1alpha1.LiveStream{}, began("b1"), began("b1"))
	if len(recorder.Events) > 0 {
		t.Errorf("told %q", <-recorder.Events)
	}
}

func TestStormOfChangesSendsFewEvents(t *testing.T) {
	recorder := events.NewFakeRecorder(10_000)
	teller := NewTeller(recorder, 0)
	for i := range 10_000 {
		teller.Changed(&v1alpha1.LiveStream{}, v1alpha1.LiveStreamStatus{}, began(fmt.Sprint(i)))
	}
	if sent := len(recorder.Events); sent < AtOnce || sent > AtOnce+60*PerSecond {
		t.Errorf("%d Events were sent, want some %d", sent, AtOnce)
	}
}
