// Package mainjob runs the operator's binary against a whole control plane, as an installation does: with the rights of its own
// service accounts, killed, doubled, and cut off from the API server.
package mainjob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/installation"
)

const callbackKey = "theCallbackKey0123456789"

var (
	root    string
	work    string
	cluster *controlplane.Cluster
	// installed is what cluster and api belong to.
	installed *installation.Installation
	api       client.Client
	// operatorConfig is a kubeconfig for a process that does both parts, with the rights that config/rbac gives to either.
	operatorConfig string
	managerBinary  string
	// configOf writes a kubeconfig with the rights of a service account.
	configOf func(path, account string) error
	// kubectl is kubectl as the administrator.
	kubectl func(ctx context.Context, arguments ...string) (string, error)
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	var err error
	if work, err = os.MkdirTemp("", "mainjob-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(work) }()
	dir := filepath.Join(work, "controlplane")
	defer func() {
		if _, err := controlplane.Down(ctx, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	if err := setUp(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, "setting up:", err)
		return 1
	}
	return m.Run()
}

func setUp(ctx context.Context, dir string) error {
	var err error
	if installed, err = installation.Up(ctx, controlplane.Options{Dir: dir, FakeNodes: 2, Progress: io.Discard}); err != nil {
		return err
	}
	root, cluster, api, kubectl = installed.Root, installed.Cluster, installed.API, installed.Kubectl
	managerBinary = filepath.Join(work, "manager")
	if err := installation.BuildManager(ctx, root, managerBinary); err != nil {
		return err
	}
	configOf = func(path, account string) error {
		return installed.WriteConfig(path, account, cluster.Server(), cluster.CA())
	}
	operatorConfig = filepath.Join(work, "operator.kubeconfig")
	return configOf(operatorConfig, installation.Both)
}

// mustKubectl is kubectl as the administrator; a failure ends the test.
func mustKubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := kubectl(t.Context(), arguments...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

// manager is a process of the operator.
type manager struct {
	command                   *exec.Cmd
	receiver, metrics, probes string
	log                       *os.File
	done                      chan struct{}
}

// startManager starts one that does both parts, or what the arguments say of it.
func startManager(t *testing.T, arguments ...string) *manager {
	t.Helper()
	m := launch(t, operatorConfig, arguments...)
	m.isReady(t)
	return m
}

// startReceiver starts one that only receives, with the receiver's rights.
func startReceiver(t *testing.T) *manager {
	t.Helper()
	m := launch(t, writeConfig(t, installation.Receiver), "--reconcile=false")
	m.isReady(t)
	return m
}

// startReconciler starts one that only reconciles, with the reconciler's rights.
func startReconciler(t *testing.T) *manager {
	t.Helper()
	m := launch(t, writeConfig(t, installation.Reconciler), "--callback-bind-address=0", "--leader-elect")
	m.isReady(t)
	return m
}

func writeConfig(t *testing.T, account string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), account+".kubeconfig")
	if err := configOf(path, account); err != nil {
		t.Fatal(err)
	}
	return path
}

// launch does not wait until it is ready.
func launch(t *testing.T, kubeconfig string, arguments ...string) *manager {
	t.Helper()
	addresses := freeAddresses(t, 3)
	m := &manager{receiver: "http://" + addresses[0], metrics: "http://" + addresses[1] + "/metrics", probes: "http://" + addresses[2], done: make(chan struct{})}
	var err error
	if m.log, err = os.CreateTemp(work, "manager-*.log"); err != nil {
		t.Fatal(err)
	}
	m.command = exec.Command(managerBinary, append([]string{"--callback-bind-address=" + addresses[0], "--metrics-bind-address=" + addresses[1],
		"--health-probe-bind-address=" + addresses[2], "--zap-log-level=debug", "--leader-election-namespace=livestream-system"}, arguments...)...)
	m.command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	m.command.Stdout, m.command.Stderr = m.log, m.log
	if err := m.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(m.done)
		_ = m.command.Wait()
	}()
	t.Cleanup(func() {
		m.kill()
		if t.Failed() {
			t.Logf("the operator's log:\n%s", tail(m.logged(t)))
		}
	})
	return m
}

func (m *manager) isReady(t *testing.T) {
	t.Helper()
	eventually(t, "the operator is ready", func() error { return expectStatus(m.probes+"/readyz", http.StatusOK) })
}

// kill is kill -9.
func (m *manager) kill() {
	_ = m.command.Process.Kill()
	<-m.done
}

func (m *manager) logged(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(m.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func tail(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

func freeAddresses(t *testing.T, count int) []string {
	t.Helper()
	var addresses []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses
}

func get(url string) (int, string, error) {
	response, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	var body bytes.Buffer
	_, err = body.ReadFrom(response.Body)
	return response.StatusCode, body.String(), err
}

func expectStatus(url string, want int) error {
	status, _, err := get(url)
	if err == nil && status != want {
		err = fmt.Errorf("%s answers %d", url, status)
	}
	return err
}

// patience is long: after an outage the other components need their time, too.
const patience = 60 * time.Second

func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came true: %s: %v", what, err)
		}
	}
}

// show is a namespace with a push domain and one stream.
type show struct {
	t         *testing.T
	namespace string
}

