package store

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestWhatGoesWrongOnTheWayIsSentAgain puts and reads the same 12 MiB, three parts, past a server that fails now and then.
func TestWhatGoesWrongOnTheWayIsSentAgain(t *testing.T) {
	t.Parallel()
	type fault func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool
	content := random(12 << 20)
	for name, makeFault := range map[string]func() fault{
		"bodies are cut": func() fault {
			twice := times(2)
			return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if isBody(r) && twice() {
					_, _ = r.Body.Read(make([]byte, 1<<10))
					cut()
				}
				return false
			}
		},
		"bodies are changed on the way": func() fault {
			twice := times(2)
			return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if isBody(r) && twice() {
					r.Body = &changed{ReadCloser: r.Body}
				}
				return false
			}
		},
		"the server is overloaded": func() fault {
			thrice := times(3)
			return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
				busy := thrice()
				if busy {
					refuse(w, http.StatusServiceUnavailable, "SlowDown")
				}
				return busy
			}
		},
		"the answer is lost that all parts are one object now": func() fault {
			once := times(1)
			return func(_ http.ResponseWriter, r *http.Request, forward http.Handler) bool {
				if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && once() {
					forward.ServeHTTP(&unheard{header: http.Header{}}, r)
					cut()
				}
				return false
			}
		},
		"the answers to bodies are lost": func() fault {
			twice := times(2)
			return func(_ http.ResponseWriter, r *http.Request, forward http.Handler) bool {
				if isBody(r) && twice() {
					forward.ServeHTTP(&unheard{header: http.Header{}}, r)
					cut()
				}
				return false
			}
		},
		"what is read breaks off halfway": func() fault {
			twice := times(2)
			return func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/x") && twice() {
					forward.ServeHTTP(&halfway{w, 1 << 20}, r)
				}
				return false
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var met atomic.Int64
			meet := makeFault()
			at := server(t).through(t, func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
				defer func() {
					if fault := recover(); fault != nil {
						met.Add(1)
						panic(fault)
					}
				}()
				before := r.Body
				answered := meet(w, r, forward)
				if answered || r.Body != before {
					met.Add(1)
				}
				return answered
			})
			for doing, put := range map[string]func(*S3) (Object, error){
				"put":    func(s *S3) (Object, error) { return s.Put(t.Context(), "x", file(t, content)) },
				"stream": func(s *S3) (Object, error) { return s.PutStream(t.Context(), "x", bytes.NewReader(content)) },
			} {
				o := at.options()
				o.Prefix, o.PartBytes = CleanKey(t.Name())+"/"+doing, smallPart
				s := open(t, o)
				stored, err := put(s)
				if err != nil || stored.Size != int64(len(content)) || stored.SHA256 == "" {
					t.Fatalf("%s: %+v, %v", doing, stored, err)
				}
				if !bytes.Equal(read(t, s, "x"), content) {
					t.Errorf("%s: what is read is not what was stored", doing)
				}
				nothingHalfWritten(t, s)
			}
			if met.Load() == 0 {
				t.Error("the fault was never met: the test shows nothing")
			}
		})
	}
}

// unheard takes an answer that nobody gets.
type unheard struct{ header http.Header }

func (u *unheard) Header() http.Header         { return u.header }
func (u *unheard) Write(p []byte) (int, error) { return len(p), nil }
func (u *unheard) WriteHeader(int)             {}
