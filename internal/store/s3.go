package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// partBytes is the size of the pieces of a stream whose length is not known: with the 10,000 that S3 takes, 160 GB at most. One is in
// memory at a time.
const partBytes = 16 << 20

// sumKey is the user metadata that keeps the SHA-256 of an object.
const sumKey = "Sha256"

// S3Options say where a bucket is, and who may write it.
type S3Options struct {
	// Endpoint is a host, with a port if need be; http:// before it asks for a plain connection.
	Endpoint, Region, Bucket                   string
	AccessKeyID, SecretAccessKey, SessionToken string
	// Transport is for tests.
	Transport http.RoundTripper
}

// S3 is a bucket.
type S3 struct {
	client *minio.Client
	bucket string
}

// NewS3 does not reach out yet.
func NewS3(o S3Options) (*S3, error) {
	host, plain := strings.CutPrefix(o.Endpoint, "http://")
	host = strings.TrimPrefix(host, "https://")
	client, err := minio.New(host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKeyID, o.SecretAccessKey, o.SessionToken), Secure: !plain, Region: o.Region, Transport: o.Transport,
		// Checksums at the end of a body are not taken by COS, nor by older servers: Content-MD5 is, everywhere.
		TrailingHeaders: false, MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the client of bucket %q at %q: %w", o.Bucket, o.Endpoint, err)
	}
	return &S3{client: client, bucket: o.Bucket}, nil
}

// Put implements Store. The SHA-256 is known before, and kept with the object.
func (s *S3) Put(ctx context.Context, key, file string) (Object, error) {
	f, err := os.Open(file) //nolint:gosec // the worker names it
	if err != nil {
		return Object{}, fmt.Errorf("opening %s: %w", file, err)
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return Object{}, fmt.Errorf("reading %s: %w", file, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Object{}, fmt.Errorf("reading %s: %w", file, err)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	options := minio.PutObjectOptions{SendContentMd5: true, UserMetadata: map[string]string{sumKey: digest}, PartSize: partBytes}
	if _, err := s.client.PutObject(ctx, s.bucket, key, f, size, options); err != nil {
		return Object{}, s.classed("storing", key, err)
	}
	return s.verify(ctx, key, size, digest)
}

// PutStream implements Store. The pieces are verified by their MD5; the SHA-256 is that of what was sent.
func (s *S3) PutStream(ctx context.Context, key string, content io.Reader) (Object, error) {
	counted := &counter{Reader: content, sum: sha256.New()}
	options := minio.PutObjectOptions{SendContentMd5: true, PartSize: partBytes}
	if _, err := s.client.PutObject(ctx, s.bucket, key, counted, -1, options); err != nil {
		return Object{}, s.classed("storing", key, err)
	}
	o, err := s.verify(ctx, key, counted.size, "")
	o.SHA256 = hex.EncodeToString(counted.sum.Sum(nil))
	return o, err
}

// verify looks at what the server has.
func (s *S3) verify(ctx context.Context, key string, size int64, digest string) (Object, error) {
	o, err := s.Stat(ctx, key)
	if err != nil {
		return Object{}, err
	}
	if o.Size != size || digest != "" && o.SHA256 != "" && o.SHA256 != digest {
		return Object{}, fmt.Errorf("verifying s3://%s/%s: %w: %d bytes instead of %d", s.bucket, key, errVerify, o.Size, size)
	}
	return o, nil
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	object, err := s.client.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.classed("opening", key, err)
	}
	// It asks for nothing before it is read.
	if _, err := object.Stat(); err != nil {
		_ = object.Close()
		return nil, s.classed("opening", key, err)
	}
	return object, nil
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, key string) (Object, error) {
	info, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return Object{}, s.classed("looking at", key, err)
	}
	return Object{Key: key, Size: info.Size, SHA256: info.UserMetadata[sumKey], Modified: info.LastModified}, nil
}

// List implements Store.
func (s *S3) List(ctx context.Context, prefix string) ([]Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var objects []Object
	for info := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if info.Err != nil {
			return nil, s.classed("listing", prefix, info.Err)
		}
		objects = append(objects, Object{Key: info.Key, Size: info.Size, Modified: info.LastModified})
	}
	if err := ctx.Err(); err != nil {
		return nil, s.classed("listing", prefix, err)
	}
	return objects, nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}); err != nil {
		if err := s.classed("deleting", key, err); !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// URI implements Store.
func (s *S3) URI(key string) string { return "s3://" + s.bucket + "/" + key }

func (s *S3) classed(doing, key string, err error) error {
	var class error
	switch code := minio.ToErrorResponse(err).Code; code {
	case minio.NoSuchKey, "NotFound":
		class = ErrNotFound
	case minio.NoSuchBucket:
		class = ErrNoBucket
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "Forbidden", "AllAccessDisabled":
		class = ErrDenied
	case "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded":
		class = ErrFull
	default:
		return fmt.Errorf("%s s3://%s/%s: %w", doing, s.bucket, key, err)
	}
	return fmt.Errorf("%s s3://%s/%s: %w (%w)", doing, s.bucket, key, class, err)
}

// counter sums up what is read through it.
type counter struct {
	io.Reader
	size int64
	sum  hash.Hash
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.size += int64(n)
	_, _ = c.sum.Write(p[:n])
	return n, err
}
