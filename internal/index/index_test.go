package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func stream(name string, created int) v1alpha1.LiveStream {
	return v1alpha1.LiveStream{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(1767225600+int64(created), 0)},
		Spec:       v1alpha1.LiveStreamSpec{PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: name},
	}
}

func TestOldestKeepsTheStream(t *testing.T) {
	t.Parallel()
	elsewhere := stream("elsewhere", 0)
	elsewhere.CreationTimestamp = metav1.NewTime(elsewhere.CreationTimestamp.In(time.FixedZone("CST", 8*3600)))
	for _, row := range []struct {
		name    string
		streams []v1alpha1.LiveStream
		want    string
	}{
		{"none of none", nil, ""},
		{"the only one", []v1alpha1.LiveStream{stream("a", 0)}, "a"},
		{"the one created first, though its name is later", []v1alpha1.LiveStream{stream("a", 1), stream("b", 0), stream("c", 2)}, "b"},
		{"by name among those of one second", []v1alpha1.LiveStream{stream("b", 0), stream("a", 0), stream("c", 0)}, "a"},
		{"by name among the first, not among all", []v1alpha1.LiveStream{stream("a", 1), stream("c", 0), stream("b", 0)}, "b"},
		{"by name at one instant written in two zones", []v1alpha1.LiveStream{stream("fine", 0), elsewhere}, "elsewhere"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for range 2 {
				got := ""
				if holders := holdersOf(t, row.streams); len(holders) > 0 {
					got = holders[0].Name
				}
				if got != row.want {
					t.Errorf("Oldest is %q, want %q", got, row.want)
				}
				row.streams = slices.Clone(row.streams)
				slices.Reverse(row.streams)
			}
		})
	}
}

// lister answers as a cache with our indexes does.
type lister struct {
	client.Reader
	domains []v1alpha1.PushDomain
	streams []v1alpha1.LiveStream
}

func (l lister) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	switch list := list.(type) {
	case *v1alpha1.PushDomainList:
		for _, d := range l.domains {
			if host, _ := options.FieldSelector.RequiresExactMatch(ByHost); host == hostOf(&d) {
				list.Items = append(list.Items, d)
			}
		}
	case *v1alpha1.LiveStreamList:
		for _, s := range l.streams {
			if key, _ := options.FieldSelector.RequiresExactMatch(ByStream); key == Bucket(KeyOf(&s)) {
				list.Items = append(list.Items, s)
			}
		}
	}
	return nil
}

func domain(name, host string) v1alpha1.PushDomain {
	return v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.PushDomainSpec{Domain: host}}
}

// holdersOf gives all streams one name and asks who holds it.
func holdersOf(t *testing.T, streams []v1alpha1.LiveStream) []*v1alpha1.LiveStream {
	t.Helper()
	streams = slices.Clone(streams)
	for i := range streams {
		streams[i].Spec.StreamName = "show"
	}
	holders, err := Holders(t.Context(), lister{domains: []v1alpha1.PushDomain{domain("shows", "push.example.com")}, streams: streams}, "studio", "push.example.com", "live", "show")
	if err != nil {
		t.Fatal(err)
	}
	return holders
}

func TestHoldersOfAStreamMayReferToAnyPushDomainOfItsHost(t *testing.T) {
	t.Parallel()
	elsewhere, other, leaving := stream("show", 1), stream("show", 0), stream("show", 0)
	elsewhere.Name, elsewhere.Spec.PushDomainRef.Name = "elsewhere", "shows-too"
	other.Name, other.Spec.PushDomainRef.Name = "other", "others"
	leaving.Name, leaving.DeletionTimestamp = "leaving", new(metav1.Now())
	reader := lister{
		domains: []v1alpha1.PushDomain{domain("shows", "push.example.com"), domain("shows-too", "Push.Example.COM"), domain("others", "other.example.com")},
		streams: []v1alpha1.LiveStream{stream("show", 2), elsewhere, other, leaving},
	}
	holders, err := Holders(t.Context(), reader, "studio", "PUSH.example.com", "live", "show")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range holders {
		names = append(names, h.Name)
	}
	if diff := gocmp.Diff([]string{"elsewhere", "show"}, names); diff != "" {
		t.Error(diff)
	}
}

