package webhook

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// refusedStreams are those of which an event was refused lately. A push that is lost and comes back is two events, seconds apart, and one write
// where both wait at the same time: so whether there is room is asked of the stream, not of each event. Of a stream that got in with its second
// event alone the first would be a write more, when it comes again.
type refusedStreams struct {
	// of is when the first event of those seconds was refused: more that are refused then do not make them longer.
	of map[types.UID]time.Time
	// swept is when those that are over were last forgotten.
	swept time.Time
}

func (r *refusedStreams) lately(stream types.UID, now time.Time) bool {
	at, refused := r.of[stream]
	return refused && now.Sub(at) < refusedLately
}

func (r *refusedStreams) note(stream types.UID, now time.Time) {
	if r.of == nil {
		r.of = map[types.UID]time.Time{}
	}
	if now.Sub(r.swept) >= refusedLately {
		maps.DeleteFunc(r.of, func(of types.UID, _ time.Time) bool { return !r.lately(of, now) })
		r.swept = now
	}
	if !r.lately(stream, now) {
		r.of[stream] = now
	}
}
