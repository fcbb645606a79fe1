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
	// anew is when the window of an Interrupted broadcast began again; nil where it did not.
	anew *metav1.MicroTime
	// givenUp is when the window was over in which a lost push did not come back; zero unless the broadcast ends by that.
	givenUp time.Time
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
	if c.broadcast != nil {
		c.count(o)
	}
	switch {
	case o.Stream.Spec.Suspended():
		c.close(o, o.Now, v1alpha1.BroadcastEndSuspended)
		c.state = atRest(live)
	case o.DuplicateOf != "":
		c.close(o, o.Now, v1alpha1.BroadcastEndDuplicateStream)
		c.state = atRest(live)
	case o.Domain == "":
		c.state = v1alpha1.LiveStreamUnknown
		c.waitForDomain(o)
	case len(live) > 0:
		c.state = v1alpha1.LiveStreamLive
		if c.broadcast == nil {
			c.broadcast = c.open(o, live[0])
			c.count(o)
		}
	case c.broadcast != nil:
		c.waitOrClose(o)
	default:
		c.state = v1alpha1.LiveStreamIdle
	}
	return c
}

// atRest is the state of a stream that runs nothing.
func atRest(live []v1alpha1.Push) v1alpha1.LiveStreamState {
	if len(live) > 0 {
		return v1alpha1.LiveStreamLive
	}
	return v1alpha1.LiveStreamIdle
}

