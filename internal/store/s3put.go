package store

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Content-MD5 and ETag are what all servers know; SHA-256 comes beside it
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// How it is made sure that what arrives is what was sent:
//
// Each request carries the MD5 of its body in Content-MD5, and the SHA-256 in what is signed (x-amz-content-sha256). AWS, COS and MinIO
// refuse a body with another MD5; those that check signatures to the letter refuse another SHA-256 too. Nothing newer is used: COS
// ignores x-amz-checksum-*, COS and older servers refuse checksums at the end of a body, and not all know the pieces that minio-go would
// sign one by one over a plain connection.
//
// Then the object is looked at. Its size has to be right, and its ETag, which is the MD5 of a body, or of the MD5s of the parts. Where it
// is another, as with keys of a KMS, it says nothing: the object is read and its SHA-256 compared, at the cost of the way back.

// sumKey is the user metadata that keeps the SHA-256 of an object.
const sumKey = "Sha256"

// body is what one request sends: it can be opened as often as it has to be sent.
type body struct {
	open func() io.Reader
	size int64
	// md5 and sha256 as they are, not encoded.
	md5, sha256 []byte
}

// newBody reads it once. also is written what was read.
func newBody(open func() io.Reader, also io.Writer) (body, error) {
	m, s := md5.New(), sha256.New() //nolint:gosec // see above
	size, err := io.CopyBuffer(io.MultiWriter(m, s, also), open(), make([]byte, copyBytes))
	return body{open, size, m.Sum(nil), s.Sum(nil)}, err
}

// expected is what an object has to be.
type expected struct {
	size   int64
	sha256 string
	// etags are those by which it is known; none where parts of it have others than they should.
	etags []string
	// told is the ETag that the server said what it stored has; "" where that answer was lost.
	told string
}

// Put implements Store. Up to 16 MiB are sent in one request, larger files in parts, which are read from it again and again, and not kept
// in memory. The SHA-256 is kept with the object.
func (s *S3) Put(ctx context.Context, key, file string) (Object, error) {
	if err := s.check(key); err != nil {
		return Object{}, err
	}
	f, err := os.Open(file) //nolint:gosec // the worker names it
	if err != nil {
		return Object{}, fmt.Errorf("opening what is to be stored as %s: %w", key, err)
	}
	defer func() { _ = f.Close() }()
	all := sha256.New()
	size, err := io.CopyBuffer(all, whileWanted{f, ctx.Err}, make([]byte, copyBytes))
	if err != nil {
		return Object{}, fmt.Errorf("reading what is to be stored as %s: %w", key, err)
	}
	section := func(at, length int64) func() io.Reader {
		return func() io.Reader { return io.NewSectionReader(f, at, min(length, size-at)) }
	}
	digest := hex.EncodeToString(all.Sum(nil))
	if size <= s.partBytes {
		whole, err := newBody(section(0, size), io.Discard)
		if err != nil {
			return Object{}, fmt.Errorf("reading what is to be stored as %s: %w", key, err)
		}
		return s.putWhole(ctx, key, whole, digest)
	}
	// A file may be larger than that many parts of a stream: its parts cost no memory.
	step := max(s.partBytes, (size+maxParts-1)/maxParts)
	again := sha256.New()
	next := func(n int) (body, error) {
		at := int64(n-1) * step
		if at >= size {
			if got := hex.EncodeToString(again.Sum(nil)); got != digest {
				return body{}, source{fmt.Errorf("%s changed while it was stored", file)}
			}
			return body{}, io.EOF
		}
		part, err := newBody(section(at, step), again)
		if err != nil {
			err = source{err}
		}
		return part, err
	}
	return s.putParts(ctx, key, next, again, map[string]string{sumKey: digest})
}

// PutStream implements Store. At most 10,000 parts of 16 MiB are sent, 156.25 GiB, and of what is Sized parts of up to 64 MiB, 625 GiB; one
// is in memory at a time. The SHA-256 of a stream that is longer than one part is returned, but not kept with the object: it is not
// known when that begins.
func (s *S3) PutStream(ctx context.Context, key string, content io.Reader) (Object, error) {
	if err := s.check(key); err != nil {
		return Object{}, err
	}
	step, tooLarge := s.stepFor(content)
	if tooLarge != nil {
		return Object{}, s.failed("storing", key, tooLarge)
	}
	content = sourceReader{content}
	var buffer []byte
	all := sha256.New()
	read := func() (body, error) {
		var err error
		if buffer, err = fill(ctx, buffer[:0], content, step); err != nil {
			return body{}, err
		}
		sent := buffer
		return newBody(func() io.Reader { return bytes.NewReader(sent) }, all)
	}
	first, err := read()
	if err != nil {
		return Object{}, s.putFailed("reading", key, err)
	}
	if first.size < step {
		return s.putWhole(ctx, key, first, hex.EncodeToString(first.sha256))
	}
	next := func(n int) (body, error) {
		if n == 1 {
			return first, nil
		}
		part, err := read()
		if err == nil && part.size == 0 {
			err = io.EOF
		}
		return part, err
	}
	return s.putParts(ctx, key, next, all, nil)
}

