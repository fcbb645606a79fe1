package workload

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

type nameParts struct {
	stream              string
	uid                 types.UID
	workload, broadcast string
	part                int32
}

func (p nameParts) name() string { return JobName(p.stream, p.uid, p.workload, p.broadcast, p.part) }

func TestJobNamesAreStable(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for _, row := range []struct {
		name  string
		parts nameParts
		want  string
	}{
		{"short names are readable", nameParts{"morning-show", "uid", "record", "abcdefghij", 1}, "morning-show-record-" + digest("uid", "record", "abcdefghij", "1")},
		{"dots become dashes", nameParts{"a.b.c", "uid", "record", "abcdefghij", 1}, "a-b-c-record-" + digest("uid", "record", "abcdefghij", "1")},
		{"long names are cut", nameParts{long, "uid", "record", "abcdefghij", 1}, long[:50] + "-" + digest("uid", "record", "abcdefghij", "1")},
		{"a cut after a dash leaves one dash", nameParts{long[:49], "uid", "record", "abcdefghij", 1}, long[:49] + "-" + digest("uid", "record", "abcdefghij", "1")},
		// As it was when this was written: another name would let an upgrade start a second Job for a running broadcast.
		{"an upgrade of the operator changes no name", nameParts{"morning-show", "6f1c9d52-0000-4000-8000-000000000001", "record", "abcdefghij", 1}, "morning-show-record-hy44xf9mfi"},
	} {
		if got := row.parts.name(); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	if got, want := BroadcastID("6f1c9d52", "2210464508206756938", time.Unix(1767225600, 999)), "dk8vuiit67"; got != want {
		t.Errorf("BroadcastID is %s, want %s", got, want)
	}
}

func TestEveryPartOfAJobNameMakesAnother(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60)
	names := map[string]nameParts{}
	for _, parts := range []nameParts{
		{"show", "uid", "record", "abc", 1},
		{"show2", "uid2", "record", "abc", 1},
		{"show", "uid2", "record", "abc", 1},
		{"show", "uid", "record2", "abc", 1},
		{"show", "uid", "record", "abd", 1},
		{"show", "uid", "record", "abc", 2},
		{"show", "uid", "record", "abc", 12},
		{"show", "uid", "record", "abc1", 2},
		// What is split elsewhere reads alike.
		{"a-b", "u1", "c", "x", 1},
		{"a", "u1", "b-c", "x", 1},
		{"a.b", "u2", "c", "x", 1},
		{"a", "u", "record", "1x", 1},
		{"a", "u1", "record", "x", 1},
		// What is cut off still counts.
		{long + "-a", "u3", "record", "x", 1},
		{long + "-b", "u4", "record", "x", 1},
		{long + "-a", "u3", "recode", "x", 1},
	} {
		name := parts.name()
		if other, taken := names[name]; taken {
			t.Errorf("%v and %v have the same name %s", other, parts, name)
		}
		names[name] = parts
		checkName(t, name)
	}
}

func checkName(t *testing.T, name string) {
	t.Helper()
	// Indexed Jobs put the index behind their name, and their Pods have it as host name.
	for _, label := range []string{name, name + "-0"} {
		if problems := validation.IsDNS1123Label(label); len(problems) > 0 {
			t.Errorf("%q is no DNS label: %v", label, problems)
		}
	}
}

func TestDigestTellsItsPartsApart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	all := [][]string{{"a-b", "c"}, {"a", "b-c"}, {"a-bc"}, {"a", "", "b-c"}, {"", "a", "b-c"}, {"a", "b", "c"}, {"1:a"}, {"a", "1:b"}, {"a1", ":b"}, {}, {""}, {"", ""}}
	for _, parts := range all {
		seen[digest(parts...)] = true
	}
	if len(seen) != len(all) {
		t.Errorf("%d lists of parts have %d digests", len(all), len(seen))
	}
}

func TestBroadcastIDs(t *testing.T) {
	t.Parallel()
	start := time.Unix(1767225600, 0)
	id := BroadcastID("uid", "1", start)
	for name, other := range map[string]string{
		"another stream":       BroadcastID("uid2", "1", start),
		"another push":         BroadcastID("uid", "2", start),
		"another second":       BroadcastID("uid", "1", start.Add(time.Second)),
		"another way to split": BroadcastID("uid1", "", start),
	} {
		if other == id {
			t.Errorf("%s has the same id", name)
		}
	}
	if BroadcastID("uid", "1", start.In(time.FixedZone("CST", 8*3600)).Add(time.Millisecond)) != id {
		t.Error("the id depends on the zone or on parts of a second, which the API server does not keep")
	}
}

// splitElsewhere are pairs that read as a and b do where the two are but joined, with nothing between them or any one byte.
func splitElsewhere(a, b string) [][2]string {
	var pairs [][2]string
	for i := range min(len(a), 64) {
		pairs = append(pairs, [2]string{a[:i], a[i:] + b}, [2]string{a[:i], a[i+1:] + a[i:i+1] + b})
	}
	return pairs
}

// FuzzJobName looks for two Jobs that have one name, and for names that Kubernetes does not take.
func FuzzJobName(f *testing.F) {
	add := func(a, b nameParts) {
		f.Add(a.stream, string(a.uid), a.workload, a.broadcast, a.part, b.stream, string(b.uid), b.workload, b.broadcast, b.part)
	}
	long := strings.Repeat("a-", 31) + "a"
	add(nameParts{"morning-show", "uid", "record", "abcdefghij", 1}, nameParts{"morning-show", "uid", "record", "abcdefghij", 2})
	add(nameParts{"a.b", "", "c", "", 0}, nameParts{"a", "", "b-c", "", 0})
	add(nameParts{"a", "b", "b-c", "1", -1}, nameParts{"a", "b", "b-c", "", 1})
	add(nameParts{"a", "u1", "c", "x", 1}, nameParts{"a", "u", "1c", "x", 1})
	add(nameParts{long, "uid", strings.Repeat("b", 30), "abcdefghij", 1<<31 - 1}, nameParts{strings.ReplaceAll(long, "-", "."), "uid2", strings.Repeat("b", 29), "abcdefghij", 10})
	f.Fuzz(func(t *testing.T, stream, uid, workload, broadcast string, part int32, stream2, uid2, workload2, broadcast2 string, part2 int32) {
		a, b := nameParts{stream, types.UID(uid), workload, broadcast, part}, nameParts{stream2, types.UID(uid2), workload2, broadcast2, part2}
		for _, p := range []nameParts{a, b} {
			// Others the API server does not take.
			if len(p.stream) <= 63 && len(validation.IsDNS1123Subdomain(p.stream)) == 0 && len(p.workload) <= 30 && len(validation.IsDNS1123Label(p.workload)) == 0 {
				checkName(t, p.name())
			}
			if name, again := p.name(), p.name(); again != name {
				t.Errorf("the name is %s and then %s", name, again)
			}
		}
		others := []nameParts{b}
		for _, pair := range splitElsewhere(uid, workload) {
			others = append(others, nameParts{stream, types.UID(pair[0]), pair[1], broadcast, part})
		}
		for _, pair := range splitElsewhere(workload, broadcast) {
			others = append(others, nameParts{stream, types.UID(uid), pair[0], pair[1], part})
		}
		for _, other := range others {
			name := other.name()
			// The UID stands for the stream's name: no two streams have the same.
			other.stream = a.stream
			if other != a && name == a.name() {
				t.Fatalf("%+v and %+v have the same name %s", a, other, name)
			}
		}
	})
}
