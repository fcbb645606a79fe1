package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func refused(seconds int, message string) corev1.Event {
	return corev1.Event{Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: message, LastTimestamp: later(seconds)}
}

func TestPodlessTrouble(t *testing.T) {
	t.Parallel()
	const (
		quota = `Error creating: pods "show-record-abc-%s" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1`
		// A policy's words name the Pod too.
		policy   = `Error creating: pods "show-record-abc-%s" is forbidden: ValidatingAdmissionPolicy 'no-jobs' with binding 'no-jobs' denied request: no`
		security = `Error creating: pods "show-record-abc-%s" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true`
		webhook  = `Error creating: admission webhook "scan.example.com" denied the request: pod "show-record-abc-%s" has an unsigned image`
		tooMuch  = "no pod can be created: forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1; raise the ResourceQuota, or ask for less"
	)
	of := func(seconds int, format, pod string) corev1.Event { return refused(seconds, fmt.Sprintf(format, pod)) }
	other := corev1.Event{Reason: "SuccessfulCreate", Message: "Created pod: show-record-abc-x", LastTimestamp: later(99)}
	for _, row := range []struct {
		name   string
		events []corev1.Event
		want   string
	}{
		{"no Events", nil, ""},
		{"Events of other kinds", []corev1.Event{other}, ""},
		{"the quota is used up, and what to do", []corev1.Event{of(1, quota, "x7k2p")}, tooMuch},
		{"each try reads the same, whatever its Pod would be called", []corev1.Event{of(1, quota, "x7k2p"), of(5, quota, "zzzzz"), of(3, quota, "aaaaa")}, tooMuch},
		{"a policy says no", []corev1.Event{of(1, policy, "x7k2p")}, "no pod can be created: forbidden: ValidatingAdmissionPolicy 'no-jobs' with binding 'no-jobs' denied request: no"},
		{"Pod Security says no", []corev1.Event{of(1, security, "x7k2p")}, `no pod can be created: forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true`},
		{"a webhook says no", []corev1.Event{of(1, webhook, "x7k2p")}, `no pod can be created: admission webhook "scan.example.com" denied the request: has an unsigned image`},
		{"the latest speaks, in whatever order they come", []corev1.Event{of(9, policy, "b"), of(1, quota, "a"), other}, "no pod can be created: forbidden: ValidatingAdmissionPolicy 'no-jobs' with binding 'no-jobs' denied request: no"},
		{"of two of one second the last one speaks", []corev1.Event{of(1, policy, "b"), of(1, quota, "a")}, tooMuch},
		{"an Event without a time speaks where there is no other", []corev1.Event{{Reason: "FailedCreate", Message: "Error creating: no"}}, "no pod can be created: no"},
		{"an Event without words says nothing", []corev1.Event{refused(1, "")}, ""},
		{"a message without the usual beginning is kept", []corev1.Event{refused(1, "limit reached")}, "no pod can be created: limit reached"},
		{"a long one is cut, without line breaks", []corev1.Event{refused(1, "Error creating: "+strings.Repeat("a\n", 600))}, "no pod can be created: " + strings.TrimSpace(strings.Repeat("a ", 600))[:509-len("no pod can be created: ")] + "..."},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := slices.Clone(row.events)
			if diff := gocmp.Diff(row.want, PodlessTrouble(row.events)); diff != "" {
				t.Error(diff)
			}
			if diff := gocmp.Diff(given, row.events); diff != "" {
				t.Errorf("the Events were changed: %s", diff)
			}
		})
	}
}