// Streams share a bucket of the index by chance.
func TestHoldersLeavesOutWhatSharesTheBucket(t *testing.T) {
	t.Parallel()
	want, others := stream("show", 0), []v1alpha1.LiveStream{stream("show", 0), stream("show", 0), stream("show", 0)}
	others[0].Spec.StreamName, others[1].Spec.AppName, others[2].Spec.PushDomainRef.Name = "other", "other", "other"
	all := everything{lister{domains: []v1alpha1.PushDomain{domain("shows", "push.example.com")}, streams: append(others, want)}}
	got, err := Holders(t.Context(), all, "studio", "push.example.com", want.Spec.AppName, want.Spec.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]*v1alpha1.LiveStream{&want}, got); diff != "" {
		t.Error(diff)
	}
}

// everything has all LiveStreams in one bucket.
type everything struct{ lister }

func (e everything) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if streams, is := list.(*v1alpha1.LiveStreamList); is {
		streams.Items = slices.Clone(e.streams)
		return nil
	}
	return e.lister.List(ctx, list, opts...)
}

func TestBucketsAreMany(t *testing.T) {
	t.Parallel()
	const streams = 100_000
	in := map[string]int{}
	for i := range streams {
		in[Bucket(StreamKey("shows", "live", fmt.Sprintf("stream_%06d", i)))]++
	}
	most := 0
	for _, n := range in {
		most = max(most, n)
	}
	if len(in) < buckets*9/10 || len(in) > buckets || most > 10*streams/buckets {
		t.Errorf("%d streams are in %d buckets, up to %d in one", streams, len(in), most)
	}
}

func TestKeysOfStreamsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	all := [][3]string{{"a", "b", "c"}, {"a", "bc", ""}, {"ab", "", "c"}, {"a", "b/c", ""}, {"a/b", "c", ""}, {"A", "b", "c"}, {"c", "b", "a"}}
	for _, key := range all {
		seen[StreamKey(key[0], key[1], key[2])] = true
	}
	if len(seen) != len(all) {
		t.Errorf("%d streams have %d keys", len(all), len(seen))
	}
	s := stream("show", 0)
	if got, want := KeyOf(&s), StreamKey("shows", "live", "show"); got != want {
		t.Errorf("KeyOf is %q, want %q", got, want)
	}
}

// indexer records what is registered, and fails at the field named fail.
type indexer struct {
	fields map[string]client.IndexerFunc
	fail   string
}

func (i *indexer) IndexField(_ context.Context, _ client.Object, field string, extract client.IndexerFunc) error {
	if field == i.fail {
		return errors.New("no")
	}
	i.fields[field] = extract
	return nil
}

func TestAddRegistersTheIndexes(t *testing.T) {
	t.Parallel()
	s := stream("show", 0)
	into := &indexer{fields: map[string]client.IndexerFunc{}}
	if err := Add(t.Context(), into); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for field, extract := range into.fields {
		got[field] = extract(&s)
		if field == ByHost {
			d := domain("shows", "Push.Example.com")
			got[field] = extract(&d)
		}
		if values := extract(&v1alpha1.PushDomain{}); values != nil {
			t.Errorf("index %s finds an empty PushDomain by %v", field, values)
		}
	}
	want := map[string][]string{ByStream: {Bucket(StreamKey("shows", "live", "show"))}, ByPushDomain: {"shows"}, ByHost: {"push.example.com"}}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, field := range []string{ByStream, ByPushDomain, ByHost} {
		if err := Add(t.Context(), &indexer{fields: map[string]client.IndexerFunc{}, fail: field}); err == nil {
			t.Errorf("Add hides that the index %s failed", field)
		}
	}
}
