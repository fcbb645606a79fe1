package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	stateName = "state.json"
	lockName  = "lock"
	// unfinished marks a file that is being written, or whose writer died.
	unfinished = ".unfinished"
)

// ErrNoControlPlane is returned for a folder that holds no control plane.
var ErrNoControlPlane = errors.New("no control plane there")

// state is what a control plane must remember between two runs of Up.
type state struct {
	Bin           string `json:"bin"`
	Durable       bool   `json:"durable"`
	APIServerOnly bool   `json:"apiServerOnly"`
	FakeNodes     int    `json:"fakeNodes"`
	GOGC          int    `json:"gogc,omitzero"`
	Unchecked     bool   `json:"unchecked,omitzero"`
	Ports         Ports  `json:"ports"`
}

func loadState(dir string) (state, error) {
	var s state
	text, err := os.ReadFile(filepath.Join(dir, stateName))
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("%s: %w", dir, ErrNoControlPlane)
	}
	if err != nil {
		return s, fmt.Errorf("reading the state of the control plane: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w (take the control plane down to begin anew)", filepath.Join(dir, stateName), err)
	}
	return s, nil
}

func saveState(dir string, s state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the state: %w", err)
	}
	return writeFile(filepath.Join(dir, stateName), append(text, '\n'), 0o644)
}

// refuseForeign protects a folder that holds something else: Down would remove what bears our names.
func refuseForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking into %s: %w", dir, err)
	}
	for _, entry := range entries {
		if entry.Name() != lockName && entry.Name() != stateName+unfinished {
			return fmt.Errorf("%s holds no control plane but is not empty (%s is in it): choose another folder", dir, entry.Name())
		}
	}
	return nil
}

// removeData removes all that Up made in dir, and dir itself if nothing else is in it.
func removeData(dir string) error {
	names := []string{"etcd", "pki", "logs", "run", kubeconfigName, stagesName, stateName, lockName}
	failed := make([]error, 0, 2*len(names))
	for _, name := range names {
		failed = append(failed, os.RemoveAll(filepath.Join(dir, name)), os.RemoveAll(filepath.Join(dir, name+unfinished)))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("removing the data of the control plane: %w", err)
	}
	// It fails if something else is in it, which is then not ours to remove.
	_ = os.Remove(dir)
	return nil
}

// absolute is one spelling of the folder, whatever links lead to it: processes are recognised by it. The folder may be missing.
func absolute(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("no folder for the control plane was given")
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", dir, err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(parent, filepath.Base(path)), nil
	}
	return path, nil
}

// writeFile writes the whole file or nothing.
func writeFile(path string, text []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+unfinished, text, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(path+unfinished, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func orDiscard(progress io.Writer) io.Writer {
	if progress == nil {
		return io.Discard
	}
	return progress
}
