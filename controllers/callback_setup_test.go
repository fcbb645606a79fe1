package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

const hooks = "https://hooks.example.com"

func setsUp(d *v1alpha1.PushDomain) { d.Spec.API.CallbackSetup.BaseURL = hooks }

// setUpWrites are the calls that change something at CSS.
func setUpWrites(css *csstest.Server) int {
	return css.Calls(csstest.CreateTemplate) + css.Calls(csstest.ModifyTemplate) + css.Calls(csstest.CreateRule)
}

func (b *bench) wantSetUp(status metav1.ConditionStatus, reason string) string {
	b.t.Helper()
	return wantCondition(b.t, b.domain().Status.Conditions, v1alpha1.ConditionCallbackSetUp, status, reason).Message
}

func TestCallbacksAreSetUpAtCSSOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(setsUp, func(d *v1alpha1.PushDomain) { d.Spec.API.CallbackSetup.AppNames = []string{"live", "vip"} })
	b.wantSetUp(metav1.ConditionTrue, v1alpha1.ReasonSetUp)
	templates := css.Templates()
	if len(templates) != 1 {
		t.Fatalf("templates = %+v, want one", templates)
	}
	url := hooks + fmt.Sprintf("/callbacks/%s/shows", b.namespace)
	want := csstest.Template{
		TemplateID: templates[0].TemplateID, TemplateName: templates[0].TemplateName, Description: templates[0].Description,
		StreamBeginNotifyURL: url, StreamEndNotifyURL: url, CallbackKey: "test",
	}
	if diff := gocmp.Diff(want, templates[0]); diff != "" || len(want.TemplateName) > 30 {
		t.Errorf("template mismatch (-want +got):\n%s", diff)
	}
	bound := map[string]int64{}
	for _, r := range css.Rules() {
		bound[r.DomainName+"/"+r.AppName] = r.TemplateID
	}
	if diff := gocmp.Diff(map[string]int64{host + "/live": want.TemplateID, host + "/vip": want.TemplateID}, bound); diff != "" {
		t.Errorf("rules mismatch (-want +got):\n%s", diff)
	}
	before := b.domain()
	if before.Status.CallbackTemplateID != want.TemplateID {
		t.Errorf("callbackTemplateID = %d, want %d", before.Status.CallbackTemplateID, want.TemplateID)
	}
	calls := css.AllCalls()
	b.pass(keysEvery)
	b.reconcileDomain()
	if css.AllCalls() != calls {
		t.Error("CSS was asked again at once")
	}
	for range 3 {
		b.pass(setupEvery)
		b.reconcileDomain()
	}
	if writes := setUpWrites(css); writes != 3 || css.Calls(csstest.ListTemplates) != 4 {
		t.Errorf("%d writes in %d looks, want 3 (a template, two rules) in 4", writes, css.Calls(csstest.ListTemplates))
	}
	if after := b.domain(); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("a look that found all well wrote the status:\n%s", gocmp.Diff(before.Status, after.Status))
	}
}

func TestAKeyThatIsRotatedReachesTheTemplate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(setsUp)
	edit(b, "css", &corev1.Secret{}, func(s *corev1.Secret) { s.Data["callbackKey"] = []byte("rotated") })
	b.pass(setupEvery)
	b.reconcileDomain()
	b.wantSetUp(metav1.ConditionTrue, v1alpha1.ReasonSetUp)
	if templates := css.Templates(); len(templates) != 1 || templates[0].CallbackKey != "rotated" || css.Calls(csstest.ModifyTemplate) != 1 {
		t.Errorf("templates = %+v after %d changes, want the new key", templates, css.Calls(csstest.ModifyTemplate))
	}
	b.pass(setupEvery)
	b.reconcileDomain()
	if calls := css.Calls(csstest.ModifyTemplate); calls != 1 {
		t.Errorf("%d changes, want 1", calls)
	}
}

func TestAnEditOfTheBaseURLReachesTheTemplateAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(setsUp)
	edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) { d.Spec.API.CallbackSetup.BaseURL = "https://other.example.com" })
	b.reconcileDomain()
	if templates := css.Templates(); !strings.HasPrefix(templates[0].StreamBeginNotifyURL, "https://other.example.com/") {
		t.Errorf("templates = %+v", templates)
	}
}

func TestATemplateThatSomebodyChangedIsShownAndLeftAlone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*csstest.Template){
		"its URL":         func(t *csstest.Template) { t.StreamEndNotifyURL = "https://theirs.example.com" },
		"its key":         func(t *csstest.Template) { t.CallbackKey = "theirs" },
		"its description": func(t *csstest.Template) { t.Description = "ours now" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			css := b.css(setsUp)
			theirs := css.Templates()[0]
			original := theirs
			change(&theirs)
			css.PutTemplate(theirs)
			// Neither a rotated key nor another look may undo what somebody did by hand.
			for range 2 {
				b.pass(setupEvery)
				b.reconcileDomain()
				message := b.wantSetUp(metav1.ConditionFalse, v1alpha1.ReasonDrifted)
				if !strings.Contains(message, fmt.Sprint(theirs.TemplateID)) || strings.Contains(message, "theirs\"") {
					t.Errorf("CallbackSetUp says %q, want the template's ID", message)
				}
				edit(b, "css", &corev1.Secret{}, func(s *corev1.Secret) { s.Data["callbackKey"] = []byte("rotated") })
			}
			if diff := gocmp.Diff([]csstest.Template{theirs}, css.Templates()); diff != "" || css.Calls(csstest.ModifyTemplate) != 0 {
				t.Errorf("templates mismatch (-want +got):\n%s", diff)
			}
			wantCondition(t, b.domain().Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
			css.PutTemplate(original)
			b.pass(setupRetry)
			b.reconcileDomain()
			b.wantSetUp(metav1.ConditionTrue, v1alpha1.ReasonSetUp)
		})
	}
}

