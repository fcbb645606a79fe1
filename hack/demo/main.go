// Command demo plays the operator's main job on a control plane of its own: signed push callbacks put a LiveStream on air, its
// Job runs, survives a dropped push, and ends after the show. Every step is checked; the first that does not hold ends it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	root, err := controlplane.Root(".")
	if err != nil {
		return err
	}
	began := time.Now()
	s, err := setUp(ctx, root, filepath.Join(root, "out", "demo"))
	if err != nil {
		return err
	}
	// Also after an interrupt, which has ended ctx.
	defer func() {
		if downErr := s.tearDown(context.WithoutCancel(ctx)); err == nil {
			err = downErr
		}
	}()
	if err := s.play(ctx); err != nil {
		return fmt.Errorf("%w\n(the operator's log: %s)", err, s.managerLog)
	}
	say("\nEvery step held. It took %s.", time.Since(began).Round(time.Second))
	if os.Getenv("HOLD") == "" {
		return nil
	}
	s.howToGoOn()
	<-ctx.Done()
	return nil
}

func say(format string, values ...any) { fmt.Printf(format+"\n", values...) }
