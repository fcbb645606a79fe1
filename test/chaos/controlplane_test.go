//go:build chaos

package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// killed kills a component of the control plane, waits, and starts it again.
func (w *world) killed(component string, away time.Duration) step {
	return func() error {
		w.extra.Add(1)
		if err := installed.Cluster.Kill(w.ctx, component); err != nil {
			return err
		}
		<-time.After(away)
		return installed.Cluster.Start(w.ctx, component)
	}
}

// meanwhile plays the second step when the first has begun, and waits for both.
func (w *world) meanwhile(first, second step) step {
	return func() error {
		done := make(chan error, 1)
		go func() { done <- first() }()
		<-time.After(500 * time.Millisecond)
		return w.all(second, func() error { return <-done })
	}
}

// All worlds share the control plane: this one is played before the others begin, and the observer comes again with them.
func TestTheControlPlaneIsKilled(t *testing.T) {
	w, err := readyWorld(t.Context(), options{binary: binary, replicas: 2, streams: []string{"show"}})
	if err != nil {
		t.Fatal(err)
	}
	w.faulty = true
	// The API server cannot be asked while it is away: what was answered 200 is looked for when it is back, by the model and the observer.
	w.look = func(event) {}
	w.slack = 30 * time.Second
	steps := []step{w.start("0")}
	for i, component := range []string{controlplane.APIServer, controlplane.Etcd} {
		next, last := fmt.Sprint(i+1), fmt.Sprint(i)
		steps = append(steps,
			w.meanwhile(w.killed(component, 2*time.Second), w.started(next)), w.onAir(),
			w.meanwhile(w.stopped(last, lost), w.killed(component, time.Second)), w.onAir())
	}
	steps = append(steps, w.sameJob(1), w.stopped("2", clean), w.idle())
	w.played(t, w.all(steps...))
}
