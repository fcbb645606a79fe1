package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// course is where the stream stands: its state, the open broadcast and the ended ones.
type course struct {
	state     v1alpha1.LiveStreamState
	broadcast *v1alpha1.Broadcast
	history   []v1alpha1.BroadcastRecord
	// windowEnd is when an Interrupted broadcast ends unless a push comes back.
	windowEnd time.Time
}

func follow(o Observed) course {
	status := &o.Stream.Status
	c := course{history: slices.Clone(status.History)}
	if status.OnAir() {
		c.broadcast = status.Broadcast.DeepCopy()
	} else {
		c.broadcast = adopt(o)
	}
	live := push.Live(status.Pushes)
	switch {
	case o.Stream.Spec.Suspended() || o.DuplicateOf != "":
		c.close(o, o.Now, v1alpha1.BroadcastEndSuspended)
		c.state = v1alpha1.LiveStreamIdle
		if len(live) > 0 {
			c.state = v1alpha1.LiveStreamLive
		}
	case len(live) > 0:
		c.carryOn(o, live)
		c.state = v1alpha1.LiveStreamLive
	case c.broadcast != nil:
		c.waitOrClose(o)
	case o.Domain == "":
		c.state = v1alpha1.LiveStreamUnknown
	default:
		c.state = v1alpha1.LiveStreamIdle
	}
	return c
}

// adopt is the broadcast of a running Job that the status knows nothing of: the operator died between the two writes.
func adopt(o Observed) *v1alpha1.Broadcast {
	var latest *workload.Run
	for i, run := range o.Runs {
		ended := slices.ContainsFunc(o.Stream.Status.History, func(r v1alpha1.BroadcastRecord) bool { return r.ID == run.Broadcast })
		if run.Active() && !ended && (latest == nil || run.Created.After(latest.Created)) {
			latest = &o.Runs[i]
		}
	}
	if latest == nil {
		return nil
	}
	b := &v1alpha1.Broadcast{ID: latest.Broadcast, Pushes: 1, Interruptions: new(int32)}
	if !latest.BroadcastStart.IsZero() {
		b.StartTime = new(metav1.NewTime(latest.BroadcastStart))
	}
	if latest.Sequence != "" {
		b.Sequences = []string{latest.Sequence}
	}
	return b
}

// carryOn opens a broadcast where none is open, and counts the live pushes that it does not know yet.
func (c *course) carryOn(o Observed, live []v1alpha1.Push) {
	if c.broadcast == nil {
		c.broadcast = c.open(o, live[0])
	}
	b := c.broadcast
	known := b.Sequences
	unknown := slices.DeleteFunc(slices.Clone(live), func(p v1alpha1.Push) bool { return slices.Contains(known, p.Sequence) })
	if len(known) > 0 && len(unknown) == len(live) && !handedOver(o, known, unknown[0]) {
		b.Interruptions = new(ptrOr(b.Interruptions, 0) + 1)
	}
	for _, p := range unknown {
		b.Pushes++
		b.Sequences = append(b.Sequences, p.Sequence)
	}
	// Only sequences that are still listed can be asked for again.
	b.Sequences = slices.DeleteFunc(b.Sequences, func(sequence string) bool {
		return !slices.ContainsFunc(o.Stream.Status.Pushes, func(p v1alpha1.Push) bool { return p.Sequence == sequence })
	})
}

// handedOver says whether the new push began before the last of the known ones ended, so that the stream was never off air.
// It is asked only where the operator did not itself see the stream off air.
func handedOver(o Observed, known []string, first v1alpha1.Push) bool {
	if o.Stream.Status.State == v1alpha1.LiveStreamInterrupted || first.StartTime == nil {
		return false
	}
	last := lastOf(o, known)
	return last != nil && first.StartTime.Before(last.EndTime)
}

