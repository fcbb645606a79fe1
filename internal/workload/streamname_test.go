package workload

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

func TestStreamNames(t *testing.T) {
	t.Parallel()
	suffix := func(stream string) string { return "-" + digest("shows", "live", stream) }
	long := strings.Repeat("a", 255)
	for _, row := range []struct{ name, stream, want string }{
		{"a name that Kubernetes takes is readable", "morning-show", "morning-show"},
		{"capitals become small", "Morning", "morning"},
		{"what Kubernetes does not take becomes a dash", "a_b.c~d", "a-b-c-d"},
		{"dashes at the ends go", "__a__", "a"},
		{"a long one is cut", long, long[:52]},
		{"a cut leaves no dash at the end", strings.Repeat("a", 51) + "_b", strings.Repeat("a", 51)},
		{"digits are a name", "0815", "0815"},
		{"nothing that can be read", "___", "stream"},
		{"nothing", "", "stream"},
		{"Chinese", "早间新闻", "stream"},
		{"digits of other scripts are none", "٣३", "stream"},
		{"capitals of other scripts are none, the Kelvin sign among them", "K\u212aÄ", "k"},
		{"bytes that are no text", "\xff\xfea\x80", "a"},
		{"control characters and a path", "../../etc/passwd\x00\n", "etc-passwd"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := StreamName("shows", "live", row.stream)
			if want := row.want + suffix(row.stream); got != want {
				t.Errorf("StreamName() = %q, want %q", got, want)
			}
			checkStreamName(t, row.stream, got)
		})
	}
	// As it was when this was written: another name would let an upgrade make a second LiveStream of each stream.
	if got, want := StreamName("shows", "live", "morning-show"), "morning-show-"+digest("shows", "live", "morning-show"); got != want {
		t.Errorf("StreamName() = %q, want %q", got, want)
	}
}

func checkStreamName(t *testing.T, stream, name string) {
	t.Helper()
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 || len(name) > 63 {
		t.Errorf("%q becomes %q, which is no DNS label: %v", stream, name, problems)
	}
	if problems := validation.IsValidLabelValue(name); len(problems) > 0 {
		t.Errorf("%q becomes %q, which is no label value: %v", stream, name, problems)
	}
}

// hostile are names as a stranger may choose them.
func hostile(random *rand.Rand) string {
	alphabets := [][]rune{
		[]rune("ab"), []rune("a-_."), []rune("-"), []rune("AaÄä\u212aKk"), []rune("0123456789"), []rune("早间新闻直播"), []rune("\x00\x01\n\r\t \u00a0\u200b\u202e\ufeff"),
		[]rune("$(){}[]<>&|;'\"`\\/?#%*"), []rune("😀👩‍👩‍👧"), []rune("e\u0301\u0308"),
	}
	var name strings.Builder
	for range 1 + random.IntN(3) {
		alphabet := alphabets[random.IntN(len(alphabets))]
		length := random.IntN(8)
		if random.IntN(8) == 0 {
			length = random.IntN(300)
		}
		for range length {
			name.WriteRune(alphabet[random.IntN(len(alphabet))])
		}
	}
	if random.IntN(4) == 0 {
		name.WriteByte(byte(random.IntN(256)))
	}
	return name.String()
}

func TestHostileStreamNamesBecomeLabelsThatNoTwoShare(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(63, 1123))
	const tries = 200_000
	seen := make(map[string]string, tries)
	for range tries {
		domain, app, stream := []string{"shows", "show"}[random.IntN(2)], []string{"live", "s", "-live"}[random.IntN(3)], hostile(random)
		identity := fmt.Sprintf("%q %q %q", domain, app, stream)
		name := StreamName(domain, app, stream)
		checkStreamName(t, stream, name)
		if other, taken := seen[name]; taken && other != identity {
			t.Fatalf("%s and %s share %s", identity, other, name)
		}
		seen[name] = identity
		if again := StreamName(domain, app, stream); again != name {
			t.Fatalf("%s is %s and then %s", identity, name, again)
		}
	}
	if len(seen) < tries/2 {
		t.Errorf("only %d different streams were tried", len(seen))
	}
}

// FuzzStreamName looks for two streams whose LiveStreams have one name, and for names that Kubernetes does not take.
func FuzzStreamName(f *testing.F) {
	f.Add("shows", "live", "morning-show", "shows", "live", "Morning_Show")
	f.Add("shows", "live", "", "shows", "", "live")
	f.Add("", "", strings.Repeat("早", 255), "", "", strings.Repeat("早", 254))
	f.Add("a", "b", "-\xff-", "a", "b", "-\xfe-")
	f.Fuzz(func(t *testing.T, domain, app, stream, domain2, app2, stream2 string) {
		identity := [3]string{domain, app, stream}
		name := StreamName(domain, app, stream)
		checkStreamName(t, stream, name)
		others := [][3]string{{domain2, app2, stream2}}
		for _, pair := range splitElsewhere(domain, app) {
			others = append(others, [3]string{pair[0], pair[1], stream})
		}
		for _, pair := range splitElsewhere(app, stream) {
			others = append(others, [3]string{domain, pair[0], pair[1]})
		}
		for _, other := range others {
			if other != identity && StreamName(other[0], other[1], other[2]) == name {
				t.Fatalf("%q and %q share %s", identity, other, name)
			}
		}
	})
}
