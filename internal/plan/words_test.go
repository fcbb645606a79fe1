package plan

import (
	"strings"
	"testing"
)

func TestTextsAreAlikeWhereOnlyWordsWithDigitsDifferAlsoWhereTheyAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("the webhook does not like this container ", 10)
	for _, tc := range []struct {
		name, a, b string
		want       bool
	}{
		{"the same", "refused", "refused", true},
		{"another identifier", "request 0a1: refused", "request 7fff: refused", true},
		{"another word", "refused", "forbidden", false},
		{"more words", "refused", "refused again", false},
		{"the same words in another order", "0/9 nodes: 3 lack cpu, 6 tainted.", "0/9 nodes: 2 tainted, 7 lack cpu.", true},
		{"cut within a word, and another one", long + "contai...", long + "7ms cont...", true},
		{"cut within an identifier", long + "0a1...", long + "ab...", true},
		{"cut, after other words", long + "contai...", "forbidden: " + long + "cont...", false},
		{"cut, and nothing else", "...", "...", true},
	} {
		if got := alike(tc.a, tc.b); got != tc.want {
			t.Errorf("%s: alike() = %v, want %v", tc.name, got, tc.want)
		}
	}
}
