package recording

import (
	"fmt"
	"strings"
	"time"
)

// ProgressPath is where a worker serves its Progress as JSON, beside its metrics.
const ProgressPath = "/progress"

// Progress is how a worker gets on.
type Progress struct {
	// MediaSeconds are in segments, of the first rendition where there are several; StoredBytes are verified in the store.
	MediaSeconds float64 `json:"mediaSeconds"`
	StoredBytes  int64   `json:"storedBytes"`
	// SecondsSinceMedia came last.
	SecondsSinceMedia float64 `json:"secondsSinceMedia"`
	// StoreFails says that the store takes nothing now.
	StoreFails bool `json:"storeFails,omitempty"`
	// Kbps of the media, of the first rendition where there are several.
	Kbps float64 `json:"kbps,omitempty"`
	// FPS, Speed and DroppedFrames are an encoder's; Speed is how many seconds of media are encoded in a second.
	FPS           float64 `json:"fps,omitempty"`
	Speed         float64 `json:"speed,omitempty"`
	DroppedFrames int64   `json:"droppedFrames,omitempty"`
}

const (
	// tooSlow is a speed at which an encoder falls behind; just below 1 it catches up with what it began with.
	tooSlow = 0.95
	// quiet is how long no media may come before it is worth a word.
	quiet = 5
)

// most is more than any worker has to tell of anything. What tells more is none, and its number would not fit the status.
const most = 1e9

func (p Progress) bounded() Progress {
	for _, number := range []*float64{&p.MediaSeconds, &p.SecondsSinceMedia, &p.Kbps, &p.FPS, &p.Speed} {
		*number = min(max(*number, 0), most)
	}
	p.DroppedFrames = min(max(p.DroppedFrames, 0), most)
	return p
}

// Sentence says it to a person.
func (p Progress) Sentence() string {
	p = p.bounded()
	said := []string{fmt.Sprintf("%s of media", (time.Duration(p.MediaSeconds) * time.Second).String())}
	if p.Kbps > 0 {
		said = append(said, fmt.Sprintf("%.0f kbit/s", p.Kbps))
	}
	if p.Speed > 0 {
		said = append(said, fmt.Sprintf("%.0f frames/s at %.2fx", p.FPS, p.Speed), fmt.Sprintf("%d frames dropped", p.DroppedFrames))
	}
	if p.StoredBytes > 0 {
		said = append(said, fmt.Sprintf("%.1f MB stored", float64(p.StoredBytes)/1e6))
	}
	text := strings.Join(said, ", ")
	if p.SecondsSinceMedia >= quiet {
		text += fmt.Sprintf("; the last came %.0f s ago", p.SecondsSinceMedia)
	}
	if p.StoreFails {
		text += "; the storage takes nothing now, what is recorded waits in the spool"
	}
	if p.Speed > 0 && p.Speed < tooSlow {
		text += "; encoding is slower than the stream: give it more CPU, or fewer renditions"
	}
	return text
}
