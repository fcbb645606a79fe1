package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func newDir(t *testing.T, folder string) *Dir {
	t.Helper()
	d, err := NewDir(folder, "pvc://claim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestKeysDoNotLeadOutOfAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "inside"), filepath.Join(dir, "outside")
	if err := errors.Join(os.Mkdir(inside, 0o755), os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "secret"), nil, 0o600),
		os.Symlink(outside, filepath.Join(inside, "link")), os.Symlink("../outside", filepath.Join(inside, "relative")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(inside, "file"))); err != nil {
		t.Fatal(err)
	}
	d := newDir(t, inside)
	for _, key := range []string{
		"../outside/secret", "/etc/passwd", outside + "/secret", "a/../../outside/secret", "", ".", "..", "link/secret", "relative/secret", "file",
		sidePrefix + "a", "a/" + partialPrefix + "b",
	} {
		t.Run(key, func(t *testing.T) {
			if _, err := d.Open(t.Context(), key); err == nil {
				t.Error("it was read")
			}
			if _, err := d.Stat(t.Context(), key); err == nil {
				t.Error("it was looked at")
			}
			// A link is replaced, not followed.
			if key != "file" {
				if _, err := d.PutStream(t.Context(), key, strings.NewReader("x")); err == nil {
					t.Error("it was written")
				}
				if err := d.Delete(t.Context(), key); err == nil {
					t.Error("it was deleted")
				}
			}
		})
	}
	for _, prefix := range []string{"../", "/", "link/", "a/../../outside/"} {
		if objects, err := d.List(t.Context(), prefix); len(objects) != 0 {
			t.Errorf("listing %q: %v, %v", prefix, objects, err)
		}
	}
	if _, err := d.PutStream(t.Context(), "file", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if files, _ := filepath.Glob(outside + "/*"); !gocmp.Equal(files, []string{filepath.Join(outside, "secret")}) {
		t.Errorf("outside are %v", files)
	}
	if content, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || len(content) != 0 {
		t.Errorf("what lies outside was written: %q, %v", content, err)
	}
}

func TestWhatLiesInAFolderIsObjectsAndTheirChecksums(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := newDir(t, folder)
	if err := os.MkdirAll(filepath.Join(folder, "lost+found", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := d.PutStream(t.Context(), "a/b.ts", strings.NewReader("part")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "a", partialPrefix+"of-one-that-was-killed"), nil, 0o600),
		os.WriteFile(filepath.Join(folder, "a", "made-by-hand"), []byte("x"), 0o600), syscall.Mkfifo(filepath.Join(folder, "a", "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	objects, err := d.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	if diff := gocmp.Diff([]string{"a/b.ts", "a/made-by-hand"}, keys); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, key := range []string{"a", "a/pipe"} {
		if _, err := d.Open(t.Context(), key); !errors.Is(err, ErrNotFound) {
			t.Errorf("opening %s: %v", key, err)
		}
	}
	if o, err := d.Stat(t.Context(), "a/made-by-hand"); err != nil || o.SHA256 != "" || o.Size != 1 {
		t.Errorf("what others wrote is %+v, %v", o, err)
	}
	if _, err := exec.LookPath("sha256sum"); err == nil {
		check := exec.CommandContext(t.Context(), "sha256sum", "--strict", "-c", sidePrefix+"b.ts")
		check.Dir = filepath.Join(folder, "a")
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("sha256sum cannot read the checksum: %v\n%s", err, out)
		}
	}
}

func TestWhatAWriterLeftThatWasKilledIsSwept(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := newDir(t, folder)
	for _, key := range []string{"a/b.ts", "a/deep/c.ts", "b/d.ts"} {
		if _, err := d.PutStream(t.Context(), key, strings.NewReader("part")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{partialPrefix + "x", "a/" + partialPrefix + "x", "a/" + partialPrefix + "y", "a/deep/" + partialPrefix + "x"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "b", partialPrefix+"new"), nil, 0o600), os.WriteFile(filepath.Join(folder, "b", partialPrefix+"old"), nil, 0o600),
		os.Chtimes(filepath.Join(folder, "b", partialPrefix+"old"), long, long)); err != nil {
		t.Fatal(err)
	}
	for swept, unchanged := range map[string]time.Duration{"a/": 0, "b/": 59 * time.Minute, "nothing/": 0} {
		if err := d.Sweep(t.Context(), swept, unchanged); err != nil {
			t.Errorf("%s: %v", swept, err)
		}
	}
	if err := d.Sweep(t.Context(), "../", 0); !errors.Is(err, ErrKey) {
		t.Errorf("outside: error = %v", err)
	}
	var left []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			left = append(left, name)
		}
		return err
	})
	want := []string{partialPrefix + "x", "a/" + sidePrefix + "b.ts", "a/b.ts", "a/deep/" + partialPrefix + "x", "a/deep/" + sidePrefix + "c.ts", "a/deep/c.ts", "b/" + partialPrefix + "new", "b/" + sidePrefix + "d.ts", "b/d.ts"}
	if diff := gocmp.Diff(want, left); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// A kill between the two renames, or an editor, must not make a checksum lie.