// stepFor is the size of the parts of a stream. They are of one size, as some servers want it, and leave room for a tenth more than it says.
func (s *S3) stepFor(content io.Reader) (int64, error) {
	sized, is := content.(Sized)
	if !is {
		return s.partBytes, nil
	}
	largest := largestPart * s.partBytes
	if sized.About > maxParts*largest {
		return 0, fmt.Errorf("%w: about %d bytes", ErrTooLarge, sized.About)
	}
	const parts = maxParts * 9 / 10
	return min(max(s.partBytes, (sized.About+parts-1)/parts), largest), nil
}

// fill reads until the buffer has that many bytes, or the end. It grows with what comes: most of what is streamed is small.
func fill(ctx context.Context, buffer []byte, content io.Reader, size int64) ([]byte, error) {
	for int64(len(buffer)) < size {
		if err := ctx.Err(); err != nil {
			return buffer, err
		}
		if len(buffer) == cap(buffer) {
			grown := make([]byte, len(buffer), min(size, max(copyBytes, 2*int64(cap(buffer)))))
			copy(grown, buffer)
			buffer = grown
		}
		n, err := content.Read(buffer[len(buffer):min(int64(cap(buffer)), size)])
		buffer = buffer[:len(buffer)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return buffer, err
		}
	}
	return buffer, nil
}

func (s *S3) putWhole(ctx context.Context, key string, b body, digest string) (Object, error) {
	options := optionsFor(key, map[string]string{sumKey: digest})
	options.DisableContentSha256 = true
	var told string
	err := Retry(ctx, s.brief, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, sendWithin(b.size))
		defer cancel()
		sent, err := s.client.PutObject(ctx, s.bucket, s.prefix+key, b.open(), b.size, base64.StdEncoding.EncodeToString(b.md5), hex.EncodeToString(b.sha256), options)
		told = sent.ETag
		return s.failed("storing", key, err)
	})
	if err != nil {
		return Object{}, err
	}
	return s.verify(ctx, key, expected{b.size, digest, []string{hex.EncodeToString(b.md5)}, told})
}

// contentTypes of what a recording is made of: browsers play what has one, and save what has none.
var contentTypes = map[string]string{
	".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t", ".mp4": "video/mp4", ".mkv": "video/x-matroska", ".flv": "video/x-flv",
	".json": "application/json",
}

// optionsFor keeps caches from showing an earlier version of what is stored again and again: playlists, and what lists parts.
func optionsFor(key string, metadata map[string]string) minio.PutObjectOptions {
	extension := path.Ext(key)
	options := minio.PutObjectOptions{UserMetadata: metadata, ContentType: contentTypes[extension]}
	if extension == ".m3u8" || extension == ".json" {
		options.CacheControl = "no-cache"
	}
	return options
}

// putParts stores what next gives, until that is io.EOF; all is the SHA-256 of it. Where it fails nothing is left of the parts, other
// than by a server that is away by then: let the bucket expire incomplete uploads.
func (s *S3) putParts(ctx context.Context, key string, next func(n int) (body, error), all hash.Hash, metadata map[string]string) (Object, error) {
	var id string
	err := Retry(ctx, s.brief, func(ctx context.Context) (err error) {
		id, err = s.client.NewMultipartUpload(ctx, s.bucket, s.prefix+key, optionsFor(key, metadata))
		return s.failed("beginning to store", key, err)
	})
	if err != nil {
		return Object{}, err
	}
	want, err := s.sendParts(ctx, key, id, next)
	if err != nil {
		return Object{}, s.abort(ctx, key, id, s.putFailed("storing", key, err))
	}
	want.sha256 = hex.EncodeToString(all.Sum(nil))
	return s.verify(ctx, key, want)
}

func (s *S3) sendParts(ctx context.Context, key, id string, next func(n int) (body, error)) (expected, error) {
	var want expected
	var parts []minio.CompletePart
	known, sums := true, md5.New() //nolint:gosec // see above
	for n := 1; ; n++ {
		b, err := next(n)
		if err == io.EOF { //nolint:errorlint // its own answer
			break
		}
		if err != nil {
			return want, err
		}
		if n > maxParts {
			return want, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, want.size)
		}
		part, err := s.sendPart(ctx, key, id, n, b)
		if err != nil {
			return want, err
		}
		known = known && part.ETag == hex.EncodeToString(b.md5)
		parts = append(parts, part)
		want.size += b.size
		_, _ = sums.Write(b.md5)
	}
	var err error
	want.told, err = s.complete(ctx, key, id, parts)
	if known && err == nil {
		want.etags = []string{want.told, hex.EncodeToString(sums.Sum(nil)) + "-" + strconv.Itoa(len(parts))}
	}
	return want, err
}

