// Package notices sends the Kubernetes Events of LiveStreams.
package notices

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

// Each Event is a write of its own. In a storm they would cost the API server as much as the callbacks do, which are more urgent, so
// each process sends so many in a second, and so many at once; the status tells the same.
const (
	PerSecond = 10
	AtOnce    = 100
)

// Delay lets what is told of come first: the Job of a broadcast that begins would wait for the Event's write. A process that ends meanwhile does not send
// them.
const Delay = time.Second / 2

var left = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "livestream_events_left_out_total",
	Help: "Kubernetes Events that were not sent, because there were too many at once. The status tells the same.",
})

func init() { metrics.Registry.MustRegister(left) }

// Teller tells users what changed.
type Teller struct {
	recorder events.EventRecorder
	limit    *rate.Limiter
	delay    time.Duration

	mu sync.Mutex
	// waiting are those whose time has not come, the first one first.
	waiting []func()
}

// NewTeller returns a Teller that sends through the recorder, so long after each change; at once when it is 0.
func NewTeller(recorder events.EventRecorder, delay time.Duration) *Teller {
	return &Teller{recorder: recorder, limit: rate.NewLimiter(PerSecond, AtOnce), delay: delay}
}

// Changed tells what is new in a status that was written.
func (t *Teller) Changed(stream *v1alpha1.LiveStream, before, after v1alpha1.LiveStreamStatus) {
	t.Send(stream, plan.Notices(before, after))
}

// Send tells as much of the LiveStream as may be sent now.
func (t *Teller) Send(stream *v1alpha1.LiveStream, notices []plan.Notice) {
	var told []plan.Notice
	for _, n := range notices {
		if !t.limit.Allow() {
			left.Inc()
			continue
		}
		told = append(told, n)
	}
	switch {
	case len(told) == 0:
	case t.delay == 0:
		t.tell(stream, told)
	default:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.waiting = append(t.waiting, func() { t.tell(stream, told) })
		time.AfterFunc(t.delay, t.next)
	}
}

// next tells what has waited for the longest time: timers may end in another order than they began.
func (t *Teller) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting[0]()
	t.waiting = t.waiting[1:]
}

func (t *Teller) tell(stream *v1alpha1.LiveStream, told []plan.Notice) {
	for _, n := range told {
		eventType := "Normal"
		if n.Warning {
			eventType = "Warning"
		}
		t.recorder.Eventf(stream, nil, eventType, n.Reason, n.Action, "%s", n.Note)
	}
}
