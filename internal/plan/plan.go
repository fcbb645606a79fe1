package plan

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// Observed is all that a decision may rest on.
type Observed struct {
	Now time.Time
	// Stream is the LiveStream with the status that was last written. It is not changed.
	Stream *v1alpha1.LiveStream
	// Settings are its own, and the template's of its push domain where it has none.
	Settings v1alpha1.LiveStreamSettings
	// Domain is its push domain's host name; "" when the PushDomain does not exist.
	Domain string
	// DuplicateOf names the older LiveStream that has the same stream; "" when there is none.
	DuplicateOf string
	// Runs are the Jobs of the LiveStream.
	Runs []workload.Run
	// Targets are the scale targets as they were last seen; one that was not looked at yet is not there.
	Targets map[TargetRef]Target
	// DeleteAfterIdle is set for a LiveStream that unknownStreams made and nobody edited: it may be deleted after being idle for so long.
	DeleteAfterIdle time.Duration
	// InterruptedAt is when the operator itself saw the stream become Interrupted; zero where it did not. The status has it by the
	// clock of another replica.
	InterruptedAt time.Time
	// HoldAgain keeps Jobs from being made again that ended at once: it is not their turn.
	HoldAgain bool
	// HoldOpen keeps a broadcast open past its window, for who cannot tell yet whether the stream is on air.
	HoldOpen bool
}

// Plan is what has to happen.
type Plan struct {
	// Start lists the Jobs to make.
	Start []Start
	// Stop lists the Jobs to end, once Status has been written; those of Left already before anything is started.
	Stop []Stop
	// Status is what the status says when Start succeeds; Report adds what did not.
	Status v1alpha1.LiveStreamStatus
	// Delete says that the LiveStream has been idle long enough to be deleted.
	Delete bool
	// GivenUp is when the window was over in which a lost push did not come back; zero unless the broadcast ends by that. Its
	// start may be late, or lost: who can ask whether the stream is on air asks before this plan is carried out.
	GivenUp time.Time
	// Again is what ended at once and is due to be made again; it is in Start too, unless it is held.
	Again Again
	// LookAgain is how long until something changes by itself; 0 for never.
	LookAgain time.Duration
}

// Start is a Job to make.
type Start struct {
	Workload v1alpha1.Workload
	Part     int32
	// Ended is the broadcast that the Job runs after; nil for one that runs in the open broadcast.
	Ended *v1alpha1.BroadcastRecord
	// Finish says that the Job is a recorder's, and only finishes the recording of Ended.
	Finish bool
}

// Again is what is due to be made again.
type Again struct {
	// Jobs is how many, Part the lowest of those that ended.
	Jobs int
	Part int32
	// Podless says that a Job that was made again has no Pod yet.
	Podless bool
}

func (a *Again) add(part int32) {
	if a.Jobs == 0 || part < a.Part {
		a.Part = part
	}
	a.Jobs++
}

// Key tells the Starts of a plan from each other.
func (s Start) Key() string {
	if s.Ended != nil {
		return afterEndKey(s.Ended.ID, s.Workload.Name)
	}
	return s.Workload.Name
}

func afterEndKey(broadcast, name string) string { return broadcast + "/" + name }

// Stop is a Job to end. The UID keeps a later Job of the same name safe.
type Stop struct {
	Workload string
	JobName  string
	UID      types.UID
	// Broadcast is the one that the Job ran in.
	Broadcast string
	// Signal says that the Job is told to finish, and left.
	Signal bool
	// Abandoned says that it is deleted because nobody runs its Pod any more.
	Abandoned bool
}

// Left are the Jobs to end whose broadcasts had ended in the status before this plan.
func (p Plan) Left(before v1alpha1.LiveStreamStatus) []Stop {
	return slices.DeleteFunc(slices.Clone(p.Stop), func(s Stop) bool { return s.Broadcast == before.Broadcast.ID })
}

// Compute decides. The same Observed always gives the same Plan.
func Compute(o Observed) Plan {
	o.Now = o.Now.UTC().Truncate(time.Microsecond)
	c := follow(o)
	p := Plan{Status: *o.Stream.Status.DeepCopy(), GivenUp: c.givenUp}
	p.lookAgainAt(o.Now, c.windowEnd)
	p.settle(o, c)
	planWorkloads(o, c, &p)
	planRecordings(o, &p)
	planAfterEnd(o, &p)
	planIdle(o, &p)
	if o.Domain != "" {
		_, due := push.Overdue(p.Status.Pushes, o.Settings.MaxDuration(), o.Now)
		p.lookAgainAt(o.Now, due)
	}
	for _, run := range o.Runs {
		if at := run.HungAt(); o.Now.Before(at) {
			p.lookAgainAt(o.Now, at)
		}
	}
	return p
}

// Leave ends the Jobs of a LiveStream that is being deleted as the end of its broadcast would: recorders are told to finish. Those that run after a
// broadcast are left. There is no Status in it.
func Leave(o Observed) Plan {
	var p Plan
	p.stopOthers(o, "")
	return p
}

// settle is where the stream stands, without its workloads.
func (p *Plan) settle(o Observed, c course) {
	p.Status.State = c.state
	p.Status.Since = sinceOf(o, c)
	p.Status.Broadcast = v1alpha1.Broadcast{}
	if c.broadcast != nil {
		p.Status.Broadcast = *c.broadcast
		if o.Domain != "" {
			p.Status.Broadcast.ReconnectWindowSeconds = new(int32(o.Settings.Window(v1alpha1.PushReasonUnknownError) / time.Second)) //nolint:gosec // at most 1800
		}
	}
	p.Status.History = c.history
	if o.Domain != "" {
		p.Status.Domain = o.Domain
	}
	describeLive(&p.Status)
}

// planIdle looks after a LiveStream that may be deleted once it was idle for long.
func planIdle(o Observed, p *Plan) {
	if o.DeleteAfterIdle == 0 || p.Status.State != v1alpha1.LiveStreamIdle || len(p.Start)+len(p.Stop) > 0 || unsettled(p.Status.History) > 0 {
		return
	}
	if due := p.Status.Since.Add(o.DeleteAfterIdle); o.Now.Before(due) {
		p.lookAgainAt(o.Now, due)
	} else {
		p.Delete = true
	}
}

func (p *Plan) lookAgainAt(now, at time.Time) {
	if at.IsZero() {
		return
	}
	// Never 0, which would mean never.
	if wait := max(at.Sub(now), time.Millisecond); p.LookAgain == 0 || wait < p.LookAgain {
		p.LookAgain = wait
	}
}
