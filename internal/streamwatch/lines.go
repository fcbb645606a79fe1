package streamwatch

import (
	"bufio"
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/runtime"
)

// lines are the frames of a watch in JSON: an API server writes each event on one line.
type lines struct{ runtime.Framer }

func (lines) NewFrameReader(body io.ReadCloser) io.ReadCloser {
	return &lineReader{Closer: body, reader: bufio.NewReaderSize(body, readAhead)}
}

// readAhead is enough for most events. Longer ones are read in parts.
const readAhead = 16 << 10

type lineReader struct {
	io.Closer

	reader *bufio.Reader
	// part is what was read of a line and not yet taken; begun, that some of the line was taken; last, that the line ends with it.
	part        []byte
	begun, last bool
}

// Read reads a line. Of one that is longer than the room for it, it returns the beginning and io.ErrShortBuffer, and the next call goes on; whoever
// calls decides how long is too long. One that the end of the body cuts is io.ErrUnexpectedEOF.
func (l *lineReader) Read(into []byte) (read int, err error) {
	for {
		if len(l.part) == 0 && !l.last {
			if err := l.next(); err != nil {
				return 0, err
			}
		}
		n := copy(into[read:], l.part)
		read, l.part = read+n, l.part[n:]
		l.begun = true
		switch {
		case len(l.part) > 0:
			return read, io.ErrShortBuffer
		case l.last:
			l.begun, l.last = false, false
			return read, nil
		}
	}
}

// next reads on, at most to the end of the line, and past empty ones.
func (l *lineReader) next() error {
	part, err := l.reader.ReadSlice('\n')
	for err == nil && !l.begun && len(part) == 1 {
		part, err = l.reader.ReadSlice('\n')
	}
	switch {
	case err == nil:
		l.last = true
	case errors.Is(err, bufio.ErrBufferFull):
	case errors.Is(err, io.EOF) && (l.begun || len(part) > 0):
		return io.ErrUnexpectedEOF
	default:
		return err
	}
	l.part = part
	return nil
}
