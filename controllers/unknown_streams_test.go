package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// creates lets a push domain make LiveStreams, with a template of a recorder.
func creates(d *v1alpha1.PushDomain) {
	d.Spec.UnknownStreams = v1alpha1.UnknownStreams{Policy: v1alpha1.UnknownStreamCreate, DeleteAfterIdleSeconds: 600}
	d.Spec.Template.Metadata = v1alpha1.TemplateMetadata{Labels: map[string]string{"team": "news"}, Annotations: map[string]string{"example.com/from": "template"}}
	d.Spec.Template.Spec = newStream("template").Spec.LiveStreamSettings
}

func (b *bench) unknown(mutate ...func(*v1alpha1.PushDomain)) {
	b.t.Helper()
	domain := newDomain()
	creates(domain)
	for _, m := range mutate {
		m(domain)
	}
	b.create(newSecret(), domain)
	b.reconcileDomain()
}

func (b *bench) streams() map[string]v1alpha1.LiveStream {
	b.t.Helper()
	var list v1alpha1.LiveStreamList
	if err := env.Client.List(b.t.Context(), &list, client.InNamespace(b.namespace)); err != nil {
		b.t.Fatal(err)
	}
	streams := map[string]v1alpha1.LiveStream{}
	for _, s := range list.Items {
		streams[s.Spec.StreamName] = s
	}
	return streams
}

// pushed makes a LiveStream of a push that nobody claims, and lets it claim its push.
func (b *bench) pushed(stream, sequence string) string {
	b.t.Helper()
	b.recordUnclaimed(of(b.starts(sequence), "live", stream))
	b.reconcileDomain()
	name := workload.StreamName("shows", "live", stream)
	b.settle(name)
	return name
}

func TestAnUnknownStreamGetsALiveStreamThatInheritsFromTheTemplate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	name := b.pushed("test", "A")
	status := b.wantState(name, v1alpha1.LiveStreamLive)
	stream := b.stream(name)
	wantLabels := map[string]string{"team": "news", v1alpha1.LabelPushDomain: "shows", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	if diff := gocmp.Diff(wantLabels, stream.Labels); diff != "" || stream.Annotations["example.com/from"] != "template" {
		t.Errorf("annotations = %v, labels mismatch (-want +got):\n%s", stream.Annotations, diff)
	}
	wantSpec := v1alpha1.LiveStreamSpec{PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: "test"}
	if diff := gocmp.Diff(wantSpec, stream.Spec); diff != "" {
		t.Errorf("spec mismatch (-want +got):\n%s", diff)
	}
	if job := b.onlyJob(); job.Spec.Template.Spec.Containers[0].Name != "ffmpeg" || status.Workloads[0].Name != "record" {
		t.Errorf("Job = %+v, want that of the template", job.Spec.Template.Spec)
	}
}

func TestAnEditOfTheTemplateReachesTheNextBroadcastOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	name := b.pushed("test", "A")
	job := b.onlyJob()
	edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) {
		w := &d.Spec.Template.Spec.Workloads
		(*w)[0].Job.Spec.Template.Spec.Containers[0].Image = "ffmpeg:2"
		second := *(*w)[0].DeepCopy()
		second.Name = "thumbnails"
		*w = append(*w, second)
	})
	b.reconcileDomain()
	b.settle(name)
	if again := b.onlyJob(); again.UID != job.UID || again.Generation != job.Generation || len(b.running()) != 1 {
		t.Error("the edit reached the Job that runs")
	}
	b.record(name, b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle(name)
	b.pass(5 * time.Second)
	b.settle(name)
	b.collect()
	b.record(name, b.starts("B"))
	b.settle(name)
	jobs := b.jobs()
	if len(jobs) != 2 || jobs[0].Spec.Template.Spec.Containers[0].Image != "ffmpeg:2" {
		t.Errorf("the next broadcast has %d Jobs, want the template's 2", len(jobs))
	}
}

