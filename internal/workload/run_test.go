package workload

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func later(seconds int) metav1.Time {
	return metav1.NewTime(showTime.Add(time.Duration(seconds) * time.Second))
}

func job(name string, change ...func(*batchv1.Job)) batchv1.Job {
	j := batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID("uid-" + name), CreationTimestamp: later(0),
		Labels:      map[string]string{v1alpha1.LabelWorkload: "record", v1alpha1.LabelBroadcast: "abc", v1alpha1.LabelPart: "1"},
		Annotations: map[string]string{v1alpha1.AnnotationSequence: "22", v1alpha1.AnnotationBroadcastStart: "2026-01-01T12:00:00Z"},
	}}
	for _, c := range change {
		c(&j)
	}
	return j
}

func label(key, value string) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Labels[key] = value }
}

func condition(kind batchv1.JobConditionType, status corev1.ConditionStatus) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: status, LastTransitionTime: later(90)})
	}
}

func deleted(j *batchv1.Job) { j.DeletionTimestamp = new(later(80)) }

// pod is one of job "j", made at the second.
func pod(name string, created int, change ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, CreationTimestamp: later(created),
		OwnerReferences: []metav1.OwnerReference{{Kind: "Job", Name: "j", UID: "uid-j", Controller: new(true)}},
	}}
	for _, c := range change {
		c(&p)
	}
	return p
}

func ready(p *corev1.Pod) {
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: later(7)})
}

func phase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func podDeleted(p *corev1.Pod) { p.DeletionTimestamp = new(later(80)) }

func waits(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "main", Image: "recorder:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func exits(code int32, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "main", Image: "recorder:1", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}}
}

func containers(statuses ...corev1.ContainerStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses = statuses }
}

func inits(statuses ...corev1.ContainerStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.InitContainerStatuses = statuses }
}

func TestARunIsAsLongAsItsContainersWere(t *testing.T) {
	t.Parallel()
	lasted := func(from, to metav1.Time) corev1.ContainerStatus {
		status := exits(1, "Error", "")
		status.State.Terminated.StartedAt, status.State.Terminated.FinishedAt = from, to
		return status
	}
	epoch := metav1.Unix(0, 0)
	for _, row := range []struct {
		name          string
		pod           func(*corev1.Pod)
		ready, exited time.Time
	}{
		{"one container", containers(lasted(later(10), later(11))), later(10).Time, later(11).Time},
		{"the last of two", containers(lasted(later(10), later(30)), lasted(later(10), later(20))), later(10).Time, later(30).Time},
		{"one that could not be started", containers(lasted(epoch, later(11))), time.Time{}, later(11).Time},
		{"one of which nothing is told", containers(lasted(epoch, epoch)), time.Time{}, time.Time{}},
		{"none", func(*corev1.Pod) {}, time.Time{}, time.Time{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			runs := Runs([]batchv1.Job{job("j", condition(batchv1.JobFailed, corev1.ConditionTrue))}, []corev1.Pod{pod("a", 1, phase(corev1.PodFailed), row.pod)})
			if got := runs[0]; !got.Ready.Equal(row.ready) || !got.Exited.Equal(row.exited) || !got.Finished.Equal(later(90).Time) || !got.PodMade.Equal(later(1).Time) {
				t.Errorf("made %s, ready %s, exited %s, finished %s; want ready %s, exited %s", got.PodMade, got.Ready, got.Exited, got.Finished, row.ready, row.exited)
			}
		})
	}
}