// lastOf is the push that ended last among the given ones; any other, for one a late tombstone, has no say.
func lastOf(o Observed, sequences []string) *v1alpha1.Push {
	return push.LastEnded(slices.DeleteFunc(slices.Clone(o.Stream.Status.Pushes), func(p v1alpha1.Push) bool {
		return !slices.Contains(sequences, p.Sequence)
	}))
}

func (c *course) open(o Observed, first v1alpha1.Push) *v1alpha1.Broadcast {
	start := o.Now
	if first.StartTime != nil {
		start = first.StartTime.Time
	}
	// The push was on air in the last broadcast already, which a suspension ended: this one begins where that one ended.
	if len(c.history) > 0 && c.history[0].EndTime != nil && c.history[0].EndReason == v1alpha1.BroadcastEndSuspended && start.Before(c.history[0].EndTime.Time) {
		start = c.history[0].EndTime.Time
	}
	return &v1alpha1.Broadcast{
		ID:            workload.BroadcastID(o.Stream.UID, first.Sequence, start),
		StartTime:     new(metav1.NewTime(start)),
		Interruptions: new(int32),
	}
}

func (c *course) waitOrClose(o Observed) {
	last := lastOf(o, c.broadcast.Sequences)
	reason, ended := v1alpha1.PushReasonUnknownError, o.Now
	if last != nil {
		reason, ended = cmp.Or(last.Reason, reason), last.EndTime.Time
	}
	since := o.Now
	if status := &o.Stream.Status; status.State == v1alpha1.LiveStreamInterrupted && status.Since != nil {
		since = status.Since.Time
	}
	c.windowEnd = since.Add(o.Stream.Spec.Window(reason))
	c.state = v1alpha1.LiveStreamInterrupted
	if !o.Now.Before(c.windowEnd) {
		c.close(o, ended, v1alpha1.BroadcastEndReason(reason))
		c.state, c.windowEnd = v1alpha1.LiveStreamIdle, time.Time{}
	}
}

func (c *course) close(o Observed, ended time.Time, reason v1alpha1.BroadcastEndReason) {
	b := c.broadcast
	if b == nil {
		return
	}
	record := v1alpha1.BroadcastRecord{
		ID: b.ID, StartTime: b.StartTime, EndTime: new(metav1.NewTime(ended.Truncate(time.Second))),
		Pushes: b.Pushes, Interruptions: b.Interruptions, EndReason: reason,
	}
	if b.StartTime != nil {
		record.DurationSeconds = new(int64(max(0, ended.Sub(b.StartTime.Time)) / time.Second))
	}
	c.broadcast = nil
	c.history = append([]v1alpha1.BroadcastRecord{record}, slices.DeleteFunc(c.history, func(r v1alpha1.BroadcastRecord) bool { return r.ID == b.ID })...)
	c.history = c.history[:min(len(c.history), o.Stream.Spec.HistoryEntries())]
}

func sinceOf(o Observed, state v1alpha1.LiveStreamState) *metav1.MicroTime {
	if status := &o.Stream.Status; status.State == state && status.Since != nil {
		return status.Since
	}
	return new(metav1.NewMicroTime(o.Now))
}

// describeLive fills the fields that kubectl get -o wide shows.
func describeLive(status *v1alpha1.LiveStreamStatus) {
	status.Client, status.Resolution = "", ""
	if live := push.Live(status.Pushes); len(live) > 0 {
		latest := live[len(live)-1]
		status.Client = latest.ClientIP
		if latest.Width > 0 && latest.Height > 0 {
			status.Resolution = fmt.Sprintf("%dx%d", latest.Width, latest.Height)
		}
	}
	last := push.LastEnded(slices.DeleteFunc(slices.Clone(status.Pushes), func(p v1alpha1.Push) bool {
		return p.Reason == "" || p.Reason == v1alpha1.PushReasonClientStopped
	}))
	if last != nil {
		status.LastError = fmt.Sprintf("%s (errcode %d)", last.Reason, ptrOr(last.ErrorCode, 0))
	}
}

func ptrOr[T any](p *T, unset T) T {
	if p == nil {
		return unset
	}
	return *p
}
