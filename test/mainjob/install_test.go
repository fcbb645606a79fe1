package mainjob

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/installation"
)

func TestTheInstallationIsAccepted(t *testing.T) {
	mustKubectl(t, "apply", "-k", filepath.Join(root, "config", "default"), "--dry-run=server")
	mustKubectl(t, "apply", "-k", filepath.Join(root, "config", "default"))
	// Pods of a Deployment are made only if the namespace's restricted Pod Security lets them.
	deployments := []string{"deployment/livestream-receiver", "deployment/livestream-reconciler"}
	mustKubectl(t, append([]string{"wait", "--for=condition=Available", "-n", "livestream-system", "--timeout=60s"}, deployments...)...)
	// Callbacks reach the receiver, and nothing else.
	eventually(t, "the Service leads to two receivers", func() error {
		pods, err := kubectl(t.Context(), "get", "endpointslices", "-n", "livestream-system", "-l", "kubernetes.io/service-name=livestream-callbacks", "-o", "jsonpath={.items[*].endpoints[*].targetRef.name}")
		if err != nil || len(strings.Fields(pods)) != 2 || strings.Count(pods, "livestream-receiver-") != 2 {
			return fmt.Errorf("it leads to %q: %w", pods, err)
		}
		return nil
	})
	mustKubectl(t, append([]string{"delete", "-n", "livestream-system"}, deployments...)...)
}

// Whose priority a request has, the API server says itself.
func TestCallbacksHaveAPriorityOfTheirOwn(t *testing.T) {
	mustKubectl(t, "apply", "-k", filepath.Join(root, "config", "priority"))
	level := mustKubectl(t, "get", "prioritylevelconfiguration", "livestream-callbacks", "-o", "jsonpath={.metadata.uid}")
	for _, tc := range []struct {
		name, account string
		args          []string
		want          bool
	}{
		{"what a callback reads", installation.Receiver, []string{"get", "lvs", "nobody"}, true},
		{"what the receiver's cache lists", installation.Receiver, []string{"get", "lvs"}, false},
		{"what the reconciler reads", installation.Reconciler, []string{"get", "lvs", "nobody"}, false},
	} {
		eventually(t, tc.name+" has the priority that it should have", func() error {
			output, _ := kubectl(t.Context(), append(tc.args, "-n", "default", "-v", "9", "--as=system:serviceaccount:livestream-system:"+tc.account)...)
			if !strings.Contains(output, "Pf-Prioritylevel-Uid") {
				return fmt.Errorf("the answer names none: %s", output)
			}
			if got := strings.Contains(output, level); got != tc.want {
				return fmt.Errorf("it has that of callbacks: %t, want %t", got, tc.want)
			}
			return nil
		})
	}
}

func TestTheOperatorsRightsAreMinimal(t *testing.T) {
	for _, action := range [][]string{
		{"list", "secrets"}, {"watch", "secrets"}, {"create", "secrets"}, {"create", "pods"}, {"create", "pods/exec"}, {"update", "livestreams"},
		{"patch", "jobs"}, {"create", "rolebindings.rbac.authorization.k8s.io"}, {"impersonate", "users"}, {"escalate", "clusterroles.rbac.authorization.k8s.io"},
	} {
		for _, account := range []string{installation.Receiver, installation.Reconciler} {
			output, _ := kubectl(t.Context(), "auth", "can-i", action[0], action[1], "-A", "--as=system:serviceaccount:livestream-system:"+account)
			if !strings.Contains(output, "no") {
				t.Errorf("the %s may %s %s: %s", account, action[0], action[1], output)
			}
		}
	}
}

// What is installed: two processes, each with the rights of its own part.
func TestReceiverAndReconcilerDoTheMainJobWithTheirOwnRights(t *testing.T) {
	s := newShow(t)
	holdLease(t)()
	receiver := startReceiver(t)
	s.deliver(receiver, s.start("1001"))
	if status := s.stream().Status; len(status.Pushes) != 1 || status.State != "" || len(s.jobs()) != 0 {
		t.Errorf("with a receiver alone the status is %+v, and there are %d Jobs", status, len(s.jobs()))
	}
	var leases coordinationv1.LeaseList
	if err := api.List(t.Context(), &leases, client.InNamespace("livestream-system")); err != nil || len(leases.Items) > 0 {
		t.Errorf("a process that only receives took a lease: %+v, %v", leases.Items, err)
	}
	// The reconciler goes on with what was recorded.
	receiver.kill()
	reconciler := startReconciler(t)
	s.reaches(v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning)
	s.oneJob()
	receiver = startReceiver(t)
	s.deliver(receiver, s.stop("1001"))
	s.reaches(v1alpha1.LiveStreamIdle, v1alpha1.WorkloadStopped)
	for name, m := range map[string]*manager{"receiver": receiver, "reconciler": reconciler} {
		if err := expectStatus(m.probes+"/healthz", http.StatusOK); err != nil {
			t.Error(err)
		}
		eventually(t, "the "+name+" serves its metrics", func() error {
			if _, metrics, err := get(m.metrics); err != nil || !strings.Contains(metrics, `livestream_streams{state="Idle"} 1`) {
				return fmt.Errorf("they do not tell of the stream that is idle: %w", err)
			}
			return nil
		})
		// What it may not do it does not try, watches included.
		if log := m.logged(t); strings.Contains(strings.ToLower(log), "forbidden") {
			t.Errorf("the %s tries what it may not do:\n%s", name, tail(log))
		}
	}
}

