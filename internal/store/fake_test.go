package store

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 answers as a bucket does. It compares the sums of bodies, and looks at no signature: what it cannot show is whether a server
// accepts ours.
type fakeS3 struct {
	bucket string
	// spoil changes what is kept, behind the back of all sums.
	spoil func([]byte) []byte
	// etag is told instead of the MD5.
	etag func(md5 string) string

	mu      sync.Mutex
	objects map[string]fakeObject
	uploads map[string]*fakeUpload
	next    int
}

type fakeObject struct {
	content  []byte
	etag     string
	metadata http.Header
	modified time.Time
}

type fakeUpload struct {
	key      string
	metadata http.Header
	parts    map[int]fakeObject
}

func newFakeS3(t *testing.T) (*fakeS3, target) {
	t.Helper()
	f := &fakeS3{bucket: "recordings", objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, target{Endpoint: server.URL, Bucket: f.bucket, AccessKeyID: "recorder", SecretAccessKey: "only-for-a-test"}
}

type fakeError struct {
	XMLName       xml.Name `xml:"Error"`
	Code, Message string
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(fakeError{Code: code, Message: "said by the fake"})
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	sum, sha := md5.Sum(content), sha256.Sum256(content)
	stated := r.Header.Get("X-Amz-Content-Sha256")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case bucket != f.bucket:
		refuse(w, http.StatusNotFound, "NoSuchBucket")
	case r.URL.Query().Has("location"):
		_, _ = io.WriteString(w, `<LocationConstraint></LocationConstraint>`)
	case r.Header.Get("Content-Md5") != "" && r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]):
		refuse(w, http.StatusBadRequest, "BadDigest")
	case (stated != "UNSIGNED-PAYLOAD" || len(content) > 0) && stated != hex.EncodeToString(sha[:]):
		refuse(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
	case r.Method == http.MethodPost, r.URL.Query().Has("uploadId"), r.URL.Query().Has("uploads"):
		f.multipart(w, r, key, content)
	case r.Method == http.MethodPut:
		f.objects[key] = f.keep(content, r.Header)
		w.Header().Set("ETag", f.objects[key].etag)
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case key == "":
		f.list(w, r.URL.Query().Get("prefix"))
	default:
		f.get(w, r, key)
	}
}

func (f *fakeS3) keep(content []byte, header http.Header) fakeObject {
	sum := md5.Sum(content)
	etag := hex.EncodeToString(sum[:])
	if f.spoil != nil {
		content = f.spoil(bytes.Clone(content))
		sum = md5.Sum(content)
		etag = hex.EncodeToString(sum[:])
	}
	if f.etag != nil {
		etag = f.etag(etag)
	}
	metadata := http.Header{}
	for name, values := range header {
		if strings.HasPrefix(name, "X-Amz-Meta-") || name == "Content-Type" || name == "Cache-Control" {
			metadata[name] = values
		}
	}
	return fakeObject{content, `"` + etag + `"`, metadata, time.Now().UTC().Truncate(time.Second)}
}

func (f *fakeS3) get(w http.ResponseWriter, r *http.Request, key string) {
	o, there := f.objects[key]
	if !there {
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	maps.Copy(w.Header(), o.metadata)
	w.Header().Set("ETag", o.etag)
	http.ServeContent(w, r, "", o.modified, bytes.NewReader(o.content))
}

func (f *fakeS3) list(w http.ResponseWriter, prefix string) {
	type contents struct {
		Key, ETag    string
		Size         int
		LastModified time.Time
	}
	var answer struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []contents
	}
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if strings.HasPrefix(key, prefix) {
			o := f.objects[key]
			answer.Contents = append(answer.Contents, contents{key, o.etag, len(o.content), o.modified})
		}
	}
	_ = xml.NewEncoder(w).Encode(answer)
}

func (f *fakeS3) multipart(w http.ResponseWriter, r *http.Request, key string, content []byte) {
	query := r.URL.Query()
	id := query.Get("uploadId")
	u := f.uploads[id]
	switch {
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(w, "<ListMultipartUploadsResult>")
		for id, u := range f.uploads {
			if strings.HasPrefix(u.key, query.Get("prefix")) {
				_, _ = fmt.Fprintf(w, "<Upload><Key>%s</Key><UploadId>%s</UploadId></Upload>", u.key, id)
			}
		}
		_, _ = io.WriteString(w, "</ListMultipartUploadsResult>")
	case query.Has("uploads"):
		f.next++
		id = strconv.Itoa(f.next)
		f.uploads[id] = &fakeUpload{key, r.Header, map[int]fakeObject{}}
		_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>", f.bucket, key, id)
	case u == nil:
		refuse(w, http.StatusNotFound, "NoSuchUpload")
	case r.Method == http.MethodPut:
		n, _ := strconv.Atoi(query.Get("partNumber"))
		u.parts[n] = f.keep(content, nil)
		w.Header().Set("ETag", u.parts[n].etag)
	case r.Method == http.MethodDelete:
		delete(f.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.complete(w, key, id, u, content)
	}
}

func (f *fakeS3) complete(w http.ResponseWriter, key, id string, u *fakeUpload, list []byte) {
	var named struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	_ = xml.Unmarshal(list, &named)
	var all []byte
	sums := md5.New()
	for _, p := range named.Part {
		part, there := u.parts[p.PartNumber]
		if !there || strings.Trim(part.etag, `"`) != strings.Trim(p.ETag, `"`) {
			refuse(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		sum := md5.Sum(part.content)
		_, _ = sums.Write(sum[:])
		all = append(all, part.content...)
	}
	etag := fmt.Sprintf("%x-%d", sums.Sum(nil), len(named.Part))
	o := f.keep(nil, u.metadata)
	o.content, o.etag = all, `"`+etag+`"`
	f.objects[key] = o
	delete(f.uploads, id)
	_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><ETag>%s</ETag></CompleteMultipartUploadResult>", f.bucket, key, o.etag)
}
