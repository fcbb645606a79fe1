// Package provider holds what the callbacks of every live service have in common: the event they tell of, and the ways in
// which one can be refused. Each service is a package of its own below it, pure: bytes, keys and a time in, a value out.
package provider

import (
	"errors"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Parser turns the body of a callback into what it says.
//
// Its errors wrap ErrMalformed, ErrUnauthenticated or ErrExpired, never hold a key, and their text says what the sender, or whoever
// set the sender up, has to do.
type Parser interface {
	Parse(body []byte, auth Authentication) (Callback, error)
}

// Authentication is what a callback is checked with.
type Authentication struct {
	// Required is false only where the user switched signatures off; then nothing below but Now is used.
	Required bool
	// Keys are tried in turn. An empty key never matches.
	Keys []string
	// Skew is how far past its expiry, or beyond the longest life, a callback is accepted.
	Skew time.Duration
	// Now is the receiver's clock.
	Now time.Time
}

var (
	// ErrMalformed means: the body is not a callback of the service.
	ErrMalformed = errors.New("malformed callback")
	// ErrUnauthenticated means: no key signed the callback. Reading the keys again may help.
	ErrUnauthenticated = errors.New("unauthenticated callback")
	// ErrExpired means: a key signed the callback, but it is out of date. Reading the keys again does not help.
	ErrExpired = errors.New("expired callback")
)

// Callback is what a callback says: a push event, or something that the operator has no use for.
type Callback struct {
	// Event is nil for kinds of callback that do not tell of a push.
	Event *Event
	// Kind names the kind of callback, from a bounded set, for metrics.
	Kind string
}

// EventKind is what happened to a push.
type EventKind int

const (
	// Started means: the push is on air.
	Started EventKind = iota + 1
	// Interrupted means: the push is over, for whatever reason.
	Interrupted
)

// String is the kind as metrics and logs name it.
func (k EventKind) String() string {
	switch k {
	case Started:
		return "start"
	case Interrupted:
		return "interruption"
	default:
		return "unknown"
	}
}

// Event says that one push started or was interrupted. Zero values are unknown.
type Event struct {
	Kind EventKind
	// Domain, App and Stream identify the stream; Sequence the push. AppID is the account, 0 when the callback has none.
	Domain, App, Stream, Sequence string
	AppID                         int64
	// Time is when it happened by the service's clock.
	Time time.Time
	// ClientIP is the pusher's address, Node the ingest node's.
	ClientIP, Node string
	Region         v1alpha1.Region
	// Width and Height in pixels.
	Width, Height int32
	// Duration is how long the push was on air, in milliseconds; nil where the service does not say. Interruptions only.
	Duration *int64
	// ErrorCode, Reason and Message say why the push ended. Interruptions only.
	ErrorCode int32
	Reason    v1alpha1.PushReason
	Message   string
}
