// Package callbackpath holds the one place that knows how the path of a push domain's callbacks looks.
package callbackpath

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

const (
	prefix = "/callbacks/"
	// digestBytes are enough that nobody guesses them: 128 bits.
	digestBytes = 16
)

// Of is the path that the callbacks of the push domain are sent to. With a token it ends in a digest of token, namespace and
// name, so that it cannot be guessed and stays the same when the push domain is made anew.
func Of(domain *v1alpha1.PushDomain, token string) string {
	path := prefix + domain.Namespace + "/" + domain.Name
	if token != "" {
		path += "/" + digest(nameOf(domain), token)
	}
	return path
}

func nameOf(domain *v1alpha1.PushDomain) types.NamespacedName {
	return types.NamespacedName{Namespace: domain.Namespace, Name: domain.Name}
}

func digest(name types.NamespacedName, token string) string {
	mac := hmac.New(sha256.New, []byte(token))
	_, _ = mac.Write([]byte(name.String())) // a hash never fails
	return hex.EncodeToString(mac.Sum(nil)[:digestBytes])
}

// Path is a path of callbacks, taken apart.
type Path struct {
	PushDomain types.NamespacedName
	// Digest is "" in a path without one.
	Digest string
}

// Fits says, in constant time, whether the path is the one that the token makes; "" for a push domain without a token.
func (p Path) Fits(token string) bool {
	if token == "" {
		return p.Digest == ""
	}
	return hmac.Equal([]byte(p.Digest), []byte(digest(p.PushDomain, token)))
}

// Parse takes a path apart; false for one of any other form.
func Parse(path string) (Path, bool) {
	rest, ours := strings.CutPrefix(path, prefix)
	parts := strings.Split(rest, "/")
	if !ours || len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return Path{}, false
	}
	p := Path{PushDomain: types.NamespacedName{Namespace: parts[0], Name: parts[1]}}
	if len(parts) == 3 {
		p.Digest = parts[2]
	}
	return p, true
}
