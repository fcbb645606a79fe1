package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/callbackpath"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
)

// +kubebuilder:rbac:groups=livestream-operator.io,resources=livestreams,verbs=get;list;watch
// +kubebuilder:rbac:groups=livestream-operator.io,resources=livestreams/status,verbs=patch
// +kubebuilder:rbac:groups=livestream-operator.io,resources=pushdomains,verbs=get;list;watch
// +kubebuilder:rbac:groups=livestream-operator.io,resources=pushdomains/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get

// Handler receives callbacks.
type Handler struct {
	// Cache finds push domains.
	Cache   client.Reader
	Secrets *secrets.Reader
	Store   *Store
	Domains *DomainStatus
	Clock   clock.PassiveClock

	inFlight chan struct{}
	// busy bounds how often it is logged that there are too many.
	busy *rate.Limiter
}

// NewHandler returns a handler that works on at most maxInFlight callbacks at once.
func NewHandler(cache client.Reader, secrets *secrets.Reader, store *Store, domains *DomainStatus, clock clock.PassiveClock) *Handler {
	return &Handler{Cache: cache, Secrets: secrets, Store: store, Domains: domains, Clock: clock, inFlight: make(chan struct{}, maxInFlight), busy: rate.NewLimiter(rate.Every(time.Second), 1)}
}

// ServeHTTP answers 200 only after the event is stored, or when there is nothing to store.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := h.Clock.Now()
	result, err := h.receive(w, r)
	status := http.StatusOK
	if err != nil {
		status, result = statusOf(err)
	}
	// Counted first: who has the answer may look at the count.
	count(result, h.Clock.Since(began))
	if err == nil {
		accept(w)
		return
	}
	h.complain(status, err)
	refuse(w, status, public(err))
}

// complain logs why a callback was not taken. Those that are too many at once are told once a second: each line would cost more than its
// callback.
func (h *Handler) complain(status int, err error) {
	log := ctrl.Log.WithName("receiver")
	switch {
	case errors.Is(err, push.ErrTooManyLive):
		if h.busy.Allow() {
			log.Info("Refused the start of a push, as so many pushes of the stream are live that interruptions must have been lost", "most", push.MaxLive)
		}
	case errors.Is(err, errTooManyAtOnce):
		if h.busy.Allow() {
			log.Info("Refused callbacks, as too many come at once; livestream_callbacks_total counts them")
		}
	case errors.Is(err, errNoRoom):
		if h.busy.Allow() {
			log.Info("Refused events of streams that have no LiveStream, as the PushDomain remembers no more of them; livestream_callbacks_total counts them")
		}
	case status == http.StatusServiceUnavailable:
		log.Error(err, "Could not take callback")
	default:
		log.V(1).Info("Refused callback", "status", status, "reason", err.Error())
	}
}

// public is the error without what only the operator's own log should tell.
func public(err error) error {
	for _, limit := range []error{errTooManyAtOnce, errNoRoom, push.ErrTooManyLive} {
		if errors.Is(err, limit) {
			return limit
		}
	}
	for _, known := range []error{errStore, errKeys} {
		if errors.Is(err, known) {
			return known
		}
	}
	if status, _ := statusOf(err); status == http.StatusServiceUnavailable {
		return errStore
	}
	return err
}

// receive returns how metrics name the result of a callback that needs no resending.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request) (string, error) {
	// From here on, so that who sends its body slowly has less time to wait.
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	domain, err := h.find(ctx, r.URL.Path)
	if err != nil {
		return "", err
	}
	if r.Method != http.MethodPost {
		return "", errMethod
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		if isTooLarge(err) {
			return "", err
		}
		return "", errUnreadable
	}
	// Only whole callbacks take a place: slow senders cannot keep others out.
	select {
	case h.inFlight <- struct{}{}:
		defer func() { <-h.inFlight }()
	default:
		return "", errTooManyAtOnce
	}
	callback, err := h.authenticate(ctx, domain, body)
	var told seen
	if verified := callback.Event != nil; domain.Spec.Callback.ChecksSignatures() && (verified || errors.Is(err, provider.ErrUnauthenticated) || errors.Is(err, provider.ErrExpired)) {
		told.verified = &verified
	}
	defer func() { h.Domains.Saw(domain, told) }()
	if err != nil {
		return "", err
	}
	if callback.Event == nil {
		return callback.Kind, nil
	}
	recorded, err := h.record(ctx, domain, *callback.Event)
	if err != nil {
		return "", err
	}
	told.changed = recorded.Outcome.Changed()
	return recorded.result(), nil
}

