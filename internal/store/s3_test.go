package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

func TestS3ErrorsSayWhatToMend(t *testing.T) {
	t.Parallel()
	m := testmedia.StartMinIO(t)
	if m == nil {
		t.Skip("MinIO is not built; make bin/tools/minio")
	}
	for name, row := range map[string]struct {
		change func(*S3Options)
		want   error
		mend   string
	}{
		"a bucket that is not there": {func(o *S3Options) { o.Bucket = "nobody-made-it" }, ErrNoBucket, "create it"},
		"a secret that is wrong":     {func(o *S3Options) { o.SecretAccessKey = "not-the-secret" }, ErrDenied, "credentials"},
		"a user that is not known":   {func(o *S3Options) { o.AccessKeyID = "stranger" }, ErrDenied, "credentials"},
		"a token of another":         {func(o *S3Options) { o.SessionToken = "not-a-token" }, ErrDenied, "credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := target{m.Endpoint, m.Bucket, m.AccessKeyID, m.SecretAccessKey}.options()
			row.change(&o)
			s := open(t, o)
			_, put := s.Put(t.Context(), "x", file(t, []byte("x")))
			_, streamed := s.PutStream(t.Context(), "x", bytes.NewReader(make([]byte, partBytes+1)))
			_, opened := s.Open(t.Context(), "x")
			_, listed := s.List(t.Context(), "")
			for doing, err := range map[string]error{"put": put, "stream": streamed, "open": opened, "list": listed, "delete": s.Delete(t.Context(), "x"), "check": s.Check(t.Context())} {
				if !errors.Is(err, row.want) || !Permanent(err) {
					t.Errorf("%s: %v, want %v", doing, err, row.want)
				}
				text := fmt.Sprint(err)
				for _, needed := range []string{row.mend, "s3://" + o.Bucket, strings.TrimPrefix(m.Endpoint, "http://")} {
					if !strings.Contains(text, needed) {
						t.Errorf("%s: %q does not say %q", doing, text, needed)
					}
				}
				hidesCredentials(t, o, err)
			}
		})
	}
}

func hidesCredentials(t *testing.T, o S3Options, err error) {
	t.Helper()
	for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err), fmt.Sprint(errors.Unwrap(err))} {
		for _, secret := range []string{o.AccessKeyID, o.SecretAccessKey, o.SessionToken} {
			if secret != "" && (strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))) {
				t.Errorf("%q holds %q", text, secret)
			}
		}
		if strings.Contains(text, "Signature=") || strings.Contains(text, "uploadId=") {
			t.Errorf("%q holds a URL", text)
		}
	}
}

// answers is a server in one function.
type answers func(*http.Request) (status int, header, body string)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	status, etag, body := a(r)
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", Request: r, ContentLength: int64(len(body)),
		Header: http.Header{"Etag": {etag}, "Last-Modified": {"Fri, 02 Jan 2026 20:00:00 GMT"}, "Content-Length": {strconv.Itoa(len(body))}}, Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