// What the operator does not set is the user's.
func TestOtherURLsOfTheTemplateAreTheUsers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(setsUp)
	template := css.Templates()[0]
	template.RecordNotifyURL = "https://records.example.com"
	css.PutTemplate(template)
	edit(b, "css", &corev1.Secret{}, func(s *corev1.Secret) { s.Data["callbackKey"] = []byte("rotated") })
	b.pass(setupEvery)
	b.reconcileDomain()
	b.wantSetUp(metav1.ConditionTrue, v1alpha1.ReasonSetUp)
	if got := css.Templates()[0]; got.RecordNotifyURL != template.RecordNotifyURL || got.CallbackKey != "rotated" {
		t.Errorf("template = %+v", got)
	}
}

func TestARuleThatSomebodyElseMadeIsShownAndLeftAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	theirs := css.PutTemplate(csstest.Template{TemplateName: "theirs", StreamBeginNotifyURL: "https://theirs.example.com"})
	css.PutRule(csstest.Rule{TemplateID: theirs, DomainName: strings.ToUpper(host), AppName: "live"})
	rules, template := css.Rules(), css.Templates()[0]
	edit(b, "shows", &v1alpha1.PushDomain{}, setsUp)
	b.reconcileDomain()
	message := b.wantSetUp(metav1.ConditionFalse, v1alpha1.ReasonRuleTaken)
	if !strings.Contains(message, fmt.Sprintf("template %d", theirs)) || !strings.Contains(message, "unbind it") {
		t.Errorf("CallbackSetUp says %q", message)
	}
	if diff := gocmp.Diff(rules, css.Rules()); diff != "" || css.Templates()[0] != template || css.Calls(csstest.CreateRule) != 0 {
		t.Errorf("rules mismatch (-want +got):\n%s", diff)
	}
}

func TestNothingIsSetUpUnlessAskedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	for range 3 {
		b.pass(setupEvery)
		b.poll()
		b.reconcileDomain()
	}
	if writes := setUpWrites(css); writes != 0 || css.Calls(csstest.ListTemplates) != 0 || css.Calls(csstest.ListRules) != 0 {
		t.Errorf("%d writes, %d and %d lists, want none", writes, css.Calls(csstest.ListTemplates), css.Calls(csstest.ListRules))
	}
	edit(b, "shows", &v1alpha1.PushDomain{}, setsUp)
	b.reconcileDomain()
	b.wantSetUp(metav1.ConditionTrue, v1alpha1.ReasonSetUp)
	edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) { d.Spec.API.CallbackSetup = v1alpha1.CallbackSetup{} })
	b.reconcileDomain()
	if meta.FindStatusCondition(b.domain().Status.Conditions, v1alpha1.ConditionCallbackSetUp) != nil || len(css.Rules()) != 1 {
		t.Errorf("conditions = %+v, rules = %+v, want the condition gone and CSS left as it is", b.domain().Status.Conditions, css.Rules())
	}
}

func TestASetUpThatFailsSaysWhyAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, action, reason string
		how                  csstest.Failure
	}{
		{"a right is lacking", csstest.CreateTemplate, v1alpha1.ReasonCredentialsRefused, csstest.Unauthorized},
		{"too often", csstest.CreateRule, v1alpha1.ReasonRateLimited, csstest.RateLimited},
		{"an error", csstest.CreateRule, v1alpha1.ReasonAPIFailed, csstest.InternalError},
		{"HTTP 500", csstest.ListRules, v1alpha1.ReasonAPIFailed, csstest.InternalServerError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			css := b.css()
			css.Fail(tc.action, csstest.Always, tc.how)
			edit(b, "shows", &v1alpha1.PushDomain{}, setsUp)
			b.reconcileDomain()
			b.wantSetUp(metav1.ConditionFalse, tc.reason)
			css.Recover(tc.action)
			b.pass(setupRetry - time.Second)
			b.reconcileDomain()
			b.wantSetUp(metav1.ConditionFalse, tc.reason)
			b.pass(time.Second)
			b.reconcileDomain()
			b.wantSetUp(metav1.ConditionTrue, v1alpha1.ReasonSetUp)
			if len(css.Templates()) != 1 || len(css.Rules()) != 1 {
				t.Errorf("%d templates, %d rules, want 1 each", len(css.Templates()), len(css.Rules()))
			}
		})
	}
}

func TestASecretPathIsSetUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	edit(b, "css", &corev1.Secret{}, func(s *corev1.Secret) { s.Data["pathToken"] = []byte("unguessable") })
	b.pass(time.Minute)
	edit(b, "shows", &v1alpha1.PushDomain{}, func(d *v1alpha1.PushDomain) {
		setsUp(d)
		d.Spec.Callback.PathTokenSecretRef = v1alpha1.SecretKeyReference{Name: "css", Key: "pathToken"}
	})
	b.reconcileDomain()
	if want, got := hooks+b.domain().Status.CallbackPath, css.Templates()[0].StreamBeginNotifyURL; got != want || strings.Count(got, "/") != 6 {
		t.Errorf("URL = %q, want %q with its digest", got, want)
	}
}
