package policy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// rights is every right that the installation hands out, by role, each with its reason. A right that is not here fails the test: write
// here why it is needed, or take it away.
var rights = map[string]map[string]string{
	// What the Internet reaches.
	"ClusterRole livestream-receiver": {
		"/secrets: get": "callback keys and path tokens, by the names that a PushDomain gives; never list, never watch",
		"livestream-operator.io/livestreams: get":          "an event that lost against another write reads again",
		"livestream-operator.io/livestreams: list":         "the cache that finds the LiveStream of a callback",
		"livestream-operator.io/livestreams: watch":        "the same",
		"livestream-operator.io/livestreams/status: patch": "events",
		"livestream-operator.io/pushdomains: get":          "a write that lost against another reads again",
		"livestream-operator.io/pushdomains: list":         "the cache that finds the PushDomain of a path",
		"livestream-operator.io/pushdomains: watch":        "the same",
		"livestream-operator.io/pushdomains/status: patch": "unclaimed pushes, and that callbacks arrive",
	},
	"ClusterRole livestream-reconciler": {
		"/events: list":                                         "says why a Job has no Pod: quota and admission tell only events",
		"/pods: list":                                           "Pods of our Jobs: ready, exit code, last line of the log",
		"/pods: watch":                                          "the same, at once",
		"/pods: patch":                                          "the annotation that tells a worker to finish",
		"/secrets: get":                                         "playback and API keys, and callback keys to check and set them up at CSS, by the names that a PushDomain gives; never list, never watch",
		"apps/deployments/scale: get":                           "scale workloads read the sum before they write it",
		"apps/deployments/scale: update":                        "scale workloads",
		"apps/replicasets/scale: get":                           "as deployments/scale",
		"apps/replicasets/scale: update":                        "as deployments/scale",
		"apps/statefulsets/scale: get":                          "as deployments/scale",
		"apps/statefulsets/scale: update":                       "as deployments/scale",
		"batch/jobs: create":                                    "the Jobs of workloads",
		"batch/jobs: delete":                                    "the end of a broadcast",
		"batch/jobs: get":                                       "a Job that exists already is looked at before it is taken for ours",
		"batch/jobs: list":                                      "the cache of our Jobs",
		"batch/jobs: watch":                                     "the cache of our Jobs",
		"events.k8s.io/events: create":                          "one event per change of state",
		"events.k8s.io/events: patch":                           "repeated events are counted",
		"livestream-operator.io/livestreams: create":            "unknownStreams: Create",
		"livestream-operator.io/livestreams: delete":            "unknownStreams: Create, when idle for long",
		"livestream-operator.io/livestreams: get":               "before a Job is made or ended the cache's word is checked",
		"livestream-operator.io/livestreams: list":              "the cache",
		"livestream-operator.io/livestreams: patch":             "the finalizer of a LiveStream that scales",
		"livestream-operator.io/livestreams: watch":             "the cache",
		"livestream-operator.io/livestreams/finalizers: update": "an owner reference that blocks, where OwnerReferencesPermissionEnforcement is on",
		"livestream-operator.io/livestreams/status: patch":      "what it reports; claims and repairs of pushes",
		"livestream-operator.io/pushdomains: list":              "the cache",
		"livestream-operator.io/pushdomains: watch":             "the cache",
		"livestream-operator.io/pushdomains/status: patch":      "conditions, counts, unclaimed pushes that go",
	},
	"Role livestream-system/livestream-reconciler": {
		"/events: create":                    "who leads is told by an event of the Lease",
		"coordination.k8s.io/leases: create": "leader election",
		"coordination.k8s.io/leases: get":    "leader election",
		"coordination.k8s.io/leases: update": "leader election",
	},
	// What administrators add to it is theirs.
	"ClusterRole livestream-scaler": {},
	"ClusterRole livestream-editor": everyRight("users of a namespace edit their own; the policy looks at workloads",
		[]string{"livestreams", "pushdomains"}, "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
	"ClusterRole livestream-viewer": everyRight("users of a namespace look at their own; no key is in it", []string{"livestreams", "pushdomains"}, "get", "list", "watch"),
}

func everyRight(reason string, resources []string, verbs ...string) map[string]string {
	all := map[string]string{}
	for _, resource := range resources {
		for _, verb := range verbs {
			all["livestream-operator.io/"+resource+": "+verb] = reason
		}
	}
	return all
}

// kustomized is what kubectl apply -k would apply of a folder of the repository.
func kustomized(t *testing.T, folder ...string) []*unstructured.Unstructured {
	t.Helper()
	return rendered(t, filepath.Join(append([]string{root(t)}, folder...)...))
}

func rendered(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	bin := os.Getenv("KUBEBUILDER_ASSETS")
	if bin == "" {
		bin = controlplane.BinDir(root(t))
	}
	var problems bytes.Buffer
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "kubectl"), "kustomize", folder)
	command.Stderr = &problems
	text, err := command.Output()
	if err != nil {
		t.Fatalf("rendering %s: %v: %s", folder, err, problems.String())
	}
	file := filepath.Join(t.TempDir(), "rendered.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return objects(t, file)
}

