package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

// Environment is where a worker finds what its Config does not hold.
type Environment struct {
	CredentialsDir, PlaybackKeyFile, PushKeyFile, SpoolDir, VolumeDir string
}

const (
	// spoolLimit bounds what is kept of parts that are stored, in bytes: some minutes, which are joined without a request for each. A node may run
	// dozens of workers.
	spoolLimit = 256 << 20
	// defaultPatience is how long after the broadcast the store is tried.
	defaultPatience = time.Hour
	// defaultValidity of a playback URL: it is signed anew at each connect.
	defaultValidity = time.Hour
)

// New is a worker as the operator configured it; Stop and Ended are still to be set.
func New(config recording.Config, env Environment, log *slog.Logger) (*Worker, error) {
	if t := config.Transcoding; t != nil && t.Push != nil {
		return newPusher(config, env, log), nil
	}
	into, err := open(config.Storage, env)
	if err != nil {
		return nil, err
	}
	spool, err := OpenSpool(env.SpoolDir, config.Job, spoolLimit)
	if err != nil {
		return nil, err
	}
	patience := defaultPatience
	if config.UploadTimeoutSeconds > 0 {
		patience = time.Duration(config.UploadTimeoutSeconds) * time.Second
	}
	system := clock.RealClock{}
	return &Worker{
		Config: config, Store: into, Spool: spool, HTTP: &http.Client{}, Health: NewHealth(system.Now), Log: log, Clock: system, Patience: patience,
		Address: func() (string, error) { return address(config, env.PlaybackKeyFile, system.Now()) },
	}, nil
}

// newPusher stores nothing.
func newPusher(config recording.Config, env Environment, log *slog.Logger) *Worker {
	system := clock.RealClock{}
	return &Worker{
		Config: config, HTTP: &http.Client{}, Health: NewHealth(system.Now), Log: log, Clock: system,
		Address: func() (string, error) { return address(config, env.PlaybackKeyFile, system.Now()) },
		PushAddress: func(rendition string) (string, error) {
			push := config.Transcoding.Push
			key, err := readKey(env.PushKeyFile)
			if err != nil {
				return "", fmt.Errorf("reading the push key: %w", err)
			}
			expiry := system.Now().Add(time.Duration(push.ValiditySeconds) * time.Second)
			return tencent.PushURL(push.Scheme, push.Domain, push.App, config.Stream+"_"+rendition, key, expiry), nil
		},
	}
}

// readKey is "" where there is none: URLs are not signed.
func readKey(file string) (string, error) {
	key, err := os.ReadFile(file) //nolint:gosec // the operator mounts it
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return strings.TrimSpace(string(key)), nil
}

// address is signed with the key as it is now: the file changes with the Secret.
func address(c recording.Config, keyFile string, now time.Time) (string, error) {
	key, err := readKey(keyFile)
	if err != nil {
		return "", fmt.Errorf("reading the playback key: %w", err)
	}
	validity := defaultValidity
	if c.Playback.ValiditySeconds > 0 {
		validity = time.Duration(c.Playback.ValiditySeconds) * time.Second
	}
	playback := v1alpha1.Playback{
		Domain: c.Playback.Domain, Protocol: v1alpha1.PlaybackProtocol(c.Playback.Protocol), Scheme: v1alpha1.PlaybackScheme(c.Playback.Scheme),
	}
	return tencent.PlaybackURL(playback, c.App, c.Stream, key, now.Add(validity)), nil
}

func open(s recording.Storage, env Environment) (store.Store, error) {
	if s.Bucket == "" {
		return store.NewDir(env.VolumeDir, "pvc://"+s.ClaimName)
	}
	read := func() (id, key, token string, err error) { return readCredentials(env.CredentialsDir) }
	id, key, token, err := read()
	if err != nil {
		return nil, err
	}
	return store.NewS3(store.S3Options{
		Endpoint: s.Endpoint, Region: s.Region, Bucket: s.Bucket, AccessKeyID: id, SecretAccessKey: key, SessionToken: token, Renewed: read,
	})
}

// readCredentials are those of now: the files change with the Secret.
func readCredentials(dir string) (id, key, token string, err error) {
	secret := func(name string, optional bool) string {
		text, failed := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // the operator mounts it
		if failed != nil && (!optional || !errors.Is(failed, fs.ErrNotExist)) {
			err = fmt.Errorf("reading the credentials of the bucket: %w", failed)
		}
		return strings.TrimSpace(string(text))
	}
	id, key, token = secret("accessKeyID", false), secret("secretAccessKey", false), secret("sessionToken", true)
	return id, key, token, err
}
