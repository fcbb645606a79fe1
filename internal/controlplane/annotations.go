package controlplane

// Annotations on a pod by which a test or a demonstration has its fake kubelet play something else than "runs until deleted".
// They may also be put on a running pod. stages.yaml acts on them.
const (
	// AnnotationExitCode is the exit code with which all containers of the pod end; the pod is then Succeeded if it is 0, and
	// Failed otherwise. Containers are not restarted, whatever the pod's restart policy says.
	AnnotationExitCode = "fake.livestream-operator.io/exit-code"

	// AnnotationRunSeconds is how long, in whole seconds, the pod runs before it ends with AnnotationExitCode; it may run up
	// to a second longer. When unset, it ends as soon as it has been seen running.
	AnnotationRunSeconds = "fake.livestream-operator.io/run-seconds"

	// AnnotationImagePull with the value ImagePullFail lets the pod wait with reason ImagePullBackOff. It starts when the
	// annotation is taken away.
	AnnotationImagePull = "fake.livestream-operator.io/image-pull"

	// ImagePullFail is the value of AnnotationImagePull.
	ImagePullFail = "fail"
)
