package testmedia

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// MinIO is a running S3 server with one bucket.
type MinIO struct {
	Endpoint, Bucket, AccessKeyID, SecretAccessKey string

	binary, address, dir string
	command              *exec.Cmd
}

// StartMinIO runs a server for the test; nil where it is not built, which `make bin/tools/minio` does.
func StartMinIO(t *testing.T) *MinIO {
	t.Helper()
	root, err := controlplane.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(root, "bin", "tools", "minio")
	if _, err := os.Stat(binary); err != nil {
		return nil
	}
	m := &MinIO{Bucket: "recordings", AccessKeyID: "recorder", SecretAccessKey: "only-for-a-test", binary: binary, address: freeAddress(t), dir: t.TempDir()}
	m.Endpoint = "http://" + m.address
	m.Up(t)
	t.Cleanup(m.Down)
	client, err := minio.New(m.address, &minio.Options{Creds: credentials.NewStaticV4(m.AccessKeyID, m.SecretAccessKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, "MinIO has a bucket", func() bool {
		err := client.MakeBucket(t.Context(), m.Bucket, minio.MakeBucketOptions{})
		return err == nil || minio.ToErrorResponse(err).Code == "BucketAlreadyOwnedByYou"
	})
	return m
}

// Up starts the server, again where it was down.
func (m *MinIO) Up(t *testing.T) {
	t.Helper()
	m.command = exec.CommandContext(context.WithoutCancel(t.Context()), m.binary, "server", "--quiet", "--address", m.address, m.dir) //nolint:gosec // built here
	m.command.Env = append(os.Environ(), "MINIO_ROOT_USER="+m.AccessKeyID, "MINIO_ROOT_PASSWORD="+m.SecretAccessKey, "MINIO_BROWSER=off", "HOME="+m.dir)
	if err := m.command.Start(); err != nil {
		t.Fatal(err)
	}
}

// Down kills it.
func (m *MinIO) Down() {
	_ = m.command.Process.Kill()
	_ = m.command.Wait()
}
