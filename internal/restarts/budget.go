package restarts

import (
	"cmp"
	"slices"
	"time"
)

const (
	// mostPodless is how many turns may be without an end: what makes Pods of Jobs, the controller manager, asks the API server 20 times a second by its
	// default, and the Pod of a push that has just begun waits behind those of all Jobs that were made before.
	mostPodless = 32
	// turnLife is how long a turn counts without a Pod: some Jobs get none, as where a quota is used up.
	turnLife = 30 * time.Second
	// shortestWait keeps who asks again from asking at once.
	shortestWait = 10 * time.Millisecond
)

// Due is what of a LiveStream is to be made again.
type Due struct {
	// Jobs is how many.
	Jobs int
	// Part is the lowest of those that failed: who failed less often is first.
	Part int32
}

// Budget decides whose Jobs are made again, and when. A zero Budget is of no use; it is not safe for several at once.
type Budget[K comparable] struct {
	pace pace
	// room is how many Jobs may be made now. It is less than nothing after a stream with several.
	room    float64
	counted time.Time
	line    []waiting[K]
	turns   map[K]time.Time
}

type waiting[K comparable] struct {
	key K
	due Due
}

// New is a Budget that knows of no slow write yet.
func New[K comparable]() *Budget[K] {
	return &Budget[K]{pace: newPace(), room: fastest, turns: map[K]time.Time{}}
}

// NoteWrite learns how long a write of the API server took that has just ended.
func (b *Budget[K]) NoteWrite(now time.Time, took time.Duration) {
	b.count(now)
	b.pace.noteWrite(now, took)
}

// Ask says whether what is due of the LiveStream may be made now. Where not, it waits for its turn, which Next tells.
func (b *Budget[K]) Ask(now time.Time, key K, due Due) bool {
	b.count(now)
	if _, has := b.turns[key]; has {
		return true
	}
	if slices.ContainsFunc(b.line, func(w waiting[K]) bool { return w.key == key }) {
		return false
	}
	if len(b.line) == 0 && b.open() {
		b.give(now, key, due)
		return true
	}
	// Behind all that failed as often.
	at, _ := slices.BinarySearchFunc(b.line, due.Part, func(w waiting[K], part int32) int { return cmp.Or(cmp.Compare(w.due.Part, part), -1) })
	b.line = slices.Insert(b.line, at, waiting[K]{key, due})
	return false
}

// Forget is for a LiveStream of which nothing is due: its Jobs have their Pods, or are wanted no more.
func (b *Budget[K]) Forget(key K) {
	delete(b.turns, key)
	b.line = slices.DeleteFunc(b.line, func(w waiting[K]) bool { return w.key == key })
}

// Next says whose turn it is now, and how long until it is the next one's; 0 while nobody waits.
func (b *Budget[K]) Next(now time.Time) (turns []K, wait time.Duration) {
	b.count(now)
	for len(b.line) > 0 && b.open() {
		first := b.line[0]
		b.line = slices.Delete(b.line, 0, 1)
		b.give(now, first.key, first.due)
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

func (b *Budget[K]) open() bool { return b.room >= 1 && len(b.turns) < mostPodless }

func (b *Budget[K]) give(now time.Time, key K, due Due) {
	b.room -= float64(due.Jobs)
	b.turns[key] = now
}

// closedFor is how long nobody gets a turn, as far as time alone ends it.
func (b *Budget[K]) closedFor(now time.Time) time.Duration {
	wait := time.Duration((1 - b.room) / b.pace.rate * float64(time.Second))
	if len(b.turns) < mostPodless {
		return wait
	}
	first := now
	for _, given := range b.turns {
		if given.Before(first) {
			first = given
		}
	}
	return max(wait, first.Add(turnLife).Sub(now))
}

// count adds the room of the time since it was counted, for a second's Jobs at most and never for less than two, and ends turns that are over.
func (b *Budget[K]) count(now time.Time) {
	if passed := now.Sub(b.counted).Seconds(); passed > 0 {
		b.room = min(max(2, b.pace.rate), b.room+b.pace.rate*passed)
	}
	b.counted = now
	for key, given := range b.turns {
		if now.Sub(given) >= turnLife || now.Before(given) {
			delete(b.turns, key)
		}
	}
}
