package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// smallPart makes several parts of little: S3 takes no less, but for the last one.
const smallPart = 5 << 20

// kind makes empty stores, and says what their URIs begin with.
type kind func(t *testing.T) (s Store, uri string)

// TestStores holds every kind of store to the same contract.
func TestStores(t *testing.T) {
	t.Parallel()
	kinds := map[string]kind{
		"a folder": func(t *testing.T) (Store, string) {
			t.Helper()
			return newDir(t, t.TempDir()), "pvc://claim/"
		},
		"a fake bucket": func(t *testing.T) (Store, string) {
			t.Helper()
			_, at := newFakeS3(t)
			o := at.options()
			o.PartBytes = smallPart
			return open(t, o), "s3://" + at.Bucket + "/"
		},
	}
	if m := testmedia.StartMinIO(t); m != nil {
		kinds["a bucket of MinIO"] = func(t *testing.T) (Store, string) {
			t.Helper()
			o := target{m.Endpoint, m.Bucket, m.AccessKeyID, m.SecretAccessKey}.options()
			o.Prefix, o.PartBytes = CleanKey(t.Name()), smallPart
			return open(t, o), "s3://" + m.Bucket + "/" + o.Prefix + "/"
		}
	} else {
		t.Run("a bucket of MinIO", func(t *testing.T) { t.Skip("MinIO is not built; make bin/tools/minio") })
	}
	for name, make := range kinds {
		for rule, test := range contract {
			t.Run(name+", "+rule, func(t *testing.T) {
				t.Parallel()
				s, uri := make(t)
				test(t, s, uri)
			})
		}
	}
}

