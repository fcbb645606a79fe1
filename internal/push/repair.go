package push

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// standInPrefix begins the sequence of a push that stands in for one whose start was lost. CSS's own are digits.
const standInPrefix = "online-"

// IsStandIn says whether the sequence is that of a push that stands in for one whose own is not known.
func IsStandIn(sequence string) bool { return strings.HasPrefix(sequence, standInPrefix) }

// StandIn adds a live push for a stream that is on air and whose start was lost. Its own start, or its own
// end, replaces it. Nothing changes where a push is live or the stand-in had been there.
func StandIn(pushes []v1alpha1.Push, start, now time.Time) (after []v1alpha1.Push, changed bool) {
	sequence := fmt.Sprintf("%s%d", standInPrefix, start.Unix())
	if len(Live(pushes)) > 0 || slices.ContainsFunc(pushes, func(p v1alpha1.Push) bool { return p.Sequence == sequence }) {
		return pushes, false
	}
	return tidy(append(slices.Clone(pushes), v1alpha1.Push{
		Sequence: sequence, Source: v1alpha1.PushSourceOnlineList,
		StartTime: new(metav1.NewTime(start)), RecordedTime: new(metav1.NewTime(now)),
	}), now, ""), true
}

// maxMessage bounds the message of a push, in characters, as the API does.
const maxMessage = 256

// End ends the live pushes among the given sequences without an interruption: it was lost. A message that is too long is cut.
func End(pushes []v1alpha1.Push, sequences []string, reason v1alpha1.PushReason, message string, now time.Time) []v1alpha1.Push {
	if characters := []rune(message); len(characters) > maxMessage {
		message = string(characters[:maxMessage])
	}
	after := slices.Clone(pushes)
	for i := range after {
		if IsLive(after[i]) && slices.Contains(sequences, after[i].Sequence) {
			after[i].EndTime, after[i].RecordedTime = new(metav1.NewTime(now)), new(metav1.NewTime(now))
			after[i].Reason, after[i].Message = reason, message
		}
	}
	return tidy(after, now, "")
}

// Confirm notes that the live pushes were heard of.
func Confirm(pushes []v1alpha1.Push, now time.Time) []v1alpha1.Push {
	after := slices.Clone(pushes)
	for i := range after {
		if IsLive(after[i]) {
			after[i].RecordedTime = new(metav1.NewTime(now))
		}
	}
	return after
}

// Overdue are the live pushes of which nothing was heard for longest, by the operator's clock, and when the next one will be;
// zero for never.
func Overdue(pushes []v1alpha1.Push, longest time.Duration, now time.Time) (sequences []string, next time.Time) {
	for _, p := range Live(pushes) {
		due := heard(p).Add(longest)
		switch {
		case !now.Before(due):
			sequences = append(sequences, p.Sequence)
		case next.IsZero() || due.Before(next):
			next = due
		}
	}
	return sequences, next
}

// heard is when a live push was last heard of.
func heard(p v1alpha1.Push) time.Time {
	if p.RecordedTime == nil {
		return beginning(p)
	}
	return p.RecordedTime.Time
}

// GivenUp says whether the operator itself ended the push: no interruption of it was seen.
func GivenUp(p v1alpha1.Push) bool {
	return p.Reason == v1alpha1.PushReasonNotOnline || p.Reason == v1alpha1.PushReasonMaxDurationReached
}

// SameStart is how far the list's publish time and the callback's event_time of one push may differ.
const SameStart = 5 * time.Second

// replaced leaves out what stood in for a push that started at the given time: it was on air when the stand-in began. One that
// started later is another push of the stream.
func replaced(pushes []v1alpha1.Push, started time.Time) []v1alpha1.Push {
	return slices.DeleteFunc(slices.Clone(pushes), func(p v1alpha1.Push) bool {
		return IsLive(p) && IsStandIn(p.Sequence) && !started.After(beginning(p).Add(SameStart))
	})
}

// dropStandIn takes away the stand-in of a push that ended and whose start was never seen, unless it ended before the stand-in
// began. A push that was refused says nothing of the one that is on air.
func dropStandIn(pushes []v1alpha1.Push, ended time.Time, reason v1alpha1.PushReason) []v1alpha1.Push {
	return slices.DeleteFunc(slices.Clone(pushes), func(p v1alpha1.Push) bool {
		return IsLive(p) && IsStandIn(p.Sequence) && reason != v1alpha1.PushReasonRefused && !ended.Before(beginning(p))
	})
}
