package mainjob

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

func TestWhileTheAPIServerIsStoppedNothingIsAcknowledgedAndNothingIsLost(t *testing.T) {
	s := newShow(t)
	m := startManager(t)
	s.isIdle()
	s.deliver(m, s.start("1001"))
	s.reaches(v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning)
	if err := cluster.Stop(t.Context(), controlplane.APIServer); err != nil {
		t.Fatal(err)
	}
	restart := func() {
		if err := cluster.Start(t.Context(), controlplane.APIServer); err != nil {
			t.Fatal(err)
		}
	}
	late := s.start("1002")
	began := time.Now()
	response, err := http.Post(m.receiver+s.path(), "application/json", strings.NewReader(string(late.Signed(callbackKey, time.Now()))))
	if err != nil {
		restart()
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("answered %d with Retry-After %q, want 503", response.StatusCode, response.Header.Get("Retry-After"))
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the answer took %s; CSS waits 20 s", took)
	}
	restart()
	s.deliver(m, late)
	eventually(t, "both pushes are live", func() error {
		live := 0
		for _, p := range s.stream().Status.Pushes {
			if p.EndTime == nil {
				live++
			}
		}
		if live != 2 {
			return fmt.Errorf("%d are", live)
		}
		return nil
	})
	eventually(t, "the operator counts both", func() error {
		if b := s.stream().Status.Broadcast; b.Pushes != 2 {
			return fmt.Errorf("it counts %d", b.Pushes)
		}
		return nil
	})
	s.oneJob()
}
