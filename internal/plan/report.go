package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// Failure is a Job that could not be made, or a target that cannot be scaled.
type Failure struct {
	// Key is that of the Start; "" where there was none. Workload is its name.
	Key, Workload string
	// Reason is one of the reasons of Ready=False.
	Reason  string
	Message string
	// Permanent means: only the user can go on.
	Permanent bool
}

// Report is the status to write: that of the plan, with what could not be started, and the conditions. The names of the Jobs
// that were made are in made, by the keys of their Starts.
func Report(o Observed, p Plan, made map[string]string, failures []Failure) v1alpha1.LiveStreamStatus {
	now := o.Now.UTC().Truncate(time.Second)
	status := *p.Status.DeepCopy()
	failures = inToldWords(o, status, failures)
	for i := range status.Workloads {
		w := &status.Workloads[i]
		if name, ok := made[w.Name]; ok {
			w.JobName = name
		}
		for _, f := range failures {
			if f.Key == w.Name {
				w.Message = f.Message
				if f.Permanent {
					w.State = v1alpha1.WorkloadFailed
				}
			}
		}
	}
	for i := range status.History {
		reportAfterEnd(&status.History[i], made, failures)
	}
	status.ObservedGeneration = o.Stream.Generation
	ready := readyCondition(o, status, append(slices.Clone(failures), targetProblems(o)...))
	set := func(c metav1.Condition) {
		c.ObservedGeneration = o.Stream.Generation
		status.Conditions = withCondition(status.Conditions, c, now)
	}
	set(ready)
	set(liveCondition(status, o))
	set(workloadsCondition(status, o))
	if c := recordingCondition(o, status); c.Type != "" {
		set(c)
	} else {
		status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionRecordingReady })
	}
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionReconciling || c.Type == v1alpha1.ConditionStalled
	})
	if ready.Status == metav1.ConditionFalse {
		// Taken from before the removal, so that the time of the transition is kept.
		abnormal := v1alpha1.ConditionStalled
		switch ready.Reason {
		case v1alpha1.ReasonRetrying, v1alpha1.ReasonPlaybackKeyUnavailable, v1alpha1.ReasonSecretUnavailable:
			abnormal = v1alpha1.ConditionReconciling
		}
		c := metav1.Condition{Type: abnormal, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message, ObservedGeneration: o.Stream.Generation}
		if old := find(o.Stream.Status.Conditions, abnormal); old != nil {
			c.LastTransitionTime = old.LastTransitionTime
		} else {
			c.LastTransitionTime = metav1.NewTime(now)
		}
		status.Conditions = append(status.Conditions, c)
	}
	return status
}

func reportAfterEnd(record *v1alpha1.BroadcastRecord, made map[string]string, failures []Failure) {
	for i := range record.AfterEnd {
		w := &record.AfterEnd[i]
		key := afterEndKey(record.ID, w.Name)
		if name, ok := made[key]; ok {
			w.JobName = name
		}
		for _, f := range failures {
			if f.Key != key {
				continue
			}
			w.State, w.Message = v1alpha1.WorkloadScheduled, f.Message
			if f.Permanent {
				w.State = v1alpha1.WorkloadFailed
			}
		}
	}
}

// inToldWords gives the failures to make a Job the words that the status has of them, where those are alike: each change would be a write, and
// that brings the next try at once.
func inToldWords(o Observed, status v1alpha1.LiveStreamStatus, failures []Failure) []Failure {
	told := map[string]string{}
	for _, w := range status.Workloads {
		if previous := previousStatus(o, status.Broadcast.ID, w.Name); previous.Part == w.Part {
			told[w.Name] = previous.Message
		}
	}
	for _, record := range o.Stream.Status.History {
		for _, w := range record.AfterEnd {
			told[afterEndKey(record.ID, w.Name)] = w.Message
		}
	}
	failures = slices.Clone(failures)
	for i := range failures {
		f := &failures[i]
		switch f.Reason {
		case v1alpha1.ReasonSecretUnavailable, v1alpha1.ReasonPlaybackKeyUnavailable:
			// The name of a Secret is no such word, and the message always the same.
		default:
			f.Message = inWordsOf(told[f.Key], f.Message)
		}
	}
	return failures
}