func TestAChecksumIsOfTheFileAsItWasStored(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := newDir(t, folder)
	stored, err := d.PutStream(t.Context(), "a", strings.NewReader("before"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Stat(t.Context(), "a"); err != nil || !gocmp.Equal(stored, got) {
		t.Errorf("%+v, %v, want %+v", got, err, stored)
	}
	if err := os.WriteFile(filepath.Join(folder, "a"), []byte("AFTER!"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(folder, "a"), time.Time{}, stored.Modified.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Stat(t.Context(), "a"); err != nil || got.SHA256 != "" || got.Size != 6 {
		t.Errorf("%+v, %v, want no checksum", got, err)
	}
}

// meddler reaches into the folder in the middle of a write.
type meddler struct {
	io.Reader
	meddle func()
}

func (m *meddler) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if err == io.EOF && m.meddle != nil {
		m.meddle()
		m.meddle = nil
	}
	return n, err
}

func TestAFileThatIsNotWhatWasWrittenIsNoticed(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]func(file string) error{
		"a byte is another": func(file string) error {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("X"), 2)
			return errors.Join(err, f.Close())
		},
		"its end is missing": func(file string) error { return os.Truncate(file, 3) },
		"it is longer":       func(file string) error { return os.Truncate(file, 10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			d := newDir(t, folder)
			_, err := d.PutStream(t.Context(), "a", &meddler{strings.NewReader("content"), func() {
				files, _ := filepath.Glob(filepath.Join(folder, partialPrefix+"*"))
				if len(files) != 1 {
					t.Fatalf("files = %v", files)
				}
				if err := meddle(files[0]); err != nil {
					t.Error(err)
				}
			}})
			if !errors.Is(err, errVerify) || Permanent(err) {
				t.Errorf("error = %v", err)
			}
			if files, _ := os.ReadDir(folder); len(files) != 0 {
				t.Errorf("left over: %v", files)
			}
		})
	}
}

func TestErrorsOfAFolderSayWhatToMend(t *testing.T) {
	t.Parallel()
	d := newDir(t, t.TempDir())
	for name, row := range map[string]struct {
		doing string
		err   error
		want  error
	}{
		"no object":          {"opening", syscall.ENOENT, ErrNotFound},
		"no right":           {"writing", syscall.EACCES, ErrDenied},
		"read-only":          {"writing", syscall.EROFS, ErrDenied},
		"a full disk":        {"writing", syscall.ENOSPC, ErrFull},
		"a quota":            {"writing", syscall.EDQUOT, ErrFull},
		"a file too large":   {"writing", syscall.EFBIG, ErrTooLarge},
		"a stale handle":     {"writing", syscall.ESTALE, nil},
		"a folder that goes": {"writing", syscall.ENOENT, nil},
		"a read error":       {"writing", syscall.EIO, nil},
		"nobody waits":       {"writing", context.Canceled, nil},
	} {
		err := d.failed(row.doing, "live/a", &fs.PathError{Op: "openat", Path: "live/a", Err: row.err})
		if Permanent(err) != (row.want != nil) || row.want != nil && !errors.Is(err, row.want) || !errors.Is(err, row.err) || !strings.Contains(err.Error(), "pvc://claim/live/a") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The caller's own troubles are not the store's.
	_, err := d.PutStream(t.Context(), "a", failing{&fs.PathError{Op: "read", Path: "spool", Err: syscall.ENOSPC}})
	if errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error = %v", err)
	}
	if _, err := d.Put(t.Context(), "a", filepath.Join(t.TempDir(), "none")); errors.Is(err, ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
}

func TestAFolderThatCannotBeWrittenIsFoundBefore(t *testing.T) {
	t.Parallel()
	if _, err := NewDir(filepath.Join(t.TempDir(), "none"), ""); err == nil {
		t.Error("a folder that does not exist was taken")
	}
	folder := t.TempDir()
	d := newDir(t, folder)
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere; run it as another user")
	}
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(t.Context()); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "fsGroup") {
		t.Errorf("error = %v", err)
	}
}

func TestAFolderNamesItsFilesWhereNobodyElseDoes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d, err := NewDir(folder, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.URI("a/b"); got != "file://"+folder+"/a/b" {
		t.Errorf("URI = %s", got)
	}
}
