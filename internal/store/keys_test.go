package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestNamesBecomeSafeKeysAndStayDifferent(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("播", 85)
	names := []string{
		"show", "Show", "a/b", "a=2fb", "..", ".", "...", "a.", "a", "a=2e", "a b", "a+b", "ünïcode", "a\nb", "%2e", "=", "", "=3d", "-", "_x", "a.ts", "\x00", "\xff",
		strings.Repeat("a", 200), strings.Repeat("a", 201), strings.Repeat("a", 255), strings.Repeat("a", 254) + "b", strings.Repeat("a", 134), strings.Repeat(".", 255),
		long, long + "送", long[:len(long)-1], CleanKey(long), strings.Repeat("a", 134) + fmt.Sprintf("=-%x", sha256.Sum256([]byte(strings.Repeat("a", 201)))),
		"e\u0301", "\u00e9", sidePrefix + "x", partialPrefix,
	}
	safe := regexp.MustCompile(`^[A-Za-z0-9_=-]([A-Za-z0-9._=-]*[A-Za-z0-9_=-])?$`)
	seen := map[string]string{}
	for _, name := range names {
		key := CleanKey(name)
		if other, taken := seen[key]; taken {
			t.Errorf("%q and %q are both %q", name, other, key)
		}
		seen[key] = name
		if !safe.MatchString(key) || len(key) > longestClean {
			t.Errorf("%q becomes %q", name, key)
		}
		if err := checkKey(Join(name, name) + "/20260102T200000Z-abc/parts/000001.ts"); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestKeysCanBeRead(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"show-1_2.live": "show-1_2.live",
		"../Über":       "=2e.=2f=c3=9cber",
		"a.":            "a=2e",
		"":              "=",
		strings.Repeat("é", 100): strings.Repeat("=c3=a9", 22) + "=-" +
			fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Repeat("é", 100)))),
	} {
		if got := CleanKey(name); got != want {
			t.Errorf("CleanKey(%q) = %q, want %q", name, got, want)
		}
	}
	if got := Join("live", "a/b", "parts"); got != "live/a=2fb/parts" {
		t.Errorf("Join = %q", got)
	}
}

// FuzzCleanKey looks for two names that become one, and for those that are no keys.
func FuzzCleanKey(f *testing.F) {
	f.Add("show", "Show")
	f.Add(strings.Repeat("a", 201), strings.Repeat("a", 202))
	f.Add("=-", "-")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a != b && CleanKey(a) == CleanKey(b) {
			t.Errorf("%q and %q are both %q", a, b, CleanKey(a))
		}
		if err := checkKey(CleanKey(a)); err != nil {
			t.Error(err)
		}
	})
}

func TestKeysThatNotEveryStoreCanKeepAreRefused(t *testing.T) {
	t.Parallel()
	for key, valid := range map[string]bool{
		"a": true, "a/b.c/ü d": true, "a/.b": true, strings.Repeat("a", longestName): true,
		"": false, ".": false, "..": false, "../a": false, "a/../b": false, "a/./b": false, "/a": false, "a/": false, "a//b": false,
		"a\nb": false, "a\x00": false, "\xff": false, "a/" + strings.Repeat("b", longestName+1): false, strings.Repeat("a/", 512) + "a": false,
		"a/" + sidePrefix + "b": false, partialPrefix + "b/c": false,
	} {
		if err := checkKey(key); (err == nil) != valid || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("checkKey(%q) = %v", key, err)
		}
	}
}