// inWordsOf is the text as it was told before, where that is alike: each change would be a write.
func inWordsOf(told, text string) string {
	if told != "" && text != "" && alike(told, text) {
		return told
	}
	return text
}

// alike says whether the texts have the same words but for those with digits, in any order: the scheduler sorts what it says of nodes by their
// numbers. Of one that was cut, at some place in a word, what is left counts, as it stands.
func alike(a, b string) bool {
	x, y := constant(a), constant(b)
	if isCut(a) || isCut(b) {
		shorter := min(len(x), len(y))
		return slices.Equal(x[:shorter], y[:shorter])
	}
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

func isCut(text string) bool { return strings.HasSuffix(text, "...") }

// constant are the words without digits: those of identifiers, ports, addresses and times differ each time.
func constant(text string) []string {
	if isCut(text) {
		text = text[:strings.LastIndexByte(text, ' ')+1]
	}
	words := slices.DeleteFunc(strings.Fields(text), func(word string) bool { return strings.ContainsAny(word, "0123456789") })
	for i, word := range words {
		words[i] = strings.TrimRight(word, ".,;")
	}
	return words
}

func find(conditions []metav1.Condition, conditionType string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == conditionType {
			return &conditions[i]
		}
	}
	return nil
}

// withCondition sets c; the time of the transition moves only with the status.
func withCondition(conditions []metav1.Condition, c metav1.Condition, now time.Time) []metav1.Condition {
	c.LastTransitionTime = metav1.NewTime(now)
	old := find(conditions, c.Type)
	if old == nil {
		return append(conditions, c)
	}
	if old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	*old = c
	return conditions
}

func readyCondition(o Observed, status v1alpha1.LiveStreamStatus, failures []Failure) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case o.Domain == "":
		c.Reason = v1alpha1.ReasonPushDomainNotFound
		c.Message = fmt.Sprintf("PushDomain %q does not exist in namespace %q: create it, or no callback can reach this stream", o.Stream.Spec.PushDomainRef.Name, o.Stream.Namespace)
	case o.DuplicateOf != "":
		c.Reason = v1alpha1.ReasonDuplicateStream
		c.Message = fmt.Sprintf("LiveStream %q is older and has the same push domain, app and stream name: it keeps the stream; delete one of the two", o.DuplicateOf)
	case len(failures) > 0:
		// A permanent failure first: only the user can go on.
		worst := failures[max(0, slices.IndexFunc(failures, func(f Failure) bool { return f.Permanent }))]
		c.Reason, c.Message = worst.Reason, fmt.Sprintf("workload %q: %s", worst.Workload, worst.Message)
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonReconciled, standing(o, status)
	}
	return c
}

// standing says in a few words where the stream stands, for kubectl get -o wide.
func standing(o Observed, status v1alpha1.LiveStreamStatus) string {
	switch workloads := workloadsCondition(status, o); {
	case workloads.Reason == v1alpha1.ReasonWorkloadFailed:
		return workloads.Message
	case o.Stream.Spec.Suspended():
		return "suspended: pushes are recorded and nothing runs"
	case status.State == v1alpha1.LiveStreamInterrupted:
		return "the push is gone; workloads wait for it to come back"
	case status.OnAir() && workloads.Reason == v1alpha1.ReasonStarting:
		return "on air; workloads start"
	case status.OnAir():
		return "on air"
	case workloads.Reason == v1alpha1.ReasonStopping:
		return workloads.Message
	default:
		return "waiting for a push"
	}
}

