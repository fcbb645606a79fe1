package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Dir is a folder, mostly one where a volume is mounted. Keys cannot lead out of it, by links neither. It keeps the folder open: should
// the volume be unmounted, nothing is written to what lies beneath.
//
// Unlike a bucket it cannot hold both a and a/b. Folders stay when the last object in them is deleted.
type Dir struct {
	root *os.Root
	uri  string
}

const copyBytes = 256 << 10

// NewDir is the store in a folder. The URI of a key is the given one, a / and the key; when it is "", that of the file.
func NewDir(folder, uri string) (*Dir, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("opening the storage folder: %w", err)
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return nil, fmt.Errorf("opening the storage folder: %w", err)
	}
	if uri == "" {
		uri = "file://" + absolute
	}
	return &Dir{root: root, uri: strings.TrimRight(uri, "/")}, nil
}

// Close lets go of the folder.
func (d *Dir) Close() error { return d.root.Close() }

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key, file string) (Object, error) {
	in, err := os.Open(file) //nolint:gosec // the worker names it
	if err != nil {
		return Object{}, fmt.Errorf("opening what is to be stored as %s: %w", key, err)
	}
	defer func() { _ = in.Close() }()
	return d.PutStream(ctx, key, in)
}

// PutStream implements Store. The object is written beside its key, flushed, read again, and then appears under it whole, or not at all.
// What is read again may come from the cache of the system: it shows that nothing was mixed up, not that the disk keeps it.
func (d *Dir) PutStream(ctx context.Context, key string, content io.Reader) (Object, error) {
	if err := checkKey(key); err != nil {
		return Object{}, err
	}
	folders, err := d.makeFolders(path.Dir(key))
	if err != nil {
		return Object{}, d.failed("making the folder of", key, err)
	}
	partial := path.Join(path.Dir(key), partialPrefix+rand.Text())
	defer func() { _ = d.root.Remove(partial) }()
	o, err := d.write(ctx, partial, content)
	if err != nil {
		return Object{}, d.failed("writing", key, err)
	}
	if err := d.verify(ctx, partial, &o); err != nil {
		return Object{}, d.failed("verifying", key, err)
	}
	// Its checksum first: for as long as the object is the one before, they do not match, and none is told.
	if err := d.writeSide(ctx, key, o); err != nil {
		return Object{}, d.failed("writing the checksum of", key, err)
	}
	if err := d.root.Rename(partial, key); err != nil {
		return Object{}, d.failed("naming", key, err)
	}
	if err := d.sync(folders); err != nil {
		return Object{}, d.failed("naming", key, err)
	}
	o.Key = key
	return o, nil
}

// makeFolders makes what is missing, and returns all folders whose entries changed or will.
func (d *Dir) makeFolders(folder string) ([]string, error) {
	folders := []string{folder}
	for folder != "." {
		_, err := d.root.Stat(folder)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		folder = path.Dir(folder)
		folders = append(folders, folder)
	}
	return folders, d.root.MkdirAll(folders[0], 0o755)
}

func (d *Dir) write(ctx context.Context, name string, content io.Reader) (Object, error) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return Object{}, err
	}
	sum := sha256.New()
	size, err := io.CopyBuffer(io.MultiWriter(f, sum), whileWanted{sourceReader{content}, ctx.Err}, make([]byte, copyBytes))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return Object{}, err
	}
	return Object{Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// verify reads what was written, and notes when that was.
func (d *Dir) verify(ctx context.Context, name string, o *Object) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != o.Size {
		return fmt.Errorf("%w: %d bytes instead of %d", errVerify, info.Size(), o.Size)
	}
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, whileWanted{f, ctx.Err}, make([]byte, copyBytes)); err != nil {
		return err
	}
	if digest := hex.EncodeToString(sum.Sum(nil)); digest != o.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is %s instead of %s", errVerify, digest, o.SHA256)
	}
	o.Modified = info.ModTime()
	return nil
}

// writeSide keeps the checksum as sha256sum -c reads it, and in a comment what it is of: an object that was changed since has none.
func (d *Dir) writeSide(ctx context.Context, key string, o Object) error {
	partial := path.Join(path.Dir(key), partialPrefix+rand.Text())
	defer func() { _ = d.root.Remove(partial) }()
	if _, err := d.write(ctx, partial, strings.NewReader(side(key, o))); err != nil {
		return err
	}
	return d.root.Rename(partial, sideOf(key))
}

func sideOf(key string) string { return path.Join(path.Dir(key), sidePrefix+path.Base(key)) }

func side(key string, o Object) string {
	return fmt.Sprintf("%s  %s\n# %d bytes, %s\n", o.SHA256, path.Base(key), o.Size, o.Modified.UTC().Format(time.RFC3339Nano))
}

