package store

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/minio/minio-go/v7"
)

// kinds of what S3 answers, by its codes. What is not here goes by the status.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, https://www.tencentcloud.com/document/product/436/7730,
// and the codes of MinIO that begin with XMinio.
var kinds = map[string]error{
	minio.NoSuchKey: ErrNotFound, "NotFound": ErrNotFound, minio.NoSuchVersion: ErrNotFound,

	minio.NoSuchBucket: ErrNoBucket, minio.InvalidBucketName: ErrNoBucket, "PermanentRedirect": ErrNoBucket,

	minio.AccessDenied: ErrDenied, "Forbidden": ErrDenied, "AllAccessDisabled": ErrDenied, "AccountProblem": ErrDenied, "NotSignedUp": ErrDenied,
	minio.InvalidAccessKeyID: ErrDenied, "SignatureDoesNotMatch": ErrDenied, "ExpiredToken": ErrDenied, "InvalidToken": ErrDenied,
	"RequestTimeTooSkewed": ErrDenied, minio.AuthorizationHeaderMalformed: ErrDenied, minio.InvalidRegion: ErrDenied,

	"XMinioStorageFull": ErrFull, "QuotaExceeded": ErrFull, "XMinioAdminBucketQuotaExceeded": ErrFull,

	minio.EntityTooLarge: ErrTooLarge,

	// It went away while it was in use.
	minio.NoSuchUpload: nil, "RequestTimeout": nil,
}

var mends = map[error]string{
	ErrNoBucket: "create it, or correct its name, its region or the endpoint",
	ErrDenied:   "check the credentials in the Secret, the rights they have on the bucket, the region, and the clock",
	ErrFull:     "make room, or raise the quota",
	ErrTooLarge: "record in shorter pieces",
}

func kindOfAnswer(err error) error {
	answer := minio.ToErrorResponse(err)
	if kind, known := kinds[answer.Code]; known {
		return kind
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return ErrDenied
	case http.StatusInsufficientStorage:
		return ErrFull
	}
	return nil
}

// failed is nil for nil.
func (s *S3) failed(doing, key string, err error) error {
	if err == nil {
		return nil
	}
	kind := kindOfAnswer(err)
	for _, own := range []error{ErrTooLarge, errVerify} {
		if errors.Is(err, own) {
			kind = own
		}
	}
	text := err.Error()
	if answer := minio.ToErrorResponse(err); answer.Code != "" && !strings.Contains(text, answer.Code) {
		text = answer.Code + ": " + text
	}
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		// Without its URL.
		text = failed.Err.Error()
	}
	return newFailure(doing+" "+s.URI(key)+" at "+s.endpoint, kind, mends[kind], s.keys.hide(query.ReplaceAllString(text, "")), err)
}

// query is that of a URL.
var query = regexp.MustCompile(`\?[^\s"'<>]*`)
