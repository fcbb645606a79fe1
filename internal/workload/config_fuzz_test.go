package workload

import (
	"cmp"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/ladder"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// said is what users write: the settings of a LiveStream, and where its push domain is played.
type said struct {
	v1alpha1.LiveStreamSettings
	Playback v1alpha1.Playback `json:"playback"`
}

// expanded is the value of a variable as Kubernetes gives it to a container: $(NAME) is another variable, $$ a dollar. That another
// was read is seen by its brackets, whether there is one or not.
func expanded(value string) string {
	var text strings.Builder
	for i := 0; i < len(value); i++ {
		next := value[min(i+1, len(value)):]
		name, _, isName := strings.Cut(strings.TrimPrefix(next, "("), ")")
		switch {
		case value[i] != '$' || next == "":
			text.WriteByte(value[i])
		case next[0] == '$':
			text.WriteByte('$')
			i++
		case next[0] == '(' && isName:
			text.WriteString("<the variable " + name + ">")
			i += len(name) + 2
		default:
			text.WriteString(value[i : i+2])
			i++
		}
	}
	return text.String()
}

// told is the configuration that the worker of a Job reads.
func told(t *testing.T, pod corev1.PodSpec) recording.Config {
	t.Helper()
	var text string
	for _, v := range pod.Containers[0].Env {
		if v.Name == recording.ConfigVariable {
			text = expanded(v.Value)
		}
	}
	c, err := recording.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func storageSaid(s v1alpha1.RecordingStorage) recording.Storage {
	return recording.Storage{Endpoint: s.S3.Endpoint, Region: s.S3.Region, Bucket: s.S3.Bucket, ClaimName: s.PersistentVolumeClaim.ClaimName, Prefix: s.Prefix}
}

func spoolSaid(s v1alpha1.RecordingSpool, folder string) string {
	if claim := s.PersistentVolumeClaim.ClaimName; claim != "" {
		return "pvc://" + claim + "/" + folder
	}
	return ""
}

// meant is what the settings say to the two workers, with the defaults that their documentation tells. A worker that is not asked for has none.
func meant(s said, common recording.Config) map[string]recording.Config {
	const day = 24 * 60 * 60
	common.Playback = recording.Playback{
		Domain: s.Playback.Domain, Protocol: cmp.Or(string(s.Playback.Protocol), "FLV"), Scheme: cmp.Or(string(s.Playback.Scheme), "https"),
		ValiditySeconds: cmp.Or(int64(s.Playback.ValiditySeconds), day),
	}
	all := map[string]recording.Config{}
	if r := s.Recording; r.Storage.S3.Bucket != "" || r.Storage.PersistentVolumeClaim.ClaimName != "" {
		c := common
		c.Format, c.SegmentSeconds, c.UploadTimeoutSeconds = cmp.Or(recording.Format(r.Format), "FMP4"), cmp.Or(int(r.SegmentSeconds), 2), int(r.UploadTimeoutSeconds)
		c.Storage, c.Spool = storageSaid(r.Storage), spoolSaid(r.Spool, c.Broadcast)
		all["record"] = c
	}
	if t := s.Transcoding; len(t.Renditions) > 0 {
		c := common
		c.Format, c.SegmentSeconds, c.UploadTimeoutSeconds = "HLS", cmp.Or(int(t.SegmentSeconds), 4), int(t.UploadTimeoutSeconds)
		c.Storage, c.Spool = storageSaid(t.Output.Storage), spoolSaid(t.Spool, c.Broadcast+"-transcode")
		c.Transcoding = &recording.Transcoding{GPU: t.GPU.ResourceName != ""}
		for _, r := range t.Renditions {
			c.Transcoding.Renditions = append(c.Transcoding.Renditions, ladder.Rendition{
				Name: r.Name, Height: int(r.Height), VideoKbps: int(r.VideoBitrateKbps), AudioKbps: cmp.Or(int(r.AudioBitrateKbps), 128),
				Codec: cmp.Or(ladder.Codec(r.Codec), "H264"), FrameRate: int(r.FrameRate),
			})
		}
		if p := t.Output.Push; p.Domain != "" {
			c.Transcoding.Push = &recording.Push{
				Scheme: cmp.Or(string(p.Scheme), "rtmp"), Domain: p.Domain, App: cmp.Or(p.AppName, common.App), ValiditySeconds: cmp.Or(int64(p.ValiditySeconds), day),
			}
		}
		all["transcode"] = c
	}
	return all
}

// FuzzWorkerConfig: a worker reads what the LiveStream says, whatever that is, through the Job and what Kubernetes makes of a variable; so
// does the one that finishes, whatever the settings are by then. Only a time that has no form in JSON may be refused.
func FuzzWorkerConfig(f *testing.F) {
	const domain = `"playback":{"domain":"play.example.com:8080"`
	for _, text := range []string{
		`{` + domain + `},"recording":{"storage":{"s3":{"endpoint":"s3.example.com","bucket":"shows","credentialsSecretRef":{"name":"s3"}}}}}`,
		`{` + domain + `,"protocol":"HLS","scheme":"http","validitySeconds":60,"keySecretRef":{"name":"css","key":"playback"}},"recording":{"format":"MKV","segmentSeconds":60,"uploadTimeoutSeconds":9,` +
			`"storage":{"prefix":"a/b","persistentVolumeClaim":{"claimName":"recordings"}},"spool":{"persistentVolumeClaim":{"claimName":"spool"}},"resources":{"limits":{"cpu":"1"}}}}`,
		`{` + domain + `},"transcoding":{"renditions":[{"name":"720p","height":720,"videoBitrateKbps":2000},{"name":"360p","height":360,"videoBitrateKbps":800,"audioBitrateKbps":64,"codec":"H265","frameRate":30}],` +
			`"gpu":{"resourceName":"nvidia.com/gpu"},"output":{"push":{"domain":"push.example.com","scheme":"rtmps","appName":"abr","validitySeconds":600,"keySecretRef":{"name":"css","key":"push"}}}}}`,
		`{"transcoding":{"renditions":[{"name":"$(HOME)"}],"segmentSeconds":-1,"spool":{"persistentVolumeClaim":{"claimName":"$$"}},"output":{"storage":{"s3":{"bucket":"b\u2028<"}},"push":{"domain":"$"}}},` +
			`"recording":{"storage":{"s3":{"bucket":"b"},"persistentVolumeClaim":{"claimName":"c"}}}}`,
		`{}`,
	} {
		f.Add(text, "live", "show", int64(1767225600), int32(1))
		f.Add(text, "$(LIVESTREAM_CLIENT_IP)", "$$(a)$\u00e9\"\\", int64(-1), int32(-1))
	}
	f.Add(`{"recording":{"storage":{"s3":{"bucket":"b"}}}}`, "live", "show", int64(253402300800), int32(1))
	f.Fuzz(func(t *testing.T, text, app, stream string, started int64, part int32) {
		var s said
		if json.Unmarshal([]byte(text), &s) != nil || !utf8.ValidString(app+stream) {
			t.Skip("no JSON of a LiveStream")
		}
		show := liveStream(func(l *v1alpha1.LiveStream) { l.Spec.AppName, l.Spec.StreamName = app, stream })
		b := broadcast()
		b.StartTime = time.Unix(started, 0)
		want := meant(s, recording.Config{App: app, Stream: stream, Broadcast: b.ID, Started: b.StartTime, Job: int(part)})
		for _, name := range []string{"record", "transcode"} {
			config, asked := want[name]
			job, err := PresetJob(show, name, s.LiveStreamSettings, s.Playback, b, part, "worker", nil)
			if year := b.StartTime.UTC().Year(); !asked || year < 0 || year > 9999 {
				if err == nil {
					t.Errorf("there is a Job of %s, asked for: %t, in the year %d", name, asked, year)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s is refused: %v", name, err)
			}
			if diff := gocmp.Diff(config, told(t, job.Spec.Template.Spec)); diff != "" {
				t.Errorf("the worker of %s is told (-want +got):\n%s", name, diff)
			}
			b := b
			b.Ended = &v1alpha1.BroadcastRecord{ID: b.ID}
			finish, err := PresetJob(show, name, v1alpha1.LiveStreamSettings{}, v1alpha1.Playback{}, b, 7, "worker", job)
			if err != nil {
				t.Fatalf("finishing %s is refused: %v", name, err)
			}
			config.Job, config.Finish = 7, true
			if diff := gocmp.Diff(config, told(t, finish.Spec.Template.Spec)); diff != "" {
				t.Errorf("the worker that finishes %s is told (-want +got):\n%s", name, diff)
			}
		}
	})
}