// adopt is the broadcast of a Job that the status knows nothing of: the operator died between the two writes.
func adopt(o Observed) *v1alpha1.Broadcast {
	var latest *workload.Run
	for i, run := range o.Runs {
		if adoptable(o, run) && (latest == nil || run.Created.After(latest.Created)) {
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

// adoptable says whether the Job belongs to a broadcast that is not known to have ended. One that has ended by itself belongs to
// none that is forgotten: those began before the last one that is remembered ended. Of one that was told to finish, or only finishes
// a recording, the end was written, and the record of it may be forgotten while the Job goes on.
func adoptable(o Observed, run workload.Run) bool {
	history := o.Stream.Status.History
	if run.AfterEnd || run.Finish || !run.Told.IsZero() || slices.ContainsFunc(history, func(r v1alpha1.BroadcastRecord) bool { return r.ID == run.Broadcast }) {
		return false
	}
	if run.Active() {
		return true
	}
	recent := len(history) == 0 || history[0].EndTime != nil && !run.BroadcastStart.Before(history[0].EndTime.Time)
	return over(run) && recent && remembered(o, run.Sequence)
}

// count adds the pushes that the broadcast does not know yet: live ones, and such as began and ended since the last look. A push
// whose beginning was never seen does not count, for one because it was refused. One that replaces a stand-in takes its place.
func (c *course) count(o Observed) {
	b := c.broadcast
	replaced := slices.IndexFunc(b.Sequences, func(sequence string) bool { return push.IsStandIn(sequence) && !remembered(o, sequence) })
	for _, p := range o.Stream.Status.Pushes {
		if slices.Contains(b.Sequences, p.Sequence) || !push.IsLive(p) && !passed(*b, p, replaced >= 0) {
			continue
		}
		if replaced >= 0 {
			b.Sequences[replaced], replaced = p.Sequence, -1
			continue
		}
		if len(b.Sequences) > 0 && offAir(o, b.Sequences, p) {
			b.Interruptions = new(ptrOr(b.Interruptions, 0) + 1)
		}
		b.Pushes++
		b.Sequences = append(b.Sequences, p.Sequence)
	}
	// Only sequences that are still listed can be asked for again.
	b.Sequences = slices.DeleteFunc(b.Sequences, func(sequence string) bool { return !remembered(o, sequence) })
}

func remembered(o Observed, sequence string) bool {
	return slices.ContainsFunc(o.Stream.Status.Pushes, func(p v1alpha1.Push) bool { return p.Sequence == sequence })
}

// passed says whether an ended push was on air during the broadcast. Of one that replaces a stand-in the end is enough: list and
// callback tell the same start a few seconds apart.
func passed(b v1alpha1.Broadcast, p v1alpha1.Push, replaces bool) bool {
	if b.StartTime == nil || p.Reason == v1alpha1.PushReasonRefused {
		return false
	}
	return replaces && p.EndTime.After(b.StartTime.Time) || p.StartTime != nil && p.StartTime.After(b.StartTime.Time)
}

// offAir says whether no push of the known ones was on air when the new one began. Where the operator itself saw the stream off
// air, a push that is live now ended that; otherwise their times tell.
func offAir(o Observed, known []string, next v1alpha1.Push) bool {
	for _, p := range push.Live(o.Stream.Status.Pushes) {
		if slices.Contains(known, p.Sequence) {
			return false
		}
	}
	if o.Stream.Status.State == v1alpha1.LiveStreamInterrupted && push.IsLive(next) || next.StartTime == nil {
		return true
	}
	last := lastOf(o, known)
	return last != nil && !next.StartTime.Before(last.EndTime)
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
	origin := start
	// The push was on air in the last broadcast already, which something else ended: this one begins now. Its name follows from
	// where that one ended, so that it is the same after a crash.
	if len(c.history) > 0 && c.history[0].EndTime != nil && start.Before(c.history[0].EndTime.Time) {
		origin, start = c.history[0].EndTime.Time, o.Now.Truncate(time.Second)
	}
	return &v1alpha1.Broadcast{
		ID:            workload.BroadcastID(o.Stream.UID, first.Sequence, origin),
		StartTime:     new(metav1.NewTime(start)),
		Interruptions: new(int32),
	}
}

// waitForDomain ends the broadcast of a stream whose PushDomain is gone: no callback can end it. A PushDomain that is only
// made anew is back within the window.
func (c *course) waitForDomain(o Observed) {
	if c.broadcast == nil {
		return
	}
	since := o.Now
	if status := &o.Stream.Status; status.State == v1alpha1.LiveStreamUnknown && status.Since != nil && !ahead(o, status.Since.Time) {
		since = status.Since.Time
	}
	// What was inherited went with the PushDomain.
	window := time.Duration(ptrOr(c.broadcast.ReconnectWindowSeconds, 0)) * time.Second
	c.windowEnd = since.Add(max(window, o.Settings.Window(v1alpha1.PushReasonUnknownError)))
	if !o.Now.Before(c.windowEnd) {
		c.close(o, o.Now, v1alpha1.BroadcastEndPushDomainDeleted)
		c.windowEnd = time.Time{}
	}
}

func (c *course) waitOrClose(o Observed) {
	last := lastOf(o, c.broadcast.Sequences)
	reason, ended := v1alpha1.PushReasonUnknownError, o.Now
	if last != nil {
		reason, ended = cmp.Or(last.Reason, reason), last.EndTime.Time
	}
	since := o.Now
	if status := &o.Stream.Status; status.State == v1alpha1.LiveStreamInterrupted && status.Since != nil && !ahead(o, status.Since.Time) {
		since = status.Since.Time
		if o.InterruptedAt.After(since) && !ahead(o, o.InterruptedAt) {
			since = o.InterruptedAt
		}
	}
	// A push that came and went between two looks began the window anew. One that was counted before did so then: its time may be
	// from before the clock was set back.
	if last != nil && last.RecordedTime != nil && last.RecordedTime.After(since) && !ahead(o, last.RecordedTime.Time) &&
		!slices.Contains(o.Stream.Status.Broadcast.Sequences, last.Sequence) {
		since = last.RecordedTime.Time
		c.anew = new(metav1.NewMicroTime(since))
	}
	c.windowEnd = since.Add(o.Settings.Window(reason))
	c.state = v1alpha1.LiveStreamInterrupted
	if o.Now.Before(c.windowEnd) {
		return
	}
	if o.HoldOpen {
		c.windowEnd = time.Time{}
		return
	}
	if !reason.Clean() {
		c.givenUp = c.windowEnd
	}
	c.close(o, ended, v1alpha1.BroadcastEndReason(reason))
	c.state, c.windowEnd = v1alpha1.LiveStreamIdle, time.Time{}
}

func (c *course) close(o Observed, ended time.Time, reason v1alpha1.BroadcastEndReason) {
	b := c.broadcast
	if b == nil {
		return
	}
	record := v1alpha1.BroadcastRecord{
		ID: b.ID, StartTime: b.StartTime, EndTime: new(metav1.NewTime(ended.Truncate(time.Second))),
		Pushes: b.Pushes, Interruptions: b.Interruptions, EndReason: reason, AfterEnd: afterEndOf(o, b.ID), Recordings: recordingsOf(o, b.ID),
	}
	if last := lastOf(o, b.Sequences); last != nil {
		record.Sequence = last.Sequence
	}
	if b.StartTime != nil {
		record.DurationSeconds = new(int64(max(0, ended.Sub(b.StartTime.Time)) / time.Second))
	}
	c.broadcast = nil
	c.history = append([]v1alpha1.BroadcastRecord{record}, slices.DeleteFunc(c.history, func(r v1alpha1.BroadcastRecord) bool { return r.ID == b.ID })...)
	entries := o.Settings.HistoryEntries()
	if o.Domain == "" {
		// How many are to be kept may be inherited from what is gone.
		entries = maxHistory
	}
	c.history = c.history[:min(len(c.history), max(entries, unsettled(c.history)), maxHistory)]
}

// maxHistory is what the API takes.
const maxHistory = 50

// unsettled is how many records, from the latest, are needed to keep all whose AfterEnd workloads have not ended.
func unsettled(history []v1alpha1.BroadcastRecord) int {
	needed := 0
	for i, record := range history {
		if slices.ContainsFunc(record.AfterEnd, func(w v1alpha1.AfterEndStatus) bool { return !settled(w.State) }) ||
			slices.ContainsFunc(record.Recordings, func(r v1alpha1.RecordingStatus) bool { return !recorded(r) }) {
			needed = i + 1
		}
	}
	return needed
}

// clocksDiffer is how far the clocks of replicas may be apart.
const clocksDiffer = time.Minute

// ahead says whether the clock was set back after the operator took this time from it. What began then counts from now on: a window
// must not last until the clock is where it was.
func ahead(o Observed, at time.Time) bool { return at.After(o.Now.Add(clocksDiffer)) }

func sinceOf(o Observed, c course) *metav1.MicroTime {
	if c.state == v1alpha1.LiveStreamInterrupted && c.anew != nil {
		return c.anew
	}
	if status := &o.Stream.Status; status.State == c.state && status.Since != nil && !ahead(o, status.Since.Time) {
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
		status.LastError = string(last.Reason)
		if last.ErrorCode != nil {
			status.LastError = fmt.Sprintf("%s (errcode %d)", last.Reason, *last.ErrorCode)
		}
	}
}

func ptrOr[T any](p *T, unset T) T {
	if p == nil {
		return unset
	}
	return *p
}
