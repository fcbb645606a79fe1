package faultproxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// longestFrame is far beyond any object.
const longestFrame = 16 << 20

var errFrame = errors.New("a watch's frame is too long")

// frame is one event of a watch, as it is on the wire.
type frame struct {
	bytes    []byte
	bookmark bool
}

// frames reads the events of a watch, in JSON or protobuf.
type frames struct {
	reader *bufio.Reader
	binary bool
}

func newFrames(response *http.Response) *frames {
	return &frames{reader: bufio.NewReader(response.Body), binary: strings.Contains(response.Header.Get("Content-Type"), "protobuf")}
}

func (f *frames) next() (frame, error) {
	if !f.binary {
		line, err := f.reader.ReadBytes('\n')
		return frame{bytes: line, bookmark: strings.HasPrefix(string(line[:min(len(line), 64)]), `{"type":"BOOKMARK"`)}, err
	}
	var length [4]byte
	if _, err := io.ReadFull(f.reader, length[:]); err != nil {
		return frame{}, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > longestFrame {
		return frame{}, errFrame
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(f.reader, body); err != nil {
		return frame{}, err
	}
	// The type is the first field of a WatchEvent.
	const bookmark = "\x0a\x08BOOKMARK"
	return frame{bytes: append(length[:], body...), bookmark: strings.HasPrefix(string(body[:min(len(body), 64)]), bookmark)}, nil
}

// gone is the last event of a watch whose resourceVersion is too old.
func (f *frames) gone() ([]byte, error) {
	status := &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Message: "too old resource version", Reason: metav1.StatusReasonExpired, Code: http.StatusGone,
	}
	if !f.binary {
		text, err := json.Marshal(status)
		return fmt.Appendf(nil, `{"type":"ERROR","object":%s}`+"\n", text), err
	}
	var object bytes.Buffer
	if err := protobuf.NewSerializer(clientgoscheme.Scheme, clientgoscheme.Scheme).Encode(status, &object); err != nil {
		return nil, fmt.Errorf("encoding the end of a watch: %w", err)
	}
	// A WatchEvent is its type and an object, which is a message with bytes in it.
	event := field(2, field(1, object.Bytes()))
	event = append(field(1, []byte("ERROR")), event...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(event))), event...), nil //nolint:gosec // some 200 bytes
}

// field is a field of bytes in protobuf.
func field(number byte, value []byte) []byte {
	return append(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(value))), value...)
}

// stream passes a watch on, with what is wrong with it, and counts it when something is.
func (p *Proxy) stream(w http.ResponseWriter, r *http.Request, response *http.Response, fault Watch, count func()) {
	copyHeader(w, response)
	control := http.NewResponseController(w)
	_ = control.Flush()
	source := newFrames(response)
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	events, late, life := 0, source.late(r.Context(), fault.Lag), lifeOf(fault)
	for {
		var next delayed
		select {
		case n, goesOn := <-late:
			if !goesOn {
				return
			}
			next = n
		case <-ended:
			return
		case <-life:
			count()
			source.end(w)
			return
		}
		p.pause(r.Context(), time.Until(next.due))
		if !next.bookmark {
			events++
			if fault.Lag > 0 {
				count()
			}
		}
		if fault.Freeze > 0 && events >= fault.FreezeAt {
			count()
			p.pause(r.Context(), fault.Freeze)
			fault.Freeze = 0
		}
		passed, goesOn := fault.passes(next, events)
		if passed == nil {
			count()
		}
		if !goesOn && fault.Gone > 0 {
			source.end(w)
		}
		if _, err := w.Write(passed); err != nil || !goesOn {
			return
		}
		_ = control.Flush()
	}
}

// lifeOf is when the watch is too old; never, where it has no such end.
func lifeOf(w Watch) <-chan time.Time {
	if w.Life == 0 {
		return nil
	}
	return time.After(w.Life)
}

// end says that the watch is too old.
func (f *frames) end(w http.ResponseWriter) {
	if last, err := f.gone(); err == nil {
		_, _ = w.Write(last) //nolint:gosec // what an API server says
	}
}

// passes says what of the event passes, and whether the watch goes on after it.
func (w Watch) passes(next delayed, events int) (passed []byte, goesOn bool) {
	switch {
	case next.bookmark:
		return next.bytes, true
	case w.Gone > 0 && events >= w.Gone, w.Cut > 0 && events >= w.Cut:
		return nil, false
	case events == w.Lose:
		return nil, true
	default:
		return next.bytes, true
	}
}

// delayed is an event that is due later.
type delayed struct {
	frame

	due time.Time
}

// late are the events with the time at which they are due.
func (f *frames) late(ctx context.Context, lag time.Duration) <-chan delayed {
	events := make(chan delayed, 4096)
	go func() {
		defer close(events)
		for {
			next, err := f.next()
			if err != nil {
				return
			}
			select {
			case events <- delayed{next, time.Now().Add(lag)}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events
}
