package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/livestream-operator/livestream-operator/internal/provider"
)

// Labels hold only what this package and the parsers name themselves, never what a sender wrote.
var (
	callbacks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livestream_callbacks_total",
		Help: "Callbacks by what became of them: started, ended, ended-unseen, duplicate, stale, unclaimed; the kind of a callback that tells of no push; or why it was refused.",
	}, []string{"result"})
	ackSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "livestream_callback_ack_seconds",
		Help:    "Time from the arrival of a callback to its answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 20},
	})
	lagSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "livestream_callback_lag_seconds",
		Help:    "Time from event_time, by the provider's clock, to the answer. A retry comes a minute or more late.",
		Buckets: []float64{.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800},
	}, []string{"event"})
	refusedRecorded = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "livestream_refused_events_recorded_total",
		Help: "Events that were refused, as too many came at once, and were written before they came again.",
	})
	refusedConnections = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "livestream_connections_refused_total",
		Help: "Connections that were closed at once, because their source had as many open as it may.",
	})
)

func init() {
	metrics.Registry.MustRegister(callbacks, ackSeconds, lagSeconds, refusedRecorded, refusedConnections)
}

func count(result string, took time.Duration) {
	callbacks.WithLabelValues(result).Inc()
	ackSeconds.Observe(took.Seconds())
}

func observeLag(event provider.Event, now time.Time) {
	lagSeconds.WithLabelValues(event.Kind.String()).Observe(max(0, now.Sub(event.Time).Seconds()))
}