func TestRunsReadOneJob(t *testing.T) {
	t.Parallel()
	const running, failed, succeeded = corev1.PodRunning, corev1.PodFailed, corev1.PodSucceeded
	for _, row := range []struct {
		name string
		job  batchv1.Job
		pods []corev1.Pod
		// want is on top of what the labels, annotations and times of job() give.
		want Run
	}{
		{"a Job without pods is pending", job("j"), nil, Run{Phase: Pending, PodsGone: true}},
		{"a Job whose pod is not ready is pending", job("j"), []corev1.Pod{pod("a", 1, phase(corev1.PodPending))}, Run{Phase: Pending}},
		{"a Job whose pod is ready runs", job("j"), []corev1.Pod{pod("a", 1, ready)}, Run{Phase: Running, Ready: later(7).Time}},
		{"a running Job has no trouble, whatever a container says", job("j"), []corev1.Pod{pod("a", 1, ready, containers(waits("CrashLoopBackOff", "")))}, Run{Phase: Running, Ready: later(7).Time}},
		{"a pod that is being deleted is not ready", job("j"), []corev1.Pod{pod("a", 1, ready, podDeleted)}, Run{Phase: Pending, PodDue: later(80).Time}},
		{"the latest pod speaks: ready after a failed one", job("j"), []corev1.Pod{pod("b", 5, ready), pod("a", 1, phase(failed), containers(exits(1, "", "")))}, Run{Phase: Running, Ready: later(7).Time}},
		{"the latest pod speaks: not ready after a ready one", job("j"), []corev1.Pod{pod("a", 1, ready), pod("b", 5, phase(corev1.PodPending))}, Run{Phase: Pending}},
		{"of pods of one second the one that is named last speaks", job("j"), []corev1.Pod{pod("b", 1, ready), pod("a", 1)}, Run{Phase: Running, Ready: later(7).Time}},
		{"pods of other Jobs do not speak", job("j"), []corev1.Pod{pod("a", 1, ready, func(p *corev1.Pod) { p.OwnerReferences[0].UID = "uid-of-a-namesake" })}, Run{Phase: Pending, PodsGone: true}},
		{"pods without a controller do not speak", job("j"), []corev1.Pod{pod("a", 1, ready, func(p *corev1.Pod) { p.OwnerReferences = nil })}, Run{Phase: Pending, PodsGone: true}},
		{"a complete Job says how it ended", job("j", condition(batchv1.JobComplete, corev1.ConditionTrue)), []corev1.Pod{pod("a", 1, phase(succeeded), containers(exits(0, "Completed", "")))}, Run{Phase: Complete, Finished: later(90).Time, PodsGone: true, Trouble: "exit code 0"}},
		{"a failed Job says how it ended", job("j", condition(batchv1.JobFailed, corev1.ConditionTrue)), []corev1.Pod{pod("a", 1, phase(failed), containers(exits(1, "Error", "opening\nno route to host\n")))}, Run{Phase: Failed, Finished: later(90).Time, PodsGone: true, Trouble: "exit code 1: no route to host"}},
		{"a condition that is not true says nothing", job("j", condition(batchv1.JobComplete, corev1.ConditionFalse), condition(batchv1.JobFailed, corev1.ConditionUnknown)), nil, Run{Phase: Pending, PodsGone: true}},
		{"a Job that is about to fail is not failed yet", job("j", condition(batchv1.JobFailureTarget, corev1.ConditionTrue), condition(batchv1.JobSuspended, corev1.ConditionTrue)), nil, Run{Phase: Pending, PodsGone: true}},
		{"a Job that is being deleted terminates, ready pod or not", job("j", deleted), []corev1.Pod{pod("a", 1, ready)}, Run{Phase: Terminating, Ready: later(7).Time}},
		{"its pod is not gone while it ends", job("j", deleted), []corev1.Pod{pod("a", 1, ready, podDeleted)}, Run{Phase: Terminating, PodDue: later(80).Time}},
		{"its pod is gone once it ended, and tells how", job("j", deleted), []corev1.Pod{pod("a", 1, phase(failed), podDeleted, containers(exits(143, "Error", "bye")))}, Run{Phase: Terminating, PodsGone: true, Trouble: "exit code 143: bye"}},
		{"an earlier pod that still ends is not gone", job("j", deleted), []corev1.Pod{pod("a", 1, phase(running), podDeleted), pod("b", 5, phase(failed), containers(exits(1, "", "")))}, Run{Phase: Terminating, Trouble: "exit code 1"}},
		{"a Job that completed before it was deleted is complete", job("j", deleted, condition(batchv1.JobComplete, corev1.ConditionTrue)), nil, Run{Phase: Complete, Finished: later(90).Time, PodsGone: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			want := row.want
			want.JobName, want.UID, want.Workload, want.Broadcast, want.Part = "j", "uid-j", "record", "abc", 1
			want.Sequence, want.BroadcastStart, want.Created = "22", showTime, showTime
			got := Runs([]batchv1.Job{row.job}, row.pods)
			if diff := gocmp.Diff([]Run{want}, got, cmpopts.IgnoreFields(Run{}, "PodMade")); diff != "" {
				t.Error(diff)
			}
			if active := want.Phase == Pending || want.Phase == Running; len(got) == 1 && got[0].Active() != active {
				t.Errorf("Active() = %v", got[0].Active())
			}
		})
	}
}

