package store

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
)

// TestWhatAnotherStoredMeanwhileStays has another worker store under the key between what is sent and the look at it.
func TestWhatAnotherStoredMeanwhileStays(t *testing.T) {
	t.Parallel()
	const another = "what another worker stored"
	for name, row := range map[string]struct {
		size   int
		method string
		// lost is the answer to it.
		lost bool
	}{
		"after one request":                 {10, http.MethodPut, false},
		"after parts":                       {3 * smallPart, http.MethodPost, false},
		"after parts whose answer was lost": {3 * smallPart, http.MethodPost, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, at := newFakeS3(t)
			once := times(1)
			at = at.through(t, func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
				if r.Method != row.method || r.Method == http.MethodPost && !r.URL.Query().Has("uploadId") || !once() {
					return false
				}
				if row.lost {
					w = &unheard{header: http.Header{}}
				}
				forward.ServeHTTP(w, r)
				fake.mu.Lock()
				fake.objects["x"] = fake.keep([]byte(another), http.Header{})
				fake.mu.Unlock()
				if row.lost {
					cut()
				}
				return true
			})
			o := at.options()
			o.PartBytes = smallPart
			s := open(t, o)
			if _, err := s.PutStream(t.Context(), "x", bytes.NewReader(random(row.size))); !errors.Is(err, errVerify) || Permanent(err) {
				t.Errorf("error = %v", err)
			}
			if got := string(read(t, s, "x")); got != another {
				t.Errorf("%d bytes are there, want what another stored", len(got))
			}
		})
	}
}

func TestWhatTheServerSpoiledIsDeleted(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"one request": 10, "parts": 3 * smallPart} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, at := newFakeS3(t)
			fake.spoil = func(content []byte) []byte { return append(content, 0) }
			o := at.options()
			o.PartBytes = smallPart
			if _, err := open(t, o).PutStream(t.Context(), "x", bytes.NewReader(random(size))); !errors.Is(err, errVerify) {
				t.Errorf("error = %v", err)
			}
			if len(fake.objects) > 0 {
				t.Error("what is not what was sent is still there")
			}
		})
	}
}
