// Package workload builds the Jobs of a LiveStream and reads them back. It is pure: API objects in, API objects or values out.
//
// Everything about a Job follows from the stream, the workload, the broadcast and the part, its name first of all: a crash
// between two writes, or a cache that lags, can then never make a second one.
package workload

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// longestName of a Job: its Pods carry it as a label of at most 63 characters, and with completionMode Indexed it has to be
	// one with "-0" after it.
	longestName = 61
	digestChars = 10
	// longestLabel is the longest value of a label.
	longestLabel = 63
)

// lowercase base32 has no vowels' trouble and no padding: every digest is a valid part of a DNS label.
var lowercase = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// digest of the parts; their lengths go in, so that ("a-b", "c") and ("a", "b-c") differ.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // a hash never fails
	}
	return lowercase.EncodeToString(h.Sum(nil))[:digestChars]
}

// BroadcastID names the broadcast of a LiveStream that the given push began, or carries on after a suspension, at start.
func BroadcastID(stream types.UID, sequence string, start time.Time) string {
	return digest(string(stream), sequence, fmt.Sprint(start.Unix()))
}

// JobName is the name of the Job of one part of a workload in a broadcast: readable where the names are short, unique always.
func JobName(stream string, uid types.UID, workload, broadcast string, part int32) string {
	suffix := "-" + digest(string(uid), workload, broadcast, fmt.Sprint(part))
	// A Job's name is a DNS label, a LiveStream's may hold dots.
	readable := strings.ReplaceAll(stream, ".", "-") + "-" + workload
	if longest := longestName - len(suffix); len(readable) > longest {
		readable = strings.TrimRight(readable[:longest], "-")
	}
	return readable + suffix
}

// StreamName is the name of the LiveStream that is made for a stream that no LiveStream claims. Whatever the stream is called, it is
// a name that Kubernetes takes, and no two streams share one.
func StreamName(pushDomain, app, stream string) string {
	suffix := "-" + digest(pushDomain, app, stream)
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, stream)
	// At most 63 characters: the name becomes a label of the stream's Jobs.
	readable = strings.Trim(readable[:min(len(readable), longestLabel-len(suffix))], "-")
	if readable == "" {
		readable = "stream"
	}
	return readable + suffix
}
