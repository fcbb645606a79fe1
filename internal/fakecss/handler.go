package fakecss

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// longestForm bounds what nginx posts, in bytes.
const longestForm = 64 << 10

// Handler takes what the ingest posts, on /ingest, with ?server=NAME where there is more than one; and what the user asks for:
//
//	POST /control/next?errcode=12[&message=TEXT][&app=APP][&stream=STREAM][&count=N]   how the next interruptions are
//	POST /control/cut?errcode=21[&app=APP][&stream=STREAM]                             end a push
//	GET  /control/pushes                                                               what is on air
//
// It has no authentication: let it listen on this machine alone.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ingest", s.serveIngest)
	mux.HandleFunc("POST /control/next", s.serveInterruption(func(how Interruption) error {
		s.NextInterruption(how)
		return nil
	}))
	mux.HandleFunc("POST /control/cut", s.serveInterruption(s.Cut))
	mux.HandleFunc("GET /control/pushes", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(append([]Push{}, s.Pushes()...)) // the caller is gone then
	})
	return mux
}

// serveIngest answers as nginx-rtmp reads it: 2xx goes on, 3xx goes on elsewhere, anything else is refused.
func (s *Server) serveIngest(w http.ResponseWriter, r *http.Request) {
	form, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longestForm))
	if err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	n, err := parseNotice(r.URL.Query().Get("server"), string(form))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status, location := http.StatusOK, ""
	s.do(func(e *engine, now time.Time) {
		switch n.call {
		case publish:
			switch v := e.published(n, now); {
			case v.refused:
				status = http.StatusForbidden
			case v.relayTo != "":
				location = v.relayTo
			case v.stream != n.stream:
				location = v.stream
			}
		case publishDone:
			e.unpublished(n.client, now)
		case update:
			e.updated(n, now)
		case play:
			if len(e.onAir(e.nameOf(n))) == 0 {
				status = http.StatusNotFound
			}
		}
	})
	if location != "" {
		// Not http.Redirect, which would make it a path.
		w.Header().Set("Location", location)
		status = http.StatusFound
	}
	w.WriteHeader(status)
}

func (s *Server) serveInterruption(do func(Interruption) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		how, err := interruptionOf(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch err := do(how); {
		case errors.Is(err, ErrNotOnAir):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusConflict)
		}
	}
}

func interruptionOf(r *http.Request) (Interruption, error) {
	how := Interruption{App: r.FormValue("app"), Stream: r.FormValue("stream"), Message: r.FormValue("message"), Count: 1}
	code, err := strconv.ParseInt(r.FormValue("errcode"), 10, 32)
	if err != nil {
		return Interruption{}, fmt.Errorf("errcode must be a number, such as 1 for a client that stopped or 12 for the network: %w", err)
	}
	how.Code = int32(code)
	if count := r.FormValue("count"); count != "" {
		if how.Count, err = strconv.Atoi(count); err != nil || how.Count < 1 {
			return Interruption{}, errors.New("count must be a number from 1")
		}
	}
	return how, nil
}
