package index

import (
	"context"
	"errors"
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
				if oldest := Oldest(row.streams); oldest != nil {
					got = oldest.Name
					if !slices.ContainsFunc(row.streams, func(s v1alpha1.LiveStream) bool { return s.Name == got }) {
						t.Errorf("%q is none of them", got)
					}
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

func TestAddRegistersBothIndexes(t *testing.T) {
	t.Parallel()
	s := stream("show", 0)
	into := &indexer{fields: map[string]client.IndexerFunc{}}
	if err := Add(t.Context(), into); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for field, extract := range into.fields {
		got[field] = extract(&s)
		if values := extract(&v1alpha1.PushDomain{}); values != nil {
			t.Errorf("index %s finds a PushDomain by %v", field, values)
		}
	}
	if diff := gocmp.Diff(map[string][]string{ByStream: {StreamKey("shows", "live", "show")}, ByPushDomain: {"shows"}}, got); diff != "" {
		t.Error(diff)
	}
	for _, field := range []string{ByStream, ByPushDomain} {
		if err := Add(t.Context(), &indexer{fields: map[string]client.IndexerFunc{}, fail: field}); err == nil {
			t.Errorf("Add hides that the index %s failed", field)
		}
	}
}
