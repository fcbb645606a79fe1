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

func FuzzJobName(f *testing.F) {
	f.Add("morning-show", "uid", "record", "abcdefghij", int32(1))
	f.Add("a.b", "", "c", "", int32(0))
	f.Add("a", "b", "b-c", "1", int32(-1))
	f.Add(strings.Repeat("a-", 31)+"a", "uid", strings.Repeat("b", 30), "abcdefghij", int32(1<<31-1))
	f.Add(strings.Repeat("a.", 31)+"a", "uid", strings.Repeat("b", 30), "abcdefghij", int32(10))
	seen := map[string]nameParts{}
	f.Fuzz(func(t *testing.T, stream, uid, workload, broadcast string, part int32) {
		if len(stream) > 63 || len(validation.IsDNS1123Subdomain(stream)) > 0 || len(workload) > 30 || len(validation.IsDNS1123Label(workload)) > 0 {
			t.Skip("no names that the API server takes")
		}
		parts := nameParts{stream, types.UID(uid), workload, broadcast, part}
		name := parts.name()
		checkName(t, name)
		if again := parts.name(); again != name {
			t.Errorf("the name is %s and then %s", name, again)
		}
		// The UID stands for the stream's name: no two streams have the same.
		parts.stream = ""
		if other, taken := seen[name]; taken && other != parts {
			t.Errorf("%v and %v have the same name %s", other, parts, name)
		}
		seen[name] = parts
	})
}
