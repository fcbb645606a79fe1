package v1alpha1

import "time"

// The one place where unset fields get their meaning; the field comments say the same.
const (
	defaultClockSkew       = 60 * time.Second
	defaultReconnectWindow = 60 * time.Second
	defaultCleanStopWindow = 5 * time.Second
	defaultHistoryLimit    = 5
	defaultURLValidity     = 24 * time.Hour
)

func secondsOr(seconds *int32, unset time.Duration) time.Duration {
	if seconds == nil {
		return unset
	}
	return time.Duration(*seconds) * time.Second
}

// Suspended says whether pushes start nothing.
func (s *LiveStreamSpec) Suspended() bool { return s.State == LiveStreamSuspended }

// Window is how long workloads stay up after the last live push ended for the given reason.
func (s *LiveStreamSpec) Window(reason PushReason) time.Duration {
	switch reason {
	case PushReasonClientStopped, PushReasonIdleTimeout, PushReasonRefused:
		return secondsOr(s.CleanStopWindowSeconds, defaultCleanStopWindow)
	default:
		return secondsOr(s.ReconnectWindowSeconds, defaultReconnectWindow)
	}
}

// HistoryEntries is how many ended broadcasts are kept.
func (s *LiveStreamSpec) HistoryEntries() int {
	if s.HistoryLimit == 0 {
		return defaultHistoryLimit
	}
	return int(s.HistoryLimit)
}

// ChecksSignatures says whether callbacks need a valid signature.
func (c *Callback) ChecksSignatures() bool { return c.Authentication != CallbackAuthenticationNone }

// ClockSkew is how long after its expiry a callback is still accepted.
func (c *Callback) ClockSkew() time.Duration { return secondsOr(c.ClockSkewSeconds, defaultClockSkew) }

// Configured says whether the push domain has a playback side at all.
func (p *Playback) Configured() bool { return p.Domain != "" }

// PullProtocol is the protocol to pull with.
func (p *Playback) PullProtocol() PlaybackProtocol {
	if p.Protocol == "" {
		return PlaybackProtocolFLV
	}
	return p.Protocol
}

// URLScheme is the scheme of FLV and HLS URLs.
func (p *Playback) URLScheme() PlaybackScheme {
	if p.Scheme == "" {
		return PlaybackSchemeHTTPS
	}
	return p.Scheme
}

// Validity is how long a signed playback URL can be opened.
func (p *Playback) Validity() time.Duration {
	if p.ValiditySeconds == 0 {
		return defaultURLValidity
	}
	return time.Duration(p.ValiditySeconds) * time.Second
}

// Signed says whether playback URLs are signed.
func (p *Playback) Signed() bool { return p.KeySecretRef.Name != "" }

// OnAir says whether a broadcast is open: a push is live, or workloads wait for one to come back.
func (s *LiveStreamStatus) OnAir() bool { return s.Broadcast.ID != "" }
