package main

import (
	_ "embed"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// method is the part of docs/benchmarks.md that no run changes.
//
//go:embed method.md
var method string

// meanings of the keys, in a line each.
var meanings = map[string]string{
	"ack_p50_ratio":                 "callback to 200, over a bare status write, median",
	"ack_p99_ratio":                 "the same, 99th percentile",
	"ack_receiver_only_p50_ratio":   "the same, of a receiver alone, so that nothing follows a 200",
	"ack_receiver_only_p99_ratio":   "the same, 99th percentile",
	"ack_plain_p50_ratio":           "the same of a bare handler, which parses, checks the signature and writes once, over what it writes: nobody watches that, and nothing follows",
	"ack_plain_p99_ratio":           "the same, 99th percentile",
	"ack_throughput_ratio":          "acknowledged events a second, over bare status writes a second, of a receiver alone",
	"ack_throughput_ratio_16":       "the same, 16 at once",
	"ack_throughput_ratio_64":       "the same, 64 at once",
	"ack_throughput_ratio_whole":    "the same of suspended streams with the reconciler beside, which writes the status after each event, on the same cores",
	"duplicate_ratio":               "duplicates answered a second, over bare GETs a second",
	"job_p50_ratio":                 "200 to the Job in somebody else's watch, over a bare watch-then-create, median",
	"job_p99_ratio":                 "the same, 99th percentile",
	"writes_to_job":                 "writes until the Job exists",
	"writes_start":                  "writes of a start, until the status says Running",
	"writes_stop":                   "writes of a stop, until the status says Stopped",
	"writes_duplicate":              "writes of a callback that came before",
	"writes_stale":                  "writes of a start that comes after its stop",
	"writes_idle_hour":              "writes of an hour in which nothing happens",
	"cpu_per_event_ratio":           "our CPU for an event and all that follows, over a bare handler that parses, checks the signature and writes once",
	"cpu_plain_ratio":               "the same of two plain programs of client-go: that handler, and one that makes and deletes the Job and tells in the status what its Pod does, in as many writes",
	"cpu_over_plain":                "the one over the other: what the operator costs that it does besides",
	"replicas_2_cpu_ratio":          "CPU for an event of two receiving replicas together, over one",
	"replicas_4_cpu_ratio":          "the same of four",
	"memory_slope_ratio":            "heap for a further LiveStream, over a plain informer of the same objects",
	"memory_slope_ratio_receiver":   "the same of the receiver",
	"memory_slope_ratio_reconciler": "the same of the reconciler",
	"growth_100k":                   "CPU for an event among 100,000 streams, over among 100",
	"growth_100k_writes":            "the same of writes",
	"restart_100k_ratio":            "start of a reconciler after a kill to all reconciled among 100,000 streams, over a plain informer's sync",
	"restart_100k_ratio_receiver":   "the same of a receiver, until it receives",
	"restart_fresh_event":           "200 to Job meanwhile, 99th percentile, over the same at rest",
	"overload_goodput":              "events taken a second at five times what is taken at most, over that",
	"interference_p99_ratio":        "callback to 200, 99th percentile, with 5,000 failing Jobs and 1,000 slow senders, over the same in quiet",
	"interference_bare_p99_ratio":   "the same of bare status writes: what the failing Jobs cost the API server itself",
	"interference_over_bare":        "the one over the other: what is the operator's of it",
	"sizing_controller_manager":     "Pods running a second after a wave of starts, with 200 requests a second for the controller manager, over its own 20",
	"storm_drain_ratio":             "10,000 streams lost and back within 10 s, until all are Live in their broadcast, over the bare writes of the events",
}

// page is docs/benchmarks.md.
func page(r *report) string {
	var text strings.Builder
	text.WriteString(method)
	m := r.Machine
	fmt.Fprintf(&text, "\n## Figures\n\nBy `make bench` on %d cores (%s), %.0f GiB of memory, Linux %s, Go %s, Kubernetes %s.\n\n", m.Cores, m.CPU, m.MemoryGiB, m.Kernel, strings.TrimPrefix(m.Go, "go"), strings.TrimPrefix(m.Kubernetes, "v"))
	text.WriteString("| key | what | value (95 %) | target | met | measured, commit, and how many processes wanted a core |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, key := range r.keys() {
		got := r.Results[key]
		when := got.Date
		if got.Quick {
			when += ", `QUICK=1`"
		}
		when += fmt.Sprintf(", %s, load %s", got.Commit, got.Load)
		if got.HugePages != "" {
			when += ", huge pages: " + got.HugePages
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s | %s | %s |\n", key, meanings[key], got.text(), got.target(), got.verdict(), when)
	}
	text.WriteString("\nWhat was measured of both sides:\n\n| key | reference | operator | |\n| --- | --- | --- | --- |\n")
	for _, key := range r.keys() {
		got := r.Results[key]
		if len(got.Reference)+len(got.Subject) == 0 {
			continue
		}
		note := got.Note
		if math.Abs(got.Drift) > 0.2 {
			note = strings.TrimPrefix(note+fmt.Sprintf("; the machine changed by %.0f %% meanwhile", 100*got.Drift), "; ")
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", key, figures(got.Reference), figures(got.Subject), note)
	}
	text.WriteString("\n## What is not good yet\n\n")
	bad := 0
	for _, key := range r.keys() {
		got := r.Results[key]
		if verdict := got.verdict(); verdict != "" && verdict != "yes" {
			bad++
			fmt.Fprintf(&text, "- `%s`: %s; the target, %s, %s.\n", key, got.text(), got.target(), got.shortcoming())
		}
	}
	for _, key := range slices.Sorted(maps.Keys(targets)) {
		if _, there := r.Results[key]; !there {
			bad++
			fmt.Fprintf(&text, "- `%s` is not measured.\n", key)
		}
	}
	if bad == 0 {
		text.WriteString("Every target is met.\n")
	}
	return text.String()
}

// shortcoming says how a target is not certainly met.
func (r result) shortcoming() string {
	switch {
	case !r.judged() && r.Quick:
		return "is not judged by a quick run"
	case !r.judged():
		return "is not judged by a lower percentile"
	case r.Met && r.few():
		return "is met by the value, of too few blocks to be certain"
	case r.Met:
		return "is met by the value and not by the whole interval"
	default:
		return "is missed"
	}
}
