package workload

import (
	corev1 "k8s.io/api/core/v1"
)

// restrict fills what the template leaves open with Kubernetes' restricted Pod Security profile, so that a workload runs in a
// namespace that enforces it and can do no more than it asks for. What the template says stays.
// Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (v1.37).
func restrict(pod *corev1.PodSpec) {
	if pod.OS != nil && pod.OS.Name == corev1.Windows {
		// None of it exists there, and the API server refuses it.
		return
	}
	if pod.SecurityContext == nil {
		pod.SecurityContext = &corev1.PodSecurityContext{}
	}
	all := pod.SecurityContext
	if all.RunAsNonRoot == nil && (all.RunAsUser == nil || *all.RunAsUser != 0) {
		all.RunAsNonRoot = new(true)
	}
	if all.SeccompProfile == nil {
		all.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	// Who names a service account wants its token.
	if pod.AutomountServiceAccountToken == nil && pod.ServiceAccountName == "" && pod.DeprecatedServiceAccount == "" {
		pod.AutomountServiceAccountToken = new(false)
	}
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			restrictContainer(&containers[i])
		}
	}
}

func restrictContainer(container *corev1.Container) {
	if container.SecurityContext == nil {
		container.SecurityContext = &corev1.SecurityContext{}
	}
	own := container.SecurityContext
	if own.Privileged != nil && *own.Privileged {
		// The API server refuses privileged together with what follows.
		return
	}
	// It is root by the template's own word; what the pod says would keep it from starting.
	if own.RunAsNonRoot == nil && own.RunAsUser != nil && *own.RunAsUser == 0 {
		own.RunAsNonRoot = new(false)
	}
	if own.AllowPrivilegeEscalation == nil {
		own.AllowPrivilegeEscalation = new(false)
	}
	if own.Capabilities == nil {
		own.Capabilities = &corev1.Capabilities{}
	}
	if own.Capabilities.Drop == nil {
		own.Capabilities.Drop = []corev1.Capability{"ALL"}
	}
}
