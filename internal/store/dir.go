package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Dir is a folder, mostly one where a volume is mounted. Keys cannot lead out of it, by links neither.
type Dir struct {
	root *os.Root
	uri  string
}

const (
	// partial ends the name of a file that is being written; such are not listed.
	partial = ".partial"
	// checksum ends the name of the file that keeps an object's SHA-256; such are not listed either.
	checksum = ".sha256"
)

// NewDir is the store in a folder. The URI of a key is the given one, a / and the key.
func NewDir(folder, uri string) (*Dir, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("opening the storage folder: %w", err)
	}
	return &Dir{root: root, uri: strings.TrimRight(uri, "/")}, nil
}

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key, file string) (Object, error) {
	in, err := os.Open(file) //nolint:gosec // the worker names it
	if err != nil {
		return Object{}, fmt.Errorf("opening %s: %w", file, err)
	}
	defer func() { _ = in.Close() }()
	return d.PutStream(ctx, key, in)
}

// PutStream implements Store. The object appears under its key whole, or not at all.
func (d *Dir) PutStream(ctx context.Context, key string, content io.Reader) (Object, error) {
	if err := d.check(key); err != nil {
		return Object{}, err
	}
	if err := d.root.MkdirAll(path.Dir(key), 0o755); err != nil {
		return Object{}, wrapped("making the folder of", key, err)
	}
	o, err := d.write(ctx, key+partial, content)
	if err != nil {
		_ = d.root.Remove(key + partial)
		return Object{}, wrapped("writing", key, err)
	}
	if err := d.verify(key+partial, o); err != nil {
		_ = d.root.Remove(key + partial)
		return Object{}, wrapped("verifying", key, err)
	}
	if _, err := d.write(ctx, key+checksum, strings.NewReader(o.SHA256+"\n")); err != nil {
		return Object{}, wrapped("writing the checksum of", key, err)
	}
	if err := d.root.Rename(key+partial, key); err != nil {
		return Object{}, wrapped("naming", key, err)
	}
	if err := d.sync(path.Dir(key)); err != nil {
		return Object{}, wrapped("naming", key, err)
	}
	o.Key = key
	return o, nil
}

func (d *Dir) write(ctx context.Context, name string, content io.Reader) (Object, error) {
	f, err := d.root.Create(name)
	if err != nil {
		return Object{}, err
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, sum), readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return content.Read(p)
	}))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return Object{}, err
	}
	return Object{Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// verify reads what was written.
func (d *Dir) verify(name string, want Object) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if size != want.Size || hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		return errVerify
	}
	return nil
}

func (d *Dir) sync(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Open implements Store.
func (d *Dir) Open(_ context.Context, key string) (io.ReadCloser, error) {
	if err := d.check(key); err != nil {
		return nil, err
	}
	f, err := d.root.Open(key)
	if err != nil {
		return nil, wrapped("opening", key, err)
	}
	return f, nil
}

// Stat implements Store.
func (d *Dir) Stat(_ context.Context, key string) (Object, error) {
	if err := d.check(key); err != nil {
		return Object{}, err
	}
	info, err := d.root.Stat(key)
	if err != nil {
		return Object{}, wrapped("looking at", key, err)
	}
	sum, err := d.root.ReadFile(key + checksum)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Object{}, wrapped("reading the checksum of", key, err)
	}
	return Object{Key: key, Size: info.Size(), SHA256: strings.TrimSpace(string(sum)), Modified: info.ModTime()}, nil
}

// List implements Store.
func (d *Dir) List(ctx context.Context, prefix string) ([]Object, error) {
	folder := path.Dir(prefix + "x")
	if err := d.check(folder); err != nil {
		return nil, err
	}
	var objects []Object
	err := fs.WalkDir(d.root.FS(), folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() || !strings.HasPrefix(name, prefix) || strings.HasSuffix(name, partial) || strings.HasSuffix(name, checksum):
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
		return nil, wrapped("listing", prefix, err)
	}
	slices.SortFunc(objects, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return objects, nil
}

// Delete implements Store.
func (d *Dir) Delete(_ context.Context, key string) error {
	if err := d.check(key); err != nil {
		return err
	}
	for _, name := range []string{key, key + checksum} {
		if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return wrapped("deleting", key, err)
		}
	}
	return nil
}

// URI implements Store.
func (d *Dir) URI(key string) string { return d.uri + "/" + key }

func (d *Dir) check(key string) error {
	if !fs.ValidPath(key) || strings.HasSuffix(key, partial) || strings.HasSuffix(key, checksum) {
		return fmt.Errorf("%w: %q", ErrKey, key)
	}
	return nil
}

func wrapped(doing, key string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		err = errors.Join(ErrDenied, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		err = errors.Join(ErrFull, err)
	}
	return fmt.Errorf("%s %s: %w", doing, key, err)
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }
