// Package secrets reads single keys of Secrets by name, so that the operator needs neither list nor watch on Secrets.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// ErrUnavailable means that the Secret, or the key in it, is not there: only the user can go on.
var ErrUnavailable = errors.New("secret is unavailable")

// Reader reads Secrets and keeps them for a short time.
type Reader struct {
	// Client reads from the API server itself, not from a cache.
	Client client.Reader
	Clock  clock.PassiveClock
	// Keep is how long what was read is used without asking again.
	Keep time.Duration
	// AgainAfter is how soon a Secret may be read again on demand (Refresh).
	AgainAfter time.Duration
	// MaxKept bounds how many Secrets are kept.
	MaxKept int

	mu      sync.Mutex
	kept    map[types.NamespacedName]entry
	reading singleflight.Group
}

// readTimeout bounds one reading, which is for all who ask meanwhile.
const readTimeout = 5 * time.Second

type entry struct {
	data map[string][]byte
	err  error
	at   time.Time
}

// Get is the value of the key, without white space around it. It is not empty. An error wraps ErrUnavailable where the user
// has to act, and is the API server's otherwise.
func (r *Reader) Get(ctx context.Context, namespace string, ref v1alpha1.SecretKeyReference) (string, error) {
	return r.get(ctx, namespace, ref, r.Keep)
}

// Refresh is Get, but reads again unless that was done within AgainAfter: for when what is kept turned out not to fit.
func (r *Reader) Refresh(ctx context.Context, namespace string, ref v1alpha1.SecretKeyReference) (string, error) {
	return r.get(ctx, namespace, ref, r.AgainAfter)
}

func (r *Reader) get(ctx context.Context, namespace string, ref v1alpha1.SecretKeyReference, keep time.Duration) (string, error) {
	if wrong := content.IsPathSegmentName(ref.Name); len(wrong) > 0 {
		// No call can be made of it. It was stored before the API server refused such names.
		return "", fmt.Errorf("%w: no Secret can have the name %q: it %s; correct it", ErrUnavailable, ref.Name, strings.Join(wrong, " and "))
	}
	name := types.NamespacedName{Namespace: namespace, Name: ref.Name}
	e, fresh := r.lookUp(name, keep)
	if !fresh {
		var err error
		if e, err = r.read(ctx, name); err != nil {
			return "", err
		}
	}
	if e.err != nil {
		return "", e.err
	}
	value := strings.TrimSpace(string(e.data[ref.Key]))
	if value == "" {
		return "", fmt.Errorf("%w: Secret %q has no entry %q, or it is empty; add it", ErrUnavailable, ref.Name, ref.Key)
	}
	return value, nil
}

func (r *Reader) lookUp(name types.NamespacedName, keep time.Duration) (entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, there := r.kept[name]
	return e, there && r.Clock.Since(e.at) < keep
}

// read asks the API server, once for all who want to know at a time.
func (r *Reader) read(ctx context.Context, name types.NamespacedName) (entry, error) {
	answer := r.reading.DoChan(name.String(), func() (any, error) {
		// It outlives whoever asked first.
		reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		return r.ask(reading, name)
	})
	select {
	case a := <-answer:
		e, _ := a.Val.(entry)
		return e, a.Err
	case <-ctx.Done():
		return entry{}, fmt.Errorf("reading Secret %q: %w", name.Name, ctx.Err())
	}
}

// ask asks the API server. That a Secret is missing is kept like any other answer; that the server failed is not.
func (r *Reader) ask(ctx context.Context, name types.NamespacedName) (entry, error) {
	var secret corev1.Secret
	e := entry{at: r.Clock.Now()}
	err := r.Client.Get(ctx, name, &secret)
	switch {
	case apierrors.IsNotFound(err):
		e.err = fmt.Errorf("%w: Secret %q does not exist in namespace %q; create it", ErrUnavailable, name.Name, name.Namespace)
	case err != nil:
		return entry{}, fmt.Errorf("reading Secret %q: %w", name.Name, err)
	default:
		e.data = secret.Data
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.kept[name]; r.kept == nil || !there && len(r.kept) >= r.MaxKept {
		// Simple and bounded: what is in use is read again once.
		r.kept = map[types.NamespacedName]entry{}
	}
	r.kept[name] = e
	return e, nil
}