func TestAnswersOfServersAreOfTheRightKind(t *testing.T) {
	t.Parallel()
	o := S3Options{Endpoint: "s3.example.com", Region: "r", Bucket: "recordings", AccessKeyID: "AKID/a+b", SecretAccessKey: "s3cr3t/+=", SessionToken: "t0ken+/=="}
	for answer, want := range map[string]error{
		"404 NoSuchBucket": ErrNoBucket, "301 PermanentRedirect": ErrNoBucket, "400 InvalidBucketName": ErrNoBucket,
		"403 AccessDenied": ErrDenied, "403 SignatureDoesNotMatch": ErrDenied, "400 ExpiredToken": ErrDenied, "403 RequestTimeTooSkewed": ErrDenied,
		"400 AuthorizationHeaderMalformed": ErrDenied, "403 PathStyleDomainForbidden": ErrDenied, "401 Whatever": ErrDenied, "451 UnavailableForLegalReasons": ErrDenied,
		"507 XMinioStorageFull": ErrFull, "400 XMinioAdminBucketQuotaExceeded": ErrFull, "403 QuotaExceeded": ErrFull, "507 Whatever": ErrFull,
		"400 EntityTooLarge": ErrTooLarge,
		"503 SlowDown":       nil, "500 InternalError": nil, "400 BadDigest": nil, "400 RequestTimeout": nil, "404 NoSuchUpload": nil, "400 Whatever": nil, "429 TooManyRequests": nil,
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			var status int
			var code string
			if _, err := fmt.Sscan(answer, &status, &code); err != nil {
				t.Fatal(err)
			}
			o := o
			o.Retry.Clock = newLeaping()
			o.Transport = answers(func(r *http.Request) (int, string, string) {
				return status, "", fmt.Sprintf("<Error><Code>%s</Code><Message>%s said %s of %s and %s at https://x/y?X-Amz-Signature=abc&amp;uploadId=1</Message></Error>",
					code, o.AccessKeyID, o.SecretAccessKey, o.SessionToken, r.Header.Get("Authorization"))
			})
			s := open(t, o)
			_, err := s.Put(t.Context(), "x", file(t, []byte("x")))
			if err == nil || Permanent(err) != (want != nil) || want != nil && !errors.Is(err, want) {
				t.Errorf("error = %v, want %v", err, want)
			}
			for _, secret := range []string{o.AccessKeyID, o.SecretAccessKey, o.SessionToken, "X-Amz-Signature", "uploadId"} {
				if strings.Contains(fmt.Sprintf("%+v", err), secret) {
					t.Errorf("%q holds %q", err, secret)
				}
			}
			if !strings.Contains(err.Error(), code) {
				t.Errorf("%q does not say %s", err, code)
			}
		})
	}
}

func TestABucketIsAddressedAsItsServiceWantsIt(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, row := range map[string]struct {
		options      S3Options
		want, region string
	}{
		"COS":                                   {S3Options{Endpoint: "cos.ap-guangzhou.myqcloud.com"}, "https://rec-125.cos.ap-guangzhou.myqcloud.com/p/x", "ap-guangzhou"},
		"COS, as its console shows it":          {S3Options{Endpoint: "https://rec-125.cos.ap-guangzhou.myqcloud.com/"}, "https://rec-125.cos.ap-guangzhou.myqcloud.com/p/x", "ap-guangzhou"},
		"COS within Tencent's network":          {S3Options{Endpoint: "http://cos-internal.eu-frankfurt.tencentcos.cn"}, "http://rec-125.cos-internal.eu-frankfurt.tencentcos.cn/p/x", "eu-frankfurt"},
		"COS, an old bucket":                    {S3Options{Endpoint: "cos.ap-guangzhou.myqcloud.com", PathStyle: &yes}, "https://cos.ap-guangzhou.myqcloud.com/rec-125/p/x", "ap-guangzhou"},
		"COS, another region than its name has": {S3Options{Endpoint: "cos.ap-guangzhou.myqcloud.com", Region: "other"}, "https://rec-125.cos.ap-guangzhou.myqcloud.com/p/x", "other"},
		"AWS":                                   {S3Options{Endpoint: "s3.eu-west-1.amazonaws.com", Region: "eu-west-1"}, "https://rec-125.s3.dualstack.eu-west-1.amazonaws.com/p/x", "eu-west-1"},
		"MinIO":                                 {S3Options{Endpoint: "http://minio.media.svc:9000", Region: "us-east-1"}, "http://minio.media.svc:9000/rec-125/p/x", "us-east-1"},
		"MinIO with names of its own":           {S3Options{Endpoint: "minio.example.com", Region: "us-east-1", PathStyle: &no}, "https://rec-125.minio.example.com/p/x", "us-east-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked []*http.Request
			o := row.options
			o.Bucket, o.Prefix, o.AccessKeyID, o.SecretAccessKey = "rec-125", "/p/", "id", "secret"
			o.Transport = answers(func(r *http.Request) (int, string, string) {
				asked = append(asked, r)
				return http.StatusOK, `"9dd4e461268c8034f5c8564e155c67a6"`, "x"
			})
			if _, err := open(t, o).Put(t.Context(), "x", file(t, []byte("x"))); err != nil {
				t.Fatal(err)
			}
			if len(asked) != 2 || asked[0].Method != http.MethodPut || asked[1].Method != http.MethodHead {
				t.Fatalf("asked %v", asked)
			}
			put := asked[0]
			if got := put.URL.String(); got != row.want {
				t.Errorf("URL = %s, want %s", got, row.want)
			}
			if !strings.Contains(put.Header.Get("Authorization"), "/"+row.region+"/s3/aws4_request") {
				t.Errorf("signed for another region than %s: %s", row.region, put.Header.Get("Authorization"))
			}
		})
	}
}

