package versions

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func stream(uid, version string) *v1alpha1.LiveStream {
	s := &v1alpha1.LiveStream{}
	s.UID, s.ResourceVersion = types.UID(uid), version
	return s
}

func TestOnlyTheVersionWrittenLastWithinASecondIsFresh(t *testing.T) {
	start := time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)
	clock := testclock.NewFakePassiveClock(start)
	v := &Written{Clock: clock}
	v.Note("a", "1", start)
	v.Note("a", "2", start)
	for _, tc := range []struct {
		name  string
		after time.Duration
		uid   string
		of    string
		want  bool
	}{
		{"the version that was written", 0, "a", "2", true},
		{"it, a moment later", Within - 1, "a", "2", true},
		{"the one before it", 0, "a", "1", false},
		{"one that somebody else wrote", 0, "a", "3", false},
		{"one of another object", 0, "b", "2", false},
		{"it, a second later", Within, "a", "2", false},
	} {
		clock.SetTime(start.Add(tc.after))
		if got := v.Has(stream(tc.uid, tc.of)); got != tc.want {
			t.Errorf("%s: Has() = %t, want %t", tc.name, got, tc.want)
		}
	}
}

func TestAVersionBeforeTheOneThatWasWrittenLastIsOfThePast(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC))
	v := &Written{Clock: clock}
	v.Note("a", "10", clock.Now())
	clock.SetTime(clock.Now().Add(time.Hour))
	for _, tc := range []struct {
		name, uid, of string
		want          bool
	}{
		{"the version before it", "a", "9", true},
		{"the version that was written", "a", "10", false},
		{"a later one of somebody else's", "a", "11", false},
		{"one of another object", "b", "9", false},
	} {
		if got := v.Later(stream(tc.uid, tc.of)); got != tc.want {
			t.Errorf("%s: Later() = %t, want %t", tc.name, got, tc.want)
		}
	}
}

func TestNothingIsFreshWhereNothingIsRemembered(t *testing.T) {
	var v *Written
	v.Note("a", "1", time.Time{})
	if v.Has(stream("a", "1")) || v.Later(stream("a", "0")) {
		t.Error("nil remembers")
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC))
	v := &Written{Clock: clock}
	for i := range 3 * most {
		v.Note(types.UID(fmt.Sprint(i)), "1", clock.Now())
	}
	if got := len(v.latest); got > most {
		t.Errorf("%d versions are remembered, want %d at most", got, most)
	}
	if !v.Has(stream(fmt.Sprint(3*most-1), "1")) {
		t.Error("the latest is forgotten")
	}
}