func TestWhatALiveStreamSetsItselfIsNotInherited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown(func(d *v1alpha1.PushDomain) {
		d.Spec.Template.Spec.ReconnectWindowSeconds, d.Spec.Template.Spec.CleanStopWindowSeconds = new(int32(300)), new(int32(100))
	})
	stream := newStream("show")
	stream.Spec.Workloads[0].Name, stream.Spec.CleanStopWindowSeconds = "own", new(int32(0))
	b.create(stream)
	b.record("show", b.starts("A"))
	b.settle("show")
	if status := b.stream("show").Status; len(status.Workloads) != 1 || status.Workloads[0].Name != "own" {
		t.Errorf("workloads = %+v, want its own alone", status.Workloads)
	}
	b.record("show", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	if again := b.settle("show"); again.RequeueAfter != 5*time.Minute {
		t.Errorf("the window is %s, want the template's 5m0s", again.RequeueAfter)
	}
	b.record("show", b.starts("B"))
	b.settle("show")
	b.record("show", b.ends("B", 1, v1alpha1.PushReasonClientStopped))
	b.settle("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
}

func TestHostileNamesMakeNoHarm(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	long := strings.Repeat("x", 255)
	fine := []string{long, long[:254] + "y", "UPPER", "upper", "...", "-", "a_b.c~d", "$(LIVESTREAM_NAME)", `"quoted"`, "<b>&amp;", "kube-system"}
	for i, name := range append([]string{"../x", "日本語", "a b", "a?b", "tab\tbed", "\u202Egnihton"}, fine...) {
		b.recordUnclaimed(of(b.starts(fmt.Sprint(i)), "live", name))
	}
	b.reconcileDomain()
	streams := b.streams()
	names := map[string]bool{}
	for _, stream := range fine {
		s, made := streams[stream]
		if !made || len(s.Name) > 63 || names[s.Name] {
			t.Errorf("stream %q has LiveStream %q", stream, s.Name)
			continue
		}
		names[s.Name] = true
		b.settle(s.Name)
		b.wantState(s.Name, v1alpha1.LiveStreamLive)
	}
	if len(streams) != len(fine) || len(b.jobs()) != len(fine) {
		t.Errorf("%d LiveStreams with %d Jobs, want %d each", len(streams), len(b.jobs()), len(fine))
	}
	limited := wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionUnknownStreamsLimited, metav1.ConditionTrue, v1alpha1.ReasonNameRefused)
	if !strings.Contains(limited.Message, "printable ASCII") {
		t.Errorf("UnknownStreamsLimited says %q, want the API server's words", limited.Message)
	}
}

func TestMaxStreamsBoundsWhatAThousandUnknownStreamsMake(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(creates, func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 5 })
	var events []provider.Event
	for i := range 1000 {
		stream := fmt.Sprintf("unknown-%03d", i)
		events = append(events, of(b.starts("A"), "live", stream))
		css.SetOnline(host, "live", stream, showTime)
	}
	b.recordUnclaimed(events...)
	b.domains.Client = liveReader{remembering()}
	b.reconcileDomain()
	if got := len(b.domain().Status.UnclaimedPushes); got != push.MaxUnclaimed {
		t.Errorf("%d unclaimed pushes, want %d", got, push.MaxUnclaimed)
	}
	limited := wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionUnknownStreamsLimited, metav1.ConditionTrue, v1alpha1.ReasonMaxStreamsReached)
	if !strings.Contains(limited.Message, "5 LiveStreams were made") {
		t.Errorf("UnknownStreamsLimited says %q", limited.Message)
	}
	b.pass(2 * time.Minute)
	b.domains.Client = liveReader{remembering()}
	b.poll()
	streams := b.streams()
	if len(streams) != 5 {
		t.Fatalf("%d LiveStreams, want 5", len(streams))
	}
	for _, s := range streams {
		b.delete(&s)
		break
	}
	b.domains.Client = liveReader{remembering()}
	b.reconcileDomain()
	if streams := b.streams(); len(streams) != 5 {
		t.Errorf("%d LiveStreams after one was deleted, want 5 again", len(streams))
	}
}

func TestTheLimitIsForgottenWhenNothingIsUnknown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown(func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 1 })
	b.recordUnclaimed(of(b.starts("A"), "live", "one"), of(b.starts("B"), "live", "two"))
	b.reconcileDomain()
	wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionUnknownStreamsLimited, metav1.ConditionTrue, v1alpha1.ReasonMaxStreamsReached)
	edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) { d.Spec.UnknownStreams.MaxStreams = 2 })
	b.reconcileDomain()
	if len(b.streams()) != 2 || meta.FindStatusCondition(b.domain().Status.Conditions, v1alpha1.ConditionUnknownStreamsLimited) != nil {
		t.Errorf("%d LiveStreams, conditions = %+v", len(b.streams()), b.domain().Status.Conditions)
	}
}

func TestAStreamThatOnlyTheListTellsOfGetsALiveStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(creates)
	css.SetOnline(host, "live", "test", showTime)
	b.pass(30 * time.Second)
	b.poll()
	if streams := b.streams(); len(streams) != 0 {
		t.Errorf("%d LiveStreams after 30 s, want none: its callback may be on its way", len(streams))
	}
	b.pass(30 * time.Second)
	b.poll()
	name := workload.StreamName("shows", "live", "test")
	b.settle(name)
	status := b.wantState(name, v1alpha1.LiveStreamLive)
	if !status.Broadcast.StartTime.Time.Equal(showTime) || len(b.running()) != 1 {
		t.Errorf("broadcast = %+v", status.Broadcast)
	}
}

func TestOnlyWhatThePolicyMadeAndNobodyEditedIsDeletedWhenIdle(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	for _, stream := range []string{"ours", "edited", "copied", "labelled", "annotated"} {
		name := b.pushed(stream, "A")
		b.record(name, b.ends("A", 1, v1alpha1.PushReasonClientStopped))
		b.settle(name)
	}
	b.pass(5 * time.Second)
	var names []string
	for _, stream := range []string{"ours", "edited", "copied", "labelled", "annotated"} {
		names = append(names, workload.StreamName("shows", "live", stream))
		b.settle(names[len(names)-1])
	}
	b.collect()
	b.pass(tidyEvery)
	b.reconcileDomain()
	mine := newStream("mine")
	mine.Spec.StreamName = "mine"
	b.create(mine)
	edit(b, names[1], &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.HistoryLimit = 7 })
	edit(b, names[3], &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Labels["team"] = "sports" })
	edit(b, names[4], &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = "{}" })
	original := b.streams()["copied"]
	again := original.DeepCopy()
	again.ObjectMeta = metav1.ObjectMeta{Name: "copy", Labels: again.Labels, Annotations: again.Annotations, OwnerReferences: again.OwnerReferences}
	b.create(again)
	names = append(names, "mine", "copy")
	for _, name := range names {
		b.settle(name)
		b.wantState(name, v1alpha1.LiveStreamIdle)
	}
	b.clock.SetTime(showTime.Add(604 * time.Second))
	for _, name := range names {
		b.reconcile(name)
	}
	b.wantStreams(map[string]bool{"mine": true, "copy": true, names[0]: true, names[1]: true, names[2]: true, names[3]: true, names[4]: true})
	b.clock.SetTime(showTime.Add(605 * time.Second))
	for _, name := range names {
		b.reconcile(name)
	}
	b.wantStreams(map[string]bool{"mine": true, "copy": true, names[1]: true, names[3]: true, names[4]: true})
}

func (b *bench) wantStreams(want map[string]bool) {
	b.t.Helper()
	var list v1alpha1.LiveStreamList
	if err := env.Client.List(b.t.Context(), &list, client.InNamespace(b.namespace)); err != nil {
		b.t.Fatal(err)
	}
	got := map[string]bool{}
	for _, s := range list.Items {
		got[s.Name] = true
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		b.t.Errorf("LiveStreams mismatch (-want +got):\n%s", diff)
	}
}

// The cache still has it idle; a push has come since.
func TestALiveStreamThatIsPushedAgainIsNotDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	name := b.pushed("test", "A")
	b.record(name, b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.settle(name)
	b.pass(5 * time.Second)
	b.settle(name)
	b.collect()
	idle := b.stream(name)
	b.pass(time.Hour)
	b.record(name, b.starts("B"))
	b.reconciler.Client = staleReader{liveReader{env.Client}, idle}
	b.reconcile(name)
	b.restart(env.Client)
	b.settle(name)
	b.wantState(name, v1alpha1.LiveStreamLive)
}

func TestWithPolicyIgnoreNothingIsMade(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain())
	b.reconcileDomain()
	b.recordUnclaimed(of(b.starts("A"), "live", "test"))
	b.reconcileDomain()
	if streams, unclaimed := b.streams(), b.domain().Status.UnclaimedPushes; len(streams) != 0 || len(unclaimed) != 1 {
		t.Errorf("%d LiveStreams, %d unclaimed pushes", len(streams), len(unclaimed))
	}
}

func TestATombstoneMakesNoLiveStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.unknown()
	b.recordUnclaimed(of(b.ends("A", 18, v1alpha1.PushReasonRefused), "live", "test"))
	b.reconcileDomain()
	if streams := b.streams(); len(streams) != 0 {
		t.Errorf("%d LiveStreams", len(streams))
	}
}

// remembering is a client whose lists do not change until something is written through it, as a cache that keeps up.
func remembering() client.WithWatch {
	lists := map[string]client.ObjectList{}
	return interceptor.NewClient(env.Client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			kind := fmt.Sprintf("%T", list)
			if lists[kind] == nil {
				if err := c.List(ctx, list, opts...); err != nil {
					return err
				}
				lists[kind], _ = list.DeepCopyObject().(client.ObjectList)
				return nil
			}
			switch list := list.(type) {
			case *v1alpha1.LiveStreamList:
				known, _ := lists[kind].(*v1alpha1.LiveStreamList)
				known.DeepCopyInto(list)
			case *v1alpha1.PushDomainList:
				known, _ := lists[kind].(*v1alpha1.PushDomainList)
				list.Items = slices.Clone(known.Items)
			default:
				return fmt.Errorf("nothing is remembered of a %T", list)
			}
			return nil
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			clear(lists)
			return c.Create(ctx, o, opts...)
		},
	})
}
