package cssapi

import (
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnswersThatCouldHarmAreRefused(t *testing.T) {
	t.Parallel()
	var followed int
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed++ }))
	t.Cleanup(elsewhere.Close)
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"one without an end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 5 {
				_, _ = w.Write([]byte(strings.Repeat(" ", 1<<20)))
			}
		}, "no JSON"},
		"one that unpacks to a multiple of its size": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 64 {
				_, _ = z.Write([]byte(strings.Repeat(" ", 1<<20)))
			}
			_ = z.Close()
		}, "no JSON"},
		"one that leads elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(row.answer)
			t.Cleanup(server.Close)
			api, err := New(server.URL, Credentials{SecretID: "id", SecretKey: "key"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := api.OnlineStreams(t.Context(), "push.example.com"); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error = %v, want one that says %q", err, row.want)
			}
			if followed > 0 {
				t.Error("the request went to where the answer led")
			}
		})
	}
}

func TestALongAnswerIsNoShorterOne(t *testing.T) {
	t.Parallel()
	l := &limited{ReadCloser: http.NoBody, left: -1}
	if n, err := l.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errTooLong) {
		t.Errorf("Read() = %d, %v", n, err)
	}
}
