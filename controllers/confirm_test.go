package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/versions"
)

// isStream says whether the object is a LiveStream, or the metadata of one.
func isStream(object client.Object) bool {
	_, whole := object.(*v1alpha1.LiveStream)
	m, isMetadata := object.(*metav1.PartialObjectMetadata)
	return whole || isMetadata && m.Kind == "LiveStream"
}

// streamReads counts reads of LiveStreams at the API server.
func streamReads(reads *int) client.WithWatch {
	return interceptor.NewClient(env.Client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if isStream(object) {
				*reads++
			}
			return c.Get(ctx, key, object, opts...)
		},
	})
}

// A Job starts on the API server's word: a read, or the answer to a write a moment ago, of this process or of a receiver.
func TestStreamIsReadBeforeAJobStartsUnlessItWasWrittenJustNow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		// ago is when the push was recorded, by the clock of another process.
		ago   time.Duration
		note  func(b *bench, stream *v1alpha1.LiveStream)
		reads int
	}{
		{"another process wrote it", recordedWithin - time.Millisecond, func(*bench, *v1alpha1.LiveStream) {}, 0},
		{"another process wrote it longer ago", recordedWithin, func(*bench, *v1alpha1.LiveStream) {}, 1},
		{"another process wrote it, and its clock is ahead", -time.Second, func(*bench, *v1alpha1.LiveStream) {}, 1},
		{"another process wrote it, and this one a later version", 0, func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Client = staleReader{liveReader{env.Client}, stream}
			edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Labels = map[string]string{"changed": "since"} })
			b.reconciler.Written.Note(stream.UID, b.stream("show").ResourceVersion, b.clock.Now())
		}, 2},
		{"this process wrote it", recordedWithin, func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, stream.ResourceVersion, b.clock.Now())
		}, 0},
		{"this process wrote it a second ago", recordedWithin, func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, stream.ResourceVersion, b.clock.Now().Add(-versions.Within))
		}, 1},
		{"this process wrote the version before", recordedWithin, func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Written.Note(stream.UID, "1", b.clock.Now())
		}, 1},
		{"the cache is behind", recordedWithin, func(b *bench, stream *v1alpha1.LiveStream) {
			b.reconciler.Client = staleReader{liveReader{env.Client}, stream}
			edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Labels = map[string]string{"changed": "since"} })
		}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.reconciler.Written = &versions.Written{Clock: b.clock}
			b.show()
			b.record("show", b.starts("1"))
			b.clock.SetTime(b.clock.Now().Add(tc.ago))
			tc.note(b, b.stream("show"))
			reads := 0
			b.reconciler.Live = streamReads(&reads)
			b.reconcile("show")
			b.onlyJob()
			if reads != tc.reads {
				t.Errorf("the LiveStream was read %d times, want %d", reads, tc.reads)
			}
		})
	}
}

// What ends something is read for, also where an interruption was recorded just now: a start may have come since.
func TestStreamIsReadBeforeAJobIsStoppedAlsoWhereItWasWrittenJustNow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(func(s *v1alpha1.LiveStream) { s.Spec.CleanStopWindowSeconds = new(int32(0)) })
	b.live("show", "A")
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	past := b.stream("show")
	b.record("show", b.starts("B"))
	reads := 0
	b.reconciler.Live = streamReads(&reads)
	b.reconciler.Client = staleReader{liveReader{env.Client}, past}
	b.reconcile("show")
	if job := b.onlyJob(); job.DeletionTimestamp != nil || reads != 2 {
		t.Errorf("the LiveStream was read %d times, and the Job was told to end: %t; want 2 reads and a Job that goes on, as the second push has come", reads, job.DeletionTimestamp != nil)
	}
}

// A view of a moment ago may be of a push that has ended since: its Job is ended as soon as the cache tells.
func TestAJobStartedOnAViewOfAMomentAgoIsEndedByTheNextPass(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	past := b.stream("show")
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.reconciler.Client = staleReader{liveReader{env.Client}, past}
	b.reconcile("show")
	b.onlyJob()
	b.reconciler.Client = liveReader{env.Client}
	b.settle("show")
	// The window begins when the leader hears of the end.
	b.pass(time.Hour)
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	if running := b.running(); len(running) != 0 {
		t.Errorf("%d Jobs run of a push that has ended, want none", len(running))
	}
}

// A leader that is stopped after it looked, past its lease, goes on where it was.
func TestALeaderThatWasStoppedSinceItWasToldMakesNoJob(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	stopped := false
	b.reconciler.Client = liveReader{interceptor.NewClient(env.Client, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if _, is := list.(*batchv1.JobList); is && !stopped {
			stopped = true
			b.pass(decisionLife)
		}
		return c.List(ctx, list, opts...)
	}})}
	_, err := b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "show"}})
	if !errors.Is(err, errOutdated) || len(b.jobs()) != 0 {
		t.Errorf("Reconcile() = %v with %d Jobs made on what was told longer ago than a lease lasts, want %v and none", err, len(b.jobs()), errOutdated)
	}
}

// Found by reading: it was deleted on what the cache had derived from its version before, under the resourceVersion of the edit.
func TestALiveStreamEditedAMomentAgoIsNotDeletedAsUntouched(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1alpha1.LiveStream){
		"its spec":        func(s *v1alpha1.LiveStream) { s.Spec.HistoryLimit = 7 },
		"its labels":      func(s *v1alpha1.LiveStream) { s.Labels["team"] = "sports" },
		"its annotations": func(s *v1alpha1.LiveStream) { s.Annotations["example.com/keep"] = "yes" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.unknown()
			stream := b.pushed("test", "A")
			b.over(stream, "A")
			b.collect()
			b.settle(stream)
			past := b.stream(stream)
			b.pass(time.Hour)
			edit(b, stream, &v1alpha1.LiveStream{}, change)
			b.reconciler.Client = staleReader{liveReader{env.Client}, past}
			b.reconcile(stream)
			if b.gone(stream, &v1alpha1.LiveStream{}) {
				t.Error("what a user had just edited was deleted")
			}
		})
	}
}

func TestAJobIsMadeOfTheSpecThatWasConfirmed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.record("show", b.starts("A"))
	past := b.stream("show")
	edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) {
		s.Spec.Workloads[0].Job.Spec.Template.Spec.Containers[0].Image = "ffmpeg:2"
	})
	b.pass(recordedWithin)
	b.reconciler.Client = staleReader{liveReader{env.Client}, past}
	b.reconcile("show")
	if image := b.onlyJob().Spec.Template.Spec.Containers[0].Image; image != "ffmpeg:2" {
		t.Errorf("the Job runs %s, want what the LiveStream says that was read for it", image)
	}
}
