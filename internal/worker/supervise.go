package worker

import (
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"slices"
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

// LeavingFlag has a worker store what is in its spool, and end. A signal would kill one that does not listen yet.
const LeavingFlag = "leaving"

// Supervise runs a command, starts it again when a signal killed it, passes SIGTERM on, and reaps what is left over: it is the first
// process of a container. One that was killed before it could do what SIGTERM asks for is followed by one with LeavingFlag. It returns the exit
// code of the command's last run.
func Supervise(command []string, log *slog.Logger) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	pause := firstRestart
	leaving := false
	for {
		began := clock.RealClock{}.Now()
		status, told, err := runOnce(command, signals)
		switch {
		case err != nil:
			log.Error("Could not start the recorder", "error", err)
			return 1
		case status.Exited():
			return status.ExitStatus()
		case leaving:
			return exitOfSignal + int(status.Signal())
		}
		if time.Since(began) > calmAfter {
			pause = firstRestart
		}
		log.Warn("The recorder was killed; starting it again", "signal", status.Signal().String())
		if told || !wholePause(pause, signals) {
			leaving = true
			command = append(slices.Clone(command), "--"+LeavingFlag)
		}
		pause = min(2*pause, longestRestart)
	}
}

// runOnce passes signals on until the command ends, and says whether there was one.
func runOnce(command []string, signals <-chan os.Signal) (status syscall.WaitStatus, told bool, err error) {
	process, err := os.StartProcess(command[0], command, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, false, err
	}
	ended := make(chan syscall.WaitStatus, 1)
	go func() { ended <- reap(process.Pid) }()
	for {
		select {
		case <-signals:
			told = true
			_ = process.Signal(syscall.SIGTERM)
		case status = <-ended:
			return status, told, nil
		}
	}
}

// wholePause is false where a signal cut it short.
func wholePause(pause time.Duration, signals <-chan os.Signal) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-signals:
		return false
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
