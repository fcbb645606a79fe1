// Package tencent reads the callbacks of Tencent Cloud CSS (Cloud Streaming Services) and signs its playback URLs. It is
// pure: no I/O, no clock.
//
// A callback is a POST of one JSON object. Push callbacks are event_type 1 (started) and 0 (interrupted); both carry the
// `sequence` of their push. CSS sends again, 12 times a minute apart, until it gets a 200 within 20 s.
//
// Source: https://www.tencentcloud.com/document/product/267/38080 (2025-12-03) for the transport and
// https://www.tencentcloud.com/document/product/267/38081 (2024) for the fields.
package tencent

import (
	"crypto/md5" //nolint:gosec // CSS's signature is MD5
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
)

const (
	eventInterrupted = 0
	eventStarted     = 1

	// life is how long CSS says a callback is valid: t is the time of sending plus 10 minutes, on each retry anew.
	life = 10 * time.Minute
	// farthestEvent bounds how far event_time may lie in the future. t already says that the clocks agree; this keeps out
	// nonsense that no time type can hold.
	farthestEvent = 24 * time.Hour

	// Bounds of the texts that reach the API server, in bytes. CSS itself bounds neither.
	longestName    = 255
	longestID      = 64
	longestMessage = 256

	otherKind = "other"
)

// otherKinds are the event types that CSS documents besides pushes; the operator answers them and does nothing.
// Source: https://cloud.tencent.com/document/product/267/47024 (2025).
var otherKinds = map[int64]string{
	100: "recording", 200: "screenshot", 314: "relay", 315: "audio-audit", 317: "image-audit", 321: "push-error",
	328: "monitoring", 329: "streamlive-start", 330: "streamlive-interruption", 332: "recording-status",
	341: "recording-exception", 343: "quality", 344: "evaluation-threshold", 345: "evaluation-average", 348: "summary",
}

// Parser reads push callbacks.
type Parser struct{}

// Parse authenticates the body and returns what it says.
//
// The signature is MD5(key + decimal text of t): it covers neither the rest of the body nor the path, so the other fields
// can be trusted no further than TLS and an unguessable path carry. Kinds that do not tell of a push are accepted however they
// are signed: CSS sends some of them unsigned, and nothing follows from them.
func (Parser) Parse(body []byte, auth provider.Authentication) (provider.Callback, error) {
	f, err := decode(body)
	if err != nil {
		return provider.Callback{}, err
	}
	eventType, there, typeErr := f.integer("event_type", math.MinInt64, math.MaxInt64)
	isPush := typeErr != nil || !there || eventType == eventStarted || eventType == eventInterrupted
	if auth.Required && isPush {
		if err := f.authenticate(auth); err != nil {
			return provider.Callback{}, err
		}
	}
	switch {
	case typeErr != nil:
		return provider.Callback{}, typeErr
	case !there:
		return provider.Callback{}, malformed("event_type is missing; it is 1 for the start of a push and 0 for its interruption")
	case !isPush:
		return provider.Callback{Kind: kindOf(eventType)}, nil
	}
	event, err := f.event(eventType, auth.Now)
	if err != nil {
		return provider.Callback{}, err
	}
	return provider.Callback{Event: event, Kind: event.Kind.String()}, nil
}

func kindOf(eventType int64) string {
	if kind, known := otherKinds[eventType]; known {
		return kind
	}
	return otherKind
}

func (f fields) authenticate(auth provider.Authentication) error {
	sign, err := f.text("sign")
	if err != nil || sign == "" {
		return fmt.Errorf("%w: sign is missing; set the callback key in the CSS callback template", provider.ErrUnauthenticated)
	}
	t, err := f.text("t")
	if err != nil || t == "" {
		return fmt.Errorf("%w: t is missing; set the callback key in the CSS callback template", provider.ErrUnauthenticated)
	}
	// Digits only, so that the text that is hashed and the number that is compared cannot differ.
	seconds, err := strconv.ParseUint(t, 10, 63)
	if err != nil {
		return fmt.Errorf("%w: t must be the expiry in Unix seconds, in digits", provider.ErrUnauthenticated)
	}
	if !signedByAny(auth.Keys, t, sign) {
		return fmt.Errorf("%w: sign matches no callback key of the push domain; put the key of the CSS callback template into the Secret that spec.callback.keySecretRefs names",
			provider.ErrUnauthenticated)
	}
	return checkExpiry(seconds, auth.Now, auth.Skew)
}

