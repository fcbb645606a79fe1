//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/installation"
)

// played ends a world, counts it, and fails the test where anything is violated.
func (w *world) played(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		w.fail(disagreement, "%v", err)
	}
	count(t, w.finish())
}

// sendsLater tells when the event was answered 200.
func (w *world) sendsLater(e event) <-chan error {
	done := make(chan error, 1)
	go func() { done <- w.deliver(e, 0) }()
	return done
}

func answered(done <-chan error) step { return func() error { return <-done } }

// said says whether the text is in the operator's log.
func (r *replica) said(text string) bool {
	log, err := os.ReadFile(r.log.Name())
	return err == nil && strings.Contains(string(log), text)
}

// few is how many descriptors are left to a process.
const few = 6

// noDescriptors leaves the process only few descriptors more than it has.
func (r *replica) noDescriptors() error {
	r.mu.Lock()
	pid := r.command.Process.Pid
	r.mu.Unlock()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return err
	}
	output, err := exec.Command("prlimit", fmt.Sprint("--pid=", pid), fmt.Sprint("--nofile=", len(open)+few, ":")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("limiting the operator's descriptors: %w: %s", err, output)
	}
	return nil
}

// Whoever keeps connections open takes the descriptors that the receiver answers with, and those that the operator asks the API
// server with. It waits for better times, and does not end.
func TestNoDescriptorsAreLeft(t *testing.T) {
	t.Parallel()
	w, err := readyWorld(t.Context(), options{binary: binary, streams: []string{"show"}})
	if err != nil {
		t.Fatal(err)
	}
	w.faulty, w.owes = true, eventRetry
	r := w.replicas[0]
	w.played(t, w.all(w.start("A"), func() error {
		if err := r.noDescriptors(); err != nil {
			return err
		}
		held := holdConnections(r.address())
		w.extra.Add(1)
		// Its watches are to begin anew, and may not.
		r.proxy.EndWatches()
		r.proxy.CloseIdle()
		stopped, begun := w.sendsLater(ended("show", "A", lost)), w.sendsLater(started("show", "B"))
		<-time.After(12 * time.Second)
		if len(stopped)+len(begun) == 2 && !r.said("too many open files") {
			return errors.New("the descriptors did not run out: both callbacks were answered, and the log says nothing")
		}
		for _, c := range held {
			_ = c.Close()
		}
		if n := r.deathsSoFar(); n > 0 {
			w.fail(disagreement, "it ended for want of descriptors")
		}
		return w.all(answered(stopped), answered(begun), w.onAir(), w.stopped("B", clean), w.idle())
	}))
}

// holdConnections opens connections that said something once, more than there are descriptors for.
func holdConnections(address string) []net.Conn {
	var connections []net.Conn
	for range 10 * few {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			continue
		}
		_, _ = io.WriteString(connection, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		connections = append(connections, connection)
	}
	return connections
}

// Every realClock of the operator is replaced, and none may go unnoticed.
const (
	realClock  = "clock.RealClock{}"
	realClocks = 11
)

// steppedClock is what takes the place of the operator's clock. It has no monotonic part: what the operator measures by it steps, too.
const steppedClock = `
type steppedClock struct{}

var _ clock.PassiveClock = steppedClock{}

func (steppedClock) Now() time.Time {
	text, _ := os.ReadFile(os.Getenv("KUBECONFIG") + ".clock")
	offset, _ := time.ParseDuration(string(text))
	return time.Now().Round(0).Add(offset)
}

func (c steppedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
`

// buildStepped builds the operator with a clock that can be set, by a file beside its kubeconfig.
var buildStepped = sync.OnceValues(func() (string, error) {
	path := filepath.Join(installed.Root, "internal", "operator", "operator.go")
	source, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), realClock); n != realClocks {
		return "", fmt.Errorf("%s has %s %d times, want %d: bring the clock that steps up to date", path, realClock, n, realClocks)
	}
	text := strings.ReplaceAll(string(source), realClock, "steppedClock{}")
	changed, overlay, target := filepath.Join(work, "stepped.go"), filepath.Join(work, "stepped.json"), filepath.Join(work, "stepped")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		return "", err
	}
	for name, content := range map[string]string{changed: text + steppedClock, overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	return target, installation.BuildManager(context.Background(), installed.Root, target, "-overlay", overlay)
})

