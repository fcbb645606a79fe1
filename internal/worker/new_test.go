package worker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// Temporary credentials end within hours, and the kubelet writes the files anew when the Secret has others.
func TestABucketIsReachedWithTheCredentialsThatTheSecretHasNow(t *testing.T) {
	t.Parallel()
	server := testmedia.StartMinIO(t)
	if server == nil {
		t.Skip("MinIO is not built; make bin/tools/minio")
	}
	dir := t.TempDir()
	write := func(id, key string) {
		t.Helper()
		for name, value := range map[string]string{"accessKeyID": id, "secretAccessKey": key} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("of-yesterday", "has-ended-meanwhile")
	s, err := open(recording.Storage{Endpoint: server.Endpoint, Bucket: server.Bucket}, Environment{CredentialsDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutStream(t.Context(), "a", strings.NewReader("a")); !errors.Is(err, store.ErrDenied) {
		t.Fatalf("error = %v, want %v", err, store.ErrDenied)
	}
	write(server.AccessKeyID, server.SecretAccessKey)
	if _, err := s.PutStream(t.Context(), "a", strings.NewReader("a")); err != nil {
		t.Errorf("the Secret was renewed: %v", err)
	}
	write(server.AccessKeyID, "")
	if _, err := s.PutStream(t.Context(), "a", strings.NewReader("a")); err == nil || store.Permanent(err) || !strings.Contains(err.Error(), "have to be set") {
		t.Errorf("a Secret that is being mended: %v", err)
	}
}