// newNamespace makes an empty one.
func newNamespace(t *testing.T) *show {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "show-"}}
	if err := api.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	s := &show{t: t, namespace: namespace.Name}
	t.Cleanup(s.remove)
	return s
}

func newShow(t *testing.T) *show {
	t.Helper()
	s := newNamespace(t)
	stream := s.newStream("show", "test_stream")
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "css"}, StringData: map[string]string{"callbackKey": callbackKey, "playbackKey": "thePlaybackKey0123456789"}},
		&v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: "shows"}, Spec: v1alpha1.PushDomainSpec{
			Provider: v1alpha1.ProviderTencentCSS, Domain: "push.example.com",
			Callback: v1alpha1.Callback{KeySecretRefs: []v1alpha1.SecretKeyReference{{Name: "css", Key: "callbackKey"}}},
			Playback: v1alpha1.Playback{Domain: "play.example.com", KeySecretRef: v1alpha1.SecretKeyReference{Name: "css", Key: "playbackKey"}},
		}},
		stream,
	} {
		object.SetNamespace(s.namespace)
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// remove takes the streams away before their namespace, so that nothing of them is seen by the next test.
func (s *show) remove() {
	ctx := context.Background()
	if err := api.DeleteAllOf(ctx, &v1alpha1.LiveStream{}, client.InNamespace(s.namespace)); err != nil {
		s.t.Error(err)
	}
	if err := client.IgnoreNotFound(api.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})); err != nil {
		s.t.Error(err)
	}
}

func (s *show) newStream(name, streamName string) *v1alpha1.LiveStream {
	w := v1alpha1.Workload{Name: "record", Job: &batchv1.JobTemplateSpec{}}
	w.Job.Spec.Template.Spec.Containers = []corev1.Container{{Name: "ffmpeg", Image: "ffmpeg"}}
	return &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}, Spec: v1alpha1.LiveStreamSpec{
		PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: streamName,
		LiveStreamSettings: v1alpha1.LiveStreamSettings{CleanStopWindowSeconds: new(int32(1)), Workloads: []v1alpha1.Workload{w}},
	}}
}

func (s *show) push(sequence string) css.Push {
	return css.Push{Domain: "push.example.com", App: "live", Stream: "test_stream", Sequence: sequence, AppID: 1, ClientIP: "1.1.1.1", Node: "2.2.2.2"}
}

func (s *show) start(sequence string) css.Callback { return s.push(sequence).Start(time.Now()) }

func (s *show) stop(sequence string) css.Callback {
	return s.push(sequence).Interruption(time.Now(), time.Minute, 1, "The push client actively stopped the push")
}

func (s *show) path() string { return "/callbacks/" + s.namespace + "/shows" }

// send posts a callback once.
func (s *show) send(m *manager, c css.Callback) (int, error) {
	status, _, err := css.Post(context.Background(), m.receiver+s.path(), c.Signed(callbackKey, time.Now()))
	return status, err
}

// deliver posts a callback until it is answered 200, as CSS does, only faster.
func (s *show) deliver(m *manager, c css.Callback) {
	s.t.Helper()
	eventually(s.t, "the callback is acknowledged", func() error {
		status, err := s.send(m, c)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("answered %d", status)
		}
		return err
	})
}

func (s *show) stream() *v1alpha1.LiveStream {
	s.t.Helper()
	stream := &v1alpha1.LiveStream{}
	if err := api.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "show"}, stream); err != nil {
		s.t.Fatal(err)
	}
	return stream
}

func (s *show) jobs() []batchv1.Job {
	s.t.Helper()
	var jobs batchv1.JobList
	if err := api.List(s.t.Context(), &jobs, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	return jobs.Items
}

// reaches waits for a state in which the one workload is as wanted.
func (s *show) reaches(state v1alpha1.LiveStreamState, workload v1alpha1.WorkloadState) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the stream is %s, its workload %s", state, workload), func() error {
		status := s.stream().Status
		if status.State != state || len(status.Workloads) != 1 || status.Workloads[0].State != workload {
			return fmt.Errorf("it is %s with %+v", status.State, status.Workloads)
		}
		return nil
	})
}

// isIdle waits for the first status.
func (s *show) isIdle() {
	s.t.Helper()
	eventually(s.t, "the stream is Idle", func() error {
		if state := s.stream().Status.State; state != v1alpha1.LiveStreamIdle {
			return fmt.Errorf("it is %q", state)
		}
		return nil
	})
}

// oneJob checks that there is exactly one Job, and that the status speaks of it.
func (s *show) oneJob() batchv1.Job {
	s.t.Helper()
	jobs := s.jobs()
	if len(jobs) != 1 {
		s.t.Fatalf("there are %d Jobs, want exactly one", len(jobs))
	}
	status := s.stream().Status
	if status.Workloads[0].JobName != jobs[0].Name || status.Broadcast.ID != jobs[0].Labels[v1alpha1.LabelBroadcast] {
		s.t.Errorf("the status speaks of Job %q in broadcast %q, there is %q in %q", status.Workloads[0].JobName, status.Broadcast.ID,
			jobs[0].Name, jobs[0].Labels[v1alpha1.LabelBroadcast])
	}
	return jobs[0]
}
