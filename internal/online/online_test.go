package online

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

var listedAt = time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)

func ago(seconds int) time.Time { return listedAt.Add(-time.Duration(seconds) * time.Second) }

// live is a push that started and was recorded so many seconds before the list.
func live(sequence string, started int) v1alpha1.Push {
	return v1alpha1.Push{Sequence: sequence, StartTime: new(metav1.NewTime(ago(started))), RecordedTime: new(metav1.NewTime(ago(started)))}
}

func givenUp(p v1alpha1.Push) v1alpha1.Push {
	p.Reason = v1alpha1.PushReasonMaxDurationReached
	return p
}

func over(p v1alpha1.Push, end int) v1alpha1.Push {
	p.EndTime, p.RecordedTime = new(metav1.NewTime(ago(end))), new(metav1.NewTime(ago(end)))
	return p
}

func tombstone(sequence string, end int) v1alpha1.Push {
	return over(v1alpha1.Push{Sequence: sequence}, end)
}

func recorded(p v1alpha1.Push, seconds int) v1alpha1.Push {
	p.RecordedTime = new(metav1.NewTime(ago(seconds)))
	return p
}

func view(on bool, published ...int) View {
	v := View{ListedAt: listedAt, Online: on}
	for _, seconds := range published {
		v.Published = append(v.Published, ago(seconds))
	}
	return v
}

func TestLostStart(t *testing.T) {
	t.Parallel()
	type pushes = []v1alpha1.Push
	unrecorded := func(p v1alpha1.Push) v1alpha1.Push {
		p.RecordedTime = nil
		return p
	}
	for _, row := range []struct {
		name   string
		pushes pushes
		view   View
		// want is how many seconds before the list the lost push began; -1 for none.
		want int
	}{
		{"without a list nothing is lost", nil, View{Online: true, Published: []time.Time{ago(600)}}, -1},
		{"a stream that is not listed lost nothing", nil, view(false, 600), -1},
		{"a stream with a live push lost nothing", pushes{live("A", 300)}, view(true, 600), -1},
		{"a stream with a push that stands in lost nothing more", pushes{live("online-1", 300)}, view(true, 600), -1},
		{"a stream on air of which nothing is known lost its start", nil, view(true, 600), 600},
		{"a start of 60 s ago is late", nil, view(true, 60), 60},
		{"a start of 59 s ago may be on its way", nil, view(true, 59), -1},
		{"a push that is known and ended is not lost: the list lags", pushes{over(live("A", 600), 5)}, view(true, 600), -1},
		{"the clocks of list and callback may differ by 5 s", pushes{over(live("A", 600), 5)}, view(true, 605), -1},
		{"beyond that it is another push", pushes{over(live("A", 600), 5)}, view(true, 606), 606},
		{"a push after one that ended is lost", pushes{over(live("A", 600), 300)}, view(true, 290), 290},
		{"of two listed pushes the one that is not known is lost", pushes{over(live("A", 600), 5)}, view(true, 600, 200), 200},
		{"of two the first one that is not known", nil, view(true, 600, 200), 600},
		{"one that may be on its way does not hide one that is lost", nil, view(true, 10, 200), 200},
		{"a push whose start is not known may have begun any time before its end", pushes{tombstone("A", 100)}, view(true, 400), -1},
		{"but not after it", pushes{tombstone("A", 300)}, view(true, 299), 299},
		{"without a time the push counts from the list", nil, view(true), 0},
		{"without a time it is not told from one that has just ended", pushes{over(live("A", 600), 119)}, view(true), -1},
		{"without a time it is another one two minutes after the end", pushes{over(live("A", 600), 120)}, view(true), 0},
		{"a push that the operator gave up and that is listed a minute later is on air all the same", pushes{givenUp(over(live("A", 600), 60))}, view(true, 600), 0},
		{"a list of within a minute may be older than that", pushes{givenUp(over(live("A", 600), 59))}, view(true, 600), -1},
		{"without a time what counts is when the end was recorded", pushes{recorded(tombstone("A", 600), 30)}, view(true), -1},
		{"an end that nobody recorded goes by its own time", pushes{unrecorded(over(live("A", 600), 30))}, view(true), -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			at, lost := LostStart(row.pushes, row.view, row.view.ListedAt)
			if lost != (row.want >= 0) || lost && !at.Equal(ago(row.want)) {
				t.Errorf("LostStart() = %s, %t; want %d s before the list", listedAt.Sub(at), lost, row.want)
			}
			if !lost {
				return
			}
			after, changed := push.StandIn(row.pushes, at, listedAt)
			if _, again := LostStart(after, row.view, row.view.ListedAt); !changed || again {
				t.Errorf("a push stands in: %t, and another is still lost: %t", changed, again)
			}
			// The list lags behind the end of the push that stood in.
			afterwards := push.End(after, []string{push.Live(after)[0].Sequence}, v1alpha1.PushReasonNotOnline, "", listedAt)
			if later, again := LostStart(afterwards, row.view, row.view.ListedAt); again && later.Equal(at) {
				t.Error("the push that stood in has ended and is found lost again")
			}
		})
	}
}

func TestDoubted(t *testing.T) {
	t.Parallel()
	type pushes = []v1alpha1.Push
	unrecorded := live("A", 600)
	unrecorded.RecordedTime = nil
	for _, row := range []struct {
		name   string
		pushes pushes
		view   View
		want   []string
	}{
		{"without a list nothing is doubted", pushes{live("A", 600)}, View{}, nil},
		{"a stream that is listed is not doubted", pushes{live("A", 600)}, view(true), nil},
		{"a listed stream is not doubted, whatever its times", pushes{live("A", 600)}, view(true, 5), nil},
		{"a live push that the list leaves out is doubted", pushes{live("A", 600)}, view(false), []string{"A"}},
		{"the list may lag behind a push by a minute", pushes{live("A", 59)}, view(false), nil},
		{"and no longer", pushes{live("A", 60)}, view(false), []string{"A"}},
		{"what counts is when it was recorded, not when it began", pushes{recorded(live("A", 600), 10)}, view(false), nil},
		{"a push that was recorded after the list is not doubted by it", pushes{live("A", -10)}, view(false), nil},
		{"ended pushes are beyond doubt", pushes{over(live("A", 600), 300), tombstone("B", 300)}, view(false), nil},
		{"of two live pushes each has its own time", pushes{live("A", 600), live("B", 10)}, view(false), []string{"A"}},
		{"both pushers are doubted, and one that stands in", pushes{live("A", 600), live("B", 500), live("online-1", 400)}, view(false), []string{"A", "B", "online-1"}},
		{"one of which nobody knows when it was recorded is left alone", pushes{unrecorded}, view(false), nil},
		{"no pushes, no doubt", nil, view(false), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if diff := gocmp.Diff(row.want, Doubted(row.pushes, row.view, row.view.ListedAt)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
