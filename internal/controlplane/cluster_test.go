package controlplane

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waitLimit is far longer than anything here takes on an idle machine.
const waitLimit = time.Minute

// bringUp gives a control plane in dir that is taken down after the test.
func bringUp(t *testing.T, o Options) *Cluster {
	t.Helper()
	root, err := Root(".")
	if err != nil {
		t.Fatal(err)
	}
	if !Built(root) {
		t.Skip("control plane is not built; run go run ./hack/controlplane build")
	}
	o.Bin, o.Progress = BinDir(root), t.Output()
	t.Cleanup(func() {
		if _, err := Down(context.WithoutCancel(t.Context()), o.Dir); err != nil {
			t.Error(err)
		}
	})
	c, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Cluster) kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := c.tryKubectl(t.Context(), arguments...)
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func (c *Cluster) tryKubectl(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(c.Bin(), "kubectl"), append([]string{"--kubeconfig", c.Kubeconfig()}, arguments...)...)
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// eventually waits until kubectl says want.
func (c *Cluster) eventually(t *testing.T, want string, arguments ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	var got string
	err := poll(ctx, func() (bool, error) {
		got, _ = c.tryKubectl(ctx, arguments...)
		return got == want, nil
	})
	if err != nil {
		t.Fatalf("kubectl %s: got %q, want %q: %v", strings.Join(arguments, " "), got, want, err)
	}
}

func (c *Cluster) pids(t *testing.T) map[string][]int {
	t.Helper()
	found, err := processes(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// createJob makes a Job with the annotations on its pod.
func (c *Cluster) createJob(t *testing.T, name, annotations string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(c.Bin(), "kubectl"), "--kubeconfig", c.Kubeconfig(), "create", "-f", "-")
	command.Stdin = strings.NewReader(`{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "` + name + `"}, "spec": {
		"backoffLimit": 0, "template": {"metadata": {"annotations": {` + annotations + `}}, "spec": {"restartPolicy": "Never",
		"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "first", "image": "i"}]}}}}`)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("creating the Job %s: %v: %s", name, err, out)
	}
}

func podOf(job, path string) []string {
	return []string{"get", "pods", "--selector", "job-name=" + job, "--output", "jsonpath={range .items[*]}" + path + "{end}"}
}

const containerState = "{.status.containerStatuses[0].state"

func TestJobsOnFakeNodes(t *testing.T) {
	c := bringUp(t, Options{Dir: t.TempDir(), FakeNodes: 2})

	t.Run("a pod runs until it is deleted", func(t *testing.T) {
		c.createJob(t, "runs", "")
		c.eventually(t, "Running", podOf("runs", "{.status.phase}")...)
		ready := `{.status.conditions[?(@.type=="Ready")].status} {.status.initContainerStatuses[0].state.terminated.reason}`
		c.eventually(t, "True Completed", podOf("runs", ready)...)
		c.kubectl(t, "delete", "job", "runs", "--cascade=foreground", "--timeout=30s")
		c.eventually(t, "", podOf("runs", "{.metadata.name}")...)
	})
	t.Run("a pod ends with the exit code that it is told", func(t *testing.T) {
		c.createJob(t, "fails", `"`+AnnotationExitCode+`": "3", "`+AnnotationRunSeconds+`": "1"`)
		c.eventually(t, "Failed 3 Error", podOf("fails", "{.status.phase} "+containerState+".terminated.exitCode} "+containerState+".terminated.reason}")...)
		c.kubectl(t, "wait", "--for=condition=Failed", "--timeout=30s", "job/fails")
	})
	t.Run("exit code 0 completes the Job", func(t *testing.T) {
		c.createJob(t, "completes", `"`+AnnotationExitCode+`": "0"`)
		c.kubectl(t, "wait", "--for=condition=Complete", "--timeout=30s", "job/completes")
	})
	t.Run("a pod whose image cannot be pulled waits, starts when it can, and can be deleted before", func(t *testing.T) {
		for _, job := range []string{"waits", "gone"} {
			c.createJob(t, job, `"`+AnnotationImagePull+`": "`+ImagePullFail+`"`)
			c.eventually(t, "Pending ImagePullBackOff", podOf(job, "{.status.phase} "+containerState+".waiting.reason}")...)
		}
		c.kubectl(t, "annotate", "pods", "--selector", "job-name=waits", AnnotationImagePull+"-")
		c.eventually(t, "Running", podOf("waits", "{.status.phase}")...)
		c.kubectl(t, "delete", "job", "gone", "--cascade=foreground", "--timeout=30s")
		c.eventually(t, "", podOf("gone", "{.metadata.name}")...)
	})
}

