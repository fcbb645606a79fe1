package callbackpath

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// FuzzPath: a path leads to one push domain, and no other path with the same token leads there.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/callbacks/studio/shows", "/callbacks/studio/shows/0123", "/callbacks//shows", "/callbacks/a/../b", "/callbacks/a/b/c/d", "callbacks/a/b", "/callbacks/a/b/"} {
		f.Add(path, "token")
		f.Add(path, "")
	}
	f.Fuzz(func(t *testing.T, path, token string) {
		p, ours := Parse(path)
		if !ours {
			return
		}
		domain := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Namespace: p.PushDomain.Namespace, Name: p.PushDomain.Name}}
		if right := Of(domain, token); p.Fits(token) != (path == right) {
			t.Errorf("%q fits the token %q: %t; its path is %q", path, token, p.Fits(token), right)
		}
		if strings.Contains(p.PushDomain.Namespace+p.PushDomain.Name+p.Digest, "/") || p.PushDomain.Namespace == "" || p.PushDomain.Name == "" {
			t.Errorf("%q is %+v", path, p)
		}
	})
}
