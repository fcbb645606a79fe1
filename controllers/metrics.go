package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// No label is taken from a stream: their number is the users', and a series for each would not be bounded.
var (
	jobsStarted = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "livestream_jobs_started_total",
		Help: "Jobs made for workloads.",
	})
	jobsEnded = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livestream_jobs_ended_total",
		Help: "Workloads that came to an end, by result: Stopped after the broadcast, Completed or Failed by themselves, Waiting for their next part.",
	}, []string{"result"})
	restartsWaiting = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "livestream_restarts_waiting",
		Help: "LiveStreams whose Jobs ended at once, are due to be made again, and wait for their turn.",
	})
	restartRate = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "livestream_restarts_per_second",
		Help: "Jobs a second that are made again at most, by how long writes take; 0 where nothing is reconciled.",
	})
	streamsDesc = prometheus.NewDesc("livestream_streams",
		"LiveStreams by state, as this replica's cache has them.", []string{"state"}, nil)
)

func init() {
	metrics.Registry.MustRegister(jobsStarted, jobsEnded, restartsWaiting, restartRate)
}

// countEnded counts workloads whose state became an end.
func countEnded(before, after []v1alpha1.WorkloadStatus) {
	was := make(map[string]v1alpha1.WorkloadState, len(before))
	for _, w := range before {
		was[w.Name] = w.State
	}
	for _, w := range after {
		switch w.State {
		case v1alpha1.WorkloadStopped, v1alpha1.WorkloadCompleted, v1alpha1.WorkloadFailed, v1alpha1.WorkloadWaiting:
			if was[w.Name] != w.State {
				jobsEnded.WithLabelValues(string(w.State)).Inc()
			}
		}
	}
}

// StreamCollector counts LiveStreams by state when it is asked, from the cache.
type StreamCollector struct{ Streams Streams }

// Streams are the LiveStreams of the cache.
type Streams interface {
	// Each passes every LiveStream.
	Each(see func(*v1alpha1.LiveStream))
	// Count is how many refer to the PushDomain.
	Count(namespace, pushDomain string) (int, error)
}

// Describe implements prometheus.Collector.
func (c StreamCollector) Describe(descs chan<- *prometheus.Desc) { descs <- streamsDesc }

// Collect implements prometheus.Collector.
func (c StreamCollector) Collect(values chan<- prometheus.Metric) {
	counts := map[v1alpha1.LiveStreamState]int{
		v1alpha1.LiveStreamIdle: 0, v1alpha1.LiveStreamLive: 0, v1alpha1.LiveStreamInterrupted: 0, v1alpha1.LiveStreamUnknown: 0,
	}
	c.Streams.Each(func(s *v1alpha1.LiveStream) {
		if state := s.Status.State; state != "" {
			counts[state]++
		}
	})
	for state, count := range counts {
		values <- prometheus.MustNewConstMetric(streamsDesc, prometheus.GaugeValue, float64(count), string(state))
	}
}
