package webhook

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// A Service leads callbacks to a Pod for a moment after it was told to end.
func TestAReceiverThatIsToldToEndTakesCallbacksForAWhileAndIsNotReady(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	server := &Server{Handler: d.handler, ShutdownDelay: 2 * time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := serveUntil(ctx, t, server)
	d.url = "http://" + server.Address
	eventually(t, "it is ready", func() bool { return server.Ready(nil) == nil })
	if d.closesWithItsAnswer() {
		t.Error("it closes connections though nothing ends")
	}
	began := time.Now()
	cancel()
	eventually(t, "it is ready no more", func() bool { return server.Ready(nil) != nil })
	if status := d.post(d.push("a").Start(showTime)); status != http.StatusOK {
		t.Errorf("it answers %d", status)
	}
	if !d.closesWithItsAnswer() {
		t.Error("it keeps a connection open that it closes soon, maybe under the next callback")
	}
	if err := <-done; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if took := time.Since(began); took < server.ShutdownDelay {
		t.Errorf("it ended after %s, want %s", took, server.ShutdownDelay)
	}
	if got := shape(d.stream("show").Status.Pushes); got != "A" {
		t.Errorf("the pushes are %q, want A", got)
	}
}

// closesWithItsAnswer says whether the connection ends with an answer.
func (d *desk) closesWithItsAnswer() bool {
	d.t.Helper()
	response, err := http.Get(d.url + "/")
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.Close
}
