package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// still is an answer of which nothing more comes after so many bytes, over a connection that stays.
type still struct {
	http.ResponseWriter

	until <-chan struct{}
	left  int
}

func (s *still) Write(p []byte) (int, error) {
	if s.left -= len(p); s.left < 0 {
		_, _ = s.ResponseWriter.Write(p[:len(p)+s.left])
		_ = http.NewResponseController(s.ResponseWriter).Flush()
		<-s.until
		cut()
	}
	return s.ResponseWriter.Write(p)
}

func TestAnAnswerThatStandsStillIsAskedForAnew(t *testing.T) {
	t.Parallel()
	content := random(3 << 20)
	for name, row := range map[string]struct {
		after int
		read  func(context.Context, *S3) (int, error)
	}{
		"what is read": {1 << 20, func(ctx context.Context, s *S3) (int, error) {
			in, err := s.Open(ctx, "x")
			if err != nil {
				return 0, err
			}
			got, err := io.ReadAll(in)
			if err == nil && !bytes.Equal(got, content) {
				t.Error("it is not what was stored")
			}
			return len(got), errors.Join(err, in.Close())
		}},
		"a list": {50, func(ctx context.Context, s *S3) (int, error) {
			objects, err := s.List(ctx, "")
			if err != nil || len(objects) != 1 {
				return len(objects), err
			}
			return int(objects[0].Size), nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			once := times(1)
			at := server(t).through(t, func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
				if r.Method != http.MethodGet || r.URL.Query().Has("location") || !once() {
					return false
				}
				forward.ServeHTTP(&still{w, r.Context().Done(), row.after}, r)
				return true
			})
			o := at.options()
			o.Idle, o.Prefix = 200*time.Millisecond, strings.ReplaceAll(name, " ", "-")
			s := open(t, o)
			if _, err := s.PutStream(t.Context(), "x", bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if got, err := row.read(ctx, s); err != nil || got != len(content) {
				t.Errorf("%d bytes, %v", got, err)
			}
			if once() {
				t.Error("nothing stood still: the test shows nothing")
			}
		})
	}
}