func (s *S3) sendPart(ctx context.Context, key, id string, n int, b body) (minio.CompletePart, error) {
	part := minio.CompletePart{PartNumber: n}
	options := minio.PutObjectPartOptions{Md5Base64: base64.StdEncoding.EncodeToString(b.md5), Sha256Hex: hex.EncodeToString(b.sha256), DisableContentSha256: true}
	err := Retry(ctx, s.patient, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, sendWithin(b.size))
		defer cancel()
		sent, err := s.client.PutObjectPart(ctx, s.bucket, s.prefix+key, id, n, b.open(), b.size, options)
		part.ETag = sent.ETag
		return s.failed("storing part "+strconv.Itoa(n)+" of", key, err)
	})
	return part, err
}

// complete makes one object of the parts, and returns its ETag; "" where the answer was lost and the upload is gone at the next try, as
// it is when the first one did it: what is there then is for verify to say.
func (s *S3) complete(ctx context.Context, key, id string, parts []minio.CompletePart) (string, error) {
	etag, tries := "", 0
	err := Retry(ctx, s.patient, func(ctx context.Context) error {
		tries++
		done, err := s.client.CompleteMultipartUpload(ctx, s.bucket, s.prefix+key, id, parts, minio.PutObjectOptions{})
		if tries > 1 && minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
			return nil
		}
		etag = done.ETag
		return s.failed("putting together", key, err)
	})
	return etag, err
}

// sendWithin is for connections that hang: a link of half a Mbit/s does it.
func sendWithin(size int64) time.Duration {
	const slowest = 64 << 10
	return time.Minute + time.Duration(size/slowest)*time.Second
}

const cleanWithin = 10 * time.Second

// abort drops the parts, also where the context has ended.
func (s *S3) abort(ctx context.Context, key, id string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
	defer cancel()
	err := Retry(ctx, s.brief, func(ctx context.Context) error {
		err := s.client.AbortMultipartUpload(ctx, s.bucket, s.prefix+key, id)
		if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
			return nil
		}
		return s.failed("dropping the parts of", key, err)
	})
	if err != nil {
		return fmt.Errorf("%w; its parts stay in the bucket: %w", cause, err)
	}
	return cause
}

// verify looks at what the server has. What is not what was sent is deleted, so that nothing takes it for the object; but not what another
// stored under the key meanwhile.
func (s *S3) verify(ctx context.Context, key string, want expected) (Object, error) {
	o, etag, err := s.stat(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return Object{}, s.failed("verifying", key, fmt.Errorf("%w: it is not there", errVerify))
	}
	if err != nil {
		return Object{}, err
	}
	err = s.compare(ctx, key, o, etag, want)
	if errors.Is(err, errVerify) && (want.told == "" || !strings.EqualFold(want.told, etag)) {
		return Object{}, s.failed("verifying", key, err)
	}
	if errors.Is(err, errVerify) {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
		defer cancel()
		return Object{}, errors.Join(s.failed("verifying", key, err), s.Delete(clean, key))
	}
	o.SHA256 = want.sha256
	return o, err
}

func (s *S3) compare(ctx context.Context, key string, o Object, etag string, want expected) error {
	if o.Size != want.size {
		return fmt.Errorf("%w: %d bytes instead of %d", errVerify, o.Size, want.size)
	}
	if o.SHA256 != "" && o.SHA256 != want.sha256 {
		return fmt.Errorf("%w: it keeps the SHA-256 %s instead of %s", errVerify, o.SHA256, want.sha256)
	}
	for _, known := range want.etags {
		if known != "" && strings.EqualFold(known, etag) {
			return nil
		}
	}
	in, err := s.open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, in, make([]byte, copyBytes)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.sha256 {
		return fmt.Errorf("%w: its SHA-256 is %s instead of %s", errVerify, got, want.sha256)
	}
	return nil
}

// putFailed tells the errors of the source from those of the store.
func (s *S3) putFailed(doing, key string, err error) error {
	var foreign source
	var own *failure
	switch {
	case errors.As(err, &foreign):
		return fmt.Errorf("%s %s: reading what is to be stored: %w", doing, s.URI(key), foreign.error)
	case errors.As(err, &own):
		return err
	}
	return s.failed(doing, key, err)
}
