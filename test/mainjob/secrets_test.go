package mainjob

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

// planted are the values of all the Secrets that the operator reads or names. Each is told from all others, and from anything else.
var planted = map[string]string{
	"callback key": "plantedCallbackKey0001", "key after the rotation": "plantedCallbackKey0002", "path token": "plantedPathToken0003", "playback key": "plantedPlaybackKey0004",
	"API key": "plantedAPISecretKey0005", "API token": "plantedAPIToken0006", "bucket key": "plantedBucketKey0007", "push key": "plantedPushKey0008",
	"parameter of the push URL": "plantedStreamParam0009", "key of the job's own": "plantedOwnKey0010",
}

// secretive is a push domain that uses every reference to a Secret that there is.
const secretive = `
apiVersion: v1
kind: Secret
metadata: {name: planted}
stringData: {callback: CALLBACK, path: PATH, playback: PLAYBACK, push: PUSH, own: OWN}
---
apiVersion: v1
kind: Secret
metadata: {name: planted-api}
stringData: {secretId: an-id, secretKey: APIKEY, token: APITOKEN}
---
apiVersion: v1
kind: Secret
metadata: {name: planted-bucket}
stringData: {accessKeyID: an-id, secretAccessKey: BUCKET}
---
apiVersion: livestream-operator.io/v1alpha1
kind: PushDomain
metadata: {name: secretive}
spec:
  provider: TencentCSS
  domain: secretive.example.com
  callback:
    keySecretRefs: [{name: planted, key: callback}, {name: planted, key: missing}]
    pathTokenSecretRef: {name: planted, key: path}
  playback: {domain: play.example.com, keySecretRef: {name: planted, key: playback}}
  api:
    credentialsSecretRef: {name: planted-api}
    endpoint: "ENDPOINT"
    callbackSetup: {baseURL: "https://hooks.example.com"}
  unknownStreams: {policy: Create}
  template:
    spec:
      cleanStopWindowSeconds: 0
      recording: {storage: {s3: {endpoint: s3.example.com, bucket: recordings, credentialsSecretRef: {name: planted-bucket}}}}
      transcoding:
        renditions: [{name: 360p, height: 360, videoBitrateKbps: 800}]
        output: {push: {domain: push.example.com, keySecretRef: {name: planted, key: push}}}
      workloads:
      - name: thumbnails
        job: {spec: {template: {spec: {containers: [{name: c, image: i, args: [$(LIVESTREAM_PLAYBACK_URL)], env: [{name: OWN, valueFrom: {secretKeyRef: {name: planted, key: own}}}]}]}}}}
---
apiVersion: livestream-operator.io/v1alpha1
kind: LiveStream
metadata: {name: secretive}
spec: {pushDomainRef: {name: secretive}, appName: live, streamName: show}
`

// The one exception that is documented: a Job's containers are told where to pull from, and that address is signed.
var playbackURL = regexp.MustCompile(`https://play\.example\.com/live/show\.flv\?txSecret=[0-9a-f]{32}&txTime=[0-9A-F]+`)

