package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

const (
	// partBytes is the size of the parts of a stream whose length is not known. S3 takes maxParts of them: 156.25 GiB, about 60 hours
	// at 6 Mbit/s. One is in memory at a time.
	partBytes = 16 << 20
	// largestPart is that of a stream whose length is known: 4 times partBytes, 625 GiB. A recorder has 512 MiB, also for ffmpeg.
	largestPart = 4
	// maxParts of an object, on S3 and on COS.
	maxParts = 10_000
)

// S3Options say where a bucket is, and who may write it.
type S3Options struct {
	// Endpoint is a host, with a port if need be; http:// before it asks for a plain connection.
	Endpoint string
	// Region of the bucket. When unset, that which the endpoint's name or the service tells.
	Region string
	Bucket string
	// Prefix is put before all keys, and a /.
	Prefix string
	// AccessKeyID and SecretAccessKey have to be set: nothing is looked for elsewhere, and nothing is sent unsigned.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Renewed, where it is set, is asked for the credentials of each request: temporary ones end long before a show does. The three are
	// those to begin with.
	Renewed func() (accessKeyID, secretAccessKey, sessionToken string, err error)
	// PathStyle asks for the bucket in the path of URLs instead of in the host. When unset, it is in the host for COS, which refuses the
	// path for buckets made since 2024, and for AWS, and in the path for others.
	// Source: https://cloud.tencent.com/document/faq/436/102489
	PathStyle *bool
	// Retry is how long one part of a large object is tried: what a stream, which cannot be read again, survives. When unset, a minute.
	// What can be tried again by the caller is only tried for two seconds, by the same clock.
	Retry Backoff
	// PartBytes of a stream, 5 MiB or more but in tests. When unset, 16 MiB.
	PartBytes int64
	// Idle is how long an answer may stand still before it is asked for anew. When unset, a minute.
	Idle time.Duration
	// Transport is for tests.
	Transport http.RoundTripper
}

// S3 is a bucket. docs/recording.md lists the rights that its user needs.
type S3 struct {
	client                   *minio.Core
	transport                http.RoundTripper
	endpoint, bucket, prefix string
	partBytes                int64
	brief, patient           Backoff
	keys                     *keys
}

// cosHost are the names of COS, within and without Tencent's network.
var cosHost = regexp.MustCompile(`^cos(?:-internal)?\.([a-z0-9-]+)\.(?:myqcloud\.com|tencentcos\.cn)$`)

// NewS3 does not reach out yet.
func NewS3(o S3Options) (*S3, error) {
	endpoint, err := parseEndpoint(o.Endpoint, o.Bucket)
	if err != nil {
		return nil, err
	}
	if err := s3utils.CheckValidBucketName(o.Bucket); err != nil {
		return nil, fmt.Errorf("bucket %q: %w", o.Bucket, err)
	}
	if o.AccessKeyID == "" || o.SecretAccessKey == "" {
		return nil, fmt.Errorf("bucket %q: access key ID and secret access key have to be set", o.Bucket)
	}
	prefix := strings.Trim(o.Prefix, "/")
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return nil, fmt.Errorf("prefix of bucket %q: %w", o.Bucket, err)
		}
		prefix += "/"
	}
	secure := endpoint.Scheme == "https"
	if o.Transport == nil {
		if o.Transport, err = minio.DefaultTransport(secure); err != nil {
			return nil, fmt.Errorf("setting up the client of bucket %q: %w", o.Bucket, err)
		}
	}
	region, lookup := o.Region, lookup(o.PathStyle)
	if m := cosHost.FindStringSubmatch(endpoint.Hostname()); m != nil {
		region = cmp.Or(region, m[1])
		lookup = cmp.Or(lookup, minio.BucketLookupDNS)
	}
	keys := newKeys(o)
	client, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:  credentials.New(keys),
		Secure: secure, Region: region, BucketLookup: lookup, Transport: idleTransport{o.Transport, cmp.Or(o.Idle, time.Minute)},
		// Checksums at the end of a body are not taken by COS, nor by older servers.
		TrailingHeaders: false,
		// It would read a body again that the connection before may still be reading; Retry gives each try its own.
		MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the client of bucket %q at %s: %w", o.Bucket, endpoint.Host, err)
	}
	const briefly = 2 * time.Second
	o.Retry.GiveUp = cmp.Or(o.Retry.GiveUp, time.Minute)
	return &S3{
		client: client, transport: o.Transport, endpoint: endpoint.Host, bucket: o.Bucket, prefix: prefix, partBytes: cmp.Or(o.PartBytes, partBytes),
		brief: Backoff{Max: time.Second, GiveUp: briefly, Clock: o.Retry.Clock}, patient: o.Retry, keys: keys,
	}, nil
}

// parseEndpoint does not repeat what it refuses: it may hold a password.
func parseEndpoint(text, bucket string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	endpoint, err := url.Parse(text)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" ||
		endpoint.User != nil || strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" || endpoint.Fragment != "" {
		return nil, fmt.Errorf("the endpoint of bucket %q has to be a host such as cos.ap-guangzhou.myqcloud.com, http:// before it or nothing", bucket)
	}
	// Consoles show the bucket as a part of the host.
	if host, is := strings.CutPrefix(endpoint.Host, bucket+"."); is && cosHost.MatchString(host) {
		endpoint.Host = host
	}
	return endpoint, nil
}