func as[T any](t *testing.T, object *unstructured.Unstructured) T {
	t.Helper()
	var typed T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return typed
}

// role is the name of a role and its rules; "" for what is none.
func role(t *testing.T, object *unstructured.Unstructured) (string, []rbacv1.PolicyRule) {
	t.Helper()
	switch object.GetKind() {
	case "ClusterRole":
		return "ClusterRole " + object.GetName(), as[rbacv1.ClusterRole](t, object).Rules
	case "Role":
		return "Role " + object.GetNamespace() + "/" + object.GetName(), as[rbacv1.Role](t, object).Rules
	default:
		return "", nil
	}
}

// each calls f with every single right of a rule.
func each(rule rbacv1.PolicyRule, f func(group, resource, verb string)) {
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				f(group, resource, verb)
			}
		}
	}
}

func TestEveryRightThatIsHandedOutHasAReason(t *testing.T) {
	rendered := map[string]map[string]string{}
	for _, object := range kustomized(t, "config", "default") {
		name, rules := role(t, object)
		if name == "" {
			continue
		}
		rendered[name] = map[string]string{}
		for _, rule := range rules {
			if len(rule.NonResourceURLs) > 0 {
				t.Errorf("%s has the URLs %v", name, rule.NonResourceURLs)
			}
			each(rule, func(group, resource, verb string) {
				right := group + "/" + resource + ": " + verb
				rendered[name][right] = rights[name][right]
			})
		}
	}
	for name, all := range rendered {
		for right, reason := range all {
			if reason == "" {
				t.Errorf("%s has the right %q, which has no reason in this test", name, right)
			}
		}
	}
	if diff := gocmp.Diff(rights, rendered); diff != "" {
		t.Errorf("rights (-reasons here +rendered):\n%s", diff)
	}
}

// dangerous is why nobody may hand out the right, whatever reason is given for it; "" where there is none.
func dangerous(group, resource, verb string) string {
	resource, sub, _ := strings.Cut(resource, "/")
	writes := !slices.Contains([]string{"get", "list", "watch"}, verb)
	switch {
	case strings.Contains(group+resource+sub+verb, "*"):
		return "a wildcard"
	case slices.Contains([]string{"escalate", "bind", "impersonate", "approve", "sign", "use", "proxy"}, verb):
		return "a verb that lends the rights of others"
	case resource == "secrets" && verb != "get":
		return "more of Secrets than those that are named"
	case slices.Contains([]string{"exec", "attach", "portforward", "proxy", "ephemeralcontainers", "token"}, sub):
		return "a way into what others run"
	case writes && (group == rbacv1.GroupName || strings.HasSuffix(group, "registration.k8s.io") || group == "apiextensions.k8s.io" || group == "certificates.k8s.io"):
		return "rights that make rights"
	case writes && slices.Contains([]string{"nodes", "namespaces", "serviceaccounts", "persistentvolumes"}, resource):
		return "a write to what the cluster stands on"
	case group == "" && resource == "pods" && slices.Contains([]string{"create", "update"}, verb):
		return "Pods that are no Job's"
	default:
		return ""
	}
}

