package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

const (
	modulePath = "github.com/livestream-operator/livestream-operator"
	binaryName = "components"
	stampName  = "components.stamp"
	// progressInterval is short enough to see that the build lives, and long enough not to flood a log.
	progressInterval = 10 * time.Second
)

// Root is the repository's root folder, looked for from start upwards.
func Root(start string) (string, error) {
	begin, err := filepath.Abs(start)
	if err != nil {
		return "", fmt.Errorf("finding the repository from %s: %w", start, err)
	}
	for dir := begin; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module "+modulePath+"\n") {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("no folder from %s upwards is the repository of module %s: run this inside it", begin, modulePath)
		}
	}
}

// BinDir is the folder that the components of the repository at root are built into.
func BinDir(root string) string {
	return filepath.Join(root, "out", "controlplane", "bin")
}

// Built says whether the components are built and up to date with their sources.
func Built(root string) bool {
	stamp, err := stampOf(sourcesDir(root))
	return err == nil && isFresh(BinDir(root), stamp)
}

// Build builds the components of the repository at root, if they are missing or out of date, and returns the folder with the
// commands in it. Several builds at once do the work once.
func Build(ctx context.Context, root string, progress io.Writer) (string, error) {
	progress = orDiscard(progress)
	bin := BinDir(root)
	release, err := lock(ctx, filepath.Join(bin, "build.lock"), progress)
	if err != nil {
		return "", err
	}
	defer release()
	stamp, err := stampOf(sourcesDir(root))
	if err != nil {
		return "", err
	}
	if !isFresh(bin, stamp) {
		if err := compile(ctx, root, progress); err != nil {
			return "", err
		}
		if err := writeFile(filepath.Join(bin, stampName), []byte(stamp+"\n"), 0o644); err != nil {
			return "", err
		}
	}
	return bin, linkNames(bin)
}

func sourcesDir(root string) string {
	return filepath.Join(root, "hack", "controlplane", "components")
}

// buildArguments are those of the go command, without the output. The version must be told: a server that does not know its
// own calls itself v0.0.0-master+$Format, and kubectl cannot read that.
func buildArguments() []string {
	const version = "k8s.io/component-base/version"
	flags := fmt.Sprintf("-s -w -X %[1]s.gitVersion=v1.37.2 -X %[1]s.gitMajor=1 -X %[1]s.gitMinor=37", version)
	return []string{"build", "-v", "-trimpath", "-ldflags", flags}
}

// compile replaces the binary in one step, so that one which is running, or a build that is broken off, is no harm.
func compile(ctx context.Context, root string, progress io.Writer) error {
	target := filepath.Join(BinDir(root), binaryName)
	command := exec.CommandContext(ctx, "go", append(buildArguments(), "-o", target+unfinished, ".")...)
	command.Dir = sourcesDir(root)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	// The go command stops its compilers when it is interrupted; killed, it would leave them running.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	output, err := command.StderrPipe()
	if err != nil {
		return fmt.Errorf("preparing to build the control plane: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting the go command to build the control plane: %w", err)
	}
	said := follow(output, progress)
	if err := command.Wait(); err != nil {
		return fmt.Errorf("building the control plane in %s: %w", command.Dir, errors.Join(err, ctx.Err(), errors.New(said)))
	}
	if err := os.Rename(target+unfinished, target); err != nil {
		return fmt.Errorf("putting the control plane in place: %w", err)
	}
	return nil
}

// follow reads what `go build -v` prints, reports how far it is, and returns the last lines that are no package names.
func follow(output io.Reader, progress io.Writer) string {
	var packages atomic.Int64
	stop := report(progress, &packages)
	defer stop()
	var said []string
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		switch line := lines.Text(); {
		case isPackage(line):
			packages.Add(1)
		case !strings.HasPrefix(line, "go: downloading "):
			said = append(said[max(0, len(said)-19):], line)
		}
	}
	// A line longer than the scanner takes must not block the go command.
	_, _ = io.Copy(io.Discard, output)
	return strings.Join(said, "\n")
}

func isPackage(line string) bool {
	return line != "" && !strings.ContainsAny(line, " \t#:")
}

// report prints a line now and then until the returned function is called.
func report(progress io.Writer, packages *atomic.Int64) func() {
	begin := time.Now()
	say := func(rest string) {
		_, _ = fmt.Fprintf(progress, "control plane: %d packages compiled, %s%s\n",
			packages.Load(), time.Since(begin).Round(time.Second), rest)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				say(" (first build takes about 10 minutes on two cores)")
			case <-done:
				say("")
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// linkNames gives the binary all the names that it answers to.
func linkNames(bin string) error {
	for _, name := range append(componentNames(), "kubectl") {
		link := filepath.Join(bin, name)
		if to, err := os.Readlink(link); err == nil && to == binaryName {
			continue
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("replacing %s: %w", link, err)
		}
		if err := os.Symlink(binaryName, link); err != nil {
			return fmt.Errorf("naming a component: %w", err)
		}
	}
	return nil
}
