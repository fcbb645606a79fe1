package worker

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// destinations are the servers that an encoder pushes to, by what ffmpeg says of them: it encodes on while they refuse.
type destinations struct {
	mu sync.Mutex
	// refused is what was said of each that takes nothing, by the address of its muxer.
	refused map[string]string
	// urls are what they were connected to with, by the rendition, signed at the given time.
	urls   map[string]string
	signed time.Time
}

// outdated says whether a destination may refuse a URL for its signature: ffmpeg tries the same one for ever. Half of its validity is enough, for
// clocks differ, and the key may be another by now. Where URLs are not signed there is no other one.
func (d *destinations) outdated(now time.Time, validity time.Duration, sign func(rendition string) (string, error)) bool {
	if now.Sub(d.signed) < validity/2 {
		return false
	}
	for rendition, url := range d.urls {
		if other, err := sign(rendition); err == nil && other != url {
			return true
		}
	}
	return false
}

// fifoSays are the words of ffmpeg's fifo muxer. It says nothing while all is well.
var fifoSays = regexp.MustCompile(`^\[fifo @ (\w+)\] \[\w+\] (Error opening|Recovery failed|Recovery successful)(.*)`)

func (d *destinations) said(line string) {
	m := fifoSays.FindStringSubmatch(line)
	if m == nil {
		return
	}
	muxer, says := m[1], m[2]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused == nil {
		d.refused = map[string]string{}
	}
	switch _, known := d.refused[muxer]; {
	case says == "Recovery successful":
		delete(d.refused, muxer)
	case says == "Error opening" || !known:
		// The one with the URL says more.
		d.refused[muxer] = strings.ToLower(says[:1]) + says[1:] + m[3]
	}
}

// refuse says how many take nothing, and what was said of one of them.
func (d *destinations) refuse() (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, why := range d.refused {
		return len(d.refused), fmt.Errorf("%w: %s", errRefused, why)
	}
	return 0, nil
}