func TestUpRepairs(t *testing.T) {
	options := Options{Dir: t.TempDir(), FakeNodes: 1}
	c := bringUp(t, options)
	c.createJob(t, "kept", "")
	c.eventually(t, "Running", podOf("kept", "{.status.phase}")...)
	before, ports := c.pids(t), c.Ports()
	pod := c.kubectl(t, podOf("kept", "{.metadata.name}")...)

	c = bringUp(t, options)
	for name, pids := range c.pids(t) {
		if !slices.Equal(pids, before[name]) {
			t.Errorf("up on a running control plane: %s was %v and is %v", name, before[name], pids)
		}
	}

	for _, victims := range [][]string{{APIServer, Etcd}, {Kwok, ControllerManager}, componentNames()} {
		for _, name := range victims {
			if err := syscall.Kill(c.pids(t)[name][0], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		c = bringUp(t, options)
		if c.Ports() != ports {
			t.Errorf("after killing %v: ports were %+v and are %+v", victims, ports, c.Ports())
		}
		c.eventually(t, pod+" Running", podOf("kept", "{.metadata.name} {.status.phase}")...)
	}
	c.kubectl(t, "delete", "job", "kept", "--cascade=foreground", "--timeout=30s")
}

func TestOneComponentStopsAndStarts(t *testing.T) {
	c := bringUp(t, Options{Dir: t.TempDir(), FakeNodes: 1})
	server := c.Server()
	for name, end := range map[string]func(context.Context, string) error{"stop": c.Stop, "kill": c.Kill} {
		t.Run(name, func(t *testing.T) {
			if err := end(t.Context(), APIServer); err != nil {
				t.Fatal(err)
			}
			if pids := c.pids(t)[APIServer]; len(pids) > 0 {
				t.Fatalf("it still runs: %v", pids)
			}
			if c.healthy(t.Context(), APIServer) == nil {
				t.Fatal("it still answers")
			}
			if err := c.Start(t.Context(), APIServer); err != nil {
				t.Fatal(err)
			}
			if loaded, err := Load(c.Dir()); err != nil || loaded.Server() != server {
				t.Fatalf("it came back as %v (%v), want %s", loaded, err, server)
			}
			c.createJob(t, name, "")
			c.eventually(t, "Running", podOf(name, "{.status.phase}")...)
		})
	}
	if err := c.Stop(t.Context(), "kubelet"); err == nil {
		t.Error("stopping what is no component is no error")
	}
}

func TestDownLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cp")
	c := bringUp(t, Options{Dir: dir, APIServerOnly: true})
	if running := c.pids(t); len(running) != 2 {
		t.Errorf("the API server only: %v are running", running)
	}
	c.kubectl(t, "run", "pod", "--image=i")
	for _, want := range []bool{true, false} {
		if wasThere, err := Down(t.Context(), dir); err != nil || wasThere != want {
			t.Errorf("down: got %v, %v, want %v", wasThere, err, want)
		}
	}
	if running := c.pids(t); len(running) > 0 {
		t.Errorf("after down these are running: %v", running)
	}
	if left, err := filepath.Glob(dir); err != nil || len(left) > 0 {
		t.Errorf("after down %v is left (%v)", left, err)
	}
}
