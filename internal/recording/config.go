package recording

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
)

// Format of a recording.
type Format string

// The formats, as spec.recording.format names them.
const (
	FMP4 Format = "FMP4"
	HLS  Format = "HLS"
	MKV  Format = "MKV"
	FLV  Format = "FLV"
)

// Extension of the file, with its dot.
func (f Format) Extension() string {
	switch f {
	case HLS:
		return ".m3u8"
	case MKV:
		return ".mkv"
	case FLV:
		return ".flv"
	default:
		return ".mp4"
	}
}

// Config is what the operator tells a worker, in one environment variable. What is secret is in files.
type Config struct {
	// Playback says where to pull from, with what tencent.PlaybackURL takes but the key.
	Playback Playback `json:"playback"`
	App      string   `json:"app"`
	Stream   string   `json:"stream"`
	// Broadcast is its id, Started when it began.
	Broadcast string    `json:"broadcast"`
	Started   time.Time `json:"started"`
	// Job counts the Jobs of the broadcast, from 1.
	Job    int    `json:"job"`
	Format Format `json:"format"`
	// SegmentSeconds is how long a part is at least, where the worker cuts them.
	SegmentSeconds int `json:"segmentSeconds"`
	// UploadTimeoutSeconds is how long after the broadcast the store is tried.
	UploadTimeoutSeconds int     `json:"uploadTimeoutSeconds,omitempty"`
	Storage              Storage `json:"storage"`
	// Spool is the URI of the spool, where it outlives the Pod: what could not be stored is named by it.
	Spool string `json:"spool,omitempty"`
	// Finish says that there is nothing to pull any more: join what is there.
	Finish bool `json:"finish,omitempty"`
	// Transcoding makes renditions instead of a recording; nil where it is recorded as it is.
	Transcoding *Transcoding `json:"transcoding,omitempty"`
}

// Transcoding is spec.transcoding.
type Transcoding struct {
	Renditions []ladder.Rendition `json:"renditions"`
	// GPU says that a GPU encodes.
	GPU bool `json:"gpu,omitempty"`
	// Push is where renditions are pushed; nil where the storage takes them.
	Push *Push `json:"push,omitempty"`
}

// Push is where renditions are pushed.
type Push struct {
	Scheme string `json:"scheme"`
	Domain string `json:"domain"`
	App    string `json:"app"`
	// ValiditySeconds of a signed URL.
	ValiditySeconds int64 `json:"validitySeconds"`
}

// Playback is spec.playback of the push domain.
type Playback struct {
	Domain   string `json:"domain"`
	Protocol string `json:"protocol"`
	Scheme   string `json:"scheme,omitempty"`
	// ValiditySeconds of a signed URL; it is signed anew at each connect, where there is a key.
	ValiditySeconds int64 `json:"validitySeconds,omitempty"`
}

// Storage is where the recording goes: a bucket, or the folder where a volume is mounted.
type Storage struct {
	Endpoint  string `json:"endpoint,omitempty"`
	Region    string `json:"region,omitempty"`
	Bucket    string `json:"bucket,omitempty"`
	ClaimName string `json:"claimName,omitempty"`
	Prefix    string `json:"prefix,omitempty"`
}

// Paths and names that the operator and the worker share.
const (
	// ConfigVariable holds the Config as JSON.
	ConfigVariable = "LIVESTREAM_WORKER"
	// PlaybackKeyFile holds the playback key, where URLs are signed.
	PlaybackKeyFile = "/etc/livestream/playback/key"
	// PushKeyFile holds the push key, where renditions are pushed to signed URLs.
	PushKeyFile = "/etc/livestream/push/key"
	// CredentialsDir holds accessKeyID, secretAccessKey and, for temporary ones, sessionToken.
	CredentialsDir = "/etc/livestream/storage" //nolint:gosec // a path
	// ControlFile is filled from the Pod's annotations; the worker finishes when it holds StopAnnotation.
	ControlFile = "/etc/livestream/pod/annotations"
	// SpoolDir keeps what is not stored yet, VolumeDir is the volume that recordings go to.
	SpoolDir  = "/var/spool/livestream"
	VolumeDir = "/recordings"
	// TerminationLog takes the Result.
	TerminationLog = "/dev/termination-log"
	// StopAnnotation tells a worker to finish; its value is the time at which it was told.
	StopAnnotation = "livestream-operator.io/stop"
)

// ParseConfig reads what the operator wrote.
func ParseConfig(text string) (Config, error) {
	var c Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", ConfigVariable, err)
	}
	return c, nil
}

// Result is what a recorder says when it ends, in the Pod's status: at most 4096 bytes.
type Result struct {
	// Ready says that the recording is complete and verified.
	Ready bool `json:"ready"`
	// Nothing says that there was nothing to record: no media came.
	Nothing bool `json:"nothing,omitempty"`
	// Left says that its Pod had to go before it knew that the broadcast is over: what it stored is for another to go on with, or to join.
	Left bool `json:"left,omitempty"`
	// URI of the recording, or where what could not be stored is kept.
	URI       string `json:"uri,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	SizeBytes int64  `json:"sizeBytes,omitempty"`
	// DurationMilliseconds of the media, without its gaps.
	DurationMilliseconds int64 `json:"durationMilliseconds,omitempty"`
	Parts                int   `json:"parts,omitempty"`
	Gaps                 int   `json:"gaps,omitempty"`
	GapMilliseconds      int64 `json:"gapMilliseconds,omitempty"`
	// Message says what went wrong, in one sentence.
	Message string `json:"message,omitempty"`
}

// ParseResult reads the message of a container that ended; false where it holds none, or one that no worker says: it goes into the
// status, and a status that the API server refuses is never written again.
func ParseResult(message string) (Result, bool) {
	var r Result
	if err := json.Unmarshal([]byte(message), &r); err != nil || !r.plausible() {
		return Result{}, false
	}
	if r.Message = printable(r.Message); len(r.Message) > longestMessage {
		r.Message = strings.ToValidUTF8(r.Message[:longestMessage], "")
	}
	return r, r.Ready || r.Nothing || r.Message != ""
}

// Bounds of the status.
const (
	longestURI     = 2048
	longestMessage = 1000
)

func (r *Result) plausible() bool {
	sum, err := hex.DecodeString(r.SHA256)
	return len(r.URI) <= longestURI && printable(r.URI) == r.URI && err == nil && (len(sum) == 0 || len(sum) == sha256.Size) &&
		r.SizeBytes >= 0 && r.DurationMilliseconds >= 0 && r.Gaps >= 0 && r.Gaps <= math.MaxInt32 && r.GapMilliseconds >= 0
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
}
