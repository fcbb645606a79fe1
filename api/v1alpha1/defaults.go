package v1alpha1

import (
	"cmp"
	"slices"
	"time"
)

// The one place where unset fields get their meaning; the field comments say the same.
const (
	defaultClockSkew       = 60 * time.Second
	defaultReconnectWindow = 60 * time.Second
	defaultCleanStopWindow = 5 * time.Second
	defaultHistoryLimit    = 5
	defaultMaxDuration     = 12 * time.Hour
	defaultURLValidity     = 24 * time.Hour
	defaultEndpoint        = "live.tencentcloudapi.com"
	defaultApp             = "live"
	defaultMaxStreams      = 100
	defaultSegment         = 2
	defaultLadderSegment   = 4
	defaultAudioKbps       = 128
	defaultDeleteAfterIdle = 24 * time.Hour
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
func (s *LiveStreamSettings) Window(reason PushReason) time.Duration {
	if reason.Clean() {
		return secondsOr(s.CleanStopWindowSeconds, defaultCleanStopWindow)
	}
	return secondsOr(s.ReconnectWindowSeconds, defaultReconnectWindow)
}

// Clean says whether no quick return is expected of a push that ended so.
func (r PushReason) Clean() bool {
	switch r {
	case PushReasonClientStopped, PushReasonIdleTimeout, PushReasonRefused, PushReasonMaxDurationReached:
		return true
	default:
		return false
	}
}

// HistoryEntries is how many ended broadcasts are kept.
func (s *LiveStreamSettings) HistoryEntries() int {
	if s.HistoryLimit == 0 {
		return defaultHistoryLimit
	}
	return int(s.HistoryLimit)
}

// MaxDuration is how long a push stays live of which nothing is heard.
func (s *LiveStreamSettings) MaxDuration() time.Duration {
	if s.MaxDurationSeconds == 0 {
		return defaultMaxDuration
	}
	return time.Duration(s.MaxDurationSeconds) * time.Second
}

// Inherit is the settings with what they leave unset taken from the template. Of two that have one name, a preset and a workload, it
// keeps its own.
func (s LiveStreamSettings) Inherit(template LiveStreamSettings) LiveStreamSettings {
	s.ReconnectWindowSeconds = cmp.Or(s.ReconnectWindowSeconds, template.ReconnectWindowSeconds)
	s.CleanStopWindowSeconds = cmp.Or(s.CleanStopWindowSeconds, template.CleanStopWindowSeconds)
	s.MaxDurationSeconds = cmp.Or(s.MaxDurationSeconds, template.MaxDurationSeconds)
	s.HistoryLimit = cmp.Or(s.HistoryLimit, template.HistoryLimit)
	if len(s.Workloads) == 0 {
		s.Workloads = slices.DeleteFunc(slices.Clone(template.Workloads), func(w Workload) bool {
			return w.Name == WorkloadRecord && s.Recording.Wanted() || w.Name == WorkloadTranscode && s.Transcoding.Wanted()
		})
	}
	if !s.Recording.Wanted() && !s.has(WorkloadRecord) {
		s.Recording = template.Recording
	}
	if !s.Transcoding.Wanted() && !s.has(WorkloadTranscode) {
		s.Transcoding = template.Transcoding
	}
	return s
}

func (s *LiveStreamSettings) has(workload string) bool {
	return slices.ContainsFunc(s.Workloads, func(w Workload) bool { return w.Name == workload })
}

// RunsAfterEnd says whether the workload runs after the broadcast, not in it.
func (w *Workload) RunsAfterEnd() bool { return w.Run == WorkloadRunAfterEnd }

// Scales says whether the workload scales something, and has no Job.
func (w *Workload) Scales() bool { return w.Scale.Name != "" }

// Live is the share while the stream is on air, Idle otherwise.
func (s *WorkloadScale) Live() int32 { return ptrOr(s.ReplicasWhileLive, 1) }

// Idle is the share while the stream is not on air.
func (s *WorkloadScale) Idle() int32 { return ptrOr(s.ReplicasWhileIdle, 0) }

func ptrOr[T any](p *T, unset T) T {
	if p == nil {
		return unset
	}
	return *p
}

// Configured says whether CSS can be asked.
func (a *API) Configured() bool { return a.CredentialsSecretRef.Name != "" }

// Host is the endpoint of the API.
func (a *API) Host() string { return cmp.Or(a.Endpoint, defaultEndpoint) }

// Wanted says whether the operator sets callbacks up.
func (c *CallbackSetup) Wanted() bool { return c.BaseURL != "" }

// Apps are the applications whose callbacks are set up.
func (c *CallbackSetup) Apps() []string {
	if len(c.AppNames) == 0 {
		return []string{defaultApp}
	}
	return c.AppNames
}

// Creates says whether LiveStreams are made for unknown streams.
func (u *UnknownStreams) Creates() bool { return u.Policy == UnknownStreamCreate }

// Limit is how many LiveStreams are made at most.
func (u *UnknownStreams) Limit() int { return int(cmp.Or(u.MaxStreams, defaultMaxStreams)) }

// DeleteAfterIdle is how long a LiveStream that was made may be idle.
func (u *UnknownStreams) DeleteAfterIdle() time.Duration {
	if u.DeleteAfterIdleSeconds == 0 {
		return defaultDeleteAfterIdle
	}
	return time.Duration(u.DeleteAfterIdleSeconds) * time.Second
}

// SecretPath says whether the callback path holds a token.
func (c *Callback) SecretPath() bool { return c.PathTokenSecretRef.Name != "" }

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

// Wanted says whether broadcasts are recorded.
func (r *Recording) Wanted() bool { return r.Storage.Set() }

// Set says whether there is one.
func (s *RecordingStorage) Set() bool {
	return s.S3.Bucket != "" || s.PersistentVolumeClaim.ClaimName != ""
}

// Wanted says whether broadcasts are transcoded.
func (t *Transcoding) Wanted() bool { return len(t.Renditions) > 0 }

// Pushes says whether the renditions are pushed on, and not stored.
func (t *Transcoding) Pushes() bool { return t.Output.Push.Domain != "" }

// Segment is how long a segment of the ladder is, in seconds.
func (t *Transcoding) Segment() int { return int(cmp.Or(t.SegmentSeconds, defaultLadderSegment)) }

// AudioKbps is the bitrate of the audio in kbit/s.
func (r *Rendition) AudioKbps() int { return int(cmp.Or(r.AudioBitrateKbps, defaultAudioKbps)) }

// Encoding is the codec of the video.
func (r *Rendition) Encoding() VideoCodec { return cmp.Or(r.Codec, VideoCodecH264) }

// URLScheme is the scheme of push URLs.
func (p *RenditionPush) URLScheme() RTMPScheme { return cmp.Or(p.Scheme, RTMPSchemePlain) }

// Validity is how long a signed push URL can be used.
func (p *RenditionPush) Validity() time.Duration {
	if p.ValiditySeconds == 0 {
		return defaultURLValidity
	}
	return time.Duration(p.ValiditySeconds) * time.Second
}

// FileFormat is the format of the recording.
func (r *Recording) FileFormat() RecordingFormat { return cmp.Or(r.Format, RecordingFormatFMP4) }

// Segment is how long a part is at least, in seconds.
func (r *Recording) Segment() int { return int(cmp.Or(r.SegmentSeconds, defaultSegment)) }
