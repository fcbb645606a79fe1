package mpegts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

// A store tells of a broken connection with an error that wraps the end of a file: that is no end of the piece.
func TestAReaderThatBreaksIsNoEnd(t *testing.T) {
	t.Parallel()
	piece := second(90000, typeAAC).Bytes()
	for name, row := range map[string]struct {
		content []byte
		err     error
	}{
		"between packets":          {piece[:10*PacketSize], fmt.Errorf("reading part: %w", io.EOF)},
		"in a packet":              {piece[:10*PacketSize+50], fmt.Errorf("reading part: %w", io.EOF)},
		"in a packet, unexpected":  {piece[:10*PacketSize+50], io.ErrUnexpectedEOF},
		"in a packet, and wrapped": {piece[:10*PacketSize+50], fmt.Errorf("reading part: %w", io.ErrUnexpectedEOF)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader := func() io.Reader { return io.MultiReader(bytes.NewReader(row.content), failing{row.err}) }
			if _, err := Scan(reader()); !errors.Is(err, row.err) {
				t.Errorf("scanned with %v, want %v", err, row.err)
			}
			if err := Move(io.Discard, reader(), 1); !errors.Is(err, row.err) {
				t.Errorf("moved with %v, want %v", err, row.err)
			}
		})
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }
