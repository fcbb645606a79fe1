package v1alpha1

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	unset := LiveStreamSpec{}
	zero := LiveStreamSettings{ReconnectWindowSeconds: new(int32(0)), CleanStopWindowSeconds: new(int32(0))}
	set := LiveStreamSpec{State: LiveStreamSuspended, LiveStreamSettings: LiveStreamSettings{
		ReconnectWindowSeconds: new(int32(1800)), CleanStopWindowSeconds: new(int32(30)), HistoryLimit: 50, MaxDurationSeconds: 60,
	}}
	key := SecretKeyReference{Name: "css", Key: "playbackKey"}
	for _, row := range []struct {
		name      string
		got, want any
	}{
		{"a LiveStream is active", unset.Suspended(), false},
		{"a LiveStream that says so is active", (&LiveStreamSpec{State: LiveStreamActive}).Suspended(), false},
		{"a suspended LiveStream is suspended", set.Suspended(), true},
		{"a push lasts 12 hours at most", unset.MaxDuration(), 12 * time.Hour},
		{"a push lasts as long as is asked for", set.MaxDuration(), time.Minute},
		{"a share is one replica while live", (&WorkloadScale{}).Live(), int32(1)},
		{"a share may be none while live", (&WorkloadScale{ReplicasWhileLive: new(int32(0))}).Live(), int32(0)},
		{"a share is nothing while idle", (&WorkloadScale{}).Idle(), int32(0)},
		{"unknown streams make no LiveStreams", (&UnknownStreams{}).Creates(), false},
		{"unknown streams make 100 LiveStreams at most", (&UnknownStreams{}).Limit(), 100},
		{"made LiveStreams are idle for a day at most", (&UnknownStreams{}).DeleteAfterIdle(), 24 * time.Hour},
		{"the API is that of the China site", (&API{}).Host(), "live.tencentcloudapi.com"},
		{"there is no API without credentials", (&API{}).Configured(), false},
		{"callbacks of live are set up", (&CallbackSetup{}).Apps(), []string{"live"}},
		{"5 broadcasts are kept", unset.HistoryEntries(), 5},
		{"as many broadcasts are kept as are asked for", set.HistoryEntries(), 50},
		{"signatures are checked", (&Callback{}).ChecksSignatures(), true},
		{"signatures are checked when asked for", (&Callback{Authentication: CallbackAuthenticationSignature}).ChecksSignatures(), true},
		{"signatures are not checked when switched off", (&Callback{Authentication: CallbackAuthenticationNone}).ChecksSignatures(), false},
		{"a value that nobody knows does not switch signatures off", (&Callback{Authentication: "none"}).ChecksSignatures(), true},
		{"clocks may differ by 60 s", (&Callback{}).ClockSkew(), time.Minute},
		{"clocks may be asked not to differ", (&Callback{ClockSkewSeconds: new(int32(0))}).ClockSkew(), time.Duration(0)},
		{"clocks may differ as is asked for", (&Callback{ClockSkewSeconds: new(int32(900))}).ClockSkew(), 15 * time.Minute},
		{"there is no playback", (&Playback{}).Configured(), false},
		{"there is playback with a domain", (&Playback{Domain: "play.example.com"}).Configured(), true},
		{"streams are pulled by FLV", (&Playback{}).PullProtocol(), PlaybackProtocolFLV},
		{"streams are pulled as is asked for", (&Playback{Protocol: PlaybackProtocolRTMP}).PullProtocol(), PlaybackProtocolRTMP},
		{"streams are pulled over https", (&Playback{}).URLScheme(), PlaybackSchemeHTTPS},
		{"streams are pulled over http when asked for", (&Playback{Scheme: PlaybackSchemeHTTP}).URLScheme(), PlaybackSchemeHTTP},
		{"URLs are valid for a day", (&Playback{}).Validity(), 24 * time.Hour},
		{"URLs are valid as long as is asked for", (&Playback{ValiditySeconds: 60}).Validity(), time.Minute},
		{"URLs are not signed", (&Playback{}).Signed(), false},
		{"URLs are signed with a key", (&Playback{KeySecretRef: key}).Signed(), true},
		{"no broadcast is on air", (&LiveStreamStatus{}).OnAir(), false},
		{"a broadcast is on air", (&LiveStreamStatus{Broadcast: Broadcast{ID: "abc"}}).OnAir(), true},
		{"a window of zero is not unset", zero.Window(PushReasonNetworkError), time.Duration(0)},
		{"a clean stop's window of zero is not unset", zero.Window(PushReasonClientStopped), time.Duration(0)},
		{"the window is what is asked for", set.Window(PushReasonNetworkError), 30 * time.Minute},
		{"a clean stop's window is what is asked for", set.Window(PushReasonClientStopped), 30 * time.Second},
	} {
		if diff := gocmp.Diff(row.want, row.got); diff != "" {
			t.Errorf("%s: %s", row.name, diff)
		}
	}
}

func TestWindowOfEveryReason(t *testing.T) {
	t.Parallel()
	const clean, reconnect = 5 * time.Second, 60 * time.Second
	want := map[PushReason]time.Duration{
		PushReasonClientStopped: clean, PushReasonIdleTimeout: clean, PushReasonRefused: clean,
		PushReasonClientDisconnected: reconnect, PushReasonNetworkError: reconnect, PushReasonPlatformError: reconnect,
		PushReasonMaxDurationReached: clean, PushReasonNotOnline: reconnect,
		PushReasonProtocolError: reconnect, PushReasonByOperator: reconnect, PushReasonUnknownError: reconnect, "": reconnect,
	}
	for reason, window := range want {
		if got := (&LiveStreamSettings{}).Window(reason); got != window {
			t.Errorf("the window after %q is %s, want %s", reason, got, window)
		}
	}
	for _, reason := range constantsOf(t)["PushReason"] {
		if _, listed := want[PushReason(reason)]; !listed {
			t.Errorf("no window is listed here for %s", reason)
		}
	}
}

func TestSettingsAreInheritedOneByOne(t *testing.T) {
	t.Parallel()
	template := LiveStreamSettings{
		ReconnectWindowSeconds: new(int32(120)), CleanStopWindowSeconds: new(int32(10)), MaxDurationSeconds: 3600, HistoryLimit: 9,
		Workloads: []Workload{{Name: "record"}, {Name: "thumbnails"}},
	}
	for _, row := range []struct {
		name      string
		own, want LiveStreamSettings
	}{
		{"what sets nothing inherits all", LiveStreamSettings{}, template},
		{"a window of its own stays, even one of zero", LiveStreamSettings{ReconnectWindowSeconds: new(int32(0))}, LiveStreamSettings{
			ReconnectWindowSeconds: new(int32(0)), CleanStopWindowSeconds: template.CleanStopWindowSeconds, MaxDurationSeconds: 3600, HistoryLimit: 9, Workloads: template.Workloads,
		}},
		{"workloads are inherited all or none", LiveStreamSettings{Workloads: []Workload{{Name: "own"}}, HistoryLimit: 1, MaxDurationSeconds: 1}, LiveStreamSettings{
			ReconnectWindowSeconds: template.ReconnectWindowSeconds, CleanStopWindowSeconds: template.CleanStopWindowSeconds, MaxDurationSeconds: 1, HistoryLimit: 1, Workloads: []Workload{{Name: "own"}},
		}},
	} {
		if diff := gocmp.Diff(row.want, row.own.Inherit(template)); diff != "" {
			t.Errorf("%s: %s", row.name, diff)
		}
	}
}

// Two workloads of one name would be two Jobs of one name, and a status that the API server refuses.
func TestNothingIsInheritedUnderANameThatIsTaken(t *testing.T) {
	t.Parallel()
	recording := Recording{Storage: RecordingStorage{PersistentVolumeClaim: VolumeClaim{ClaimName: "recordings"}}}
	transcoding := Transcoding{Renditions: []Rendition{{Name: "360p", Height: 360}}, Output: TranscodingOutput{Push: RenditionPush{Domain: "push.example.com"}}}
	named := func(names ...string) []Workload {
		var all []Workload
		for _, name := range names {
			all = append(all, Workload{Name: name})
		}
		return all
	}
	for _, row := range []struct {
		name                string
		own, template, want LiveStreamSettings
	}{
		{"its own record, and the template records", LiveStreamSettings{Workloads: named("record")}, LiveStreamSettings{Recording: recording}, LiveStreamSettings{Workloads: named("record")}},
		{"its own transcode, and the template transcodes", LiveStreamSettings{Workloads: named("transcode")}, LiveStreamSettings{Transcoding: transcoding, Recording: recording}, LiveStreamSettings{Workloads: named("transcode"), Recording: recording}},
		{"it records, and the template has a record", LiveStreamSettings{Recording: recording}, LiveStreamSettings{Workloads: named("record", "thumbnails")}, LiveStreamSettings{Recording: recording, Workloads: named("thumbnails")}},
		{"it transcodes, and the template has a transcode", LiveStreamSettings{Transcoding: transcoding}, LiveStreamSettings{Workloads: named("transcode", "record")}, LiveStreamSettings{Transcoding: transcoding, Workloads: named("record")}},
		{"nothing of its own", LiveStreamSettings{}, LiveStreamSettings{Recording: recording, Workloads: named("thumbnails")}, LiveStreamSettings{Recording: recording, Workloads: named("thumbnails")}},
	} {
		if diff := gocmp.Diff(row.want, row.own.Inherit(row.template)); diff != "" {
			t.Errorf("%s: %s", row.name, diff)
		}
	}
}