func (h *Handler) find(ctx context.Context, at string) (*v1alpha1.PushDomain, error) {
	path, ours := callbackpath.Parse(at)
	if !ours {
		return nil, errNoSuchPath
	}
	domain := &v1alpha1.PushDomain{}
	if err := h.Cache.Get(ctx, path.PushDomain, domain); apierrors.IsNotFound(err) {
		return nil, errNoSuchPath
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	return domain, h.checkPath(ctx, domain, path)
}

// checkPath answers a wrong token as it answers a path that does not exist.
func (h *Handler) checkPath(ctx context.Context, domain *v1alpha1.PushDomain, path callbackpath.Path) error {
	if !domain.Spec.Callback.SecretPath() {
		if !path.Fits("") {
			return errNoSuchPath
		}
		return nil
	}
	var unavailable error
	for _, read := range []readKey{h.Secrets.Get, h.Secrets.Refresh} {
		token, err := read(ctx, domain.Namespace, domain.Spec.Callback.PathTokenSecretRef)
		switch {
		case err == nil && path.Fits(token):
			return nil
		case err != nil && !errors.Is(err, secrets.ErrUnavailable):
			return fmt.Errorf("%w: %w", errKeys, err)
		}
		// It may be there by now.
		unavailable = err
	}
	if unavailable != nil {
		return fmt.Errorf("%w: %w", errKeys, unavailable)
	}
	return errNoSuchPath
}

// authenticate tries the keys that are kept, and if none fits those that the Secrets hold now.
func (h *Handler) authenticate(ctx context.Context, domain *v1alpha1.PushDomain, body []byte) (provider.Callback, error) {
	parser, known := parsers[domain.Spec.Provider]
	if !known {
		return provider.Callback{}, fmt.Errorf("no parser for provider %q", domain.Spec.Provider)
	}
	auth := provider.Authentication{Required: domain.Spec.Callback.ChecksSignatures(), Skew: domain.Spec.Callback.ClockSkew(), Now: h.Clock.Now()}
	keys, keyErr := h.keys(ctx, domain, h.Secrets.Get)
	auth.Keys = keys
	callback, err := parser.Parse(body, auth)
	if errors.Is(err, provider.ErrUnauthenticated) {
		if auth.Keys, keyErr = h.keys(ctx, domain, h.Secrets.Refresh); !slices.Equal(keys, auth.Keys) {
			callback, err = parser.Parse(body, auth)
		}
	}
	switch {
	case errors.Is(err, provider.ErrUnauthenticated) && keyErr != nil && !errors.Is(keyErr, secrets.ErrUnavailable):
		// One of the keys that could not be read may be the one.
		return provider.Callback{}, fmt.Errorf("%w: %w", errKeys, keyErr)
	case errors.Is(err, provider.ErrUnauthenticated) && len(auth.Keys) == 0 && keyErr != nil:
		err = fmt.Errorf("%w: the push domain has no usable callback key; see the Ready condition of the PushDomain", provider.ErrUnauthenticated)
	}
	return callback, err
}

type readKey func(ctx context.Context, namespace string, ref v1alpha1.SecretKeyReference) (string, error)

// keys are those that can be read; the error is that of one that cannot, the API server's before a missing Secret's.
func (h *Handler) keys(ctx context.Context, domain *v1alpha1.PushDomain, read readKey) (keys []string, err error) {
	for _, ref := range domain.Spec.Callback.KeySecretRefs {
		key, readErr := read(ctx, domain.Namespace, ref)
		switch {
		case readErr == nil:
			keys = append(keys, key)
		case err == nil || errors.Is(err, secrets.ErrUnavailable):
			err = readErr
		}
	}
	return keys, err
}

func (h *Handler) record(ctx context.Context, domain *v1alpha1.PushDomain, event provider.Event) (Recorded, error) {
	// Without its length the long s would be an s, and the Kelvin sign a k.
	if len(event.Domain) != len(domain.Spec.Domain) || !strings.EqualFold(event.Domain, domain.Spec.Domain) {
		return Recorded{}, errOtherDomain
	}
	if domain.Spec.AppID != 0 && event.AppID != 0 && event.AppID != domain.Spec.AppID {
		return Recorded{}, errOtherAppID
	}
	recorded, err := h.Store.Record(ctx, domain, event)
	if err != nil {
		return Recorded{}, fmt.Errorf("%w: %w", errStore, err)
	}
	observeLag(event, h.Clock.Now())
	if recorded.Outcome.Changed() {
		ctrl.Log.WithName("receiver").Info("Recorded push event", "event", event.Kind.String(), "outcome", recorded.Outcome.String(),
			"LiveStream", types.NamespacedName{Namespace: domain.Namespace, Name: recorded.Stream}, "sequence", event.Sequence)
	}
	return recorded, nil
}