func TestRunsListOurJobsInOrder(t *testing.T) {
	t.Parallel()
	jobs := []batchv1.Job{
		job("part10", label(v1alpha1.LabelPart, "10")),
		job("part2", label(v1alpha1.LabelPart, "2")),
		job("other-workload", label(v1alpha1.LabelWorkload, "package")),
		job("other-broadcast", label(v1alpha1.LabelBroadcast, "abb")),
		job("no-workload", label(v1alpha1.LabelWorkload, "")),
		job("no-broadcast", label(v1alpha1.LabelBroadcast, "")),
		job("no-part", label(v1alpha1.LabelPart, "")),
		job("part-is-no-number", label(v1alpha1.LabelPart, "one")),
		job("part-is-too-large", label(v1alpha1.LabelPart, "2147483648")),
		job("no-labels", func(j *batchv1.Job) { j.Labels = nil }),
	}
	given := slices.Clone(jobs)
	names := []string{}
	for _, run := range Runs(jobs, nil) {
		names = append(names, run.JobName)
	}
	if diff := gocmp.Diff([]string{"other-workload", "other-broadcast", "part2", "part10"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := gocmp.Diff(given, jobs); diff != "" {
		t.Errorf("the Jobs were changed: %s", diff)
	}
}

func TestRunsWithoutAnnotationsTellNoBroadcastStart(t *testing.T) {
	t.Parallel()
	for _, annotations := range []map[string]string{nil, {v1alpha1.AnnotationBroadcastStart: "yesterday"}} {
		got := Runs([]batchv1.Job{job("j", func(j *batchv1.Job) { j.Annotations = annotations })}, nil)
		if len(got) != 1 || got[0].Sequence != "" || !got[0].BroadcastStart.IsZero() {
			t.Errorf("annotations %v: %+v", annotations, got)
		}
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	const cannotPull, pending, failed = "image recorder:1 cannot be pulled", corev1.PodPending, corev1.PodFailed
	crashed := func(code int32, message string) corev1.ContainerStatus {
		s := waits("CrashLoopBackOff", "back-off 10s restarting failed container")
		s.LastTerminationState = exits(code, "Error", message).State
		return s
	}
	unschedulable := func(status corev1.ConditionStatus, reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: status, Reason: reason, Message: "0/3 nodes are available:\n\t3 Insufficient cpu."}}
		}
	}
	for _, row := range []struct {
		name string
		pod  corev1.Pod
		want string
	}{
		{"a pod that starts has none", pod("a", 1, phase(pending), containers(waits("ContainerCreating", ""))), ""},
		{"a pull that failed", pod("a", 1, phase(pending), containers(waits("ErrImagePull", "not found"))), cannotPull},
		{"a pull that failed reads the same while it waits for the next", pod("a", 1, phase(pending), containers(waits("ImagePullBackOff", "Back-off pulling image"))), cannotPull},
		{"an image that must not be pulled", pod("a", 1, containers(waits("ErrImageNeverPull", ""))), cannotPull},
		{"an image whose name is none", pod("a", 1, containers(waits("InvalidImageName", ""))), cannotPull},
		{"a Secret that is missing", pod("a", 1, containers(waits("CreateContainerConfigError", `secret "css" not found`))), `container main cannot be created: secret "css" not found`},
		{"a container that crashes again and again tells how", pod("a", 1, phase(corev1.PodRunning), containers(crashed(1, "starting\nno route\n"))), "container main crashes again and again: exit code 1: no route"},
		{"a container that crashes again and again without a word", pod("a", 1, containers(waits("CrashLoopBackOff", "back-off"))), "container main crashes again and again"},
		{"a crash loop reads the same whatever the back-off", pod("a", 1, containers(func() corev1.ContainerStatus {
			s := crashed(1, "no route")
			s.RestartCount, s.State.Waiting.Message = 5, "back-off 5m0s"
			return s
		}())), "container main crashes again and again: exit code 1: no route"},
		{"an exit code and the last line of the log", pod("a", 1, phase(failed), containers(exits(2, "Error", "first\n  last words \n\n"))), "exit code 2: last words"},
		{"an exit code without a log", pod("a", 1, phase(failed), containers(exits(2, "Error", ""))), "exit code 2"},
		{"out of memory says what to do", pod("a", 1, phase(failed), containers(exits(137, "OOMKilled", ""))), "exit code 137, out of memory: raise resources.limits.memory"},
		{"out of memory with a last line", pod("a", 1, phase(failed), containers(exits(137, "OOMKilled", "frame=1"))), "exit code 137, out of memory: raise resources.limits.memory: frame=1"},
		{"a pod that succeeded tells its exit code", pod("a", 1, phase(corev1.PodSucceeded), containers(exits(0, "Completed", "done"))), "exit code 0: done"},
		{"a container that ended well in a running pod is none", pod("a", 1, phase(corev1.PodRunning), containers(exits(0, "Completed", ""))), ""},
		{"of two containers the one that failed speaks", pod("a", 1, phase(failed), containers(exits(0, "Completed", ""), exits(3, "Error", "disk full"))), "exit code 3: disk full"},
		{"an init container that ended well does not hide the failure", pod("a", 1, phase(failed), inits(exits(0, "Completed", "")), containers(exits(3, "Error", "disk full"))), "exit code 3: disk full"},
		{"an init container that failed speaks for those that never ran", pod("a", 1, phase(failed), inits(exits(4, "Error", "no disk")), containers(waits("PodInitializing", ""))), "exit code 4: no disk"},
		{"an init container that crashes speaks for those that wait", pod("a", 1, phase(pending), inits(crashed(4, "no disk")), containers(waits("PodInitializing", ""))), "container main crashes again and again: exit code 4: no disk"},
		{"a sidecar that was told to end is no failure of a pod that succeeded", pod("a", 1, phase(corev1.PodSucceeded), inits(exits(143, "Error", "bye")), containers(exits(0, "Completed", "done"))), "exit code 0: done"},
		{"no node takes the pod", pod("a", 1, phase(pending), unschedulable(corev1.ConditionFalse, corev1.PodReasonUnschedulable)), "no node can take the pod: 0/3 nodes are available: 3 Insufficient cpu."},
		{"a pod that waits at a scheduling gate has none", pod("a", 1, phase(pending), unschedulable(corev1.ConditionFalse, corev1.PodReasonSchedulingGated)), ""},
		{"a pod that is scheduled has none", pod("a", 1, phase(pending), unschedulable(corev1.ConditionTrue, "")), ""},
		{"control characters and colours are taken out", pod("a", 1, phase(failed), containers(exits(1, "", "\x1b[31mno\x00 route\x1b[0m\r"))), "exit code 1: [31mno route [0m"},
		{"the signature of a playback URL is left out", pod("a", 1, phase(failed), containers(exits(1, "", "http://play.example.com/live/a.flv?txSecret=5bb1e0a7&txTime=65B8: Input/output error"))), "exit code 1: http://play.example.com/live/a.flv?txSecret=...&txTime=...: Input/output error"},
		{"and of one in a command that the runtime does not find", pod("a", 1, phase(pending), containers(waits("RunContainerError", `exec: "ffmpeg -i https://play.example.com/live/a.flv?txSecret=5bb1e0a7&txTime=65B8 -c copy": no such file`))), `container main cannot be created: exec: "ffmpeg -i https://play.example.com/live/a.flv?txSecret=...&txTime=... -c copy": no such file`},
		{"and of one in a message that is cut", pod("a", 1, phase(pending), containers(waits("CreateContainerError", strings.Repeat("x", 440)+" txSecret=5bb1e0a7"+strings.Repeat("f", 90)))), "container main cannot be created: " + strings.Repeat("x", 440) + " txSecret=..."},
		{"and of one in what a pod says that failed as a whole", pod("a", 1, phase(failed), func(p *corev1.Pod) {
			p.Status.Reason, p.Status.Message = "UnexpectedAdmissionError", "a?txSecret=5BB1e0a7"
		}), "UnexpectedAdmissionError: a?txSecret=..."},
		{"bytes that are no text are marked", pod("a", 1, phase(failed), containers(exits(1, "", "caf\xe9 closed"))), "exit code 1: caf? closed"},
		{"a long message is cut", pod("a", 1, phase(failed), containers(exits(1, "", strings.Repeat("x", 4096)))), "exit code 1: " + strings.Repeat("x", 509-13) + "..."},
		{"a long message is cut between characters", pod("a", 1, phase(failed), containers(exits(1, "", strings.Repeat("断", 1000)))), "exit code 1: " + strings.Repeat("断", 165) + "..."},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := Runs([]batchv1.Job{job("j")}, []corev1.Pod{row.pod})[0].Trouble
			if diff := gocmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
			if len(got) > 512 || !utf8.ValidString(got) {
				t.Errorf("%d bytes, valid UTF-8: %v", len(got), utf8.ValidString(got))
			}
		})
	}
}

func TestAWorkerThatIsNotReadySaysWhatItMayLack(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		RecorderName:   "the worker runs, and no media comes from the playback domain",
		TranscoderName: "the worker runs, and no media comes from the playback domain, or none gets on: its log says why",
	} {
		j := job("j", label(v1alpha1.LabelWorkload, name), label(v1alpha1.LabelStop, v1alpha1.StopBySignal))
		if got := Runs([]batchv1.Job{j}, []corev1.Pod{pod("a", 1, phase(corev1.PodRunning))})[0].Trouble; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
