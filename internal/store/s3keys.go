package store

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// keys are the credentials as they are now.
type keys struct {
	renewed func() (accessKeyID, secretAccessKey, sessionToken string, err error)

	mu sync.Mutex
	// known are those in use and a few before: an answer may still speak of these.
	known []credentials.Value
}

// keysKept is how many are hidden. Files that are read while they are replaced may mix two.
const keysKept = 4

func newKeys(o S3Options) *keys {
	return &keys{renewed: o.Renewed, known: []credentials.Value{{
		AccessKeyID: o.AccessKeyID, SecretAccessKey: o.SecretAccessKey, SessionToken: o.SessionToken, SignerType: credentials.SignatureV4,
	}}}
}

// IsExpired implements credentials.Provider.
func (k *keys) IsExpired() bool { return k.renewed != nil }

// RetrieveWithCredContext implements credentials.Provider.
func (k *keys) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return k.Retrieve()
}

// Retrieve implements credentials.Provider.
func (k *keys) Retrieve() (credentials.Value, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.renewed == nil {
		return k.known[0], nil
	}
	id, secret, token, err := k.renewed()
	if err != nil {
		return credentials.Value{}, fmt.Errorf("renewing the credentials: %w", err)
	}
	if id == "" || secret == "" {
		// The client would send requests unsigned.
		return credentials.Value{}, errors.New("renewing the credentials: access key ID and secret access key have to be set")
	}
	now := credentials.Value{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token, SignerType: credentials.SignatureV4}
	if now != k.known[0] {
		k.known = slices.Insert(k.known, 0, now)
		k.known = k.known[:min(len(k.known), keysKept)]
	}
	return now, nil
}

// hide takes the credentials out of what others say.
func (k *keys) hide(text string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var pairs []string
	for _, v := range k.known {
		for _, secret := range []string{v.SecretAccessKey, v.SessionToken, v.AccessKeyID} {
			if secret != "" {
				pairs = append(pairs, secret, "[hidden]", url.QueryEscape(secret), "[hidden]")
			}
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