func TestNoRightIsDangerous(t *testing.T) {
	for _, folder := range []string{"default", "samples"} {
		for _, object := range kustomized(t, "config", folder) {
			name, rules := role(t, object)
			for _, rule := range rules {
				each(rule, func(group, resource, verb string) {
					if why := dangerous(group, resource, verb); why != "" {
						t.Errorf("%s may %s %s/%s: %s", name, verb, group, resource, why)
					}
				})
			}
		}
	}
}

func TestDangerousRightsAreSeen(t *testing.T) {
	for _, right := range [][3]string{
		{"*", "jobs", "get"}, {"batch", "*", "get"}, {"batch", "jobs", "*"}, {"", "secrets", "list"}, {"", "secrets", "watch"}, {"", "secrets", "update"},
		{rbacv1.GroupName, "clusterroles", "escalate"}, {rbacv1.GroupName, "roles", "bind"}, {"", "users", "impersonate"}, {rbacv1.GroupName, "roles", "create"},
		{rbacv1.GroupName, "clusterrolebindings", "update"}, {"", "pods/exec", "create"}, {"", "pods/exec", "get"}, {"", "pods/attach", "get"}, {"", "serviceaccounts/token", "create"},
		{"", "pods", "create"}, {"", "pods/ephemeralcontainers", "patch"}, {"", "nodes/proxy", "get"}, {"admissionregistration.k8s.io", "validatingadmissionpolicies", "delete"},
	} {
		if dangerous(right[0], right[1], right[2]) == "" {
			t.Errorf("%v is not seen as dangerous", right)
		}
	}
}

// What the Internet reaches can write what it heard into a status, and nothing else.
func TestTheReceiverCanNeitherMakeNorEndNorScaleAnything(t *testing.T) {
	rules := 0
	for _, object := range kustomized(t, "config", "default") {
		name, rulesOf := role(t, object)
		if name != "ClusterRole livestream-receiver" {
			continue
		}
		for _, rule := range rulesOf {
			rules++
			each(rule, func(group, resource, verb string) {
				_, sub, _ := strings.Cut(resource, "/")
				ours := group == "livestream-operator.io"
				switch {
				case slices.Contains([]string{"get", "list", "watch"}, verb) && (ours || resource == "secrets"):
				case verb == "patch" && ours && sub == "status":
				default:
					t.Errorf("the receiver may %s %s/%s", verb, group, resource)
				}
			})
		}
	}
	if rules == 0 {
		t.Error("the receiver has no role: this test looks at nothing")
	}
}

// Each of the two accounts gets what its part may; nobody is bound to more, and no group of users to anything.
func TestOnlyTheOperatorsAccountsAreBound(t *testing.T) {
	var got []string
	for _, object := range kustomized(t, "config", "default") {
		var ref rbacv1.RoleRef
		var subjects []rbacv1.Subject
		switch object.GetKind() {
		case "ClusterRoleBinding":
			binding := as[rbacv1.ClusterRoleBinding](t, object)
			ref, subjects = binding.RoleRef, binding.Subjects
		case "RoleBinding":
			binding := as[rbacv1.RoleBinding](t, object)
			ref, subjects = binding.RoleRef, binding.Subjects
		}
		for _, s := range subjects {
			got = append(got, s.Kind+" "+s.Namespace+"/"+s.Name+" is "+ref.Kind+" "+ref.Name+" by "+object.GetKind())
		}
	}
	slices.Sort(got)
	want := []string{
		"ServiceAccount livestream-system/livestream-receiver is ClusterRole livestream-receiver by ClusterRoleBinding",
		"ServiceAccount livestream-system/livestream-reconciler is ClusterRole livestream-reconciler by ClusterRoleBinding",
		"ServiceAccount livestream-system/livestream-reconciler is ClusterRole livestream-scaler by ClusterRoleBinding",
		"ServiceAccount livestream-system/livestream-reconciler is Role livestream-reconciler by RoleBinding",
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