var contract = map[string]func(t *testing.T, s Store, uri string){
	"keeps what is put and tells its size and sum": func(t *testing.T, s Store, uri string) {
		t.Helper()
		for name, size := range map[string]int{"nothing": 0, "small": 1234, "one part": smallPart, "parts/and one byte": smallPart + 1, "parts/many": 3*smallPart - 7} {
			content := random(size)
			local := file(t, content)
			want := Object{Key: "put/" + name, Size: int64(size), SHA256: fmt.Sprintf("%x", sha256.Sum256(content))}
			put, err := s.Put(t.Context(), want.Key, local)
			if diff := same(want, put); err != nil || diff != "" {
				t.Fatalf("Put of %s: %v (-want +got):\n%s", name, err, diff)
			}
			if _, err := os.Stat(local); err != nil {
				t.Errorf("the file is the caller's: %v", err)
			}
			stat, err := s.Stat(t.Context(), want.Key)
			if diff := same(want, stat); err != nil || diff != "" || time.Since(stat.Modified).Abs() > time.Hour {
				t.Errorf("Stat of %s at %s: %v (-want +got):\n%s", name, stat.Modified, err, diff)
			}
			if !bytes.Equal(read(t, s, want.Key), content) {
				t.Errorf("%s is not what was put", name)
			}
			if got := s.URI(want.Key); got != uri+want.Key {
				t.Errorf("URI = %s, want %s", got, uri+want.Key)
			}
		}
	},
	"keeps what is streamed and tells its size and sum": func(t *testing.T, s Store, _ string) {
		t.Helper()
		for name, size := range map[string]int{"nothing": 0, "small": 1234, "one part": smallPart, "parts/and one byte": smallPart + 1, "parts/many": 3*smallPart - 7} {
			content := random(size)
			want := Object{Key: "put/" + name, Size: int64(size), SHA256: fmt.Sprintf("%x", sha256.Sum256(content))}
			put, err := s.PutStream(t.Context(), want.Key, drops{bytes.NewReader(content)})
			if diff := same(want, put); err != nil || diff != "" {
				t.Fatalf("PutStream of %s: %v (-want +got):\n%s", name, err, diff)
			}
			stat, err := s.Stat(t.Context(), want.Key)
			if stat.SHA256 == "" {
				stat.SHA256 = want.SHA256
			}
			if diff := same(want, stat); err != nil || diff != "" {
				t.Errorf("Stat of %s: %v (-want +got):\n%s", name, err, diff)
			}
			if !bytes.Equal(read(t, s, want.Key), content) {
				t.Errorf("%s is not what was streamed", name)
			}
		}
	},
	"replaces what was there": func(t *testing.T, s Store, _ string) {
		t.Helper()
		for _, content := range []string{"the first", "another", "the last one"} {
			put(t, s, "a/b", content)
			if got := string(read(t, s, "a/b")); got != content {
				t.Errorf("read %q, want %q", got, content)
			}
			if o, err := s.Stat(t.Context(), "a/b"); err != nil || o.SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte(content))) {
				t.Errorf("%+v, %v", o, err)
			}
		}
	},
	"says what is not there": func(t *testing.T, s Store, _ string) {
		t.Helper()
		put(t, s, "live/show/part", "part")
		for _, key := range []string{"live/show/none", "live/show", "live", "none/at/all"} {
			if _, err := s.Open(t.Context(), key); !errors.Is(err, ErrNotFound) {
				t.Errorf("opening %s: %v", key, err)
			}
			if _, err := s.Stat(t.Context(), key); !errors.Is(err, ErrNotFound) {
				t.Errorf("looking at %s: %v", key, err)
			}
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("deleting %s: %v", key, err)
			}
		}
		if got := string(read(t, s, "live/show/part")); got != "part" {
			t.Errorf("what is there is %q now", got)
		}
	},
	"lists by the beginning of keys, sorted": func(t *testing.T, s Store, _ string) {
		t.Helper()
		for _, key := range []string{"live/show/2", "live/show/10", "live/show-b/1", "live/show/parts/a b.ts", "live/Show/1", "live/showy/1", "other", "live/ünï=2f/1"} {
			put(t, s, key, "12345")
		}
		for prefix, want := range map[string][]string{
			"live/show/":  {"live/show/10", "live/show/2", "live/show/parts/a b.ts"},
			"live/show/p": {"live/show/parts/a b.ts"},
			"live/show":   {"live/show-b/1", "live/show/10", "live/show/2", "live/show/parts/a b.ts", "live/showy/1"},
			"live/ünï=":   {"live/ünï=2f/1"},
			"":            {"live/Show/1", "live/show-b/1", "live/show/10", "live/show/2", "live/show/parts/a b.ts", "live/showy/1", "live/ünï=2f/1", "other"},
			"none/":       nil,
			"live/none":   nil,
			"other/":      nil,
		} {
			if prefix == "other/" && strings.HasPrefix(s.URI(""), "pvc://") {
				// Who lists behind what is a file in a folder has a folder that is not as it should be.
				continue
			}
			objects, err := s.List(t.Context(), prefix)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, o := range objects {
				keys = append(keys, o.Key)
				if o.Size != 5 || o.Modified.IsZero() {
					t.Errorf("listed %+v", o)
				}
			}
			if diff := gocmp.Diff(want, keys); diff != "" {
				t.Errorf("%q (-want +got):\n%s", prefix, diff)
			}
		}
	},
	"deletes, and does not mind where there is nothing": func(t *testing.T, s Store, _ string) {
		t.Helper()
		put(t, s, "a/b", "content")
		for range 2 {
			if err := s.Delete(t.Context(), "a/b"); err != nil {
				t.Fatal(err)
			}
		}
		if objects, err := s.List(t.Context(), ""); err != nil || len(objects) != 0 {
			t.Errorf("still listed: %v, %v", objects, err)
		}
	},
	"refuses keys that lead elsewhere": func(t *testing.T, s Store, _ string) {
		t.Helper()
		for _, key := range []string{"", ".", "..", "../a", "a/../../b", "/a", "a/", "a//b", "a\nb", "\xff", strings.Repeat("a", 300)} {
			_, opened := s.Open(t.Context(), key)
			_, looked := s.Stat(t.Context(), key)
			_, stored := s.PutStream(t.Context(), key, strings.NewReader("x"))
			_, put := s.Put(t.Context(), key, file(t, []byte("x")))
			for doing, err := range map[string]error{"open": opened, "stat": looked, "stream": stored, "put": put, "delete": s.Delete(t.Context(), key)} {
				if !errors.Is(err, ErrKey) {
					t.Errorf("%s %q: %v", doing, key, err)
				}
			}
		}
		for _, prefix := range []string{"../", "/", "a//", "a/../.."} {
			if _, err := s.List(t.Context(), prefix); !errors.Is(err, ErrKey) {
				t.Errorf("list %q: %v", prefix, err)
			}
		}
	},
	// The reader is ffmpeg's output: when that fails, half a recording must not look like one.
	"leaves nothing of a stream that breaks": func(t *testing.T, s Store, _ string) {
		t.Helper()
		broken := errors.New("ffmpeg was killed")
		put(t, s, "before", "content")
		for _, key := range []string{"half", "before"} {
			for _, length := range []int{0, 10, smallPart, 2*smallPart + 10} {
				content := io.MultiReader(bytes.NewReader(make([]byte, length)), failing{broken})
				if _, err := s.PutStream(t.Context(), key, content); !errors.Is(err, broken) {
					t.Errorf("error = %v, want that of the reader", err)
				}
			}
		}
		objects, err := s.List(t.Context(), "")
		if err != nil || len(objects) != 1 || string(read(t, s, "before")) != "content" {
			t.Errorf("left over: %v, %v", objects, err)
		}
		nothingHalfWritten(t, s)
	},
	"stores nothing when nobody waits for it": func(t *testing.T, s Store, _ string) {
		t.Helper()
		late, cancel := context.WithCancel(t.Context())
		cancel()
		_, put := s.Put(late, "late", file(t, []byte("x")))
		_, streamed := s.PutStream(late, "late", strings.NewReader("x"))
		half, cancel := context.WithCancel(t.Context())
		_, halfway := s.PutStream(half, "late", &meddler{io.MultiReader(bytes.NewReader(make([]byte, smallPart+1)), canceling(cancel), bytes.NewReader(make([]byte, smallPart))), nil})
		for doing, err := range map[string]error{"put": put, "stream": streamed, "stream, halfway": halfway} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", doing, err)
			}
		}
		if _, err := s.Stat(t.Context(), "late"); !errors.Is(err, ErrNotFound) {
			t.Errorf("something is there: %v", err)
		}
		nothingHalfWritten(t, s)
	},
	"is safe for concurrent use": func(t *testing.T, s Store, _ string) {
		t.Helper()
		var group sync.WaitGroup
		for n := range 8 {
			group.Go(func() {
				own, content := fmt.Sprintf("a/%d", n), random(1000+n)
				_, first := s.PutStream(t.Context(), own, bytes.NewReader(content))
				// All at one key: one of them is there in the end, whole.
				_, second := s.PutStream(t.Context(), "a/shared", bytes.NewReader(bytes.Repeat([]byte{byte(n)}, 1000)))
				if err := errors.Join(first, second); err != nil && !errors.Is(err, errVerify) {
					t.Error(err)
				}
				if !bytes.Equal(read(t, s, own), content) {
					t.Errorf("%s is not what was stored", own)
				}
			})
		}
		group.Wait()
		if objects, err := s.List(t.Context(), "a/"); err != nil || len(objects) != 9 {
			t.Errorf("%v, %v", objects, err)
		}
	},
	"can be checked without a trace": func(t *testing.T, s Store, _ string) {
		t.Helper()
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if objects, err := s.List(t.Context(), ""); err != nil || len(objects) != 0 {
			t.Errorf("left over: %v, %v", objects, err)
		}
	},
}

