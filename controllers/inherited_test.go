package controllers

import (
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// heir is a stream that has nothing of its own: all it has, its PushDomain's template says.
func (b *bench) heir(mutate func(*v1alpha1.LiveStreamSettings)) func() *v1alpha1.PushDomain {
	b.t.Helper()
	domain := func() *v1alpha1.PushDomain {
		d := newDomain()
		d.Spec.Template.Spec = newStream("template").Spec.LiveStreamSettings
		mutate(&d.Spec.Template.Spec)
		return d
	}
	stream := newStream("show")
	stream.Spec.Workloads = nil
	b.create(newSecret(), domain(), stream)
	b.reconcileDomain()
	b.settle("show")
	return domain
}

// While the PushDomain is gone nobody knows what was inherited: nothing that is final may rest on the defaults.
func TestALongPushOutlivesAPushDomainThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	domain := b.heir(func(s *v1alpha1.LiveStreamSettings) { s.MaxDurationSeconds = 30 * 24 * 3600 })
	b.live("show", "A")
	b.pass(3 * 24 * time.Hour)
	b.settle("show")
	b.delete(newDomain())
	b.settle("show")
	b.pass(5 * time.Second)
	b.create(domain())
	b.settle("show")
	status := b.wantState("show", v1alpha1.LiveStreamLive)
	if len(b.running()) != 1 || len(status.History) != 0 {
		t.Errorf("%d Jobs run, history = %+v, want the broadcast carried on", len(b.running()), status.History)
	}
}

func TestWhatRunsAfterTheEndWaitsForAPushDomainThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	domain := b.heir(func(s *v1alpha1.LiveStreamSettings) {
		upload := *s.Workloads[0].DeepCopy()
		upload.Name, upload.Run = "upload", v1alpha1.WorkloadRunAfterEnd
		s.Workloads = append(s.Workloads, upload)
	})
	b.live("show", "A")
	b.over("show", "A")
	b.delete(newDomain())
	b.collect()
	b.settle("show")
	if status := b.afterEnd("show"); status.State != v1alpha1.WorkloadScheduled {
		t.Errorf("status = %+v, want Scheduled", status)
	}
	b.create(domain())
	b.settle("show")
	if jobs := b.jobsOf("upload"); len(jobs) != 1 {
		t.Errorf("%d Jobs, want 1: %+v", len(jobs), b.afterEnd("show"))
	}
}

func TestHistoryIsNotCutWhileThePushDomainIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.heir(func(s *v1alpha1.LiveStreamSettings) { s.HistoryLimit = 20 })
	for _, sequence := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		b.live("show", sequence)
		b.over("show", sequence)
		b.collect()
	}
	b.live("show", "8")
	b.delete(newDomain())
	b.settle("show")
	b.pass(time.Minute)
	b.settle("show")
	if history := b.stream("show").Status.History; len(history) != 8 {
		t.Errorf("%d broadcasts are remembered, want all 8", len(history))
	}
}

// The template's window is that of its streams, also for the PushDomain itself.
func TestTheWindowOfThePushDomainIsTheInheritedOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	domain := b.heir(func(s *v1alpha1.LiveStreamSettings) { s.ReconnectWindowSeconds = new(int32(600)) })
	b.live("show", "A")
	b.delete(newDomain())
	b.settle("show")
	b.pass(5 * time.Minute)
	b.settle("show")
	b.create(domain())
	b.settle("show")
	if status := b.wantState("show", v1alpha1.LiveStreamLive); len(status.History) != 0 {
		t.Errorf("history = %+v, want the broadcast carried on", status.History)
	}
}
