package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock takes the file's lock, which the kernel gives back when this process ends in whatever way. It waits for another holder,
// and says so once to progress. The returned function releases it.
func lock(ctx context.Context, path string, progress io.Writer) (func(), error) {
	told := false
	var held *os.File
	err := poll(ctx, func() (bool, error) {
		file, err := tryLock(path)
		if err != nil {
			return false, err
		}
		if file == nil && !told {
			told = true
			_, _ = fmt.Fprintf(progress, "control plane: waiting for another process that holds %s\n", path)
		}
		held = file
		return file != nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { _ = held.Close() }, nil
}

// tryLock returns nil without an error if another process holds the lock. It makes the folder: the last holder may have
// removed that too.
func tryLock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && isAt(file, path) {
		return file, nil
	}
	_ = file.Close()
	if err == nil || errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	return nil, err
}

// isAt says whether path is still that file: the last holder may have removed it before giving the lock back.
func isAt(file *os.File, path string) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(path)
	return err == nil && os.SameFile(ours, theirs)
}

// poll calls done at short intervals until it says so, fails, or the context ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if finished, err := done(); finished || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
