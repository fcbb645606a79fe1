package restarts

import (
	"math"
	"slices"
	"time"
)

const (
	// slowest is what is made again however slow the API server is, in Jobs a second: in the five minutes between two parts of a Job that fails at
	// once it is three hundred.
	slowest = 1.0
	// fastest is what is made again where nothing is slow.
	fastest = 64.0
	// The rate changes once a second: it is halved where writes are slow, and grows by a tenth where they are not.
	adjustEvery = time.Second
	faster      = 1.1
	slower      = 0.5

	// What takes twice as long as usual is slow, but a write of 30 ms never is.
	timesUsual  = 2
	neverSlow   = 30 * time.Millisecond
	usualDouble = 10 * time.Minute

	// The middle one of so many writes counts, none of them older.
	judged    = 16
	judgedFew = judged / 2
	judgedAge = 10 * time.Second
)

// AlwaysSlow is what a write takes that is slow wherever it is.
const AlwaysSlow = 200 * time.Millisecond

// pace is how many Jobs a second are made again, by how long the process's own writes take.
type pace struct {
	rate     float64
	adjusted time.Time
	// usual is the shortest middle of late: it is forgotten slowly, doubling in ten minutes, as an API server may become slower for good.
	usual   time.Duration
	usualAt time.Time
	writes  []write
}

type write struct {
	ended time.Time
	took  time.Duration
}

func newPace() pace { return pace{rate: fastest} }

// noteWrite learns how long a write took that has just ended.
func (p *pace) noteWrite(now time.Time, took time.Duration) {
	if p.writes = append(p.writes, write{ended: now, took: took}); len(p.writes) > judged {
		p.writes = slices.Delete(p.writes, 0, len(p.writes)-judged)
	}
	if now.Sub(p.adjusted) < adjustEvery {
		return
	}
	middle, enough := p.middle(now)
	if !enough {
		return
	}
	p.adjusted = now
	p.learnUsual(now, middle)
	if middle > min(max(timesUsual*p.usual, neverSlow), AlwaysSlow) {
		p.rate = max(slowest, p.rate*slower)
	} else {
		p.rate = min(fastest, p.rate*faster)
	}
}

func (p *pace) middle(now time.Time) (time.Duration, bool) {
	var took []time.Duration
	for _, w := range p.writes {
		if now.Sub(w.ended) <= judgedAge {
			took = append(took, w.took)
		}
	}
	if len(took) < judgedFew {
		return 0, false
	}
	slices.Sort(took)
	return took[len(took)/2], true
}

func (p *pace) learnUsual(now time.Time, middle time.Duration) {
	if p.usual > 0 {
		forgotten := math.Exp2(max(0, now.Sub(p.usualAt).Minutes()) / usualDouble.Minutes())
		// More than this makes no difference, and after a night it is more than there are nanoseconds.
		p.usual = time.Duration(min(float64(p.usual)*forgotten, float64(AlwaysSlow)))
	}
	p.usualAt = now
	if p.usual == 0 || middle < p.usual {
		p.usual = middle
	}
}
