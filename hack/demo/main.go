// Command demo plays the operator's main job on a control plane of its own: signed push callbacks put a LiveStream on air, its
// Job runs, survives a dropped push, and ends after the show. Every step is checked; the first that does not hold ends it. With MEDIA=1
// a real push is recorded by a real recorder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
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
	withMedia := os.Getenv("MEDIA") != ""
	if missing := missingForMedia(); withMedia && len(missing) > 0 {
		return fmt.Errorf("the demo with media needs ffmpeg and nginx with its RTMP module; on Debian and Ubuntu: apt-get install %s", strings.Join(missing, " "))
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
	play, howToGoOn := s.play, s.howToGoOn
	m := &media{}
	defer func() { m.end() }()
	if withMedia {
		play = func(ctx context.Context) (err error) {
			m, err = s.playMedia(ctx)
			return err
		}
		howToGoOn = func() { m.howToGoOn() }
	}
	if err := play(ctx); err != nil {
		return fmt.Errorf("%w\n(the operator's log: %s)", err, s.managerLog)
	}
	say("\nEvery step held. It took %s.", time.Since(began).Round(time.Second))
	if m.file != "" {
		say("The recording, to play with ffplay or any other player:\n\n  %s", m.file)
	}
	if os.Getenv("HOLD") == "" {
		return nil
	}
	howToGoOn()
	<-ctx.Done()
	return nil
}

func say(format string, values ...any) { fmt.Printf(format+"\n", values...) }
