package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

func newDir(t *testing.T) Store {
	t.Helper()
	d, err := NewDir(t.TempDir(), "pvc://claim")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// stores are all kinds, by what their URIs begin with.
func stores(t *testing.T) map[string]Store {
	t.Helper()
	all := map[string]Store{"pvc://claim/": newDir(t)}
	if server := testmedia.StartMinIO(t); server != nil {
		s, err := NewS3(S3Options{Endpoint: server.Endpoint, Bucket: server.Bucket, AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey})
		if err != nil {
			t.Fatal(err)
		}
		all["s3://"+server.Bucket+"/"] = s
	}
	return all
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, s Store, key string) []byte {
	t.Helper()
	in, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	content, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestWhatIsStoredCanBeReadListedAndDeleted(t *testing.T) {
	t.Parallel()
	for prefix, s := range stores(t) {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			if _, err := s.Open(t.Context(), "live/show/none"); !errors.Is(err, ErrNotFound) {
				t.Errorf("opening what is not there: %v", err)
			}
			if _, err := s.Stat(t.Context(), "live/show/none"); !errors.Is(err, ErrNotFound) {
				t.Errorf("looking at what is not there: %v", err)
			}
			if objects, err := s.List(t.Context(), "live/none/"); err != nil || len(objects) != 0 {
				t.Errorf("listing what is not there: %v, %v", objects, err)
			}

			const digits = 64
			put, err := s.Put(t.Context(), "live/show/parts/1.ts", file(t, []byte("part")))
			if err != nil {
				t.Fatal(err)
			}
			streamed, err := s.PutStream(t.Context(), "live/show/recording.mp4", strings.NewReader("part"))
			if err != nil {
				t.Fatal(err)
			}
			if put.Size != 4 || streamed.Size != 4 || put.SHA256 == "" || put.SHA256 != streamed.SHA256 || len(put.SHA256) != digits {
				t.Errorf("put %+v, streamed %+v", put, streamed)
			}
			if _, err := s.PutStream(t.Context(), "live/showy/other", strings.NewReader("x")); err != nil {
				t.Fatal(err)
			}
			objects, err := s.List(t.Context(), "live/show/")
			if err != nil {
				t.Fatal(err)
			}
			want := []Object{{Key: "live/show/parts/1.ts", Size: 4}, {Key: "live/show/recording.mp4", Size: 4}}
			if diff := gocmp.Diff(want, objects, cmpopts.IgnoreFields(Object{}, "Modified", "SHA256")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := read(t, s, "live/show/parts/1.ts"); string(got) != "part" {
				t.Errorf("read %q", got)
			}
			if got := s.URI("live/show/recording.mp4"); got != prefix+"live/show/recording.mp4" {
				t.Errorf("URI = %s", got)
			}
			for range 2 {
				if err := s.Delete(t.Context(), "live/show/parts/1.ts"); err != nil {
					t.Fatal(err)
				}
			}
			if objects, _ := s.List(t.Context(), "live/show/parts/"); len(objects) != 0 {
				t.Errorf("still listed: %v", objects)
			}
		})
	}
}

func TestALongStreamOfUnknownLengthIsStored(t *testing.T) {
	t.Parallel()
	content := make([]byte, 2*partBytes+12345)
	_, _ = rand.Read(content)
	for prefix, s := range stores(t) {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			o, err := s.PutStream(t.Context(), "long", bytes.NewReader(content))
			if err != nil || o.Size != int64(len(content)) {
				t.Fatalf("%+v, %v", o, err)
			}
			if !bytes.Equal(read(t, s, "long"), content) {
				t.Error("it is not what was stored")
			}
		})
	}
}

// The reader is ffmpeg's output: when that fails, half a recording must not look like one.
func TestAStreamThatBreaksLeavesNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("ffmpeg was killed")
	for prefix, s := range stores(t) {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			for _, length := range []int{10, partBytes + 10} {
				content := io.MultiReader(bytes.NewReader(make([]byte, length)), failing{broken})
				if _, err := s.PutStream(t.Context(), "half", content); !errors.Is(err, broken) {
					t.Errorf("error = %v, want that of the reader", err)
				}
				if _, err := s.Stat(t.Context(), "half"); !errors.Is(err, ErrNotFound) {
					t.Errorf("after %d bytes something is there: %v", length, err)
				}
			}
			if objects, err := s.List(t.Context(), ""); err != nil || len(objects) != 0 {
				t.Errorf("left over: %v, %v", objects, err)
			}
		})
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func TestAStoreThatIsNotWaitedForEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for prefix, s := range stores(t) {
		if _, err := s.PutStream(ctx, "late", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error = %v", prefix, err)
		}
	}
}

func TestKeysDoNotLeadOutOfAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "inside"), 0o755), os.Mkdir(outside, 0o755), os.Symlink(outside, filepath.Join(dir, "inside", "link"))); err != nil {
		t.Fatal(err)
	}
	d, err := NewDir(filepath.Join(dir, "inside"), "pvc://claim")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../outside/x", "/etc/x", "a/../../x", "", "link/x", "a" + partial, "a" + checksum} {
		if _, err := d.PutStream(t.Context(), key, strings.NewReader("x")); err == nil {
			t.Errorf("%q was taken", key)
		}
	}
	if files, _ := os.ReadDir(outside); len(files) != 0 {
		t.Errorf("written outside: %v", files)
	}
}

func TestNamesBecomeSafeKeysAndStayDifferent(t *testing.T) {
	t.Parallel()
	names := []string{"show", "Show", "a/b", "a=2fb", "..", ".", "...", "a b", "a+b", "ünïcode", "a\nb", "%2e", "=", "-", "_x", "a.ts"}
	seen := map[string]string{}
	for _, name := range names {
		key := CleanKey(name)
		if other, taken := seen[key]; taken {
			t.Errorf("%q and %q are both %q", name, other, key)
		}
		seen[key] = name
		if strings.ContainsAny(key, "/\\ \n%+?#") || key == "." || key == ".." {
			t.Errorf("%q becomes %q", name, key)
		}
	}
	if got := CleanKey("../Über"); got != "=2e.=2f=c3=9cber" {
		t.Errorf("CleanKey = %q", got)
	}
}

func TestS3ErrorsSayWhatToMend(t *testing.T) {
	t.Parallel()
	server := testmedia.StartMinIO(t)
	if server == nil {
		t.Skip("MinIO is not built; make bin/tools/minio")
	}
	for name, row := range map[string]struct {
		options S3Options
		want    error
	}{
		"a bucket that is not there": {S3Options{Bucket: "nobody-made-it"}, ErrNoBucket},
		"a key that is wrong":        {S3Options{SecretAccessKey: "not-the-secret"}, ErrDenied},
		"a user that is not known":   {S3Options{AccessKeyID: "stranger"}, ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := S3Options{Endpoint: server.Endpoint, Bucket: server.Bucket, AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey}
			if row.options.Bucket != "" {
				o.Bucket = row.options.Bucket
			}
			if row.options.SecretAccessKey != "" {
				o.SecretAccessKey = row.options.SecretAccessKey
			}
			if row.options.AccessKeyID != "" {
				o.AccessKeyID = row.options.AccessKeyID
			}
			s, err := NewS3(o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Put(t.Context(), "x", file(t, []byte("x")))
			if !errors.Is(err, row.want) || strings.Contains(fmt.Sprint(err), o.SecretAccessKey) {
				t.Errorf("error = %v, want %v", err, row.want)
			}
		})
	}
}
