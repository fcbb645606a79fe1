package restarts

import (
	"testing"
	"time"
)

func TestAWriteIsSlowThatTakesTwiceAsLongAsUsual(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		name        string
		usual, took time.Duration
		slow        bool
	}{
		{name: "twice as long, and still quick", usual: 5 * ms, took: 30 * ms},
		{name: "more than that", usual: 5 * ms, took: 31 * ms, slow: true},
		{name: "an API server that is slow as ever", usual: 60 * ms, took: 115 * ms},
		{name: "slower than ever", usual: 60 * ms, took: 125 * ms, slow: true},
		{name: "what is slow wherever it is", usual: 150 * ms, took: 201 * ms, slow: true},
		{name: "what is slow from the beginning", usual: time.Second, took: time.Second, slow: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlayed()
			p.writes(tc.usual, 30*time.Second)
			before := p.Rate()
			p.writes(tc.took, 5*time.Second)
			if got := p.Rate() < before || p.Rate() == slowest; got != tc.slow {
				t.Errorf("the rate went from %.1f to %.1f, want slow %t", before, p.Rate(), tc.slow)
			}
		})
	}
}

func TestOneSlowWriteAmongOthersSlowsNothing(t *testing.T) {
	p := newPlayed()
	for range 20 {
		p.writes(5*time.Millisecond, time.Second)
		p.writes(time.Second, 100*time.Millisecond)
	}
	if p.Rate() != fastest {
		t.Errorf("the rate is %.1f, want %.1f", p.Rate(), fastest)
	}
}

func TestSlowWritesOfLongAgoSayNothingOfNow(t *testing.T) {
	p := newPlayed()
	p.writes(time.Second, 500*time.Millisecond)
	p.now = p.now.Add(judgedAge)
	p.writes(5*time.Millisecond, 300*time.Millisecond)
	if p.Rate() != fastest {
		t.Errorf("the rate is %.1f for writes that are ten seconds old, want %.1f", p.Rate(), fastest)
	}
}

func TestAnAPIServerThatIsSlowerForGoodIsUsualInTheEnd(t *testing.T) {
	p := newPlayed()
	p.writes(20*time.Millisecond, time.Minute)
	p.writes(80*time.Millisecond, time.Minute)
	if p.Rate() != slowest {
		t.Fatalf("the rate is %.1f a minute after writes became four times as slow, want %.1f", p.Rate(), slowest)
	}
	p.writes(80*time.Millisecond, 25*time.Minute)
	if p.Rate() != fastest {
		t.Errorf("the rate is %.1f after 25 minutes more, want %.1f", p.Rate(), fastest)
	}
}

func TestAfterANightWithoutWritesTheUsualIsLearntAnew(t *testing.T) {
	p := newPlayed()
	p.writes(60*time.Millisecond, time.Minute)
	p.now = p.now.Add(24 * time.Hour)
	p.writes(60*time.Millisecond, time.Minute)
	p.writes(115*time.Millisecond, time.Minute)
	if p.Rate() != fastest {
		t.Errorf("the rate is %.1f for writes that take as long as the evening before, want %.1f", p.Rate(), fastest)
	}
	p.writes(150*time.Millisecond, time.Minute)
	if p.Rate() != slowest {
		t.Errorf("the rate is %.1f for writes of more than twice what is usual, want %.1f", p.Rate(), slowest)
	}
}
