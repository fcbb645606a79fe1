// Package notices sends the Kubernetes Events of LiveStreams.
package notices

import (
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

var left = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "livestream_events_left_out_total",
	Help: "Kubernetes Events that were not sent, because there were too many at once. The status tells the same.",
})

func init() { metrics.Registry.MustRegister(left) }

// Teller tells users what changed.
type Teller struct {
	recorder events.EventRecorder
	limit    *rate.Limiter
}

// NewTeller returns a Teller that sends through the recorder.
func NewTeller(recorder events.EventRecorder) *Teller {
	return &Teller{recorder: recorder, limit: rate.NewLimiter(PerSecond, AtOnce)}
}

// Changed tells what is new in a status that was written.
func (t *Teller) Changed(stream *v1alpha1.LiveStream, before, after v1alpha1.LiveStreamStatus) {
	for _, n := range plan.Notices(before, after) {
		if !t.limit.Allow() {
			left.Inc()
			continue
		}
		eventType := "Normal"
		if n.Warning {
			eventType = "Warning"
		}
		t.recorder.Eventf(stream, nil, eventType, n.Reason, n.Action, "%s", n.Note)
	}
}
