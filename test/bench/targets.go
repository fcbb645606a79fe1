package main

// target is what a figure has to be.
type target struct {
	bound   float64
	atLeast bool
}

func (t target) met(value float64) bool {
	if t.atLeast {
		return value >= t.bound
	}
	return value <= t.bound
}

func most(bound float64) target  { return target{bound: bound} }
func least(bound float64) target { return target{bound: bound, atLeast: true} }

// targets are those that the project has set itself; a ratio is ours over the reference's.
var targets = map[string]target{
	"ack_p50_ratio":          most(1.05),
	"ack_p99_ratio":          most(1.20),
	"ack_throughput_ratio":   least(0.95),
	"duplicate_ratio":        least(5),
	"job_p50_ratio":          most(1.25),
	"job_p99_ratio":          most(1.5),
	"writes_to_job":          most(2),
	"writes_start":           most(4),
	"writes_stop":            most(5),
	"writes_duplicate":       most(0),
	"writes_stale":           most(0),
	"writes_idle_hour":       most(0),
	"cpu_per_event_ratio":    most(2),
	"memory_slope_ratio":     most(0.5),
	"growth_100k":            most(1.10),
	"restart_100k_ratio":     most(1.3),
	"restart_fresh_event":    most(2),
	"overload_goodput":       least(0.9),
	"interference_p99_ratio": most(1.2),
	"storm_drain_ratio":      most(1.2),
}

// targetOrder is the order in which results are told.
var targetOrder = []string{
	"ack_p50_ratio", "ack_p99_ratio", "ack_receiver_only", "ack_plain", "ack_throughput_ratio", "ack", "duplicate_ratio", "job_p50_ratio", "job_p99_ratio", "job",
	"writes_to_job", "writes_start", "writes_stop", "writes_duplicate", "writes_stale", "writes_idle_hour", "cpu_per_event_ratio", "cpu",
	"memory_slope_ratio", "memory", "growth_100k", "growth", "restart_100k_ratio", "restart_fresh_event", "restart", "overload_goodput", "overload",
	"interference_p99_ratio", "interference", "storm_drain_ratio", "storm", "replicas", "sizing",
}
