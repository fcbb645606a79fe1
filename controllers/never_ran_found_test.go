package controllers

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// Found by reading: the Pod of a full cluster was told to finish, and held what runs after the broadcast up for as long as a recorder may take.
func TestARecorderThatNeverRanIsDeletedAtTheEndAndAnotherFinishesWhatIsStored(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*bench) *batchv1.Job{
		"none before it": func(b *bench) *batchv1.Job { return b.onlyJob() },
		"one before it recorded, and was lost": func(b *bench) *batchv1.Job {
			first := b.onlyJob()
			b.podReady(first)
			b.settle("show")
			b.pass(20 * time.Second)
			b.recorderEnds(first, nil)
			b.settle("show")
			return &b.running()[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show(recorded)
			b.live("show", "A")
			job := before(b)
			b.podPending(job, "0/3 nodes are available: 3 Insufficient cpu.")
			b.settle("show")
			b.over("show", "A")
			if told := b.podOf(job).Annotations[recording.StopAnnotation]; told != "" || len(b.running()) != 0 {
				t.Fatalf("%d Jobs run, and a Pod that never ran was told %q; want its Job deleted", len(b.running()), told)
			}
			b.collect()
			b.settle("show")
			finishing := b.finishing()
			config, err := workload.ConfigOf(finishing)
			if err != nil || !config.Finish || config.Broadcast != b.stream("show").Status.History[0].ID {
				t.Errorf("config = %+v, error %v", config, err)
			}
			b.podReady(finishing)
			b.recorderEnds(finishing, &recording.Result{Nothing: true, Message: "no media came"})
			b.settle("show")
			wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionRecordingReady, metav1.ConditionFalse, v1alpha1.ReasonNoMedia)
		})
	}
}
