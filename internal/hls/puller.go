// Package hls pulls the media segments of a live HLS playlist, each once and as it is. A playlist reaches back some segments, so
// that a puller that was gone for that long misses nothing.
//
// Source: RFC 8216, 6.3.4 (reloading) and 4.3 (tags).
package hls

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Eyevinn/hls-m3u8/m3u8"
	"k8s.io/utils/clock"

	"github.com/livestream-operator/livestream-operator/internal/recording"
)

const (
	// longestPlaylist has days of segments with signed addresses.
	longestPlaylist = 32 << 20
	longestSegment  = 256 << 20
	// soonest and latest are the bounds of how often a playlist is loaded.
	soonest, latest = 250 * time.Millisecond, 2 * time.Second
	// requestTimeout bounds one request with its answer.
	requestTimeout = 20 * time.Second
	// often is how many times a segment is tried before those behind it are.
	often = 10
	// remembered is how many segments are known at least; where a playlist keeps a whole show, twice as many as it has.
	remembered = 4096
)

// ErrNotLive means that there is no playlist now: the stream is not on air, or not yet.
var ErrNotLive = errors.New("there is no playlist")

// ErrFormat means that the playlist is of a kind that cannot be recorded.
var ErrFormat = errors.New("the playlist cannot be recorded")

// errNotThere is for a segment.
var errNotThere = errors.New("it is not there")

// Found is a segment that is new.
type Found struct {
	Segment recording.Segment
	// Continues says that it follows the one before it without a gap.
	Continues bool
	// FromEnd is how far its end is from the playlist's: it was live so long ago.
	FromEnd  time.Duration
	Duration time.Duration
	Content  []byte
}

// Puller follows one playlist. It is for one goroutine.
type Puller struct {
	Client *http.Client
	// Address is asked before each request, so that a signed URL does not grow old.
	Address func() (string, error)
	// Began is when the broadcast began, if that is known, by Clock.
	Began time.Time
	Clock clock.PassiveClock

	// left is the playlist that was there before the broadcast began, current says that there is another since.
	left    string
	current bool
	// recorded are the segments that were found before, by this puller or another, by what they hold: a playlist that is begun anew
	// uses its numbers and names again.
	recorded memory[recording.Segment, struct{}]
	// listed are those that this playlist had before, which need not be loaded to be known, and how long it said that they are.
	listed memory[entry, time.Duration]
	// retells says that the server told two lengths of one segment: of this one they say nothing.
	retells bool
	// last is the media sequence number of the last segment, of a playlist that was not begun anew since.
	last   uint64
	begun  bool
	broken bool
	// joined says that the broadcast was found: all that the playlist shows from then on belongs to it.
	joined bool
	target time.Duration
	// failing did not load so many times.
	failing  entry
	failures int
}

// entry is a segment as a playlist names it.
type entry struct {
	sequence uint64
	uri      string
}

// anyLength is for what is listed and was not loaded.
const anyLength = time.Duration(-1)

// memory knows the last ones of what it was told.
type memory[K comparable, V any] struct {
	known map[K]V
	order []K
	// room is for more than remembered ones.
	room int
}

func (m *memory[K, V]) has(k K) bool {
	_, is := m.known[k]
	return is
}

func (m *memory[K, V]) add(k K, v V) {
	if m.known == nil {
		m.known = map[K]V{}
	}
	if !m.has(k) {
		m.order = append(m.order, k)
	}
	m.known[k] = v
	if len(m.order) > max(m.room, remembered) {
		delete(m.known, m.order[0])
		m.order = m.order[1:]
	}
}

// Resume tells which segments are recorded already, in their order. Without any the puller begins with the latest broadcast that
// the playlist shows: what is before its last discontinuity belongs to another one.
func (p *Puller) Resume(segments []recording.Segment) {
	p.recorded.room = 2 * len(segments)
	for _, s := range segments {
		p.recorded.add(s, struct{}{})
		p.last, p.begun, p.joined = s.Sequence, true, true
	}
}

// Interval is how long to wait before the next Poll.
func (p *Puller) Interval() time.Duration { return min(max(p.target/2, soonest), latest) }

// Target is how long the playlist says that a segment is at most; 0 before there is one.
func (p *Puller) Target() time.Duration { return p.target }

// Poll loads the playlist, and calls found with each new segment in order. What it returns is why there is none for now; a
// segment that could not be loaded is tried again with the next Poll, as long as the playlist has it; when that was in vain for long and
// one behind it loads, it is a gap.
func (p *Puller) Poll(ctx context.Context, found func(Found) error) error {
	playlist, base, err := p.load(ctx)
	if err != nil {
		return err
	}
	return p.take(ctx, playlist, base, found)
}

