// Package store is where a recording goes: a bucket of anything that speaks S3, or a mounted volume. What it says is stored was
// verified at the destination, by size and checksum.
//
// Errors are of a few kinds, for errors.Is: ErrNotFound, and those that a person has to mend (see Permanent). All others may pass, and
// Retry repeats what fails with them. No error holds a key of the credentials, a token or a signed URL.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Object is what is stored under a key.
type Object struct {
	Key  string
	Size int64
	// SHA256 in lower-case hex; "" where the store does not tell. Put and PutStream always do, List never does, and Stat does not for
	// what was streamed to S3 in several parts, or changed in a folder by others.
	SHA256   string
	Modified time.Time
}

// Store keeps objects under keys such as live/show/20260102T200000Z-abc/recording.mp4: names with / between, none of them "." or "..",
// at most longestName long each. It is safe for concurrent use.
type Store interface {
	// Put stores a file. When it returns without an error the object was verified, and the file may be deleted.
	Put(ctx context.Context, key, file string) (Object, error)
	// PutStream stores what a reader gives until its end. An error of the reader leaves nothing under the key but what was there before.
	// Of a reader that is a Sized a bucket takes more.
	PutStream(ctx context.Context, key string, content io.Reader) (Object, error)
	// Open reads an object. The context has to live as long as it is read.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// Stat looks at an object. That of a bucket that does not exist may be ErrNotFound: the answer to HEAD does not tell.
	Stat(ctx context.Context, key string) (Object, error)
	// List are the objects whose keys begin with the prefix, sorted by key.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Delete is no error where there is nothing.
	Delete(ctx context.Context, key string) error
	// URI names an object to people and programs.
	URI(key string) string
	// Check stores a small object, looks at it and deletes it. Its error says which of these failed, and what to mend.
	Check(ctx context.Context) error
}

// Sized is what says, in bytes, about how long it will be: a bucket takes it in larger parts where it has to, at the cost of memory.
type Sized struct {
	io.Reader

	About int64
}

// Sweeper is a Store that keeps what a writer leaves that is killed.
type Sweeper interface {
	// Sweep drops that from a folder such as live/show/20260102T200000Z-abc/, not from those in it, where nothing was written to it for so
	// long. Who still writes there fails, and has to try again.
	Sweep(ctx context.Context, folder string, unchanged time.Duration) error
}

// What is wrong is in these, what to mend in the text of the error that wraps them.
var (
	ErrNotFound = errors.New("there is no such object")
	// ErrDenied: a person has to mend credentials, rights, or the clock.
	ErrDenied = errors.New("the storage refuses access")
	// ErrNoBucket is a bucket that does not exist, or not in this region.
	ErrNoBucket = errors.New("the bucket does not exist")
	// ErrFull is a full disk or a quota.
	ErrFull = errors.New("the storage is full")
	// ErrTooLarge is a stream that does not fit into one object.
	ErrTooLarge = errors.New("the object is too large")
	// ErrKey is a key that no object can have.
	ErrKey = errors.New("the key is not valid")

	// errVerify may pass: it is stored again.
	errVerify = errors.New("what is stored is not what was sent")
)

// Permanent says whether an error will not pass by itself.
func Permanent(err error) bool {
	for _, kind := range []error{ErrNotFound, ErrDenied, ErrNoBucket, ErrFull, ErrTooLarge, ErrKey} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// failure is an error whose cause decides what it is, but is not shown: text is what may be.
type failure struct {
	text        string
	kind, cause error
}

// newFailure describes what was tried. kind and mend may be missing.
func newFailure(tried string, kind error, mend, text string, cause error) error {
	switch {
	case kind != nil && mend != "":
		text = fmt.Sprintf("%s: %v; %s (%s)", tried, kind, mend, text)
	case kind != nil:
		text = fmt.Sprintf("%s: %v (%s)", tried, kind, text)
	default:
		text = tried + ": " + text
	}
	return &failure{text: text, kind: kind, cause: cause}
}

func (f *failure) Error() string { return f.text }

func (f *failure) Is(target error) bool {
	return f.kind != nil && errors.Is(f.kind, target) || f.cause != nil && errors.Is(f.cause, target)
}

// source marks the errors of what is read from the caller: they are his, not the store's, whatever they look like.
type source struct{ error }

func (s source) Unwrap() error { return s.error }

// sourceReader marks them.
type sourceReader struct{ io.Reader }

func (r sourceReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = source{err}
	}
	return n, err
}

// whileWanted reads until nobody waits for it any more.
type whileWanted struct {
	io.Reader
	stopped func() error
}

func (r whileWanted) Read(p []byte) (int, error) {
	if err := r.stopped(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
