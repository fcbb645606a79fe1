// Package callbackpath holds the one place that knows how the path of a push domain's callbacks looks.
package callbackpath

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

const prefix = "/callbacks/"

// Of is the path that the callbacks of the push domain are sent to.
func Of(domain *v1alpha1.PushDomain) string {
	return prefix + domain.Namespace + "/" + domain.Name
}

// Parse is the push domain that a path belongs to; false for a path of any other form.
func Parse(path string) (types.NamespacedName, bool) {
	rest, ours := strings.CutPrefix(path, prefix)
	namespace, name, two := strings.Cut(rest, "/")
	if !ours || !two || namespace == "" || name == "" || strings.Contains(name, "/") {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, true
}
