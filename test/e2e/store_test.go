//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestABucketThatIsAwayLosesNothing(t *testing.T) {
	// It takes the bucket from all others, and so runs alone.
	theStage.needs(t, keepSpool, "store_outage_ok")
	const claim = "spool"
	fetch, err := theStage.site.claim(t.Context(), &theStage, claim)
	if err != nil {
		t.Fatal(err)
	}
	away := newShow(t, "away", ", cleanStopWindowSeconds: 5")
	// Its recorder gives up before the bucket is back: for that one it is gone for good.
	gone := newShow(t, "gone", fmt.Sprintf(", cleanStopWindowSeconds: 5, recording: {uploadTimeoutSeconds: 5, spool: {persistentVolumeClaim: {claimName: %s}}, "+
		"storage: {s3: {endpoint: 'http://%s', bucket: %s, credentialsSecretRef: {name: bucket}}}}", claim, theStage.minioAt, bucket))
	shows := []*show{away, gone}
	pushed := make(chan struct{}, len(shows))
	for _, s := range shows {
		go func() {
			s.push("live", 15*time.Second)
			pushed <- struct{}{}
		}()
	}
	for _, s := range shows {
		s.someParts()
	}
	_ = theStage.store.Process.Kill()
	for range shows {
		<-pushed
	}
	given := gone.eventually("the recorder gives up", time.Minute, func(l v1alpha1.LiveStream) bool {
		c := meta.FindStatusCondition(l.Status.Conditions, v1alpha1.ConditionRecordingReady)
		return c != nil && c.Reason == v1alpha1.ReasonRecordingFailed
	})
	condition := meta.FindStatusCondition(given.Status.Conditions, v1alpha1.ConditionRecordingReady)
	kept := given.Status.History[0].Recordings[0].URI
	t.Logf("RecordingReady=%s, %s: %s", condition.Status, condition.Reason, condition.Message)
	inClaim, is := strings.CutPrefix(kept, "pvc://"+claim+"/")
	if !is || !strings.Contains(condition.Message, kept) {
		t.Fatalf("the condition says %q, and the recording is at %q", condition.Message, kept)
	}
	pause(t, 20*time.Second)
	_, port, _ := strings.Cut(theStage.minioAt, ":")
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	if err := theStage.storeUp(number); err != nil {
		t.Fatal(err)
	}
	lost := away.recorded(2 * time.Minute).lost
	var r recording
	file, err := fetch(t.Context(), inClaim)
	if err != nil {
		t.Fatal(err)
	}
	gone.compare(&r, file)
	t.Logf("%.2f s lost where it was away, %.2f s where it was gone: %+v", lost, r.lost, r.pushes)
	figure("store_outage_ok", lost <= 1 && r.lost <= 1)
	if lost > 1 || r.lost > 1 {
		t.Errorf("%.2f s are lost where the bucket was away, %.2f s where it was gone", lost, r.lost)
	}
}
