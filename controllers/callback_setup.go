package controllers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
)

const (
	// setupEvery is how often a callback that is set up is compared with CSS, setupRetry one that is not.
	setupEvery = 10 * time.Minute
	setupRetry = time.Minute
	// templatePrefix begins the names of the templates that the operator makes. CSS's console takes 30 characters.
	templatePrefix = "livestream-"
	// descriptionMark stands in a template's description, before the digest of what the operator wrote into the template. CSS takes letters, digits, _
	// and - there (document 267/30815).
	descriptionMark = "made-by-livestream-operator-do-not-edit-"
)

// CallbackSetup makes callback templates and rules at CSS. It writes a template only when it is made, or when it is as the operator
// left it and the spec has changed since; what somebody else made or changed it shows and leaves alone.
type CallbackSetup struct {
	Poller  *OnlinePoller
	Secrets *secrets.Reader
	Clock   clock.PassiveClock

	mu     sync.Mutex
	looked map[types.UID]look
}

type look struct {
	generation int64
	path       string
	at         time.Time
	template   int64
	condition  metav1.Condition
}

// Look compares what CSS has with the spec, at most every few minutes, and mends what it may. The domain's
// status.callbackTemplateID is set. It returns false while nothing can be said.
func (s *CallbackSetup) Look(ctx context.Context, domain *v1alpha1.PushDomain) (metav1.Condition, bool) {
	now := s.Clock.Now()
	s.mu.Lock()
	last, there := s.looked[domain.UID]
	s.mu.Unlock()
	wait := setupRetry
	if last.condition.Status == metav1.ConditionTrue {
		wait = setupEvery
	}
	if there && last.generation == domain.Generation && last.path == domain.Status.CallbackPath && now.Sub(last.at) < wait {
		// The status that told it may not have been written.
		domain.Status.CallbackTemplateID = cmp.Or(last.template, domain.Status.CallbackTemplateID)
		return last.condition, true
	}
	if domain.Status.CallbackPath == "" {
		return metav1.Condition{}, false
	}
	condition := metav1.Condition{Type: v1alpha1.ConditionCallbackSetUp, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSetUp, Message: "CSS sends its callbacks here"}
	if err := s.setUp(ctx, domain); err != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, setupReason(err), bounded(err.Error())
	}
	// The words of an answer differ each time, and each change would be a write.
	if there && last.generation == domain.Generation && last.condition.Reason == condition.Reason {
		condition.Message = last.condition.Message
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid, l := range s.looked {
		if now.Sub(l.at) > 2*setupEvery {
			delete(s.looked, uid)
		}
	}
	if s.looked == nil {
		s.looked = map[types.UID]look{}
	}
	s.looked[domain.UID] = look{domain.Generation, domain.Status.CallbackPath, now, domain.Status.CallbackTemplateID, condition}
	return condition, true
}

var (
	errRuleTaken = errors.New("the callback rule is somebody else's")
	errDrifted   = errors.New("the callback template was changed at CSS")
)

func setupReason(err error) string {
	switch {
	case errors.Is(err, errRuleTaken):
		return v1alpha1.ReasonRuleTaken
	case errors.Is(err, errDrifted):
		return v1alpha1.ReasonDrifted
	case errors.Is(err, secrets.ErrUnavailable):
		return v1alpha1.ReasonCredentialsUnavailable
	case errors.Is(err, errEndpoint):
		return v1alpha1.ReasonEndpointNotAllowed
	case errors.Is(err, cssapi.ErrAuth):
		return v1alpha1.ReasonCredentialsRefused
	case errors.Is(err, cssapi.ErrRateLimited):
		return v1alpha1.ReasonRateLimited
	default:
		return v1alpha1.ReasonAPIFailed
	}
}

func (s *CallbackSetup) setUp(ctx context.Context, domain *v1alpha1.PushDomain) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	want, err := s.wanted(ctx, domain)
	if err != nil {
		return err
	}
	api, err := s.Poller.client(ctx, domain, s.Secrets.Get)
	if err != nil {
		return err
	}
	id, err := bringTemplate(ctx, api, want, domain.Status.CallbackTemplateID)
	if err != nil {
		return err
	}
	domain.Status.CallbackTemplateID = id
	return bringRules(ctx, api, domain, id)
}

