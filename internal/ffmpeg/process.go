package ffmpeg

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running ffmpeg.
type Process struct {
	command *exec.Cmd
	done    chan struct{}
	err     error

	mu   sync.Mutex
	said []string
}

// Options of a process.
type Options struct {
	// Binary is "ffmpeg" when empty.
	Binary string
	// Input and Output are its standard input and output.
	Input  io.Reader
	Output io.Writer
	// Said is called with each line that it says, at the level that its arguments ask for, without signatures.
	Said func(line string)
}

// keptLines is how much of what it said is kept for an error.
const keptLines = 8

// Start runs ffmpeg. It ends with the process that started it, however that ends.
func Start(ctx context.Context, arguments []string, o Options) (*Process, error) {
	binary := o.Binary
	if binary == "" {
		binary = "ffmpeg"
	}
	p := &Process{done: make(chan struct{})}
	p.command = exec.CommandContext(ctx, binary, arguments...) //nolint:gosec // the arguments are built here
	p.command.Stdin, p.command.Stdout = o.Input, o.Output
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if o.Input == nil {
		// What it wrote of a stream must not be waited for when it is gone. What it makes of an input is wanted to the end, however slowly
		// it is taken; its reader ends with the context.
		p.command.WaitDelay = time.Second
	}
	stderr, err := p.command.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("opening ffmpeg's messages: %w", err)
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting ffmpeg: %w", err)
	}
	var read sync.WaitGroup
	read.Go(func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.say(redact(lines.Text()), o.Said)
		}
		_, _ = io.Copy(io.Discard, stderr)
	})
	go func() {
		defer close(p.done)
		read.Wait()
		if err := p.command.Wait(); err != nil {
			p.err = fmt.Errorf("ffmpeg: %w%s", err, p.lastWords())
		}
	}()
	return p, nil
}

// signature is that of a playback URL: ffmpeg repeats the URL in most of its messages.
var signature = regexp.MustCompile(`(?i)(txSecret=)[0-9a-z]+`)

func redact(line string) string { return signature.ReplaceAllString(line, "${1}...") }

func (p *Process) say(line string, said func(string)) {
	if !strings.Contains(line, "[info]") {
		p.mu.Lock()
		p.said = append(p.said, line)
		p.said = p.said[max(0, len(p.said)-keptLines):]
		p.mu.Unlock()
	}
	if said != nil {
		said(line)
	}
}

// lastWords are what it warned of last, for an error.
func (p *Process) lastWords() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := slices.DeleteFunc(slices.Clone(p.said), func(l string) bool { return strings.TrimSpace(l) == "" })
	if len(lines) == 0 {
		return ""
	}
	return ": " + strings.Join(lines[max(0, len(lines)-2):], "; ")
}

// Done is closed when it has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for its end.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Killed says whether an error of Wait is the end of a process that a signal ended, by itself or by the system.
func Killed(err error) bool {
	exit, is := errors.AsType[*exec.ExitError](err)
	if !is {
		return false
	}
	status, is := exit.Sys().(syscall.WaitStatus)
	return is && status.Signaled()
}

// Interrupt has it write what it holds, close its files, and end.
func (p *Process) Interrupt() { _ = p.command.Process.Signal(syscall.SIGINT) }

// Finish lets it close its files, and kills it when it does not within the given time.
func (p *Process) Finish(within time.Duration) {
	p.Interrupt()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill()
	}
}

// Kill ends it at once, and waits until it is gone.
func (p *Process) Kill() {
	if err := syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
		_ = p.command.Process.Kill()
	}
	<-p.done
}

// RunProbe runs ffprobe, and returns what it writes.
func RunProbe(ctx context.Context, arguments []string, piped io.Reader) ([]byte, error) {
	command := exec.CommandContext(ctx, "ffprobe", arguments...) //nolint:gosec // the arguments are built here
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.WaitDelay = time.Second
	var said bytes.Buffer
	command.Stdin, command.Stderr = piped, &said
	found, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("ffprobe: %w: %s", err, redact(strings.TrimSpace(said.String())))
	}
	return found, nil
}
