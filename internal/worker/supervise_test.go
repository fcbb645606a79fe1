package worker

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// A Pod may have to go while its recorder, which crashed, is about to be started again.
func TestARecorderThatHasToGoWhenItCrashedStoresWhatItHas(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, r *recorder, recorder int, back func()){
		"in the pause before it is back": func(t *testing.T, r *recorder, recorder int, back func()) {
			t.Helper()
			_ = syscall.Kill(recorder, syscall.SIGKILL)
			testmedia.Eventually(t, "it is gone", func() bool { return len(workers(r)) == 0 })
			back()
			_ = r.command.Process.Signal(syscall.SIGTERM)
		},
		"before it could begin to store": func(t *testing.T, r *recorder, recorder int, back func()) {
			t.Helper()
			// It does not hear the signal before it is killed.
			_ = syscall.Kill(recorder, syscall.SIGSTOP)
			testmedia.Eventually(t, "it is held", func() bool { return held(recorder) })
			back()
			_ = r.command.Process.Signal(syscall.SIGTERM)
			testmedia.Eventually(t, "it was told", func() bool { return pending(recorder, syscall.SIGTERM) })
			_ = syscall.Kill(recorder, syscall.SIGKILL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := url.Parse(show(t, audioTag, 0))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			// A file where the folder has to be.
			away := filepath.Join(dir, "volume", "live")
			if err := errors.Join(os.Mkdir(filepath.Dir(away), 0o755), os.WriteFile(away, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			r := start(t, dir, at.Host, "FLV", "", 1)
			spooled := func() int {
				files, _ := filepath.Glob(filepath.Join(r.dir, "spool", readyDir, "*.ts"))
				return len(files)
			}
			testmedia.Eventually(t, "three parts are in the spool", func() bool { return spooled() >= 3 })
			// Each makes the pause longer, until there is time for what follows.
			for range 6 {
				before := workers(r)
				_ = syscall.Kill(before[0], syscall.SIGKILL)
				testmedia.Eventually(t, "it is back", func() bool { now := workers(r); return len(now) == 1 && now[0] != before[0] })
			}
			leave(t, r, workers(r)[0], func() { _ = os.Remove(away) })
			if result := r.result(); result.Ready || !result.Left || !strings.Contains(result.Message, "what was recorded is stored") {
				t.Errorf("result = %+v", result)
			}
			if left := spooled(); left > 0 || r.parts() < 3 {
				t.Errorf("%d parts are stored, and %d are left in the spool", r.parts(), left)
			}
		})
	}
}

// workers are the processes that the first one of the container started to record.
func workers(r *recorder) []int {
	text, _ := exec.Command("pgrep", "-P", itoa(r.command.Process.Pid), "-f", "supervised").Output()
	var all []int
	for line := range strings.Lines(string(text)) {
		all = append(all, atoi(strings.TrimSpace(line)))
	}
	return all
}

// pending says whether a process has a signal to take.
func pending(pid int, signal syscall.Signal) bool {
	text, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "status"))
	for line := range strings.Lines(string(text)) {
		if mask, is := strings.CutPrefix(line, "ShdPnd:"); is {
			signals, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && signals&(1<<(signal-1)) != 0
		}
	}
	return false
}

// held says whether all threads of a process are stopped.
func held(pid int) bool {
	tasks, _ := filepath.Glob(filepath.Join("/proc", itoa(pid), "task", "*", "status"))
	for _, status := range tasks {
		if text, err := os.ReadFile(status); err == nil && !strings.Contains(string(text), "State:\tT") {
			return false
		}
	}
	return len(tasks) > 0
}
