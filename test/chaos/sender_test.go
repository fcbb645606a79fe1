//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
)

const (
	clean = 1 // the client stopped
	lost  = 3 // anything that has the long window

	// CSS tries again after a minute, and waits 20 s for an answer.
	retryAfter     = 100 * time.Millisecond
	answerPatience = 10 * time.Second
	// It gives up after 16 minutes; nothing goes wrong for that long here.
	givesUp = 90 * time.Second
)

// event is what a callback tells.
type event struct {
	stream, sequence string
	start            bool
	code             int32
	at               time.Time
	// exact says that all that is sent of the push and the kind has this time.
	exact bool
}

func started(stream, sequence string) event {
	return event{stream: stream, sequence: sequence, start: true, at: time.Now()}
}

func ended(stream, sequence string, code int32) event {
	return event{stream: stream, sequence: sequence, code: code, at: time.Now()}
}

func (e event) callback() css.Callback {
	p := css.Push{Domain: "push.example.com", App: "live", Stream: e.stream, Sequence: e.sequence, AppID: 1, ClientIP: "1.1.1.1", Node: "2.2.2.2"}
	if e.start {
		return p.Start(e.at)
	}
	return p.Interruption(e.at, time.Minute, e.code, "ended")
}

// isIn says whether the push is the event's, and is told of it.
func (e event) isIn(p v1alpha1.Push) bool {
	if p.Sequence != e.sequence || !e.start && p.EndTime == nil {
		return false
	}
	if !e.exact {
		return true
	}
	// Callbacks have whole seconds. A push whose end came first has the start that its duration tells.
	if e.start {
		return p.EndTime != nil || p.StartTime != nil && p.StartTime.Unix() == e.at.Unix()
	}
	return p.EndTime.Unix() == e.at.Unix() && p.ErrorCode != nil && *p.ErrorCode == e.code
}

// deliver sends the event until it is answered 200, to one receiver after the other from the given one on, and looks right then
// whether the API server has it.
func (w *world) deliver(e event, first int) error {
	w.note(e)
	deadline := time.After(givesUp)
	for try := first; ; try++ {
		status, err := w.post(e, w.receivers[try%len(w.receivers)])
		if err == nil && status == http.StatusOK {
			w.noteTaken(e)
			w.look(e)
			return nil
		}
		if err == nil {
			err = fmt.Errorf("answered %d", status)
		}
		if status != 0 && status != http.StatusServiceUnavailable && status != http.StatusNotFound && !w.mayRefuse(status) {
			w.fail(disagreement, "a good callback is %v", err)
		}
		select {
		case <-w.ctx.Done():
			return fmt.Errorf("the callback was never taken: %d, %w", status, w.ctx.Err())
		case <-deadline:
			return fmt.Errorf("the callback was not taken in %s: %d, %w", givesUp, status, err)
		case <-time.After(retryAfter):
		}
	}
}

func (w *world) post(e event, to *replica) (int, error) {
	ctx, cancel := context.WithTimeout(w.ctx, answerPatience)
	defer cancel()
	status, _, err := css.Post(ctx, "http://"+to.address()+"/callbacks/"+w.name+"/shows", e.callback().Signed(callbackKey, time.Now()))
	return status, err
}

// isStored asks the API server itself. What no LiveStream had when it came waits in the PushDomain to be claimed; an operator whose
// watch lost a LiveStream puts it there, too.
func (w *world) isStored(e event) {
	stream, domain := &v1alpha1.LiveStream{}, &v1alpha1.PushDomain{}
	err := installed.API.Get(w.ctx, client.ObjectKey{Namespace: w.name, Name: e.stream}, stream)
	if apierrors.IsNotFound(err) || w.ctx.Err() != nil {
		return
	}
	if err == nil && slices.ContainsFunc(stream.Status.Pushes, e.isIn) {
		return
	}
	err = errors.Join(err, installed.API.Get(w.ctx, client.ObjectKey{Namespace: w.name, Name: "shows"}, domain))
	if slices.ContainsFunc(domain.Status.UnclaimedPushes, func(p v1alpha1.UnclaimedPush) bool { return e.isIn(p.Push) && p.StreamName == e.stream }) {
		return
	}
	// It may have been claimed between the two looks.
	if err == nil && installed.API.Get(w.ctx, client.ObjectKeyFromObject(stream), stream) == nil && slices.ContainsFunc(stream.Status.Pushes, e.isIn) {
		return
	}
	w.fail(ackedLost, "push %s of %s (start: %v) was answered 200 and is not in the status: %v", e.sequence, e.stream, e.start, err)
}

// typeless sends a callback that does not say what it is about.
func (w *world) typeless(sequence string) step {
	return func() error {
		var fields map[string]any
		if err := json.Unmarshal(ended("show", sequence, clean).callback().Signed(callbackKey, time.Now()), &fields); err != nil {
			return err
		}
		delete(fields, "event_type")
		body, err := json.Marshal(fields)
		if err != nil {
			return err
		}
		return w.until("a callback without a type is refused", func() error {
			status, _, err := css.Post(w.ctx, "http://"+w.replicas[0].address()+"/callbacks/"+w.name+"/shows", body)
			if status == http.StatusOK {
				w.fail(disagreement, "a callback without a type is answered 200")
				return nil
			}
			if err == nil && status != http.StatusBadRequest {
				err = fmt.Errorf("answered %d", status)
			}
			return err
		})
	}
}
