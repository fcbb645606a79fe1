package restarts

import (
	"container/heap"
	"time"
)

const (
	// mostPodless is how many Jobs may be without a Pod: what makes Pods of Jobs, the controller manager, asks the API server 20 times a second by its
	// default, and the Pod of a push that has just begun waits behind those of all Jobs that were made before.
	mostPodless = 32
	// podlessLife is how long a Job counts without a Pod: some get none, as where a quota is used up.
	podlessLife = 30 * time.Second
	// calledLife is how long a turn waits for the pass that uses it.
	calledLife = 5 * time.Minute
	// Each part that ended is a quarter of an hour of waiting that others have ahead, up to these: who failed less often is first, also where the line is an
	// hour long, and nobody waits for ever.
	headStart  = 15 * time.Minute
	headStarts = 5
	// shortestWait keeps who asks again from asking at once.
	shortestWait = 10 * time.Millisecond
)

// Due is what of a LiveStream is to be made again.
type Due struct {
	// Jobs is how many.
	Jobs int
	// Part is the lowest of those that ended.
	Part int32
}

// Budget decides whose Jobs are made again, and when. A zero Budget is of no use; it is not safe for several at once.
type Budget[K comparable] struct {
	pace pace
	// room is how many Jobs may be made now. It is less than nothing after a stream with several.
	room    float64
	counted time.Time
	line    line[K]
	waiting map[K]*place[K]
	asked   uint64
	given   map[K]*turn
	// jobs is how many those are for that were given a turn.
	jobs int
}

// turn is what a LiveStream has been given.
type turn struct {
	// called is how many Jobs the pass may make that is on its way, podless how many were made and have no Pod yet.
	called, podless int
	until           time.Time
}

// New is a Budget that knows of no slow write yet.
func New[K comparable]() *Budget[K] {
	return &Budget[K]{pace: newPace(), room: fastest, waiting: map[K]*place[K]{}, given: map[K]*turn{}}
}

// NoteWrite learns how long a write of the API server took that has just ended.
func (b *Budget[K]) NoteWrite(now time.Time, took time.Duration) {
	b.count(now)
	b.pace.noteWrite(now, took)
}

// Ask says whether what is due of the LiveStream may be made now; it counts as made then. Where not, it waits for its turn, which Next tells.
func (b *Budget[K]) Ask(now time.Time, key K, due Due) bool {
	b.count(now)
	if at, waits := b.waiting[key]; waits {
		if at.due != due {
			at.change(due)
			heap.Fix(&b.line, at.index)
		}
		return false
	}
	if t, has := b.given[key]; has && t.called > 0 || len(b.line) == 0 && b.open() {
		t = b.turnOf(key)
		b.take(due.Jobs - t.called)
		t.called, t.podless, t.until = 0, t.podless+due.Jobs, now.Add(podlessLife)
		return true
	}
	b.asked++
	at := &place[K]{key: key, asked: now, number: b.asked}
	at.change(due)
	b.waiting[key] = at
	heap.Push(&b.line, at)
	return false
}

// GiveBack is for a turn of so many Jobs whose pass could make none, and is repeated.
func (b *Budget[K]) GiveBack(now time.Time, key K, jobs int) {
	if t, has := b.given[key]; has && t.called == 0 && jobs > 0 {
		t.called = min(jobs, t.podless)
		t.podless, t.until = t.podless-t.called, now.Add(calledLife)
	}
}

// Settle is for a LiveStream of which nothing is due: it waits for no turn and uses none, and where none of its Jobs is podless its last turn is over. It
// says whether that makes room for others.
func (b *Budget[K]) Settle(key K, podless bool) bool {
	if at, waits := b.waiting[key]; waits {
		heap.Remove(&b.line, at.index)
		delete(b.waiting, key)
	}
	t, has := b.given[key]
	switch {
	case !has:
		return false
	case podless:
		unused := t.called
		b.take(-unused)
		t.called = 0
		return unused > 0
	default:
		b.end(key)
		return true
	}
}

// Next says whose turn it is now, and how long until it is the next one's; 0 while nobody waits.
func (b *Budget[K]) Next(now time.Time) (turns []K, wait time.Duration) {
	b.count(now)
	for len(b.line) > 0 && b.open() {
		first, _ := heap.Pop(&b.line).(*place[K])
		delete(b.waiting, first.key)
		t := b.turnOf(first.key)
		b.take(first.due.Jobs)
		t.called, t.until = t.called+first.due.Jobs, now.Add(calledLife)
		turns = append(turns, first.key)
	}
	if len(b.line) == 0 {
		return turns, 0
	}
	return turns, max(b.closedFor(now), shortestWait)
}

// Waiting is how many LiveStreams wait for their turn.
func (b *Budget[K]) Waiting() int { return len(b.line) }

// Rate is how many Jobs a second are made again at most.
func (b *Budget[K]) Rate() float64 { return b.pace.rate }

func (b *Budget[K]) open() bool { return b.room >= 1 && b.jobs < mostPodless }

func (b *Budget[K]) turnOf(key K) *turn {
	if b.given[key] == nil {
		b.given[key] = &turn{}
	}
	return b.given[key]
}

// take takes room for more Jobs, or gives it back for fewer.
func (b *Budget[K]) take(jobs int) {
	b.room -= float64(jobs)
	b.jobs += jobs
}

// end gives back the room of what was not made.
func (b *Budget[K]) end(key K) {
	t := b.given[key]
	b.take(-t.called)
	b.jobs -= t.podless
	delete(b.given, key)
}

// closedFor is how long nobody gets a turn, as far as time alone ends it.
func (b *Budget[K]) closedFor(now time.Time) time.Duration {
	wait := time.Duration((1 - b.room) / b.pace.rate * float64(time.Second))
	if b.jobs < mostPodless {
		return wait
	}
	first := now.Add(calledLife)
	for _, t := range b.given {
		if t.until.Before(first) {
			first = t.until
		}
	}
	return max(wait, first.Sub(now))
}

// count adds the room of the time since it was counted, for a second's Jobs at most and never for less than two, and ends turns that are over.
func (b *Budget[K]) count(now time.Time) {
	if passed := now.Sub(b.counted).Seconds(); passed > 0 {
		b.room = min(max(2, b.pace.rate), b.room+b.pace.rate*passed)
	}
	b.counted = now
	for key, t := range b.given {
		if !now.Before(t.until) {
			b.end(key)
		}
	}
}
