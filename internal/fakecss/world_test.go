package fakecss

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var dawn = time.Date(2026, 1, 1, 6, 0, 0, 0, time.UTC)

// world runs an engine by a clock of its own, and writes down what it does.
type world struct {
	engine *engine
	now    time.Time
	lines  []string
	// status answers a try; 200 when nil.
	status func(d *delivery) int
	bodies [][]byte
}

func newWorld(o Options) *world {
	o.Domain = "push.example.com"
	if o.Sequence == nil {
		count := 0
		o.Sequence = func() string {
			count++
			return "s" + strconv.Itoa(count)
		}
	}
	return &world{engine: newEngine(o.withDefaults()), now: dawn}
}

func (w *world) say(format string, values ...any) {
	w.lines = append(w.lines, fmt.Sprintf("%v ", w.now.Sub(dawn))+fmt.Sprintf(format, values...))
}

// settle does all that is due now.
func (w *world) settle() {
	for {
		w.engine.pass(w.now)
		for _, d := range w.engine.lost {
			w.say("lost %d", d.number)
		}
		w.engine.lost = nil
		due := w.engine.queue.take(w.now)
		for _, d := range due {
			w.try(d)
		}
		if len(due) == 0 {
			break
		}
	}
	for _, o := range w.engine.orders {
		if o.do == dropPlayers {
			w.say("%s of %s/%s", o.do, o.name.app, o.name.stream)
		} else {
			w.say("%s: client %s of %s/%s, %s", o.do, o.client.server+o.client.id, o.name.app, o.name.stream, o.newName)
		}
	}
	w.engine.orders = nil
}

func (w *world) try(d *delivery) {
	status := 200
	if w.status != nil {
		status = w.status(d)
	}
	c := signed(d.callback, w.engine.options.Key, w.now)
	w.bodies = append(w.bodies, encode(c))
	event, more := "start", ""
	if c.EventType == 0 {
		event, more = "stop", fmt.Sprintf(" errcode=%d duration=%s", c.ErrorCode, c.PushDuration)
	}
	if d.copy > 1 {
		more += fmt.Sprintf(" copy=%d", d.copy)
	}
	if d.try > 1 || status != 200 {
		more += fmt.Sprintf(" try=%d", d.try)
	}
	if status != 200 {
		more += fmt.Sprintf(" -> %d", status)
	}
	w.say("%s %s %s/%s%s", event, c.Sequence, c.AppName, c.StreamID, more)
	w.engine.queue.answered(d, status == 200, w.now)
}

// until lets time pass, and does what falls into it.
func (w *world) until(at time.Duration) {
	w.settle()
	for end := dawn.Add(at); ; w.settle() {
		wake := w.engine.wake()
		if wake.IsZero() || wake.After(end) {
			w.now = end
			return
		}
		w.now = wake
	}
}

// step of a timeline.
type step struct {
	at time.Duration
	do func(w *world)
}

func noticeOf(c call, id, app, stream string) notice {
	server, id := splitClient(id)
	return notice{call: c, client: client{server, id}, app: app, stream: stream, address: "203.0.113.7", param: "txSecret=abc&txTime=1"}
}

// splitClient reads b1 as client 1 of the server b.
func splitClient(id string) (server, number string) {
	if id[0] > '9' {
		return id[:1], id[1:]
	}
	return "", id
}

// up publishes app/show; it writes down what nginx is told if that is not just to go on.
func up(id, app string) func(*world) { return upAs(id, app, "show") }

func upAs(id, app, stream string) func(*world) {
	return func(w *world) {
		if v := w.engine.published(noticeOf(publish, id, app, stream), w.now); v != (verdict{stream: stream}) {
			w.say("client %s goes on as %s, relayed to %q, refused %v", id, v.stream, v.relayTo, v.refused)
		}
	}
}

func down(id string) func(*world) {
	return func(w *world) {
		server, number := splitClient(id)
		w.engine.unpublished(client{server, number}, w.now)
	}
}

func alive(id string, since time.Duration) func(*world) {
	return func(w *world) {
		n := noticeOf(update, id, "live", "show")
		n.onAir = since
		w.engine.updated(n, w.now)
	}
}

func failed(do orderKind, id, sequence string) func(*world) {
	return func(w *world) {
		server, number := splitClient(id)
		w.engine.orderFailed(order{do: do, client: client{server, number}, sequence: sequence}, w.now)
	}
}

func next(how Interruption) func(*world) {
	return func(w *world) { w.engine.next = append(w.engine.next, how) }
}

func onAir(w *world) {
	w.say("on air: %d", len(w.engine.onAir(name{"live", "show"})))
}

type timeline struct {
	name    string
	options Options
	status  func(d *delivery) int
	steps   []step
	until   time.Duration
	want    []string
}

func run(t *testing.T, timelines []timeline) {
	t.Helper()
	for _, tl := range timelines {
		t.Run(tl.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(tl.options)
			w.status = tl.status
			for _, s := range tl.steps {
				w.until(s.at)
				s.do(w)
				w.settle()
			}
			w.until(max(tl.until, w.now.Sub(dawn)))
			if diff := cmp.Diff(tl.want, w.lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}
