package controllers

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestALimitThatIsKnownIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	for name, streams := range map[string][]string{"maxStreams": {"one", "two", "three"}, "a name": {"one", "../x"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.unknown(func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 2 })
			for _, stream := range streams {
				b.recordUnclaimed(of(b.starts("A"), "live", stream))
			}
			b.reconcileDomain()
			// The count of the LiveStreams follows within a minute.
			b.pass(time.Minute)
			b.reconcileDomain()
			writes := 0
			b.domains.Client = liveReader{statusWrites(&writes)}
			for range 3 {
				b.pass(keysEvery)
				b.reconcileDomain()
			}
			if writes != 0 {
				t.Errorf("%d status writes in 3 passes at rest, want none", writes)
			}
		})
	}
}

func TestALiveStreamIsNotDeletedWhileItsLastBroadcastIsBeingFinished(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown(func(d *v1alpha1.PushDomain) {
		d.Spec.UnknownStreams.DeleteAfterIdleSeconds = 60
		upload := *d.Spec.Template.Spec.Workloads[0].DeepCopy()
		upload.Name, upload.Run = "upload", v1alpha1.WorkloadRunAfterEnd
		d.Spec.Template.Spec.Workloads = append(d.Spec.Template.Spec.Workloads, upload)
	})
	name := b.pushed("test", "A")
	b.record(name, b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle(name)
	b.pass(5 * time.Second)
	b.settle(name)
	b.collect()
	b.settle(name)
	b.podReady(b.onlyJob())
	b.settle(name)
	b.pass(time.Hour)
	b.settle(name)
	if b.gone(name, &v1alpha1.LiveStream{}) {
		t.Error("the LiveStream was deleted, and its AfterEnd Job with it, while that ran")
	}
}

// The streams that only CSS's list tells of come in no order of their own.
func TestALimitOnListedStreamsIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(creates, func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 1 })
	for _, stream := range []string{"one", "two", "three", "four", "five", "six", "seven"} {
		css.SetOnline(host, "live", stream, showTime)
	}
	b.pass(2 * time.Minute)
	b.poll()
	b.pass(time.Minute)
	b.poll()
	writes := 0
	b.domains.Client = liveReader{statusWrites(&writes)}
	for range 5 {
		b.pass(keysEvery)
		b.poll()
	}
	if writes != 0 {
		t.Errorf("%d status writes in 5 passes at rest, want none", writes)
	}
}