// stepTo sets the clock of a replica so far off, in one step.
func (r *replica) stepTo(offset time.Duration) error {
	// In one step: half a file is no clock.
	next := r.config + ".next"
	if err := os.WriteFile(next, []byte(offset.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, r.config+".clock")
}

// far is as far as clocks step: more than the life of a signature with its skew, and than every window here.
const far = 11 * time.Minute

func (w *world) clocks(offset time.Duration) step {
	return func() error {
		for _, r := range w.replicas {
			if err := r.stepTo(offset); err != nil {
				return err
			}
		}
		w.extra.Add(1)
		return nil
	}
}

// clockScenarios say what steps of the clock do, and what they do not.
var clockScenarios = []scenario{
	{name: "forward and back on air", play: func(w *world) error {
		return w.all(w.start("A"), w.clocks(far), w.holds(2*time.Second, w.onAir()), w.clocks(0), w.holds(2*time.Second, w.onAir()), w.sameJob(1), w.stopped("A", clean), w.idle())
	}},
	{name: "back and forward on air", play: func(w *world) error {
		return w.all(w.start("A"), w.clocks(-far), w.holds(2*time.Second, w.onAir()), w.clocks(0), w.holds(2*time.Second, w.onAir()), w.sameJob(1), w.stopped("A", clean), w.idle())
	}},
	{name: "back in the window", play: func(w *world) error {
		// It lasts no shorter, and does not wait until the clock is where it was.
		return w.all(w.start("A"), w.stopped("A", lost), w.clocks(-far), w.holds(6*time.Second, w.onAirOrNot(v1alpha1.LiveStreamInterrupted)), w.sameJob(1), w.idle())
	}},
	{name: "forward in the window", play: func(w *world) error {
		// It is over then: the next push has a broadcast of its own, and there are never two Jobs at once.
		return w.all(w.start("A"), w.stopped("A", lost), w.clocks(far), w.offAir(), w.clocks(0), w.started("B"), w.onAir(), w.sameJob(2), w.stopped("B", clean), w.idle())
	}},
	{name: "a late start of a push that has ended", play: func(w *world) error {
		return w.all(w.start("A"), w.stopped("A", clean), w.idle(), w.clocks(far), w.startedBy(far, "A"), w.clocks(-far), w.startedBy(-far, "A"), w.clocks(0), w.started("A"),
			w.holds(2*time.Second, w.idle()), w.sameJob(1))
	}},
	{name: "on air for a part of maxDuration", options: options{change: func(s *v1alpha1.LiveStream) { s.Spec.MaxDurationSeconds = 900 }}, play: func(w *world) error {
		return w.all(w.start("A"), w.clocks(-far), w.holds(2*time.Second, w.onAir()), w.clocks(0), w.holds(time.Second, w.onAir()), w.clocks(far), w.holds(2*time.Second, w.onAir()),
			w.clocks(0), w.sameJob(1), w.stopped("A", clean), w.idle())
	}},
	{name: "replicas that do not agree", options: options{replicas: 2}, play: func(w *world) error {
		// The one that leads is behind, and dies; the other one is right.
		return w.all(w.start("A"), func() error { return w.replicas[0].stepTo(-far) }, w.started("B"), w.loses(), w.stopped("A", clean), w.holds(20*time.Second, w.onAir()), w.sameJob(1),
			w.clocks(0), w.stopped("B", clean), w.idle())
	}},
}

func (w *world) onAirOrNot(state v1alpha1.LiveStreamState) step {
	return func() error { return w.is(state) }
}

// startedBy sends a start that is signed by a clock that is as far off as the operator's.
func (w *world) startedBy(offset time.Duration, sequence string) step {
	return func() error {
		body := started("show", sequence).callback().Signed(callbackKey, time.Now().Add(offset))
		return w.until("a callback that is signed by the same clock is taken", func() error {
			status, _, err := css.Post(w.ctx, "http://"+w.replicas[0].address()+"/callbacks/"+w.name+"/shows", body)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("answered %d", status)
			}
			return err
		})
	}
}

// refusesWhatItsClockSays lets the operator refuse callbacks while its clock is wrong: CSS sends them again.
func refusesWhatItsClockSays(w *world) {
	w.faulty = true
	w.mayRefuse = func(status int) bool { return status == http.StatusUnauthorized }
}

func (s scenario) checkStepped(t *testing.T) {
	t.Helper()
	stepped, err := buildStepped()
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.act(t.Context(), stepped, refusesWhatItsClockSays)
	if err != nil {
		t.Fatal(err)
	}
	count(t, o)
}

func TestTheClockSteps(t *testing.T) {
	t.Parallel()
	for _, s := range clockScenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.checkStepped(t)
		})
	}
}

// stepping has the clock step all the time while the scenario is played.
func (s scenario) stepping() scenario {
	play := s.play
	s.play = func(w *world) error {
		over, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i++ {
				_ = w.clocks([]time.Duration{0, far, 0, -far}[i%4])()
				select {
				case <-time.After(700 * time.Millisecond):
				case <-over:
					return
				}
			}
		}()
		err := play(w)
		close(over)
		<-done
		return w.all(func() error { return err }, w.clocks(0))
	}
	return s
}

// What needs no window ends as without.
func TestTheClockStepsAllTheTime(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"next broadcast", "two pushers", "start", "duplicate start", "stop", "stop before start", "no type", "deleted on air", "after the end", "failover"} {
		if i > 1 && !*full {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			named(name).stepping().checkStepped(t)
		})
	}
}
