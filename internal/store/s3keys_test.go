package store

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestRenewedCredentialsSignTheNextRequestAndAreHiddenAsThoseBefore(t *testing.T) {
	t.Parallel()
	var asked []string
	now := []string{"FIRST", "first-secret", "first-token"}
	o := S3Options{Endpoint: "s3.example.com", Region: "r", Bucket: "recordings", AccessKeyID: now[0], SecretAccessKey: now[1], SessionToken: now[2]}
	o.Renewed = func() (id, secret, token string, err error) { return now[0], now[1], now[2], nil }
	o.Transport = answers(func(r *http.Request) (int, string, string) {
		_, id, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		id, _, _ = strings.Cut(id, "/")
		asked = append(asked, id+" "+r.Header.Get("X-Amz-Security-Token"))
		return http.StatusForbidden, "", "<Error><Code>ExpiredToken</Code><Message>FIRST first-secret first-token SECOND second-secret second-token</Message></Error>"
	})
	s := open(t, o)
	_ = s.Delete(t.Context(), "x")
	now = []string{"SECOND", "second-secret", "second-token"}
	err := s.Delete(t.Context(), "x")
	if want := []string{"FIRST first-token", "SECOND second-token"}; !slices.Equal(asked, want) {
		t.Errorf("asked as %q, want %q", asked, want)
	}
	for _, secret := range []string{"FIRST", "first-", "SECOND", "second-"} {
		if !errors.Is(err, ErrDenied) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
			t.Errorf("%q holds %q", err, secret)
		}
	}
}

func TestNothingIsSentUnsignedWhileCredentialsAreMissing(t *testing.T) {
	t.Parallel()
	gone := errors.New("the file is gone")
	for name, renewed := range map[string]func() (string, string, string, error){
		"they cannot be read": func() (string, string, string, error) { return "id", "secret", "", gone },
		"they are empty":      func() (string, string, string, error) { return "", "", "", nil },
	} {
		o := S3Options{Endpoint: "s3.example.com", Region: "r", Bucket: "recordings", AccessKeyID: "id", SecretAccessKey: "secret", Renewed: renewed}
		o.Retry.Clock = newLeaping()
		o.Transport = answers(func(r *http.Request) (int, string, string) {
			t.Errorf("%s: %s %s was sent", name, r.Method, r.URL)
			return http.StatusOK, "", ""
		})
		if err := open(t, o).Delete(t.Context(), "x"); err == nil || Permanent(err) {
			t.Errorf("%s: %v, want an error that may pass", name, err)
		}
	}
}