func TestAJobThatFailedSaysWhy(t *testing.T) {
	t.Parallel()
	fails := func(reason, message string) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: later(90)})
		}
	}
	const deadline = "it ran longer than its activeDeadlineSeconds"
	killed := pod("a", 1, phase(corev1.PodFailed), containers(exits(143, "Error", "bye")))
	for _, row := range []struct {
		name string
		job  batchv1.Job
		pods []corev1.Pod
		want string
	}{
		{"past its deadline, without a Pod", job("j", fails(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")), nil, deadline},
		{"past its deadline, whatever the exit code of the Pod that was killed for it", job("j", fails(batchv1.JobReasonDeadlineExceeded, "")), []corev1.Pod{killed}, deadline},
		{"past its backoff limit the Pod tells more", job("j", fails(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")), []corev1.Pod{killed}, "exit code 143: bye"},
		{"past its backoff limit, without a Pod", job("j", fails(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")), nil, "Job has reached the specified backoff limit"},
		{"a Pod that says nothing leaves it to the Job", job("j", fails("PodFailurePolicy", "Container main failed with exit code 42")), []corev1.Pod{pod("a", 1, phase(corev1.PodFailed))}, "Container main failed with exit code 42"},
		{"a deadline that is about to fail the Job is no failure yet", job("j", func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonDeadlineExceeded}}
		}), []corev1.Pod{killed}, "exit code 143: bye"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if diff := gocmp.Diff(row.want, Runs([]batchv1.Job{row.job}, row.pods)[0].Trouble); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnlyJobsAfterTheBroadcastAreToldHowItEnded(t *testing.T) {
	t.Parallel()
	record := &v1alpha1.BroadcastRecord{
		ID: "abcdefghij", StartTime: new(metav1.NewTime(showTime)), EndTime: new(metav1.NewTime(showTime.Add(90 * time.Minute).In(time.FixedZone("CST", 8*3600)))),
		DurationSeconds: new(int64(5400)), EndReason: "NetworkError",
	}
	after := []string{"LIVESTREAM_ENDED_AT", "LIVESTREAM_END_REASON", "LIVESTREAM_DURATION_SECONDS"}
	for _, row := range []struct {
		name  string
		ended *v1alpha1.BroadcastRecord
		want  map[string]string
		label string
	}{
		{"a Job in the broadcast", nil, nil, ""},
		{"a Job after it", record, map[string]string{after[0]: "2026-01-01T13:30:00Z", after[1]: "NetworkError", after[2]: "5400"}, "AfterEnd"},
		{"a Job after one of which little is known", &v1alpha1.BroadcastRecord{ID: "abcdefghij"}, map[string]string{after[0]: "", after[1]: "", after[2]: ""}, "AfterEnd"},
		{"a Job after one of no length", &v1alpha1.BroadcastRecord{DurationSeconds: new(int64(0)), EndReason: "Suspended"}, map[string]string{after[0]: "", after[1]: "Suspended", after[2]: "0"}, "AfterEnd"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := broadcast()
			b.Ended = row.ended
			got := Job(liveStream(nil), v1alpha1.Workload{Name: "upload", Job: demanding()}, b, 1)
			pod := got.Spec.Template
			if got.Labels[v1alpha1.LabelRun] != row.label || pod.Labels[v1alpha1.LabelRun] != row.label {
				t.Errorf("labels %v", got.Labels)
			}
			for _, c := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
				told := map[string]string{}
				for _, e := range c.Env {
					if slices.Contains(after, e.Name) {
						told[e.Name] = e.Value
					}
				}
				if len(told) == 0 {
					told = nil
				}
				if diff := gocmp.Diff(row.want, told); diff != "" {
					t.Errorf("container %s: %s", c.Name, diff)
				}
			}
			run := Runs([]batchv1.Job{*got}, nil)
			if len(run) != 1 || run[0].AfterEnd != (row.ended != nil) || run[0].Broadcast != b.ID || run[0].Part != 1 {
				t.Errorf("it reads as %+v", run)
			}
		})
	}
}

func TestAJobAfterTheBroadcastHasAnotherNameThanThoseInIt(t *testing.T) {
	t.Parallel()
	b := broadcast()
	in := Job(liveStream(nil), v1alpha1.Workload{Name: "record", Job: minimal()}, b, 1)
	b.Ended = &v1alpha1.BroadcastRecord{ID: b.ID}
	after := Job(liveStream(nil), v1alpha1.Workload{Name: "upload", Run: v1alpha1.WorkloadRunAfterEnd, Job: minimal()}, b, 1)
	if in.Name == after.Name {
		t.Errorf("both are called %s", in.Name)
	}
}

func TestThePageOfTheKindListsEveryVariableThatAJobIsTold(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "livestream.md"))
	if err != nil {
		t.Fatal(err)
	}
	b := broadcast()
	b.Ended = &v1alpha1.BroadcastRecord{ID: b.ID}
	for _, variable := range environment(liveStream(nil), b) {
		if !strings.Contains(string(page), "`"+variable.Name+"`") {
			t.Errorf("docs/spec/livestream.md lacks %s", variable.Name)
		}
	}
}