func TestAReconcilerThatMayNotWatchJobsIsAliveAndNotReady(t *testing.T) {
	m := launch(t, writeConfig(t, installation.Receiver), "--callback-bind-address=0")
	eventually(t, "it is refused to list Jobs", func() error {
		if !strings.Contains(m.logged(t), `cannot list resource \"jobs\"`) {
			return errors.New("it is not in the log")
		}
		return nil
	})
	if err := errors.Join(expectStatus(m.probes+"/healthz", http.StatusOK), expectStatus(m.probes+"/readyz", http.StatusInternalServerError)); err != nil {
		t.Error(err)
	}
}

// Whoever takes over the process that the Internet reaches.
func TestTheReceiversAccountIsRefusedWhatEndsOrStartsThings(t *testing.T) {
	s := newShow(t)
	config, err := clientcmd.BuildConfigFromFlags("", writeConfig(t, installation.Receiver))
	if err != nil {
		t.Fatal(err)
	}
	as, err := client.New(config, client.Options{Scheme: api.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "miner", Namespace: s.namespace}}
	job.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	stream := s.stream()
	edited := stream.DeepCopy()
	edited.Spec.State = v1alpha1.LiveStreamSuspended
	for what, try := range map[string]error{
		"create a Job":            as.Create(t.Context(), job),
		"create a Pod":            as.Create(t.Context(), &corev1.Pod{ObjectMeta: job.ObjectMeta, Spec: job.Spec.Template.Spec}),
		"delete a LiveStream":     as.Delete(t.Context(), stream),
		"edit a LiveStream":       as.Patch(t.Context(), edited, client.MergeFrom(stream)),
		"create a LiveStream":     as.Create(t.Context(), s.newStream("another", "another")),
		"list Secrets":            as.List(t.Context(), &corev1.SecretList{}, client.InNamespace(s.namespace)),
		"list Jobs":               as.List(t.Context(), &batchv1.JobList{}, client.InNamespace(s.namespace)),
		"list Pods":               as.List(t.Context(), &corev1.PodList{}, client.InNamespace(s.namespace)),
		"take the leader's Lease": as.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "livestream-operator", Namespace: "livestream-system"}}),
	} {
		if !apierrors.IsForbidden(try) {
			t.Errorf("the receiver may %s: %v", what, try)
		}
	}
	if err := as.Get(t.Context(), client.ObjectKeyFromObject(stream), stream); err != nil {
		t.Errorf("it is refused what it needs, so that this test shows nothing: %v", err)
	}
}

