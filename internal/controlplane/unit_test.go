package controlplane

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestStamp(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module m")
	write(t, filepath.Join(dir, "go.sum"), "sum")
	write(t, filepath.Join(dir, "main.go"), "package main")
	stamp := func() string {
		t.Helper()
		s, err := stampOf(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := stamp()
	if stamp() != first {
		t.Error("the stamp of the same sources differs")
	}
	write(t, filepath.Join(dir, "README"), "not a source")
	if stamp() != first {
		t.Error("a file that is no source changes the stamp")
	}
	seen := map[string]string{first: "the start"}
	for _, name := range []string{"go.mod", "go.sum", "main.go", "new.go"} {
		write(t, filepath.Join(dir, name), "changed")
		if before, same := seen[stamp()]; same {
			t.Errorf("changing %s gives the stamp of %s", name, before)
		}
		seen[stamp()] = name
	}
}

func TestIsFresh(t *testing.T) {
	bin := t.TempDir()
	if isFresh(bin, "s") {
		t.Error("nothing is fresh")
	}
	write(t, filepath.Join(bin, stampName), "s\n")
	if isFresh(bin, "s") {
		t.Error("a stamp without a binary is fresh")
	}
	write(t, filepath.Join(bin, binaryName), "binary")
	if !isFresh(bin, "s") {
		t.Error("a binary with its stamp is not fresh")
	}
	if isFresh(bin, "other") {
		t.Error("a binary with another stamp is fresh")
	}
}

func TestFollowKeepsWhatIsNoPackage(t *testing.T) {
	var progress strings.Builder
	said := follow(strings.NewReader("go: downloading a v1\nruntime\nk8s.io/api/core/v1\n# k8s.io/x\nx.go:3: broken\n"), &progress)
	if want := "# k8s.io/x\nx.go:3: broken"; said != want {
		t.Errorf("got %q, want %q", said, want)
	}
	if want := "control plane: 2 packages compiled, 0s\n"; progress.String() != want {
		t.Errorf("got %q, want %q", progress.String(), want)
	}
}

func TestStateSurvivesSaving(t *testing.T) {
	dir := t.TempDir()
	if _, err := loadState(dir); !errors.Is(err, ErrNoControlPlane) {
		t.Errorf("an empty folder: got %v, want %v", err, ErrNoControlPlane)
	}
	want := state{Bin: "/bin", FakeNodes: 3, Durable: true, GOGC: 200, Unchecked: true, Ports: Ports{Etcd: 1, Kwok: 2}}
	if err := saveState(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := loadState(dir); err != nil || got != want {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
	write(t, filepath.Join(dir, stateName), "{")
	if _, err := loadState(dir); err == nil || errors.Is(err, ErrNoControlPlane) {
		t.Errorf("a broken state: got %v", err)
	}
}

func TestForeignFolderIsLeftAlone(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	write(t, filepath.Join(bin, APIServer), "")
	write(t, filepath.Join(dir, "logs"), "somebody's")
	_, err := Up(t.Context(), Options{Dir: dir, Bin: bin})
	if err == nil || !strings.Contains(err.Error(), "choose another folder") {
		t.Errorf("up: got %v", err)
	}
	if wasThere, err := Down(t.Context(), dir); wasThere || err != nil {
		t.Errorf("down: got %v, %v", wasThere, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "logs")); err != nil {
		t.Error(err)
	}
}

func TestDownWithoutAnythingDoesNothing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if wasThere, err := Down(t.Context(), missing); wasThere || err != nil {
		t.Errorf("got %v, %v", wasThere, err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("down made the folder: %v", err)
	}
}

func TestPortsStayUnlessTaken(t *testing.T) {
	var ports Ports
	nothing := func(string) bool { return false }
	if err := ports.replaceTaken(t.Context(), nothing); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, component := range componentNames() {
		for _, port := range ports.of(component) {
			if *port == 0 || seen[*port] {
				t.Errorf("%s has port %d, which is none or another's", component, *port)
			}
			seen[*port] = true
		}
	}
	before := ports
	if err := ports.replaceTaken(t.Context(), nothing); err != nil || ports != before {
		t.Errorf("free ports were replaced: %+v is now %+v (%v)", before, ports, err)
	}
	taken, err := listenOn(ports.Scheduler)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := ports.replaceTaken(t.Context(), func(name string) bool { return name == Scheduler }); err != nil || ports != before {
		t.Errorf("the port of a running component was replaced: %+v is now %+v (%v)", before, ports, err)
	}
	if err := ports.replaceTaken(t.Context(), nothing); err != nil {
		t.Fatal(err)
	}
	if ports.Scheduler == before.Scheduler || ports.APIServer != before.APIServer {
		t.Errorf("one port was taken: %+v is now %+v", before, ports)
	}
}

func TestProcessIsKnownByItsCommandLine(t *testing.T) {
	const dir = "/tmp/cp"
	for _, row := range []struct {
		name    string
		command []string
		want    string
	}{
		{"a component with an argument into the folder", []string{"/b/etcd", "--name=x", "--data-dir=/tmp/cp/etcd"}, Etcd},
		{"a component of another folder", []string{"/b/etcd", "--data-dir=/tmp/cp2/etcd"}, ""},
		{"a component of a folder below", []string{"/b/etcd", "--data-dir=/x/tmp/cp/etcd"}, ""},
		{"another command in the folder", []string{"/b/kubectl", "--kubeconfig=/tmp/cp/kubeconfig"}, ""},
		{"an ended process", nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := componentOf(dir, row.command); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestCredentialsAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := ensurePKI(dir); err != nil {
			t.Fatal(err)
		}
	}
	first, err := newCluster(dir, state{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ensurePKI(dir); err != nil {
		t.Fatal(err)
	}
	second, err := newCluster(dir, state{})
	if err != nil || first.Token() != second.Token() || string(first.CA()) != string(second.CA()) {
		t.Errorf("the credentials changed (%v)", err)
	}
}