func (p *Puller) take(ctx context.Context, playlist *m3u8.MediaPlaylist, base *url.URL, found func(Found) error) error {
	segments, err := p.fresh(playlist)
	if err != nil {
		return err
	}
	var failed error
	var unloaded []listed
	for _, s := range segments {
		if s.retold && p.retells {
			continue
		}
		content, err := p.loadSegment(ctx, base, s)
		if err != nil {
			failed = cmp.Or(failed, err)
			unloaded = append(unloaded, s)
			if !p.skips(ctx, unloaded, err) {
				return failed
			}
			continue
		}
		s.Segment = recording.Segment{Sequence: s.sequence, Digest: digest(content)}
		if s.retold {
			if p.retells = p.recorded.has(s.Segment); p.retells {
				continue
			}
			p.anew()
			return p.take(ctx, playlist, base, found)
		}
		for _, lost := range unloaded {
			// What is behind it loads: it is gone.
			p.listed.add(lost.entry, anyLength)
			p.broken = true
		}
		unloaded, failed = nil, nil
		s.Content, s.Continues = content, s.Continues && !p.broken
		if !p.recorded.has(s.Segment) {
			if err := found(s.Found); err != nil {
				return err
			}
		}
		p.broken = false
		p.recorded.add(s.Segment, struct{}{})
		p.listed.add(s.entry, s.Duration)
		p.last, p.begun, p.joined = s.sequence, true, true
	}
	return failed
}

// skips says whether the segments behind one that does not load are tried: when the first of them did not load often enough. The
// playlist may keep it for the whole show. A server that is slow gives none of them sooner.
func (p *Puller) skips(ctx context.Context, unloaded []listed, err error) bool {
	if len(unloaded) == 1 {
		if p.failing != unloaded[0].entry {
			p.failing, p.failures = unloaded[0].entry, 0
		}
		p.failures++
	}
	return p.failures > often && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded)
}

func (p *Puller) loadSegment(ctx context.Context, base *url.URL, s listed) ([]byte, error) {
	at, err := base.Parse(s.address)
	if err != nil {
		return nil, fmt.Errorf("%w: a segment has no usable address", ErrFormat)
	}
	content, _, err := p.get(ctx, at.String(), longestSegment)
	if errors.Is(err, ErrNotLive) {
		// The playlist is there.
		err = errNotThere
	}
	if err != nil {
		return nil, fmt.Errorf("loading segment %d: %w", s.sequence, err)
	}
	return content, nil
}

func (p *Puller) load(ctx context.Context) (*m3u8.MediaPlaylist, *url.URL, error) {
	address, err := p.Address()
	if err != nil {
		return nil, nil, err
	}
	// A list of renditions may lead to the playlist.
	for range 2 {
		// The base is where redirects led to.
		text, answer, err := p.get(ctx, address, longestPlaylist)
		if err != nil {
			return nil, nil, err
		}
		decoded, err := decode(text)
		if err != nil {
			return nil, nil, err
		}
		switch playlist := decoded.(type) {
		case *m3u8.MediaPlaylist:
			if p.isLeft(text, answer.header) {
				return nil, nil, ErrNotLive
			}
			p.target = time.Duration(min(playlist.TargetDuration, 3600)) * time.Second
			return playlist, answer.from, nil
		case *m3u8.MasterPlaylist:
			best := bestOf(playlist)
			if best == nil {
				return nil, nil, fmt.Errorf("%w: it lists no rendition", ErrFormat)
			}
			at, err := answer.from.Parse(best.URI)
			if err != nil {
				return nil, nil, fmt.Errorf("%w: a rendition has no usable address", ErrFormat)
			}
			address = at.String()
		}
	}
	return nil, nil, fmt.Errorf("%w: it leads to another list of renditions", ErrFormat)
}

// granularity is that of the times in an answer.
const granularity = time.Second

// isLeft says whether a playlist is what another broadcast left: the server has not written it since this one began. As it is asked
// for until there is another, a clock that is wrong delays the first look at most, and loses nothing that the playlist still has.
func (p *Puller) isLeft(text []byte, header http.Header) bool {
	if p.joined || p.current || p.Began.IsZero() {
		return false
	}
	written, err := http.ParseTime(header.Get("Last-Modified"))
	now, err2 := http.ParseTime(header.Get("Date"))
	sum := digest(text)
	if err == nil && err2 == nil && now.Sub(written) > p.Clock.Since(p.Began)+granularity && (p.left == "" || p.left == sum) {
		p.left = sum
		return true
	}
	p.current = true
	return false
}