func same(want, got Object) string {
	return gocmp.Diff(want, got, cmpopts.IgnoreFields(Object{}, "Modified"))
}

func random(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content)
	return content
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func put(t *testing.T, s Store, key, content string) {
	t.Helper()
	if _, err := s.PutStream(t.Context(), key, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s Store, key string) []byte {
	t.Helper()
	in, err := s.Open(t.Context(), key)
	if err != nil {
		t.Error(err)
		return nil
	}
	content, err := io.ReadAll(in)
	if err := errors.Join(err, in.Close()); err != nil {
		t.Error(err)
	}
	return content
}

// nothingHalfWritten looks for what List does not show.
func nothingHalfWritten(t *testing.T, s Store) {
	t.Helper()
	switch s := s.(type) {
	case *Dir:
		err := filepath.WalkDir(s.root.Name(), func(path string, _ os.DirEntry, err error) error {
			if strings.HasPrefix(filepath.Base(path), partialPrefix) {
				t.Errorf("left over: %s", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	case *S3:
		for _, key := range []string{"half", "before", "late", "a"} {
			uploads, err := s.client.ListMultipartUploads(t.Context(), s.bucket, s.prefix+key, "", "", "", 100)
			if err != nil || len(uploads.Uploads) != 0 {
				t.Errorf("half written: %+v, %v", uploads.Uploads, err)
			}
		}
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// canceling ends a context when it is read.
type canceling context.CancelFunc

func (c canceling) Read([]byte) (int, error) {
	c()
	return 0, io.EOF
}

// drops gives little at a time, as ffmpeg does.
type drops struct{ io.Reader }

func (d drops) Read(p []byte) (int, error) { return d.Reader.Read(p[:min(len(p), 7000)]) }
