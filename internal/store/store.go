// Package store is where a recording goes: a bucket of anything that speaks S3, or a mounted volume. What it says is stored was
// verified at the destination, by size and checksum.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Object is what is stored under a key.
type Object struct {
	Key  string
	Size int64
	// SHA256 in lower-case hex; "" where the store does not tell.
	SHA256   string
	Modified time.Time
}

// Store keeps objects under keys such as live/show/20260102T200000Z-abc/recording.mp4. It is safe for concurrent use.
type Store interface {
	// Put stores a file. When it returns without an error the object was verified, and the file may be deleted.
	Put(ctx context.Context, key, file string) (Object, error)
	// PutStream stores what a reader gives until its end. An error of the reader leaves nothing under the key.
	PutStream(ctx context.Context, key string, content io.Reader) (Object, error)
	// Open reads an object.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	Stat(ctx context.Context, key string) (Object, error)
	// List are the objects whose keys begin with the prefix, sorted.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Delete is no error where there is nothing.
	Delete(ctx context.Context, key string) error
	// URI names an object to people and programs.
	URI(key string) string
}

// Errors that a person has to mend. All others may pass.
var (
	ErrNotFound = errors.New("there is no such object")
	ErrDenied   = errors.New("the storage refuses the credentials, or they lack a right; check the Secret and the bucket's policy")
	ErrNoBucket = errors.New("the bucket does not exist; create it, or correct its name, its region or the endpoint")
	ErrFull     = errors.New("the storage is full")
	ErrKey      = errors.New("the key leads out of the storage")
	// errVerify means that what is stored is not what was sent.
	errVerify = errors.New("what is stored is not what was sent")
)

// CleanKey makes one path element of any name. Letters, digits, '-', '_' and '.' stay; all other bytes, and a '.' at the beginning,
// become '=' and two hex digits, '=' too: different names stay different.
func CleanKey(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			_, _ = fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}
