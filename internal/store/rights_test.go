package store

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/testmedia"
)

// rightsInDocs are those that docs/recording.md lists, by what they are on: the prefix, or the bucket.
func rightsInDocs(t *testing.T) (objects, bucket []string) {
	t.Helper()
	root, err := controlplane.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "recording.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## The bucket\n")
	section, _, _ = strings.Cut(section, "COS has")
	for _, named := range regexp.MustCompile("`([A-Z][A-Za-z]+)`").FindAllStringSubmatch(section, -1) {
		if strings.Contains(named[1], "Bucket") {
			bucket = append(bucket, `"s3:`+named[1]+`"`)
		} else {
			objects = append(objects, `"s3:`+named[1]+`"`)
		}
	}
	return objects, bucket
}

func TestTheRightsThatTheDocumentationListsAreEnough(t *testing.T) {
	t.Parallel()
	m := testmedia.StartMinIO(t)
	if m == nil {
		t.Skip("MinIO is not built; make bin/tools/minio")
	}
	objects, bucket := rightsInDocs(t)
	policy := `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": [` + strings.Join(objects, ",") + `], "Resource": ["arn:aws:s3:::` + m.Bucket + `/studio/*"]},
		{"Effect": "Allow", "Action": [` + strings.Join(bucket, ",") + `], "Resource": ["arn:aws:s3:::` + m.Bucket + `"]}]}`
	assumed, err := credentials.NewSTSAssumeRole(m.Endpoint, credentials.STSAssumeRoleOptions{AccessKey: m.AccessKeyID, SecretKey: m.SecretAccessKey, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	given, err := assumed.GetWithContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := S3Options{Endpoint: m.Endpoint, Bucket: m.Bucket, AccessKeyID: given.AccessKeyID, SecretAccessKey: given.SecretAccessKey, SessionToken: given.SessionToken, PartBytes: smallPart}
	if err := open(t, o).Check(t.Context()); !errors.Is(err, ErrDenied) {
		t.Fatalf("it may write beside the prefix, %v: the test shows nothing", err)
	}
	o.Prefix = "studio"
	s := open(t, o)
	large := random(smallPart + 1)
	_, put := s.Put(t.Context(), "live/show/x", file(t, large))
	_, streamed := s.PutStream(t.Context(), "live/show/x", bytes.NewReader(large))
	broken := errors.New("ffmpeg was killed")
	if _, err := s.PutStream(t.Context(), "live/show/x", io.MultiReader(bytes.NewReader(large), failing{broken})); !errors.Is(err, broken) || strings.Contains(err.Error(), "stay in the bucket") {
		t.Errorf("a stream that breaks: %v", err)
	}
	if !bytes.Equal(read(t, s, "live/show/x"), large) {
		t.Error("what is read is not what was stored")
	}
	if _, err := s.Stat(t.Context(), "live/show/none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	listed, list := s.List(t.Context(), "live/show/")
	if len(listed) != 1 {
		t.Errorf("listed %v", listed)
	}
	if err := errors.Join(put, streamed, list, s.Delete(t.Context(), "live/show/x"), s.Check(t.Context())); err != nil {
		t.Error(err)
	}
}
