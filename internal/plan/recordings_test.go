package plan

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

func TestWhoFinishesARecordingFollowsFromHowItsLastWorkerEnded(t *testing.T) {
	t.Parallel()
	end := showTime.Add(time.Hour)
	left := &recording.Result{Left: true, Message: "ended before the broadcast"}
	gaveUp := &recording.Result{Message: "the storage is away"}
	for name, tc := range map[string]struct {
		told     bool
		result   *recording.Result
		finishes bool
		message  string
	}{
		"it was told, and gave up":                             {true, gaveUp, false, "the storage is away"},
		"it ended before anything was told":                    {false, left, true, ""},
		"it was leaving already when its Pod was told":         {true, left, true, ""},
		"it was told, and killed before it could say anything": {true, nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := newWorld("record").stream
			stream.Status.History = []v1alpha1.BroadcastRecord{{
				ID: "b1", Sequence: "A", StartTime: new(metav1.NewTime(showTime)), EndTime: new(metav1.NewTime(end)), Recordings: []v1alpha1.RecordingStatus{{Name: "record"}},
			}}
			run := workload.Run{
				JobName: "show-record-1", Workload: "record", Broadcast: "b1", Part: 1, Phase: workload.Failed, Finished: end, Signals: true, Stores: true, Result: tc.result,
			}
			if tc.told {
				run.Told = end
			}
			p := Plan{Status: *stream.Status.DeepCopy()}
			planRecordings(Observed{Now: end.Add(time.Minute), Stream: stream, Runs: []workload.Run{run}}, &p)
			finishes := len(p.Start) == 1 && p.Start[0].Finish && p.Start[0].Part == 2
			if message := p.Status.History[0].Recordings[0].Message; finishes != tc.finishes || message != tc.message {
				t.Errorf("another Job finishes it: %t, want %t; message %q, want %q", finishes, tc.finishes, message, tc.message)
			}
		})
	}
}

func TestAWorkerThatWasToldHasTheTimeThatItsOwnJobTells(t *testing.T) {
	t.Parallel()
	half, day := 30*time.Minute, 24*time.Hour
	for name, tc := range map[string]struct {
		job                    time.Duration
		recording, transcoding int32
		want                   time.Duration
	}{
		"what is set was lowered while it stores":          {day + half, 60, 0, day + half},
		"what is set was raised":                           {time.Minute + half, 7200, 7200, time.Minute + half},
		"an older Job has what is set":                     {0, 60, 60, time.Minute + half},
		"an older Job of which only the other kind is set": {0, 0, 60, time.Hour + half},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Observed{}
			o.Settings.Recording.UploadTimeoutSeconds, o.Settings.Transcoding.UploadTimeoutSeconds = tc.recording, tc.transcoding
			run := workload.Run{JobName: "show-record-1", Workload: "record", Broadcast: "b1", Phase: workload.Running, Signals: true, Told: showTime, Patience: tc.job}
			ended := func(at time.Duration) bool {
				var p Plan
				o.Now = showTime.Add(at)
				p.stopSignalled(o, run)
				return len(p.Stop) == 1 && !p.Stop[0].Signal
			}
			if ended(tc.want-time.Second) || !ended(tc.want) {
				t.Errorf("it is not ended after %s", tc.want)
			}
		})
	}
}