func TestSamplesAreAccepted(t *testing.T) {
	s := newNamespace(t)
	output := mustKubectl(t, "apply", "-n", s.namespace, "-k", filepath.Join(root, "config", "samples"))
	files, err := filepath.Glob(filepath.Join(root, "config", "samples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(output, "livestream-operator.io") < len(files)-1 {
		t.Errorf("%d files, applied only:\n%s", len(files), output)
	}
}

func TestWhatIdentifiesAStreamCannotBeChanged(t *testing.T) {
	s := newShow(t)
	for path, message := range map[string]string{
		`{"spec":{"streamName":"another"}}`:             "streamName cannot be changed",
		`{"spec":{"appName":"another"}}`:                "appName cannot be changed",
		`{"spec":{"pushDomainRef":{"name":"another"}}}`: "pushDomainRef cannot be changed",
	} {
		output, err := kubectl(t.Context(), "patch", "lvs", "show", "-n", s.namespace, "--type=merge", "-p", path)
		if err == nil || !strings.Contains(output, message) {
			t.Errorf("patching %s = %v, %q; want %q", path, err, output, message)
		}
	}
	output, err := kubectl(t.Context(), "patch", "pd", "shows", "-n", s.namespace, "--type=merge", "-p", `{"spec":{"domain":"other.example.com"}}`)
	if err == nil || !strings.Contains(output, "domain cannot be changed") {
		t.Errorf("patching the domain = %v, %q", err, output)
	}
}

func TestExplainDescribesEveryField(t *testing.T) {
	for _, kind := range []string{"livestream", "pushdomain"} {
		for _, part := range []string{"spec", "status"} {
			if output := mustKubectl(t, "explain", kind+"."+part, "--recursive"); !strings.Contains(output, "DESCRIPTION") {
				t.Errorf("kubectl explain %s.%s says:\n%s", kind, part, output)
			}
		}
		var crd map[string]any
		if err := json.Unmarshal([]byte(mustKubectl(t, "get", "crd", kind+"s.livestream-operator.io", "-o", "json")), &crd); err != nil {
			t.Fatal(err)
		}
		version := crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
		for _, field := range undescribed(version["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any), kind) {
			t.Errorf("%s has no description", field)
		}
	}
}

// undescribed lists properties without a description; those of Kubernetes' own Job template are not ours.
func undescribed(schema map[string]any, path string) []string {
	var found []string
	if items, ok := schema["items"].(map[string]any); ok {
		return undescribed(items, path+"[]")
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		property := property.(map[string]any)
		at := path + "." + name
		// controller-gen leaves out that of the standard metadata.
		if _, ok := property["description"]; !ok && name != "metadata" {
			found = append(found, at)
		}
		if !strings.HasSuffix(at, ".spec.workloads[].job") {
			found = append(found, undescribed(property, at)...)
		}
	}
	return found
}

// A client that knows only the documentation: HTTP and kubectl.
func TestAStreamsWholeLifeByHTTPAndKubectl(t *testing.T) {
	s := newShow(t)
	m := startManager(t)
	mustKubectl(t, "wait", "--for=condition=Ready", "lvs/show", "pd/shows", "-n", s.namespace, "--timeout=30s")
	path := mustKubectl(t, "get", "pd", "shows", "-n", s.namespace, "-o", "jsonpath={.status.callbackPath}")
	if path != s.path() {
		t.Errorf("status.callbackPath is %q, want %q", path, s.path())
	}
	s.deliver(m, s.start("1001"))
	mustKubectl(t, "wait", "--for=condition=Live", "lvs/show", "-n", s.namespace, "--timeout=30s")
	mustKubectl(t, "wait", "--for=condition=WorkloadsReady", "lvs/show", "-n", s.namespace, "--timeout=30s")
	row := mustKubectl(t, "get", "livestreams", "-n", s.namespace, "--field-selector", "status.state=Live", "--no-headers")
	if fields := strings.Fields(row); len(fields) != 7 || fields[1] != "Live" || fields[2] != "True" || fields[3] != "1/1" || fields[5] != "test_stream" {
		t.Errorf("kubectl get prints %q", row)
	}
	if header := strings.Fields(mustKubectl(t, "get", "lvs", "-n", s.namespace)); strings.Join(header[:7], " ") != "NAME STATE READY WORKLOADS SINCE STREAM AGE" {
		t.Errorf("the columns are %v", header[:7])
	}
	wide := mustKubectl(t, "get", "lvs", "-n", s.namespace, "-o", "wide")
	for _, want := range []string{"push.example.com", "live", "1.1.1.1"} {
		if !strings.Contains(wide, want) {
			t.Errorf("kubectl get -o wide lacks %q:\n%s", want, wide)
		}
	}
	all := mustKubectl(t, "get", "all", "-n", s.namespace)
	if !strings.Contains(all, "livestream.livestream-operator.io/show") {
		t.Errorf("kubectl get all lacks the stream:\n%s", all)
	}
	s.deliver(m, s.stop("1001"))
	s.reaches(v1alpha1.LiveStreamIdle, v1alpha1.WorkloadStopped)
	if w := s.stream().Status.Workloads[0]; w.Message != "ended after the broadcast with exit code 0" {
		t.Errorf("workload = %+v", w)
	}
	mustKubectl(t, "delete", "lvs", "show", "-n", s.namespace)
	checkNoSecret(t, s, m)
	_, metrics, err := get(m.metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`livestream_callbacks_total{result="started"} 1`, `livestream_callbacks_total{result="ended"} 1`,
		"livestream_callback_ack_seconds_count 2", `livestream_callback_lag_seconds_count{event="start"} 1`,
		"livestream_jobs_started_total 1", `livestream_jobs_ended_total{result="Stopped"} 1`, `livestream_streams{state="Live"} 0`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// checkNoSecret greps all that the operator writes.
func checkNoSecret(t *testing.T, s *show, m *manager) {
	t.Helper()
	_, metrics, err := get(m.metrics)
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{
		"log":     m.logged(t),
		"metrics": metrics,
		"objects": mustKubectl(t, "get", "livestreams,pushdomains,jobs,pods,events.events.k8s.io", "-n", s.namespace, "-o", "yaml"),
	} {
		for _, secret := range []string{callbackKey, "thePlaybackKey0123456789", "stream_param=test"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s hold %q", where, secret)
			}
		}
	}
	for _, bad := range []string{"forbidden", "Forbidden", "panic"} {
		if log := m.logged(t); strings.Contains(log, bad) {
			t.Errorf("the log has %q:\n%s", bad, tail(log))
		}
	}
	if !strings.Contains(m.logged(t), "Recorded push event") {
		t.Error(fmt.Sprint("the log is not what it should be:\n", tail(m.logged(t))))
	}
}
