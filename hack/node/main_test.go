package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
