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
		path := Of(&v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}})
		if path != want {
			t.Errorf("the path of %s is %s, want %s", name, path, want)
		}
		got, ours := Parse(path)
		if diff := gocmp.Diff(name, got); diff != "" || !ours {
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
		"something after the name":         "/callbacks/studio/shows/more",
		"two slashes between the two":      "/callbacks/studio//shows",
		"another prefix":                   "/callback/studio/shows",
		"a prefix in another case":         "/Callbacks/studio/shows",
		"a path that holds ours":           "/x/callbacks/studio/shows",
		"a path that begins without slash": "callbacks/studio/shows",
	} {
		got, ours := Parse(path)
		if ours || got != (types.NamespacedName{}) {
			t.Errorf("%s: Parse(%q) = %v, %v", name, path, got, ours)
		}
	}
}
