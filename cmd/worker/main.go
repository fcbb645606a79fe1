// Command worker records or transcodes a broadcast, in the Pods that the operator makes for spec.recording and spec.transcoding. As the first process of its container it
// runs itself once more and looks after that: a recorder that is killed is back at once, with all that its spool holds.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/worker"
)

// version is set when the binary is built.
var version = "dev"

const readHeaderTimeout = 5 * time.Second

// options are where a worker finds and leaves things; the operator's Pods have them where the defaults say.
type options struct {
	worker.Environment

	control, terminationLog, health string
	supervised, leaving             bool
}

func main() {
	var o options
	flag.StringVar(&o.CredentialsDir, "credentials-dir", recording.CredentialsDir, "Folder with accessKeyID, secretAccessKey and, for temporary ones, sessionToken.")
	flag.StringVar(&o.PlaybackKeyFile, "playback-key-file", recording.PlaybackKeyFile, "File with the playback key; without it playback URLs are not signed.")
	flag.StringVar(&o.PushKeyFile, "push-key-file", recording.PushKeyFile, "File with the push key; without it the URLs that renditions are pushed to are not signed.")
	flag.StringVar(&o.SpoolDir, "spool-dir", recording.SpoolDir, "Folder for what is not stored yet.")
	flag.StringVar(&o.VolumeDir, "volume-dir", recording.VolumeDir, "Folder for recordings, where they go to no bucket.")
	flag.StringVar(&o.control, "control-file", recording.ControlFile, "File that tells when the broadcast is over, by a line that begins with "+recording.StopAnnotation+"=.")
	flag.StringVar(&o.terminationLog, "termination-log", recording.TerminationLog, "File that the result is written to, as JSON.")
	flag.StringVar(&o.health, "health-bind-address", ":9090", "Address of /readyz, /healthz and /metrics.")
	flag.BoolVar(&o.supervised, "supervised", false, "Record in this process; for the worker itself.")
	flag.BoolVar(&o.leaving, worker.LeavingFlag, false, "Store what is in the spool, and end; for the worker itself.")
	flag.Parse()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if !o.supervised {
		self, err := os.Executable()
		if err != nil {
			log.Error("Could not find its own binary", "error", err)
			os.Exit(1)
		}
		log.Info("Starting the worker", "version", version)
		os.Exit(worker.Supervise(append([]string{self, "--supervised"}, os.Args[1:]...), log))
	}
	os.Exit(supervised(o, log))
}

// supervised records and returns the exit code: 0 when there is nothing more to do.
func supervised(o options, log *slog.Logger) int {
	result, err := record(o, log)
	if err != nil {
		result = recording.Result{Message: err.Error()}
		log.Error("Could not record", "error", err)
	}
	text, err := json.Marshal(result)
	if err == nil {
		err = os.WriteFile(o.terminationLog, text, 0o644) //nolint:gosec // the kubelet reads it
	}
	if err != nil {
		log.Error("Could not write the result", "error", err)
	}
	log.Info("Ended", "result", string(text))
	if !result.Ready && !result.Nothing {
		return 1
	}
	return 0
}

func record(o options, log *slog.Logger) (recording.Result, error) {
	config, err := recording.ParseConfig(os.Getenv(recording.ConfigVariable))
	if err != nil {
		return recording.Result{}, err
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ended, leave := context.WithCancel(ended)
	defer leave()
	if o.leaving {
		leave()
	}
	w, err := worker.New(config, o.Environment, log)
	if err != nil {
		return recording.Result{}, fmt.Errorf("setting the recorder up: %w", err)
	}
	watching, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	w.Stop, w.Ended = worker.WatchStop(watching, o.control, recording.StopAnnotation), ended.Done()
	server := &http.Server{Addr: o.health, Handler: w.Health.Handler(), ReadHeaderTimeout: readHeaderTimeout}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Error("Cannot serve health and metrics", "error", err)
		}
	}()
	defer func() { _ = server.Close() }()
	return w.Run(context.Background()), nil
}
