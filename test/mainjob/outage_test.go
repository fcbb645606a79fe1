package mainjob

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/installation"
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

// The manager stops what it runs in an order: watches and probes have to outlive the receiver.
func TestAReceiverThatIsToldToEndKnowsStreamsThatAreMadeMeanwhile(t *testing.T) {
	s := newShow(t)
	m := launch(t, writeConfig(t, installation.Receiver), "--reconcile=false", "--shutdown-delay=20s")
	m.isReady(t)
	if err := m.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is not ready any more", func() error { return expectStatus(m.probes+"/readyz", http.StatusInternalServerError) })
	later := s.newStream("later", "later")
	if err := api.Create(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	start := s.start("1001")
	start.StreamID, start.ChannelID = "later", "later"
	eventually(t, "its pushes are recorded", func() error {
		status, err := s.send(m, start)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("the callback is answered %d, %w", status, err)
		}
		err = api.Get(t.Context(), client.ObjectKeyFromObject(later), later)
		if err == nil && len(later.Status.Pushes) == 0 {
			// It came before the watch told of the stream.
			start.Sequence += "0"
			err = errors.New("there are none")
		}
		return err
	})
	m.kill()
}
