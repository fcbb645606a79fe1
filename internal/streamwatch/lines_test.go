package streamwatch

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
)

// frames reads as streaming.NewDecoder does, with room that doubles.
func frames(tb testing.TB, body io.Reader, room int) (all []string, err error) {
	tb.Helper()
	reader := lines{}.NewFrameReader(io.NopCloser(body))
	into, base := make([]byte, room), 0
	for {
		n, err := reader.Read(into[base:])
		switch {
		case errors.Is(err, io.ErrShortBuffer) && n > 0:
			into, base = append(into, make([]byte, len(into))...), base+n
		case err != nil:
			return all, err
		default:
			all, base = append(all, string(into[:base+n])), 0
		}
	}
}

func TestEachLineIsAFrameHoweverItComes(t *testing.T) {
	t.Parallel()
	var want []string
	for _, length := range []int{1, 2, 1023, 1024, 1025, readAhead - 1, readAhead, readAhead + 1, 3 * readAhead, 5} {
		want = append(want, strings.Repeat("x", length)+"\n")
	}
	text := strings.Join(want, "")
	for name, how := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with the end": iotest.DataErrReader, "in halves": iotest.HalfReader,
	} {
		for _, room := range []int{1, 1024, 1 << 20} {
			for _, end := range []struct {
				text string
				err  error
			}{{"", io.EOF}, {"\n\n", io.EOF}, {"x", io.ErrUnexpectedEOF}, {strings.Repeat("x", readAhead), io.ErrUnexpectedEOF}, {strings.Repeat("x", 2*readAhead+1), io.ErrUnexpectedEOF}} {
				got, err := frames(t, how(strings.NewReader(text+end.text)), room)
				if !errors.Is(err, end.err) || !slices.Equal(got, want) {
					t.Errorf("%s, with room for %d, and %d bytes more: %d lines and %v, want %d and %v", name, room, len(end.text), len(got), err, len(want), end.err)
				}
			}
		}
	}
}

func TestABodyThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	why := errors.New("the connection was lost")
	for _, begun := range []string{"", "x", "x\n"} {
		if _, err := frames(t, io.MultiReader(strings.NewReader(begun), iotest.ErrReader(why)), 1024); !errors.Is(err, why) {
			t.Errorf("after %q: %v, want %v", begun, err, why)
		}
	}
}

// endless is a line without end.
type endless struct{ read int }

func (e *endless) Read(into []byte) (int, error) {
	for i := range into {
		into[i] = 'x'
	}
	e.read += len(into)
	return len(into), nil
}

func TestALineWithoutEndIsGivenUp(t *testing.T) {
	t.Parallel()
	body := &endless{}
	_, _, err := over(t, serializers{serializer.NewCodecFactory(newScheme(t)).WithoutConversion()}, io.NopCloser(body)).Decode()
	// streaming's bound.
	const longest = 16 << 20
	if !strings.Contains(err.Error(), streaming.ErrObjectTooLarge.Error()) || body.read > longest+2*readAhead {
		t.Errorf("it fails with %v after %d bytes, want %v after %d", err, body.read, streaming.ErrObjectTooLarge, longest)
	}
}
