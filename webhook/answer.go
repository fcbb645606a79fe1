package webhook

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

var (
	errNoSuchPath    = errors.New("no push domain has this path; compare it with status.callbackPath of the PushDomain")
	errMethod        = errors.New("callbacks are sent with POST")
	errOtherDomain   = errors.New("the callback is for another push domain; compare app with spec.domain of the PushDomain, and the URL in the CSS console with its status.callbackPath")
	errOtherAppID    = errors.New("the callback is for another account; compare appid with spec.appID of the PushDomain")
	errUnreadable    = errors.New("the body could not be read; send all of it, within 5 seconds")
	errTooManyAtOnce = errors.New("too many callbacks at once; send it again")
	// errNoRoom is of an event that nothing may be lost of, and that the PushDomain's status has no place for.
	errNoRoom = errors.New("too many pushes of streams that have no LiveStream; send it again, or make their LiveStreams")
	// errStore hides what the API server said from whoever sent the callback; the log has it.
	errStore = errors.New("the event could not be stored; send it again")
	errKeys  = errors.New("the callback keys could not be read; send it again")
)

// statuses is the one place where an error becomes a status. The first that fits counts; without one it is 503: what we do
// not know is no fault of the sender, and it shall come again.
var statuses = []struct {
	err    error
	status int
	result string
}{
	{errNoSuchPath, http.StatusNotFound, "not-found"},
	{errMethod, http.StatusMethodNotAllowed, "method"},
	{errUnreadable, http.StatusBadRequest, "malformed"},
	{provider.ErrMalformed, http.StatusBadRequest, "malformed"},
	{provider.ErrExpired, http.StatusUnauthorized, "expired"},
	{provider.ErrUnauthenticated, http.StatusUnauthorized, "unauthenticated"},
	{errOtherDomain, http.StatusForbidden, "other-domain"},
	{errOtherAppID, http.StatusForbidden, "other-appid"},
	{errTooManyAtOnce, http.StatusServiceUnavailable, "busy"},
	{errNoRoom, http.StatusServiceUnavailable, "no-room"},
	{push.ErrTooManyLive, http.StatusServiceUnavailable, "too-many-live"},
}

// statusOf returns the status of an error, and how metrics name the result.
func statusOf(err error) (status int, result string) {
	if isTooLarge(err) {
		return http.StatusRequestEntityTooLarge, "too-large"
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status, s.result
		}
	}
	return http.StatusServiceUnavailable, "unavailable"
}

func isTooLarge(err error) bool {
	_, is := errors.AsType[*http.MaxBytesError](err)
	return is
}

type body struct {
	Code    int    `json:"code"`
	Message string `json:"message,omitempty"`
}

// accept answers with exactly 200, which is all that the sender looks at.
func accept(w http.ResponseWriter) { write(w, http.StatusOK, body{}) }

func refuse(w http.ResponseWriter, status int, err error) {
	message := err.Error()
	switch {
	case isTooLarge(err):
		message = "the body is larger than 64 KiB; a callback is not"
	case status == http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfterSeconds)
	}
	write(w, status, body{Code: status, Message: message})
}

func write(w http.ResponseWriter, status int, answer body) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The sender may be gone; the event is stored either way.
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // see above
}
