package controllers

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
)

// The answer holds the keys of all templates of the account.
func TestACallbackKeyDoesNotReachACondition(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	css.Fail(csstest.ListTemplates, csstest.Always, csstest.Failure{Body: `{"Response":{"Templates":[{"TemplateId":1,"CallbackKey":"NobodyMaySee"`})
	edit(b, "shows", &v1alpha1.PushDomain{}, setsUp)
	b.reconcileDomain()
	if message := b.wantSetUp(metav1.ConditionFalse, v1alpha1.ReasonAPIFailed); strings.Contains(message, "NobodyMaySee") {
		t.Errorf("CallbackSetUp says %q", message)
	}
}

// Its path is the same, and so is what stands in the template.
func TestAPushDomainThatIsMadeAnewTakesItsTemplateBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css(setsUp)
	api := b.domain().Spec.API
	b.delete(newDomain())
	again := newDomain()
	again.Spec.API = api
	b.create(again)
	b.reconcileDomain()
	b.wantSetUp(metav1.ConditionTrue, v1alpha1.ReasonSetUp)
	if templates := css.Templates(); len(templates) != 1 {
		t.Errorf("%d templates, want the one that was there", len(templates))
	}
}

// The look at CSS is kept for minutes; what it found must not be lost with the write that it came with.
func TestTheIDOfTheTemplateSurvivesAConflict(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	css := b.css()
	edit(b, "shows", &v1alpha1.PushDomain{}, setsUp)
	var conflicts atomic.Int32
	b.domains.Client = liveReader{interceptor.NewClient(env.Client, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if conflicts.Add(1) == 1 {
				return apierrors.NewConflict(schema.GroupResource{Resource: "pushdomains"}, o.GetName(), nil)
			}
			return c.SubResource(name).Patch(ctx, o, p, opts...)
		},
	})}
	if _, err := b.domains.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(b.domain())}); err != nil {
		t.Fatal(err)
	}
	b.pass(conflictRetry)
	b.reconcileDomain()
	b.wantSetUp(metav1.ConditionTrue, v1alpha1.ReasonSetUp)
	if got, want := b.domain().Status.CallbackTemplateID, css.Templates()[0].TemplateID; got != want {
		t.Errorf("callbackTemplateID = %d, want %d", got, want)
	}
}
