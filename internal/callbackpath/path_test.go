package callbackpath

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestPathLeadsBackToItsPushDomain(t *testing.T) {
	t.Parallel()
	for want, name := range map[string]types.NamespacedName{
		"/callbacks/studio/shows":             {Namespace: "studio", Name: "shows"},
		"/callbacks/studio/shows.example.com": {Namespace: "studio", Name: "shows.example.com"},
		"/callbacks/callbacks/callbacks":      {Namespace: "callbacks", Name: "callbacks"},
	} {
		path := Of(&v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}, "")
		if path != want {
			t.Errorf("the path of %s is %s, want %s", name, path, want)
		}
		got, ours := Parse(path)
		if diff := gocmp.Diff(Path{PushDomain: name}, got); diff != "" || !ours {
			t.Errorf("Parse(%q): %v %s", path, ours, diff)
		}
	}
}

func TestOtherPathsLeadNowhere(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"an empty path":                    "",
		"the root":                         "/",
		"the prefix alone":                 "/callbacks/",
		"the prefix without its slash":     "/callbacks",
		"a namespace without a name":       "/callbacks/studio",
		"a namespace with an empty name":   "/callbacks/studio/",
		"a name with an empty namespace":   "/callbacks//shows",
		"a slash after the name":           "/callbacks/studio/shows/",
		"something after the digest":       "/callbacks/studio/shows/more/again",
		"two slashes between the two":      "/callbacks/studio//shows",
		"another prefix":                   "/callback/studio/shows",
		"a prefix in another case":         "/Callbacks/studio/shows",
		"a path that holds ours":           "/x/callbacks/studio/shows",
		"a path that begins without slash": "callbacks/studio/shows",
	} {
		got, ours := Parse(path)
		if ours || got != (Path{}) {
			t.Errorf("%s: Parse(%q) = %v, %v", name, path, got, ours)
		}
	}
}

func TestAPathWithATokenCannotBeGuessedAndSurvivesANewPushDomain(t *testing.T) {
	t.Parallel()
	domain := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Namespace: "studio", Name: "shows", UID: "first"}}
	path := Of(domain, "a token")
	domain.UID = "second"
	if again := Of(domain, "a token"); again != path {
		t.Errorf("the path of a push domain made anew is %s, was %s", again, path)
	}
	parsed, ours := Parse(path)
	if !ours || !parsed.Fits("a token") {
		t.Errorf("%s does not fit its own token", path)
	}
	for name, other := range map[string]string{"another token": "b token", "no token": ""} {
		if parsed.Fits(other) {
			t.Errorf("%s: the path fits", name)
		}
	}
	plain, _ := Parse("/callbacks/studio/shows")
	if plain.Fits("a token") || !plain.Fits("") {
		t.Error("a path without a digest fits a push domain with a token, or not one without")
	}
	elsewhere := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "shows"}}
	if moved, _ := Parse(Of(elsewhere, "a token")); moved.Digest == parsed.Digest {
		t.Error("the digest of one push domain opens another one that shares its token")
	}
}