// sync flushes the entries of folders.
func (d *Dir) sync(folders []string) error {
	for _, folder := range folders {
		f, err := d.root.Open(folder)
		if err != nil {
			return err
		}
		err = f.Sync()
		// Some network file systems have nothing to flush.
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
			err = nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Open implements Store.
func (d *Dir) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	f, _, err := d.open(ctx, key)
	if err != nil {
		return nil, d.failed("opening", key, err)
	}
	return f, nil
}

// open is for objects alone: what is no plain file is none.
func (d *Dir) open(ctx context.Context, key string) (*os.File, fs.FileInfo, error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return nil, nil, err
	}
	// Before it is opened: that of a pipe would wait.
	info, err := d.root.Stat(key)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("it is a %s: %w", kindOf(info.Mode()), fs.ErrNotExist)
	}
	f, err := d.root.Open(key)
	return f, info, err
}

func kindOf(m fs.FileMode) string {
	if m.IsDir() {
		return "folder"
	}
	return "special file"
}

// Stat implements Store.
func (d *Dir) Stat(ctx context.Context, key string) (Object, error) {
	f, info, err := d.open(ctx, key)
	if err != nil {
		return Object{}, d.failed("looking at", key, err)
	}
	_ = f.Close()
	o := Object{Key: key, Size: info.Size(), Modified: info.ModTime()}
	text, err := d.root.ReadFile(sideOf(key))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Object{}, d.failed("reading the checksum of", key, err)
	}
	o.SHA256, _, _ = strings.Cut(string(text), " ")
	if side(key, o) != string(text) {
		o.SHA256 = ""
	}
	return o, nil
}

// List implements Store.
func (d *Dir) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var objects []Object
	err := fs.WalkDir(d.root.FS(), path.Dir(prefix+"x"), func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case name == "lost+found":
			// The file system's own, and closed to all but root.
			return fs.SkipDir
		case err != nil:
			return err
		case !entry.Type().IsRegular() || !strings.HasPrefix(name, prefix) || reserved(path.Base(name)):
			return ctx.Err()
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		objects = append(objects, Object{Key: name, Size: info.Size(), Modified: info.ModTime()})
		return nil
	})
	if err != nil {
		return nil, d.failed("listing", prefix, err)
	}
	slices.SortFunc(objects, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return objects, nil
}

// Delete implements Store.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	info, err := d.root.Lstat(key)
	if err == nil && info.IsDir() {
		return nil
	}
	for _, name := range []string{key, sideOf(key)} {
		if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d.failed("deleting", key, err)
		}
	}
	return nil
}

// Sweep implements Sweeper.
func (d *Dir) Sweep(ctx context.Context, folder string, unchanged time.Duration) error {
	if err := errors.Join(checkPrefix(folder), ctx.Err()); err != nil {
		return err
	}
	files, err := fs.ReadDir(d.root.FS(), path.Clean(folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.failed("sweeping", folder, err)
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !strings.HasPrefix(f.Name(), partialPrefix) {
			continue
		}
		// The volume has a clock of its own: with no time to wait for it does not count.
		if info, err := f.Info(); unchanged > 0 && err == nil && time.Since(info.ModTime()) < unchanged {
			continue
		}
		if err := d.root.Remove(path.Join(folder, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d.failed("sweeping", folder, err)
		}
	}
	return nil
}

// URI implements Store.
func (d *Dir) URI(key string) string { return d.uri + "/" + key }

// Check implements Store.
func (d *Dir) Check(ctx context.Context) error {
	name := partialPrefix + rand.Text()
	defer func() { _ = d.root.Remove(name) }()
	o, err := d.write(ctx, name, strings.NewReader("Written to see whether it can be.\n"))
	if err != nil {
		return d.failed("writing", name, err)
	}
	if err := d.verify(ctx, name, &o); err != nil {
		return d.failed("verifying", name, err)
	}
	if err := d.root.Remove(name); err != nil {
		return d.failed("deleting", name, err)
	}
	return nil
}

func (d *Dir) failed(doing, key string, err error) error {
	var kind error
	var mend string
	var foreign source
	switch {
	case errors.As(err, &foreign):
		return fmt.Errorf("%s %s: reading what is to be stored: %w", doing, d.URI(key), foreign.error)
	case errors.Is(err, ErrKey):
		return err
	case errors.Is(err, fs.ErrNotExist) && (doing == "opening" || doing == "looking at"):
		kind = ErrNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		kind, mend = ErrDenied, "mount the volume writable, and let its files belong to the user or the fsGroup of the Pod"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind, mend = ErrFull, "make room on the volume, or enlarge it"
	case errors.Is(err, syscall.EFBIG):
		kind, mend = ErrTooLarge, "use a file system that takes it"
	}
	return newFailure(doing+" "+d.URI(key), kind, mend, err.Error(), err)
}