func lookup(pathStyle *bool) minio.BucketLookupType {
	switch {
	case pathStyle == nil:
		return minio.BucketLookupAuto
	case *pathStyle:
		return minio.BucketLookupPath
	default:
		return minio.BucketLookupDNS
	}
}

// Close closes the connections that are not in use.
func (s *S3) Close() error {
	if t, is := s.transport.(interface{ CloseIdleConnections() }); is {
		t.CloseIdleConnections()
	}
	return nil
}

// Open implements Store. Where the connection breaks, another goes on with the same object.
func (s *S3) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := s.check(key); err != nil {
		return nil, err
	}
	return s.open(ctx, key)
}

func (s *S3) open(ctx context.Context, key string) (*objectReader, error) {
	r := &objectReader{}
	err := Retry(ctx, s.brief, func(ctx context.Context) error {
		body, info, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+key, minio.GetObjectOptions{})
		r.body, r.size, r.etag = body, info.Size, info.ETag
		return s.failed("opening", key, err)
	})
	if err != nil {
		return nil, err
	}
	r.failed = func(err error) error { return s.failed("reading", key, err) }
	r.goOn = func() error {
		return Retry(ctx, s.brief, func(ctx context.Context) error {
			var o minio.GetObjectOptions
			if err := errors.Join(o.SetRange(r.at, 0), o.SetMatchETag(r.etag)); err != nil {
				return err
			}
			body, info, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+key, o)
			if err == nil && info.Size != r.size-r.at {
				_ = body.Close()
				err = fmt.Errorf("%d bytes are left, and %d come", r.size-r.at, info.Size)
			}
			if err == nil {
				r.body = body
			}
			return s.failed("reading on in", key, err)
		})
	}
	return r, nil
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, key string) (Object, error) {
	if err := s.check(key); err != nil {
		return Object{}, err
	}
	o, _, err := s.stat(ctx, key)
	return o, err
}

func (s *S3) stat(ctx context.Context, key string) (o Object, etag string, err error) {
	err = Retry(ctx, s.brief, func(ctx context.Context) error {
		info, err := s.client.StatObject(ctx, s.bucket, s.prefix+key, minio.StatObjectOptions{})
		if err != nil {
			return s.failed("looking at", key, err)
		}
		o = Object{Key: key, Size: info.Size, SHA256: info.UserMetadata[sumKey], Modified: info.LastModified}
		etag = info.ETag
		return nil
	})
	return o, etag, err
}

// List implements Store.
func (s *S3) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var objects []Object
	err := Retry(ctx, s.brief, func(ctx context.Context) error {
		objects = nil
		owner := false
		for info := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true, FetchOwner: &owner}) {
			if info.Err != nil {
				return s.failed("listing", prefix, info.Err)
			}
			objects = append(objects, Object{Key: strings.TrimPrefix(info.Key, s.prefix), Size: info.Size, Modified: info.LastModified})
		}
		// It ends without a word when it is not waited for.
		return s.failed("listing", prefix, ctx.Err())
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(objects, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return objects, nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := s.check(key); err != nil {
		return err
	}
	err := Retry(ctx, s.brief, func(ctx context.Context) error {
		return s.failed("deleting", key, s.client.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{}))
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// URI implements Store.
func (s *S3) URI(key string) string { return "s3://" + s.bucket + "/" + s.prefix + key }

// Check implements Store.
func (s *S3) Check(ctx context.Context) error {
	// Others may check at the same time.
	key := "write-check-" + rand.Text()
	if _, err := s.PutStream(ctx, key, strings.NewReader("Written to see whether it can be.\n")); err != nil {
		return err
	}
	return s.Delete(ctx, key)
}

func (s *S3) check(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if len(s.prefix+key) > longestKey {
		return fmt.Errorf("%w: %q is too long behind the prefix", ErrKey, key)
	}
	return nil
}

// objectReader reads an object to its end, over more than one connection if need be.
type objectReader struct {
	body     io.ReadCloser
	etag     string
	size, at int64
	// stuck counts the connections that gave nothing.
	stuck  int
	goOn   func() error
	failed func(error) error
}

func (r *objectReader) Read(p []byte) (int, error) {
	const often = 3
	for {
		n, err := r.body.Read(p)
		r.at += int64(n)
		if n > 0 {
			r.stuck = 0
			if r.at < r.size {
				// What broke is seen at the next read.
				err = nil
			}
			return n, r.ended(err)
		}
		if err == nil || r.at >= r.size {
			return 0, r.ended(err)
		}
		if r.stuck++; r.stuck > often || r.etag == "" {
			return 0, r.failed(fmt.Errorf("broken off after %d of %d bytes: %w", r.at, r.size, err))
		}
		_ = r.body.Close()
		if err := r.goOn(); err != nil {
			return 0, err
		}
	}
}

func (r *objectReader) ended(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // io.Reader wants it bare
		return err
	}
	return r.failed(err)
}

// Close implements io.Closer.
func (r *objectReader) Close() error { return r.body.Close() }
