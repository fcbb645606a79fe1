// Package policy tests what the API server lets users write: config/policy with users who have some rights and lack others, and
// the samples.
package policy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/testenv"
)

const patience = 30 * time.Second

var env testenv.Env

func TestMain(m *testing.M) { os.Exit(testenv.Run(m, &env)) }

// eventually polls; the API server takes up rights and policies a moment after it stored them.
func eventually(ctx context.Context, condition func(context.Context) (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, condition)
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := controlplane.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// objects reads the documents of a YAML file.
func objects(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found = append(found, object)
	}
}

// user is somebody who may edit LiveStreams and PushDomains in one namespace, and has no other right until one is granted.
type user struct {
	t         *testing.T
	name      string
	namespace string
	client.Client
}

// newUser makes a namespace with a user in it, with the policy in force.
func newUser(t *testing.T) *user {
	t.Helper()
	namespace := env.Namespace(t)
	u := impersonate(t, "user-of-"+namespace, namespace)
	u.grant(namespace, rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"livestreams", "pushdomains"},
		Verbs: []string{"create", "get", "patch", "update"},
	})
	u.enforce()
	return u
}

func impersonate(t *testing.T, name, namespace string) *user {
	t.Helper()
	config := rest.CopyConfig(env.Config)
	config.Impersonate.UserName = name
	as, err := client.New(config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &user{t: t, name: name, namespace: namespace, Client: as}
}

// grant gives the user rights in a namespace and waits until they count.
func (u *user) grant(namespace string, rule rbacv1.PolicyRule) {
	u.t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "r-", Namespace: namespace}, Rules: []rbacv1.PolicyRule{rule}}
	if err := env.Client.Create(u.t.Context(), role); err != nil {
		u.t.Fatalf("creating a role: %v", err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "r-", Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: u.name}},
	}
	if err := env.Client.Create(u.t.Context(), binding); err != nil {
		u.t.Fatalf("binding a role: %v", err)
	}
	resource, subresource, _ := strings.Cut(rule.Resources[0], "/")
	attributes := authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: resource, Subresource: subresource,
	}
	if len(rule.ResourceNames) > 0 {
		attributes.Name = rule.ResourceNames[0]
	}
	err := eventually(u.t.Context(), func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: u.name, ResourceAttributes: &attributes}}
		err := env.Client.Create(ctx, review)
		return review.Status.Allowed, err
	})
	if err != nil {
		u.t.Fatalf("waiting for the right to %+v: %v", attributes, err)
	}
}

func (u *user) mayCreateJobs(namespace string) {
	u.t.Helper()
	u.grant(namespace, rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create"}})
}

func (u *user) mayScale(namespace, group, resource string, names ...string) {
	u.t.Helper()
	u.grant(namespace, rbacv1.PolicyRule{
		APIGroups: []string{group}, Resources: []string{resource + "/scale"}, Verbs: []string{"update"}, ResourceNames: names,
	})
}

var installed struct {
	sync.Once
	done bool
}

// enforce installs the policy once, and waits until it refuses what this user, who has no right yet, must not write.
func (u *user) enforce() {
	u.t.Helper()
	installed.Do(func() {
		for _, object := range objects(u.t, filepath.Join(root(u.t), "config", "policy", "workload_rights.yaml")) {
			if err := env.Client.Create(u.t.Context(), object); err != nil {
				u.t.Fatalf("creating the policy: %v", err)
			}
		}
		installed.done = true
	})
	if !installed.done {
		u.t.Fatal("the policy could not be created; see the first test")
	}
	var last error
	err := eventually(u.t.Context(), func(ctx context.Context) (bool, error) {
		last = u.Create(ctx, u.stream(job("probe")), client.DryRunAll)
		return refusal(last) != "", nil
	})
	if err != nil {
		u.t.Fatalf("the policy does not come into force: %v", last)
	}
}

// refusal is what the policy says, or nothing when it was not the policy that refused.
func refusal(err error) string {
	const before = "ValidatingAdmissionPolicy 'livestream-workload-rights' with binding 'livestream-workload-rights' denied request: "
	if !apierrors.IsForbidden(err) {
		return ""
	}
	_, message, _ := strings.Cut(err.Error(), before)
	return message
}

func (u *user) isRefused(err error, want string) {
	u.t.Helper()
	want = strings.ReplaceAll(want, "NAMESPACE", u.namespace)
	if got := refusal(err); got != want {
		u.t.Errorf("the answer is %v; want the refusal\n%s", err, want)
	}
}

func (u *user) passes(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Errorf("the user is refused: %v", err)
	}
}

func (u *user) stream(workloads ...v1alpha1.Workload) *v1alpha1.LiveStream {
	return &v1alpha1.LiveStream{
		ObjectMeta: metav1.ObjectMeta{Name: "show", Namespace: u.namespace},
		Spec: v1alpha1.LiveStreamSpec{
			PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: "show",
			LiveStreamSettings: v1alpha1.LiveStreamSettings{Workloads: workloads},
		},
	}
}

func (u *user) domain(workloads ...v1alpha1.Workload) *v1alpha1.PushDomain {
	return &v1alpha1.PushDomain{
		ObjectMeta: metav1.ObjectMeta{Name: "shows", Namespace: u.namespace},
		Spec: v1alpha1.PushDomainSpec{
			Provider: v1alpha1.ProviderTencentCSS, Domain: "push.example.com",
			Callback: v1alpha1.Callback{Authentication: v1alpha1.CallbackAuthenticationNone},
			Template: v1alpha1.LiveStreamTemplate{Spec: v1alpha1.LiveStreamSettings{Workloads: workloads}},
		},
	}
}

// written is an object that an administrator, who has every right, wrote.
func written[T client.Object](t *testing.T, object T) T {
	t.Helper()
	if err := env.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("creating as the administrator: %v", err)
	}
	return object
}

func job(name string) v1alpha1.Workload { return jobOf(name, "example.com/worker:1") }

func jobOf(name, image string, arguments ...string) v1alpha1.Workload {
	return v1alpha1.Workload{Name: name, Job: &batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image, Args: arguments}}}},
	}}}
}

func scale(name, apiVersion, kind, target string) v1alpha1.Workload {
	return v1alpha1.Workload{Name: name, Scale: v1alpha1.WorkloadScale{APIVersion: apiVersion, Kind: kind, Name: target}}
}

func packager() v1alpha1.Workload { return scale("packager", "apps/v1", "Deployment", "packager") }

const (
	packagerRefused = `workload "packager" scales deployments/packager: that needs the right to update deployments/scale in namespace NAMESPACE`
	recordRefused   = `workload "record" has a job: that needs the right to create jobs in namespace NAMESPACE`
)
