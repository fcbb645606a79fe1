package webhook

import (
	"context"
	"net"
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

func TestAConnectionIsKeptForLongerThanLoadBalancersKeepOneUnlessTooManyAreOpen(t *testing.T) {
	t.Parallel()
	// Google's: 600 s, which cannot be set there. AWS's and ingress-nginx: 60 s.
	if longest := 10 * time.Minute; idleTimeout <= longest {
		t.Errorf("an idle connection is closed after %s, which may be under a callback that a load balancer sends within %s", idleTimeout, longest)
	}
	d := newDesk(t)
	server := &Server{Handler: d.handler}
	d.url = "http://" + serve(t, server)
	counts := func(what string, want int64) {
		t.Helper()
		eventually(t, what, func() bool { return server.open.Load() == want })
	}
	counts("none is open", 0)
	connection, err := net.Dial("tcp", server.Address)
	if err != nil {
		t.Fatal(err)
	}
	counts("one is open", 1)
	_ = connection.Close()
	counts("it is closed", 0)
	server.open.Add(maxKept - 1)
	if d.closesWithItsAnswer() {
		t.Errorf("the last of %d connections is not kept", maxKept)
	}
	server.open.Add(1)
	if !d.closesWithItsAnswer() {
		t.Errorf("one is kept where more than %d are open", maxKept)
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
