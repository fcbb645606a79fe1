package hugepages

import "testing"

func TestTheSettingIsTheOneInBrackets(t *testing.T) {
	for settings, want := range map[string]string{
		"always [madvise] never\n": "madvise",
		"[always] madvise never\n": "always",
		"always madvise [never]\n": "never",
		"always [madvise":          "",
		"":                         "",
	} {
		if got := chosen(settings); got != want {
			t.Errorf("%q: %q, want %q", settings, got, want)
		}
	}
}