func checkExpiry(t uint64, now time.Time, skew time.Duration) error {
	// Compared as whole seconds: time.Unix of an absurd t overflows.
	unix, skewed := now.Unix(), int64(skew/time.Second)
	switch expiry := int64(t); { //nolint:gosec // parsed into 63 bits
	case expiry < unix-skewed:
		return fmt.Errorf("%w: t passed %d s ago; CSS signs every retry anew, so check the operator's clock, or that nothing repeats old callbacks",
			provider.ErrExpired, unix-expiry)
	case expiry > unix+int64(life/time.Second)+skewed:
		return fmt.Errorf("%w: t is more than 10 minutes ahead; check the operator's clock", provider.ErrExpired)
	default:
		return nil
	}
}

// signedByAny tries every key, in constant time, so that the time it takes tells nothing about which one matched.
func signedByAny(keys []string, t, sign string) bool {
	sign = strings.ToLower(sign)
	matched := 0
	for _, key := range keys {
		if key == "" {
			continue
		}
		matched |= subtle.ConstantTimeCompare([]byte(Sign(key, t)), []byte(sign))
	}
	return matched == 1
}

// Sign is the signature of a callback: the lower-case hex MD5 of the callback key and the decimal text of t.
// Source: https://www.tencentcloud.com/document/product/267/38081.
func Sign(key, t string) string {
	sum := md5.Sum([]byte(key + t)) //nolint:gosec // CSS's signature is MD5
	return hex.EncodeToString(sum[:])
}

func (f fields) event(eventType int64, now time.Time) (*provider.Event, error) {
	e := &provider.Event{Kind: provider.Started}
	if eventType == eventInterrupted {
		e.Kind = provider.Interrupted
	}
	if err := f.readIdentity(e); err != nil {
		return nil, err
	}
	at, there, err := f.integer("event_time", 1, now.Add(farthestEvent).Unix())
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, malformed("event_time is missing; it is the time of the event in Unix seconds")
	}
	e.Time = time.Unix(at, 0).UTC()
	e.ClientIP, e.Node = f.address("user_ip"), f.address("node")
	e.Region = regionOf(f)
	e.Width, e.Height = f.pixels("width"), f.pixels("height")
	if e.Kind == provider.Interrupted {
		f.readEnd(e)
	}
	return e, nil
}

// readIdentity leaves channel_id alone: it is not always the stream's name.
func (f fields) readIdentity(e *provider.Event) (err error) {
	for _, name := range []struct {
		field   string
		longest int
		into    *string
	}{
		{"app", longestName, &e.Domain},
		{"appname", longestName, &e.App},
		{"stream_id", longestName, &e.Stream},
		{"sequence", longestID, &e.Sequence},
	} {
		if *name.into, err = f.identity(name.field, name.longest); err != nil {
			return err
		}
	}
	e.AppID, _, err = f.integer("appid", 0, math.MaxInt64)
	return err
}

// readEnd takes what it does not understand as unknown: the push is over, whatever is said about why, and an interruption that
// is refused is lost.
func (f fields) readEnd(e *provider.Event) {
	if code, _, err := f.integer("errcode", math.MinInt32, math.MaxInt32); err == nil {
		e.ErrorCode = int32(code) //nolint:gosec // bounded above
	}
	e.Reason = ReasonOf(e.ErrorCode)
	e.Message = f.remark("errmsg", longestMessage)
	if duration, there, err := f.integer("push_duration", 0, int64(math.MaxInt64/time.Millisecond)); err == nil && there {
		e.Duration = &duration
	}
}

// address is an IP address, or "" for anything else: it is written into the environment of workloads.
func (f fields) address(name string) string {
	text, err := f.text(name)
	if err != nil {
		return ""
	}
	address, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil || address.Zone() != "" {
		return ""
	}
	return address.String()
}

func regionOf(f fields) v1alpha1.Region {
	switch set, there, err := f.integer("set_id", 1, 200); {
	case err != nil || !there:
		return ""
	case set <= 6:
		return v1alpha1.RegionMainlandChina
	default:
		return v1alpha1.RegionGlobal
	}
}
