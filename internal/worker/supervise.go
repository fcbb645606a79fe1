package worker

import (
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

const (
	// firstRestart and longestRestart bound the pause before what crashed is started again; one that ran for calmAfter begins anew.
	firstRestart, longestRestart = 50 * time.Millisecond, 5 * time.Second
	calmAfter                    = 30 * time.Second
	// exitOfSignal is added to a signal's number where a shell tells it as an exit code.
	exitOfSignal = 128
)

// Supervise runs a command, starts it again when a signal killed it, passes SIGTERM on, and reaps what is left over: it is the first
// process of a container. It returns the exit code of the command's last run.
func Supervise(command []string, log *slog.Logger) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	pause := firstRestart
	leaving := false
	for {
		began := clock.RealClock{}.Now()
		process, err := os.StartProcess(command[0], command, &os.ProcAttr{
			Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
		})
		if err != nil {
			log.Error("Could not start the recorder", "error", err)
			return 1
		}
		ended := make(chan syscall.WaitStatus, 1)
		go func() { ended <- reap(process.Pid) }()
		var status syscall.WaitStatus
		for waiting := true; waiting; {
			select {
			case <-signals:
				leaving = true
				_ = process.Signal(syscall.SIGTERM)
			case status = <-ended:
				waiting = false
			}
		}
		switch {
		case status.Exited():
			return status.ExitStatus()
		case leaving:
			return exitOfSignal + int(status.Signal())
		}
		if time.Since(began) > calmAfter {
			pause = firstRestart
		}
		log.Warn("The recorder was killed; starting it again", "signal", status.Signal().String())
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-signals:
			timer.Stop()
			return exitOfSignal + int(syscall.SIGTERM)
		}
		pause = min(2*pause, longestRestart)
	}
}

// reap waits for the process, and for all others that were left to this one meanwhile.
func reap(pid int) syscall.WaitStatus {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return syscall.WaitStatus(1 << 8)
		case got == pid:
			return status
		}
	}
}