// decode reads a playlist. The library panics on some that are none, and what a server sends must not end a recording.
func decode(text []byte) (playlist m3u8.Playlist, err error) {
	defer func() {
		if recover() != nil {
			playlist, err = nil, fmt.Errorf("%w: it is not a playlist", ErrFormat)
		}
	}()
	playlist, _, err = m3u8.DecodeFrom(bytes.NewReader(text), false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return playlist, nil
}

func bestOf(playlist *m3u8.MasterPlaylist) *m3u8.Variant {
	var best *m3u8.Variant
	for _, v := range playlist.Variants {
		if v != nil && !v.Iframe && (best == nil || v.Bandwidth > best.Bandwidth) {
			best = v
		}
	}
	return best
}

type listed struct {
	Found
	entry
	address string
	// retold says that the playlist said something else of its length before.
	retold bool
}

// anew is for a playlist whose numbers start again.
func (p *Puller) anew() {
	p.begun, p.broken, p.listed = false, true, memory[entry, time.Duration]{room: p.listed.room}
}

// firstNumber is the largest that a playlist which counts its segments begins with: the numbers of another never come again.
const firstNumber = 1

// fresh are the segments that are not known, in order. Those of a playlist that may have begun anew with the same numbers and names are
// among them where their lengths are others: what they hold tells.
func (p *Puller) fresh(playlist *m3u8.MediaPlaylist) ([]listed, error) {
	all, begin, err := list(playlist)
	if err != nil {
		return nil, err
	}
	p.recorded.room, p.listed.room = max(p.recorded.room, 2*len(all)), max(p.listed.room, 2*len(all))
	if !p.joined {
		// The first look of a broadcast.
		for _, s := range all[:begin] {
			p.listed.add(s.entry, anyLength)
		}
		all = all[begin:]
	}
	if len(all) > 0 && p.begun && all[len(all)-1].sequence < p.last {
		p.anew()
	}
	var fresh []listed
	previous, known := p.last, p.begun
	for _, s := range all {
		s.retold = all[0].sequence <= firstNumber && p.isRetold(s)
		if !p.listed.has(s.entry) || s.retold {
			s.Continues = s.Continues && known && s.sequence == previous+1
			fresh = append(fresh, s)
		}
		previous, known = s.sequence, true
	}
	return fresh, nil
}

func (p *Puller) isRetold(s listed) bool {
	length, is := p.listed.known[s.entry]
	return is && length != anyLength && length != s.Duration && !p.retells
}

// list are all segments of the playlist, and which of them is the first after the last discontinuity.
func list(playlist *m3u8.MediaPlaylist) (all []listed, begin int, err error) {
	for i, s := range playlist.Segments {
		if s == nil {
			break
		}
		if s.Map != nil || playlist.Map != nil {
			return nil, 0, fmt.Errorf("%w: its segments are fragmented MP4; set spec.playback.protocol of the PushDomain to FLV or RTMP", ErrFormat)
		}
		if len(s.Keys) > 0 || len(playlist.Keys) > 0 {
			return nil, 0, fmt.Errorf("%w: its segments are encrypted; set spec.playback.protocol of the PushDomain to FLV or RTMP", ErrFormat)
		}
		if s.Discontinuity {
			begin = i
		}
		all = append(all, listed{entry: entry{playlist.SeqNo + uint64(i), withoutQuery(s.URI)}, Found: Found{
			Continues: !s.Discontinuity && !s.Gap, Duration: time.Duration(s.Duration * float64(time.Second)),
		}})
		all[i].address = s.URI
	}
	fromEnd := time.Duration(0)
	for i := len(all) - 1; i >= 0; i-- {
		all[i].FromEnd = fromEnd
		fromEnd += all[i].Duration
	}
	return all, begin, nil
}

// withoutQuery leaves out what a signature may change.
func withoutQuery(uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	return path
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:4])
}

// answer is what came with some content.
type answer struct {
	from   *url.URL
	header http.Header
}

func (p *Puller) get(ctx context.Context, address string, longest int64) (content []byte, a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, a, fmt.Errorf("%w: the address is no URL", ErrFormat)
	}
	response, err := p.Client.Do(request)
	if err != nil {
		// Its text repeats the address, which may be signed.
		return nil, a, withoutAddress(err)
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusNotFound:
		return nil, a, ErrNotLive
	case response.StatusCode != http.StatusOK:
		return nil, a, fmt.Errorf("the answer is %s", response.Status)
	}
	content, err = io.ReadAll(io.LimitReader(response.Body, longest+1))
	if err != nil {
		return nil, a, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(content)) > longest {
		return nil, a, fmt.Errorf("%w: an answer is longer than %d bytes", ErrFormat, longest)
	}
	return content, answer{response.Request.URL, response.Header}, nil
}

func withoutAddress(err error) error {
	if wrapped, is := errors.AsType[*url.Error](err); is {
		return fmt.Errorf("asking for it: %w", wrapped.Err)
	}
	return err
}