func TestNoSecretCanBeReadFromAnythingThatTheOperatorWrites(t *testing.T) {
	s := newNamespace(t)
	server := csstest.NewServer(t, cssapi.Credentials{SecretID: "an-id", SecretKey: planted["API key"], Token: planted["API token"]})
	text := strings.NewReplacer("CALLBACK", planted["callback key"], "PATH", planted["path token"], "PLAYBACK", planted["playback key"], "PUSH", planted["push key"], "OWN", planted["key of the job's own"],
		"APIKEY", planted["API key"], "APITOKEN", planted["API token"], "BUCKET", planted["bucket key"], "ENDPOINT", server.Endpoint()).Replace(secretive)
	file := filepath.Join(t.TempDir(), "secretive.yaml")
	// The Job's own variable keeps its name.
	text = strings.ReplaceAll(strings.ReplaceAll(text, "LIVESTREAM_"+planted["playback key"], "LIVESTREAM_PLAYBACK"), "name: "+planted["key of the job's own"], "name: OWN")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// create keeps no copy of the Secrets in annotations, which would be kubectl's doing.
	mustKubectl(t, "create", "-n", s.namespace, "-f", file)
	profiling := freeAddresses(t, 1)[0]
	m := startManager(t, "--css-api-hosts=127.0.0.1", "--pprof-bind-address="+profiling)
	mustKubectl(t, "wait", "--for=condition=Ready", "lvs/secretive", "-n", s.namespace, "--timeout=30s")
	path := mustKubectl(t, "get", "pd", "secretive", "-n", s.namespace, "-o", "jsonpath={.status.callbackPath}")
	var answers strings.Builder
	post := func(path, key string, c css.Callback, want int) {
		t.Helper()
		c.StreamParam = "txSecret=" + planted["parameter of the push URL"]
		status, answer, err := css.Post(t.Context(), m.receiver+path, c.Signed(key, time.Now()))
		if err != nil || status != want {
			t.Errorf("answered %d %s, %v; want %d", status, answer, err, want)
		}
		answers.WriteString(answer)
	}
	push := css.Push{Domain: "secretive.example.com", App: "live", Stream: "show", Sequence: "1", AppID: 1, ClientIP: "1.1.1.1"}
	post(path, planted["callback key"], push.Start(time.Now()), http.StatusOK)
	post(path, "another key", push.Start(time.Now()), http.StatusUnauthorized)
	post(strings.TrimSuffix(path, path[len(path)-4:])+"0000", planted["callback key"], push.Start(time.Now()), http.StatusNotFound)
	other := push
	other.Domain = "other.example.com"
	post(path, planted["callback key"], other.Start(time.Now()), http.StatusForbidden)
	eventually(t, "its three Jobs are there", func() error {
		if jobs := mustKubectl(t, "get", "jobs", "-n", s.namespace, "-l", v1alpha1.LabelLiveStream+"=secretive", "-o", "name"); strings.Count(jobs, "job") < 3 {
			return fmt.Errorf("there are %q", jobs)
		}
		return nil
	})
	written := func() string {
		return mustKubectl(t, "get", "livestreams,pushdomains,jobs,pods,leases,events,events.events.k8s.io", "-n", s.namespace, "-o", "yaml")
	}
	onAir := written()
	if !playbackURL.MatchString(onAir) {
		t.Error("the Jobs are not told a signed playback URL: this test looks at nothing")
	}
	mustKubectl(t, "patch", "secret", "planted", "-n", s.namespace, "--type=merge", "-p", `{"stringData":{"callback":"`+planted["key after the rotation"]+`"}}`)
	// The Secret is read again at most every two seconds.
	eventually(t, "the new key is known", func() error {
		status, answer, err := css.Post(t.Context(), m.receiver+path, push.Start(time.Now()).Signed(planted["key after the rotation"], time.Now()))
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("answered %d %s, %w", status, answer, err)
		}
		return nil
	})
	profiles := profilesWhile(t, "http://"+profiling+"/debug/pprof/", func() {
		post(path, planted["key after the rotation"], push.Start(time.Now()), http.StatusOK)
		post(path, "another key", push.Start(time.Now()), http.StatusUnauthorized)
	})
	post(path, planted["key after the rotation"], push.Interruption(time.Now(), time.Minute, 1, "stopped"), http.StatusOK)
	eventually(t, "the stream is idle", func() error {
		if state := mustKubectl(t, "get", "lvs", "secretive", "-n", s.namespace, "-o", "jsonpath={.status.state}"); state != string(v1alpha1.LiveStreamIdle) {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})
	mustKubectl(t, "delete", "secret", "planted", "planted-api", "-n", s.namespace)
	push.Sequence = "2"
	post(path, planted["key after the rotation"], push.Start(time.Now()), http.StatusOK)
	_, metrics, err := get(m.metrics)
	if err != nil {
		t.Fatal(err)
	}
	everything := map[string]string{"objects on air": onAir, "objects afterwards": written(), "log": m.logged(t), "metrics": metrics, "answers": answers.String()}
	maps.Copy(everything, profiles)
	for where, text := range everything {
		findNone(t, where, text)
	}
	for where, text := range everything {
		// Of the playback URL neither log nor status nor Events are told.
		if left := playbackURL.ReplaceAllString(text, ""); strings.Contains(left, "txSecret") || !strings.HasPrefix(where, "objects") && left != text {
			t.Errorf("the %s hold a signature of a playback URL", where)
		}
	}
	for _, address := range []string{strings.TrimSuffix(m.metrics, "/metrics"), m.probes, m.receiver} {
		if status, text, err := get(address + "/debug/pprof/heap"); err == nil && status == http.StatusOK {
			t.Errorf("%s serves profiles, which belong to this machine alone: %.60s", address, text)
		}
	}
}

// profilesWhile are all profiles, as text or unpacked, taken one after the other while work is done again and again: the keys are in memory
// and in use. Each has to hold what it is known by.
func profilesWhile(t *testing.T, address string, work func()) map[string]string {
	t.Helper()
	profiles := map[string]string{}
	done := make(chan error, 1)
	go func() {
		for name, holds := range map[string]string{
			"heap": "inuse_space", "heap?debug=1": "heap profile:", "heap?gc=1&debug=1": "# HeapAlloc", "allocs": "alloc_space", "goroutine": "net/http", "goroutine?debug=1": "goroutine profile:",
			"goroutine?debug=2": "net/http.(*conn).serve(0x", "block?debug=1": "cycles/second", "mutex?debug=1": "cycles/second", "threadcreate?debug=1": "threadcreate profile:",
			"cmdline": "--pprof-bind-address", "trace?seconds=1": "go 1.", "profile?seconds=1": "cpu", "symbol": "num_symbols",
		} {
			text, err := unpacked(address + name)
			if err == nil && !strings.Contains(text, holds) {
				err = fmt.Errorf("%s holds no %q in its %d bytes", name, holds, len(text))
			}
			if err != nil {
				done <- err
				return
			}
			profiles["profile "+name] = text
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return profiles
		default:
			work()
		}
	}
}

func unpacked(url string) (string, error) {
	status, text, err := get(url)
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("%s answers %d, %w", url, status, err)
	}
	if !strings.HasPrefix(text, "\x1f\x8b") {
		return text, nil
	}
	reader, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		return "", err
	}
	plain, err := io.ReadAll(reader)
	return string(plain), err
}

// findNone looks for the planted values, as they are and as they are often written.
func findNone(t *testing.T, where, text string) {
	t.Helper()
	for name, secret := range planted {
		for how, form := range map[string]string{"": secret, " in Base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="), " in hexadecimal": hex.EncodeToString([]byte(secret))} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("the %s: the %s hold it%s: ...%s", name, where, how, text[max(0, i-200):i])
			}
		}
	}
}
