package workload

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestRestrictFillsWhatTheTemplateLeavesOpen(t *testing.T) {
	t.Parallel()
	runtimeDefault := &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	restricted := func() *corev1.PodSecurityContext {
		return &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: runtimeDefault}
	}
	closed := func() *corev1.SecurityContext {
		return &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	}
	containers := func(s *corev1.SecurityContext) []corev1.Container {
		return []corev1.Container{{Name: "main", SecurityContext: s}}
	}
	profile := &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
	net := &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}, Drop: []corev1.Capability{"NET_RAW"}}
	for _, row := range []struct {
		name        string
		given, want corev1.PodSpec
	}{
		{
			"a template that is silent gets the restricted profile",
			corev1.PodSpec{InitContainers: containers(nil), Containers: containers(nil)},
			corev1.PodSpec{SecurityContext: restricted(), AutomountServiceAccountToken: new(false), InitContainers: containers(closed()), Containers: containers(closed())},
		},
		{
			"a template that says all of it stays",
			corev1.PodSpec{
				SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(false), SeccompProfile: profile}, AutomountServiceAccountToken: new(true),
				Containers: containers(&corev1.SecurityContext{AllowPrivilegeEscalation: new(true), Capabilities: net}),
			},
			corev1.PodSpec{
				SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(false), SeccompProfile: profile}, AutomountServiceAccountToken: new(true),
				Containers: containers(&corev1.SecurityContext{AllowPrivilegeEscalation: new(true), Capabilities: net}),
			},
		},
		{
			"a Pod that runs as root is not told that it must not",
			corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsUser: new(int64(0))}, Containers: containers(nil)},
			corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsUser: new(int64(0)), SeccompProfile: runtimeDefault}, AutomountServiceAccountToken: new(false), Containers: containers(closed())},
		},
		{
			"a Pod that runs as somebody else must not be root",
			corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsUser: new(int64(1000)), FSGroup: new(int64(7))}, Containers: containers(nil)},
			corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsUser: new(int64(1000)), FSGroup: new(int64(7)), RunAsNonRoot: new(true), SeccompProfile: runtimeDefault}, AutomountServiceAccountToken: new(false), Containers: containers(closed())},
		},
		{
			"a privileged container stays as it is, and the others do not",
			corev1.PodSpec{InitContainers: containers(&corev1.SecurityContext{Privileged: new(true)}), Containers: containers(&corev1.SecurityContext{Privileged: new(false), RunAsUser: new(int64(5))})},
			corev1.PodSpec{
				SecurityContext: restricted(), AutomountServiceAccountToken: new(false), InitContainers: containers(&corev1.SecurityContext{Privileged: new(true)}),
				Containers: containers(&corev1.SecurityContext{Privileged: new(false), RunAsUser: new(int64(5)), AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}),
			},
		},
		{
			"who names a service account wants its token",
			corev1.PodSpec{ServiceAccountName: "uploader", Containers: containers(nil)},
			corev1.PodSpec{ServiceAccountName: "uploader", SecurityContext: restricted(), Containers: containers(closed())},
		},
		{
			"who names a service account and wants no token gets none",
			corev1.PodSpec{ServiceAccountName: "uploader", AutomountServiceAccountToken: new(false), Containers: containers(nil)},
			corev1.PodSpec{ServiceAccountName: "uploader", AutomountServiceAccountToken: new(false), SecurityContext: restricted(), Containers: containers(closed())},
		},
		{
			"a capability that is added is the only one",
			corev1.PodSpec{Containers: containers(&corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}}})},
			corev1.PodSpec{SecurityContext: restricted(), AutomountServiceAccountToken: new(false), Containers: containers(&corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}, Drop: []corev1.Capability{"ALL"}},
			})},
		},
		{
			"a container that is root by its own word starts",
			corev1.PodSpec{Containers: containers(&corev1.SecurityContext{RunAsUser: new(int64(0))})},
			corev1.PodSpec{SecurityContext: restricted(), AutomountServiceAccountToken: new(false), Containers: containers(&corev1.SecurityContext{
				RunAsUser: new(int64(0)), RunAsNonRoot: new(false), AllowPrivilegeEscalation: new(false), Capabilities: closed().Capabilities,
			})},
		},
		{
			"the old name of serviceAccountName wants its token as well",
			corev1.PodSpec{DeprecatedServiceAccount: "uploader", Containers: containers(nil)},
			corev1.PodSpec{DeprecatedServiceAccount: "uploader", SecurityContext: restricted(), Containers: containers(closed())},
		},
		{
			"Windows knows nothing of it",
			corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}, Containers: containers(nil)},
			corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}, Containers: containers(nil)},
		},
		{
			"Linux does",
			corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Linux}, Containers: containers(nil)},
			corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Linux}, SecurityContext: restricted(), AutomountServiceAccountToken: new(false), Containers: containers(closed())},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := row.given.DeepCopy()
			restrict(got)
			if diff := gocmp.Diff(&row.want, got); diff != "" {
				t.Error(diff)
			}
			restrict(got)
			if diff := gocmp.Diff(&row.want, got); diff != "" {
				t.Errorf("twice is not once: %s", diff)
			}
		})
	}
}
