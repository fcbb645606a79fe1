package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAShellReadsWhatIsSaidAsItIsMeant(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"/tmp/cluster", "/tmp/it's mine/$(false)", `/tmp/"*"`} {
		said := next(folder+"/bin", folder+"/kubeconfig", "192.0.2.1", folder+"/socket")
		_, commands, _ := strings.Cut(said, "\n")
		// The command is read by a shell once more.
		commands = strings.Replace(commands, "make test-e2e", `ctr() { printf '%s\n' "$2"; }; printf '%s\n' "${PATH##*:}" "$E2E_KUBECONFIG" "$E2E_HOST_ADDRESS"; eval "$E2E_IMAGE_LOAD archive"`, 1)
		got, err := exec.CommandContext(t.Context(), "sh", "-c", commands).Output()
		if diff := cmp.Diff(folder+"/bin\n"+folder+"/kubeconfig\n192.0.2.1\n"+folder+"/socket\n", string(got)); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", said, err, diff)
		}
	}
}

func TestOfTheFolderOnlyTheClusterIsRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dir")
	for _, name := range []string{"cluster", "node"} {
		lock, err := take(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := take(dir); err == nil {
			t.Error("a second one takes the folder too")
		}
		// One that is killed leaves the folder as it is.
		if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o700), lock.Close()); err != nil {
			t.Fatal(err)
		}
	}
	volume := filepath.Join(dir, "volume")
	if err := errors.Join(os.Mkdir(volume, 0o700), give(dir)); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{mark, "volume"}, left); diff != "" {
		t.Error(diff)
	}
	lock, err := take(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(volume), give(dir), lock.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty folder is left: %v", err)
	}
}

func TestAFolderOfSomethingElseIsNotTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.tex")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if lock, err := take(dir); err == nil {
		_ = lock.Close()
		t.Error("it is taken")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