// wanted is the template as the spec asks for it.
func (s *CallbackSetup) wanted(ctx context.Context, domain *v1alpha1.PushDomain) (cssapi.Template, error) {
	url := domain.Spec.API.CallbackSetup.BaseURL + domain.Status.CallbackPath
	// The same for a PushDomain that is made anew, another one for one of the same name elsewhere.
	name := sha256.Sum256([]byte(strings.Join([]string{domain.Namespace, domain.Name, domain.Spec.Domain, domain.Spec.API.CallbackSetup.BaseURL}, "\n")))
	t := cssapi.Template{
		Name:                 templatePrefix + hex.EncodeToString(name[:8]),
		StreamBeginNotifyURL: url, StreamEndNotifyURL: url,
	}
	if refs := domain.Spec.Callback.KeySecretRefs; domain.Spec.Callback.ChecksSignatures() && len(refs) > 0 {
		key, err := s.Secrets.Get(ctx, domain.Namespace, refs[0])
		if err != nil {
			return t, fmt.Errorf("reading the callback key: %w", err)
		}
		t.CallbackKey = key
	}
	t.Description = descriptionMark + written(t)
	return t, nil
}

// written is a digest of what the operator writes into a template. It stands in the template's description, and tells whether
// somebody changed the rest since.
func written(t cssapi.Template) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{t.Name, t.StreamBeginNotifyURL, t.StreamEndNotifyURL, t.CallbackKey}, "\n")))
	return hex.EncodeToString(sum[:8])
}

// bringTemplate returns the ID of the operator's template, made or changed where it has to be.
func bringTemplate(ctx context.Context, api *cssapi.Client, want cssapi.Template, known int64) (int64, error) {
	templates, err := api.Templates(ctx)
	if err != nil {
		return 0, fmt.Errorf("listing the callback templates of CSS: %w", err)
	}
	i := slices.IndexFunc(templates, func(t cssapi.Template) bool {
		return t.Name == want.Name || t.ID == known && strings.HasPrefix(t.Description, descriptionMark)
	})
	if i < 0 {
		id, err := api.CreateTemplate(ctx, want)
		if err != nil {
			return 0, fmt.Errorf("making the callback template %q at CSS: %w", want.Name, err)
		}
		ctrl.LoggerFrom(ctx).Info("Made callback template at CSS", "template", id)
		return id, nil
	}
	have := templates[i]
	want.ID = have.ID
	digest, ours := strings.CutPrefix(have.Description, descriptionMark)
	switch {
	case have == want:
		return have.ID, nil
	case !ours || digest != written(have):
		return 0, fmt.Errorf("%w: template %d (%s) is not as the operator left it: start URL %s, end URL %s; put it back or delete it with its rule at CSS, and it is made anew",
			errDrifted, have.ID, have.Name, have.StreamBeginNotifyURL, have.StreamEndNotifyURL)
	}
	if err := api.ModifyTemplate(ctx, want); err != nil {
		return 0, fmt.Errorf("changing the callback template %d at CSS: %w", have.ID, err)
	}
	ctrl.LoggerFrom(ctx).Info("Changed callback template at CSS", "template", have.ID)
	return have.ID, nil
}

// bringRules binds the template to the applications of the push domain that have no rule.
func bringRules(ctx context.Context, api *cssapi.Client, domain *v1alpha1.PushDomain, template int64) error {
	rules, err := api.Rules(ctx)
	if err != nil {
		return fmt.Errorf("listing the callback rules of CSS: %w", err)
	}
	for _, app := range domain.Spec.API.CallbackSetup.Apps() {
		i := slices.IndexFunc(rules, func(r cssapi.Rule) bool { return strings.EqualFold(r.Domain, domain.Spec.Domain) && r.App == app })
		if i >= 0 && rules[i].TemplateID == template {
			continue
		}
		if i >= 0 {
			return fmt.Errorf("%w: domain %s, app %s is bound to template %d, which the operator did not make; unbind it at CSS, or remove spec.api.callbackSetup",
				errRuleTaken, domain.Spec.Domain, app, rules[i].TemplateID)
		}
		if err := api.CreateRule(ctx, cssapi.Rule{TemplateID: template, Domain: domain.Spec.Domain, App: app}); err != nil {
			return fmt.Errorf("binding template %d to domain %s, app %s: %w", template, domain.Spec.Domain, app, err)
		}
		ctrl.LoggerFrom(ctx).Info("Bound callback template at CSS", "template", template, "app", app)
	}
	return nil
}
