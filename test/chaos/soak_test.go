//go:build chaos

package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a process may hold more at the end than at the beginning. Both are taken at rest, as the leader.
const (
	mostGoroutines  = 20
	mostDescriptors = 10
	// mostHeapSlope is in MiB an hour: some 60 bytes for each callback that the process answers, or 400 for each push.
	mostHeapSlope = 40.0
	// fewestReadings are minutes of which a slope means something.
	fewestReadings = 10
)

// held is what a process holds. Heap is in bytes.
type held struct {
	at                      time.Time
	heap, resident          float64
	goroutines, descriptors int
}

// series is what one process held from its start on.
type series struct {
	address string

	mu      sync.Mutex
	samples []held
	// leads is since when the process leads.
	leads time.Time

	slope                  *float64
	goroutines, descriptor int
}

// follow takes samples until the context ends. A process that is stopped gives none.
func (s *series) follow(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if h, err := hold(ctx, s.address); err == nil {
			s.mu.Lock()
			s.samples = append(s.samples, h)
			s.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *series) leadsNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leads = time.Now()
}

func hold(ctx context.Context, address string) (held, error) {
	values, err := scrape(ctx, address)
	return held{
		at: time.Now(), heap: values["go_memstats_heap_alloc_bytes"], resident: values["process_resident_memory_bytes"],
		goroutines: int(values["go_goroutines"]), descriptors: int(values["process_open_fds"]),
	}, err
}

// scrape are the metrics without labels.
func scrape(ctx context.Context, address string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	values := map[string]float64{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = number
		}
	}
	return values, lines.Err()
}

const leading = `leader_election_master_status{name="livestream-operator"}`

// isLeader is nil when the process with these metrics leads.
func isLeader(metrics string) error {
	values, err := scrape(context.Background(), "http://"+metrics+"/metrics")
	if err == nil && values[leading] != 1 {
		err = errors.New("it does not lead")
	}
	return err
}

// leads says whether the replica leads.
func (r *replica) leads() bool {
	for _, argument := range r.arguments {
		if address, is := strings.CutPrefix(argument, "--metrics-bind-address="); is && isLeader(address) == nil {
			return true
		}
	}
	return false
}

// atRest is the least that the survivor holds in some seconds without work, when no connection is left of what was.
func (s *storm) atRest() held {
	for _, r := range s.w.replicas {
		r.proxy.CloseIdle()
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var least held
	for range 10 {
		<-time.After(300 * time.Millisecond)
		h, err := hold(s.w.ctx, s.held.address)
		if err != nil {
			s.w.fail(growth, "asking the survivor what it holds: %v", err)
			return least
		}
		if least.goroutines == 0 {
			least = h
		}
		least.goroutines, least.descriptors = min(least.goroutines, h.goroutines), min(least.descriptors, h.descriptors)
	}
	return least
}

// judgeSoak looks for what the survivor holds more than after the first phase, and at the slope of its heap where that was long.
func (s *storm) judgeSoak(before held) {
	after := s.atRest()
	s.held.goroutines, s.held.descriptor = after.goroutines-before.goroutines, after.descriptors-before.descriptors
	if s.held.goroutines > mostGoroutines {
		s.w.fail(growth, "%d goroutines before, and %d after", before.goroutines, after.goroutines)
	}
	if s.held.descriptor > mostDescriptors {
		s.w.fail(growth, "%d descriptors before, and %d after", before.descriptors, after.descriptors)
	}
	if before.descriptors == 0 || after.descriptors == 0 || after.goroutines == 0 {
		s.w.fail(growth, "the survivor does not say what it holds: %+v, %+v", before, after)
	}
	if r := s.w.replicas[survivor]; r.deathsSoFar() > 0 {
		s.w.fail(growth, "the replica that was never killed died %d times", r.deathsSoFar())
	}
	if !*full {
		return
	}
	readings := s.held.leastOfEachMinute()
	if len(readings) < fewestReadings {
		s.w.fail(growth, "the heap was read in %d minutes, want %d", len(readings), fewestReadings)
	}
	slope := slopeOf(readings)
	s.held.slope = &slope
	if slope > mostHeapSlope {
		s.w.fail(growth, "the heap grows by %.1f MiB an hour, at most %.0f are allowed", slope, mostHeapSlope)
	}
}

func (r *replica) deathsSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deaths
}

// reading is a time in hours and a heap in MiB.
type reading struct{ hours, mebibytes float64 }

// leastOfEachMinute are the samples that are nearest to a collection, of the last two thirds, or since the process leads.
func (s *series) leastOfEachMinute() []reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.samples) == 0 {
		return nil
	}
	first, last := s.samples[0].at, s.samples[len(s.samples)-1].at
	from := first.Add(last.Sub(first) / 3)
	if from.Before(s.leads) {
		from = s.leads
	}
	var readings []reading
	minute := -1
	for _, h := range s.samples {
		if h.at.Before(from) {
			continue
		}
		p := reading{h.at.Sub(first).Hours(), h.heap / (1 << 20)}
		switch now := int(h.at.Sub(from).Minutes()); {
		case now != minute:
			minute = now
			readings = append(readings, p)
		case p.mebibytes < readings[len(readings)-1].mebibytes:
			readings[len(readings)-1] = p
		}
	}
	return readings
}

// slopeOf is that of the line with the least squares, in MiB an hour.
func slopeOf(readings []reading) float64 {
	var x, y, xx, xy float64
	for _, p := range readings {
		x, y, xx, xy = x+p.hours, y+p.mebibytes, xx+p.hours*p.hours, xy+p.hours*p.mebibytes
	}
	n := float64(len(readings))
	if d := n*xx - x*x; d > 0 {
		return (n*xy - x*y) / d
	}
	return 0
}

// String tells the series in a line.
func (s *series) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.samples) == 0 {
		return "nothing is known of the survivor"
	}
	first, last := s.samples[0], s.samples[len(s.samples)-1]
	text := fmt.Sprintf("the survivor over %s: heap %.1f to %.1f MiB, resident %.1f to %.1f MiB, at rest %+d goroutines and %+d descriptors",
		last.at.Sub(first.at).Round(time.Second), first.heap/(1<<20), last.heap/(1<<20), first.resident/(1<<20), last.resident/(1<<20), s.goroutines, s.descriptor)
	if s.slope != nil {
		text += fmt.Sprintf(", heap %+.1f MiB an hour", *s.slope)
	}
	return text
}

// soak notes the series of a storm.
func (t *tally) soak(s *series) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.samples); n > 0 {
		t.Soak = s.samples[n-1].at.Sub(s.samples[0].at).Minutes()
	}
	t.HeapSlope, t.GoroutinesGrowth, t.DescriptorGrowth = s.slope, s.goroutines, s.descriptor
}

func TestTheSlopeIsThatOfWhatIsLeftAfterEachCollection(t *testing.T) {
	t.Parallel()
	s := &series{}
	began := time.Now()
	for i := range 90 * 12 {
		at := time.Duration(i) * 5 * time.Second
		// It grows by 6 MiB an hour, and what waits for the next collection comes on top.
		s.samples = append(s.samples, held{at: began.Add(at), heap: (10 + 6*at.Hours() + float64(i%7)) * (1 << 20)})
	}
	readings := s.leastOfEachMinute()
	if slope := slopeOf(readings); len(readings) < 59 || slope < 5.5 || slope > 6.5 {
		t.Errorf("%d readings have a slope of %.2f, want 60 and 6 MiB an hour", len(readings), slope)
	}
}