// What COS ignores or refuses must not be asked for: see the comment in s3put.go.
func TestBodiesAreGuardedByWhatEveryServerKnows(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		asked := 0
		o := S3Options{Endpoint: scheme + "://s3.example.com", Region: "r", Bucket: "recordings", AccessKeyID: "id", SecretAccessKey: "secret", PartBytes: 4}
		o.Transport = answers(func(r *http.Request) (int, string, string) {
			for name := range r.Header {
				if strings.HasPrefix(name, "X-Amz-Checksum") || strings.HasPrefix(name, "X-Amz-Sdk") || strings.Contains(r.Header.Get(name), "STREAMING") || name == "X-Amz-Trailer" {
					t.Errorf("%s: %s %s", r.URL, name, r.Header.Get(name))
				}
			}
			if len(r.TransferEncoding) != 0 || strings.Contains(r.Header.Get("Content-Encoding"), "chunked") || len(r.Trailer) != 0 {
				t.Errorf("%s is sent in chunks", r.URL)
			}
			if isBody(r) {
				asked++
				if r.Header.Get("Content-Md5") == "" || len(r.Header.Get("X-Amz-Content-Sha256")) != 64 {
					t.Errorf("%s has no sums", r.URL)
				}
			}
			switch {
			case r.URL.Query().Has("uploads"):
				return http.StatusOK, "", "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
			case r.Method == http.MethodPost:
				return http.StatusOK, "", "<CompleteMultipartUploadResult><Bucket>b</Bucket><ETag>\"all\"</ETag></CompleteMultipartUploadResult>"
			}
			return http.StatusOK, `"all"`, "content"
		})
		s := open(t, o)
		_, _ = s.PutStream(t.Context(), "x", strings.NewReader("content"))
		_, _ = s.Put(t.Context(), "x", file(t, []byte("content")))
		_, _ = s.Put(t.Context(), "x", file(t, []byte("c")))
		if asked != 5 {
			t.Errorf("%d bodies over %s, want 2 parts, 2 parts and 1", asked, scheme)
		}
	}
}

func TestABucketThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	good := S3Options{Endpoint: "s3.example.com", Bucket: "recordings", AccessKeyID: "id", SecretAccessKey: "very-secret"}
	if _, err := NewS3(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*S3Options){
		"no credentials":           func(o *S3Options) { o.AccessKeyID, o.SecretAccessKey = "", "" },
		"half of the credentials":  func(o *S3Options) { o.SecretAccessKey = "" },
		"no endpoint":              func(o *S3Options) { o.Endpoint = "" },
		"an endpoint with a path":  func(o *S3Options) { o.Endpoint = "https://s3.example.com/bucket" },
		"credentials in endpoint":  func(o *S3Options) { o.Endpoint = "https://id:very-secret@s3.example.com" },
		"an endpoint that is none": func(o *S3Options) { o.Endpoint = "https://very-secret:%%" },
		"another protocol":         func(o *S3Options) { o.Endpoint = "ftp://s3.example.com" },
		"no bucket":                func(o *S3Options) { o.Bucket = "" },
		"a bucket with a path":     func(o *S3Options) { o.Bucket = "recordings/live" },
		"a prefix that leads out":  func(o *S3Options) { o.Prefix = "../other" },
	} {
		o := good
		change(&o)
		if _, err := NewS3(o); err == nil || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStreamThatDoesNotFitIntoAnObjectIsRefused(t *testing.T) {
	t.Parallel()
	fake, at := newFakeS3(t)
	o := at.options()
	o.PartBytes = 1
	s := open(t, o)
	_, err := s.PutStream(t.Context(), "x", strings.NewReader(strings.Repeat("x", maxParts+1)))
	if !errors.Is(err, ErrTooLarge) || !Permanent(err) {
		t.Errorf("error = %v", err)
	}
	if len(fake.uploads) != 0 || len(fake.objects) != 0 {
		t.Errorf("left over: %v, %v", fake.uploads, fake.objects)
	}
	// Of a file the size is known: its parts are larger.
	if put, err := s.Put(t.Context(), "x", file(t, bytes.Repeat([]byte("x"), maxParts+1))); err != nil || put.Size != maxParts+1 {
		t.Errorf("%+v, %v", put, err)
	}
}

func TestAStreamThatSaysHowLongItIsHasLargerPartsOfOneSize(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		about, size int64
		want        []int
		err         error
	}{
		"small":                     {10, 10, []int{2, 2, 2, 2, 2}, nil},
		"longer than it says":       {10, 14, []int{2, 2, 2, 2, 2, 2, 2}, nil},
		"too long for small parts":  {3 * 9000, 9, []int{3, 3, 3}, nil},
		"rounded up":                {2*9000 + 1, 9, []int{3, 3, 3}, nil},
		"as large as parts may be":  {8 * 10_000, 9, []int{8, 1}, nil},
		"too long for any, at once": {8*10_000 + 1, 9, nil, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, at := newFakeS3(t)
			var sent []int
			at = at.through(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if isBody(r) {
					fake.mu.Lock()
					sent = append(sent, int(r.ContentLength))
					fake.mu.Unlock()
				}
				return false
			})
			o := at.options()
			o.PartBytes = 2
			_, err := open(t, o).PutStream(t.Context(), "x", Sized{strings.NewReader(strings.Repeat("x", int(row.size))), row.about})
			if diff := gocmp.Diff(row.want, sent); diff != "" || !errors.Is(err, row.err) || Permanent(err) != (row.err != nil) {
				t.Errorf("error = %v, parts (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Not in parallel: it counts what is allocated.
func TestAStreamIsKeptInMemoryOnePartAtATime(t *testing.T) {
	fake, at := newFakeS3(t)
	fake.etag = func(md5 string) string { return md5 }
	o := at.options()
	const parts = 20
	allocated := func(size int64) uint64 {
		o := o
		o.PartBytes = 1 << 20
		o.Transport = answers(func(r *http.Request) (int, string, string) {
			switch {
			case r.URL.Query().Has("uploads"):
				return http.StatusOK, "", "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
			case r.Method == http.MethodPost:
				return http.StatusOK, "", "<CompleteMultipartUploadResult><Bucket>b</Bucket><ETag>\"all\"</ETag></CompleteMultipartUploadResult>"
			}
			return http.StatusForbidden, "", ""
		})
		if size > 1<<20 {
			inner := o.Transport.(answers)
			o.Transport = answers(func(r *http.Request) (int, string, string) {
				if isBody(r) {
					return http.StatusOK, `"x"`, ""
				}
				return inner(r)
			})
		}
		s := open(t, o)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = s.PutStream(t.Context(), "x", io.LimitReader(zeros{}, size))
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	_ = allocated(1 << 10)
	// Sums and requests want something for each part: far less than it.
	if small, large := allocated(2<<20), allocated(parts<<20); large > small+(parts-2)<<19 {
		t.Errorf("a stream of %d parts allocates %d KiB, one of two %d KiB", parts, large>>10, small>>10)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
