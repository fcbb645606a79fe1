package worker

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// flowsWithin is how young the last media must be for the worker to be ready.
const flowsWithin = 15 * time.Second

// Health says how the recording goes.
type Health struct {
	now      func() time.Time
	registry *prometheus.Registry

	media, bytes, stored, parts prometheus.Counter
	storing                     prometheus.Gauge
	// Of a transcoder.
	fps, speed, kbps, dropped prometheus.Gauge

	mu sync.Mutex
	// progress is what Progress tells, but for what depends on the time.
	progress recording.Progress
	// began is when the worker began, last when media came last; zero where none did.
	began, last time.Time
	failed      error
	// hindered is why media that comes does not get on; nil where it does.
	hindered  error
	finishing bool
}

// NewHealth registers the metrics.
func NewHealth(now func() time.Time) *Health {
	h := &Health{now: now, registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "livestream_worker_" + name, Help: help})
		h.registry.MustRegister(c)
		return c
	}
	h.media = counter("media_seconds_total", "Seconds of media in parts.")
	h.bytes = counter("media_bytes_total", "Bytes of media in parts.")
	h.parts = counter("parts_total", "Parts that were closed.")
	h.stored = counter("stored_bytes_total", "Bytes that the store has, verified.")
	h.storing = prometheus.NewGauge(prometheus.GaugeOpts{Name: "livestream_worker_store_failing", Help: "1 while the store takes no part."})
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "livestream_worker_" + name, Help: help})
	}
	h.fps, h.speed = gauge("encoded_fps", "Frames that are encoded in a second."), gauge("encoding_speed", "Seconds of media that are encoded in a second; below 1 it falls behind.")
	h.kbps, h.dropped = gauge("encoded_kbps", "Bitrate of the first rendition in kbit/s."), gauge("dropped_frames", "Frames that were dropped since the last connect.")
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "livestream_worker_seconds_since_media", Help: "Seconds since media came; since the start where none did."}, h.age)
	h.began = now()
	h.registry.MustRegister(h.storing, age)
	return h
}

func (h *Health) age() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last.IsZero() {
		return h.now().Sub(h.began).Seconds()
	}
	return h.now().Sub(h.last).Seconds()
}

// Encodes adds the metrics of a transcoder.
func (h *Health) Encodes() { h.registry.MustRegister(h.fps, h.speed, h.kbps, h.dropped) }

// Encoding notes how encoding goes.
func (h *Health) Encoding(p ffmpeg.Progress) {
	h.mu.Lock()
	h.progress.FPS, h.progress.Speed, h.progress.Kbps, h.progress.DroppedFrames = p.FPS, p.Speed, p.Kbps, p.Dropped
	h.mu.Unlock()
	h.fps.Set(p.FPS)
	h.speed.Set(p.Speed)
	h.kbps.Set(p.Kbps)
	h.dropped.Set(float64(p.Dropped))
}

// Media notes a part that came whole.
func (h *Health) Media(at time.Time, length time.Duration, size int64) {
	h.Bytes(at)
	h.Parts(length, size)
}

// Bytes notes that media comes; of a transcoder, that it is encoded, and taken where it is pushed.
func (h *Health) Bytes(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.failed, h.hindered = at, nil, nil
}

// Parts notes a part.
func (h *Health) Parts(length time.Duration, size int64) {
	h.parts.Inc()
	h.media.Add(length.Seconds())
	h.bytes.Add(float64(size))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress.MediaSeconds += length.Seconds()
	if h.progress.Speed == 0 && length > 0 {
		h.progress.Kbps = float64(size) * 8 / 1000 / length.Seconds()
	}
}

// Pushed notes media that went to servers.
func (h *Health) Pushed(length time.Duration) {
	h.media.Add(max(0, length.Seconds()))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress.MediaSeconds += max(0, length.Seconds())
}

// Progress is how it gets on.
func (h *Health) Progress() recording.Progress {
	age := h.age()
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.progress
	p.SecondsSinceMedia = age
	return p
}

// Stored notes bytes that the store has.
func (h *Health) Stored(size int64) {
	h.stored.Add(float64(size))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress.StoredBytes += size
}

// Store notes whether the store takes parts.
func (h *Health) Store(err error) {
	h.mu.Lock()
	h.progress.StoreFails = err != nil
	h.mu.Unlock()
	if err != nil {
		h.storing.Set(1)
	} else {
		h.storing.Set(0)
	}
}

// Failed notes what cannot be mended by trying again.
func (h *Health) Failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = err
}

// Hindered notes why media does not get on, which may pass: it is said when none has for flowsWithin.
func (h *Health) Hindered(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hindered = err
}

// Finishing notes that the recording is being finished: no media has to flow.
func (h *Health) Finishing() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finishing = true
}

// Handler serves /readyz, which is 200 while media flows, /healthz and /metrics.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := h.notReady(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc(recording.ProgressPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(h.Progress())
	})
	mux.Handle("/metrics", promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{}))
	return mux
}

func (h *Health) notReady() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.failed != nil:
		return h.failed.Error()
	case h.finishing:
		return ""
	case h.now().Sub(h.last) > flowsWithin && h.hindered != nil:
		return h.hindered.Error()
	case h.now().Sub(h.last) > flowsWithin:
		return "no media comes"
	default:
		return ""
	}
}
