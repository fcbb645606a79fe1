package controllers

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Found by reading: the replicas stayed, and nobody was told.
func TestAShareThatADeletedLiveStreamLeavesBehindIsToldOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		before func(b *bench)
		want   []string
	}{
		{"the operator may not scale the target any more", func(b *bench) { b.scaler.Client = nobody(t) }, []string{
			`Warning TargetUnavailable Deployment "packager" was not scaled down for this LiveStream, which is being deleted: the operator may not scale Deployment "packager";`,
		}},
		{"the target is gone", func(b *bench) { b.delete(newDeployment(0)) }, nil},
		{"the share is given back", func(*bench) {}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 2, 0))
			b.live("show", "A")
			b.wantReplicas("on air", 2)
			b.told()
			b.restart(env.Client)
			tc.before(b)
			b.delete(newStream("show"))
			b.reconcile("show")
			if !b.gone("show", &v1alpha1.LiveStream{}) {
				t.Error("the deletion is held up")
			}
			var told []string
			for _, event := range b.told() {
				sentence, _, more := strings.Cut(event, "; ")
				if more {
					sentence += ";"
				}
				told = append(told, sentence)
			}
			if diff := gocmp.Diff(tc.want, told); diff != "" {
				t.Errorf("Events mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// told are the Events that were sent since it was asked last.
func (b *bench) told() []string {
	var told []string
	for len(b.events.Events) > 0 {
		told = append(told, <-b.events.Events)
	}
	return told
}