func liveCondition(status v1alpha1.LiveStreamStatus, o Observed) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionLive, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoPush, Message: "no push is live"}
	switch status.State {
	case v1alpha1.LiveStreamLive:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonPushLive, "a push is live"
		if live := len(push.Live(status.Pushes)); live > 1 {
			c.Message = fmt.Sprintf("%d pushes are live", live)
		}
	case v1alpha1.LiveStreamInterrupted:
		c.Reason = string(v1alpha1.PushReasonUnknownError)
		c.Message = "the push ended; workloads stay up for a while in case it comes back"
		if last := lastOf(o, status.Broadcast.Sequences); last != nil && last.Reason != "" {
			c.Reason = string(last.Reason)
			how := "without a callback: " + last.Message
			if last.ErrorCode != nil {
				how = fmt.Sprintf("with errcode %d", *last.ErrorCode)
			}
			c.Message = fmt.Sprintf("the push ended %s; workloads stay up for %s in case it comes back", how, o.Settings.Window(last.Reason))
		}
	case v1alpha1.LiveStreamUnknown:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonPushDomainNotFound, "no callback can reach the stream"
		if status.OnAir() {
			c.Message = fmt.Sprintf("no callback can reach the stream; its workloads end unless the PushDomain is back within %s", o.Settings.Window(v1alpha1.PushReasonUnknownError))
		}
	case v1alpha1.LiveStreamIdle:
	}
	return c
}

func workloadsCondition(status v1alpha1.LiveStreamStatus, o Observed) metav1.Condition {
	starting, stopping, failed := sortOut(status)
	c := metav1.Condition{Type: v1alpha1.ConditionWorkloadsReady, Status: metav1.ConditionTrue}
	switch {
	case len(failed) > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonWorkloadFailed, clip(strings.Join(failed, "; "))
	case len(starting) > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonStarting, "waiting for a ready pod: "+strings.Join(starting, ", ")
	case len(stopping) > 0 && (!o.Stream.Spec.Suspended() || !onlyScheduled(status)):
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonStopping, "finishing after the broadcast: "+strings.Join(stopping, ", ")
	case o.Stream.Spec.Suspended():
		c.Reason, c.Message = v1alpha1.ReasonSuspended, "spec.state is Suspended: pushes are recorded and nothing runs"
	case status.OnAir() && len(status.Workloads) > 0:
		c.Reason, c.Message = v1alpha1.ReasonAllRunning, "every workload runs"
	default:
		c.Reason, c.Message = v1alpha1.ReasonIdle, "nothing has to run"
	}
	return c
}

// onlyScheduled says whether all that has to come yet waits for spec.state to be Active again.
func onlyScheduled(status v1alpha1.LiveStreamStatus) bool {
	var states []v1alpha1.WorkloadState
	for _, w := range status.Workloads {
		states = append(states, w.State)
	}
	if len(status.History) > 0 {
		for _, w := range status.History[0].AfterEnd {
			states = append(states, w.State)
		}
	}
	return !slices.ContainsFunc(states, func(s v1alpha1.WorkloadState) bool { return !settled(s) && s != v1alpha1.WorkloadScheduled })
}

// sortOut names the workloads that are not as they should be, and why.
func sortOut(status v1alpha1.LiveStreamStatus) (starting, stopping, failed []string) {
	for _, w := range status.Workloads {
		switch {
		case w.State == v1alpha1.WorkloadStopping:
			stopping = append(stopping, w.Name)
		case !status.OnAir() || w.State == v1alpha1.WorkloadRunning || w.State == v1alpha1.WorkloadScheduled:
		case w.State == v1alpha1.WorkloadFailed || w.State == v1alpha1.WorkloadWaiting || w.Message != "":
			failed = append(failed, fmt.Sprintf("%s: %s", w.Name, w.Message))
		case w.State == v1alpha1.WorkloadPending:
			starting = append(starting, w.Name)
		}
	}
	if !status.OnAir() {
		pending, troubled := afterEndMessages(status)
		stopping, failed = append(stopping, pending...), append(failed, troubled...)
	}
	return starting, stopping, failed
}

// clip keeps a condition's message within what the API server takes, and readable.
func clip(text string) string {
	const longest = 2048
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "..."
}
