package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/livestream-operator/livestream-operator/internal/node"
)

// mark is the file that tells a folder of ours from one that has something else in it.
const mark = ".livestream-node"

// take makes the folder, or takes one that is empty or was taken before. Nobody else has it until the lock is closed.
func take(dir string) (lock *os.File, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	if err := node.Ours(dir); err != nil {
		return nil, err
	}
	if lock, err = os.Open(dir); err != nil {
		return nil, fmt.Errorf("locking the folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("a cluster is up in %s: %w", dir, err), lock.Close())
	}
	entries, err := lock.Readdirnames(-1)
	if err == nil && len(entries) > 0 {
		if _, err = os.Lstat(filepath.Join(dir, mark)); err != nil {
			err = fmt.Errorf("%s is not empty, and no cluster was made in it: take another folder: %w", dir, err)
		}
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, mark), nil, 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// give removes what the cluster had in its folder, and that too where nothing else is in it.
func give(dir string) error {
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "cluster")), os.RemoveAll(filepath.Join(dir, "node"))); err != nil {
		return fmt.Errorf("removing the cluster: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 1 && entries[0].Name() == mark {
		err = errors.Join(os.Remove(filepath.Join(dir, mark)), os.Remove(dir))
	}
	if err != nil {
		return fmt.Errorf("removing the folder: %w", err)
	}
	return nil
}
