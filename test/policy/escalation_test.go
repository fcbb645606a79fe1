package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/ffmpeg"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// stop is what stops an attempt to get more through a LiveStream than its author has.
type stop int

const (
	// byPodSecurity: who may create Jobs may write it, and the Pod is refused where the namespace enforces restricted, as that of a
	// Job of their own is.
	byPodSecurity stop = iota + 1
	// byTheJobsRules: the API server refuses the Job.
	byTheJobsRules
	// byRestriction: what the attempt asks for is not in the Pod.
	byRestriction
	// asTheirOwn: the Pod has what a Job of their own would have, from the same namespace, and nothing more.
	asTheirOwn
)

// attempt is a job template that asks for more than it should get. Its parts are laid over a harmless one.
type attempt struct {
	name                                  string
	job, jobMeta, podMeta, pod, container string
	stop                                  stop
	says                                  string
	check                                 func(*testing.T, *batchv1.Job)
}

func (a attempt) workload(t *testing.T) v1alpha1.Workload {
	t.Helper()
	w := jobOf("record", "example.com/worker:1")
	template := &w.Job.Spec.Template
	for _, part := range []struct {
		text string
		into any
	}{{a.job, &w.Job.Spec}, {a.jobMeta, &w.Job.ObjectMeta}, {a.podMeta, &template.ObjectMeta}, {a.pod, &template.Spec}, {a.container, &template.Spec.Containers[0]}} {
		if part.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(part.text), part.into); err != nil {
			t.Fatalf("%s: %v", part.text, err)
		}
	}
	return w
}

const (
	privileged = `violates PodSecurity "restricted:latest"`
	stopNote   = "livestream-operator.io/stop"
)

func attempts() []attempt {
	return []attempt{
		{name: "privileged", container: `{"securityContext":{"privileged":true}}`, stop: byPodSecurity, says: "privileged"},
		{name: "a privileged init container", pod: `{"initContainers":[{"name":"i","image":"i","securityContext":{"privileged":true}}]}`, stop: byPodSecurity, says: "privileged"},
		{name: "root", pod: `{"securityContext":{"runAsUser":0}}`, stop: byPodSecurity, says: "runAsUser=0"},
		{name: "a container that is root", container: `{"securityContext":{"runAsUser":0}}`, stop: byPodSecurity, says: "runAsUser=0"},
		{name: "not non-root", pod: `{"securityContext":{"runAsNonRoot":false}}`, stop: byPodSecurity, says: "runAsNonRoot"},
		{name: "privilege escalation", container: `{"securityContext":{"allowPrivilegeEscalation":true}}`, stop: byPodSecurity, says: "allowPrivilegeEscalation"},
		{name: "SYS_ADMIN", container: `{"securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}}`, stop: byPodSecurity, says: "SYS_ADMIN"},
		{name: "all default capabilities", container: `{"securityContext":{"capabilities":{"drop":["KILL"]}}}`, stop: byPodSecurity, says: "capabilities"},
		{name: "procMount", container: `{"securityContext":{"procMount":"Unmasked"}}`, stop: byTheJobsRules, says: "procMount"},
		{name: "procMount with a user namespace", pod: `{"hostUsers":false}`, container: `{"securityContext":{"procMount":"Unmasked"}}`, stop: byPodSecurity, says: "procMount"},
		{name: "seccomp unconfined", pod: `{"securityContext":{"seccompProfile":{"type":"Unconfined"}}}`, stop: byPodSecurity, says: "seccompProfile"},
		{name: "seccomp unconfined in a container", container: `{"securityContext":{"seccompProfile":{"type":"Unconfined"}}}`, stop: byPodSecurity, says: "seccompProfile"},
		{name: "seccomp by annotation", podMeta: `{"annotations":{"seccomp.security.alpha.kubernetes.io/pod":"unconfined"}}`, stop: byTheJobsRules, says: "seccomp type in annotation and field must match"},
		{name: "AppArmor unconfined", pod: `{"securityContext":{"appArmorProfile":{"type":"Unconfined"}}}`, stop: byPodSecurity, says: "forbidden AppArmor profile"},
		{name: "AppArmor unconfined by annotation", podMeta: `{"annotations":{"container.apparmor.security.beta.kubernetes.io/c":"unconfined"}}`, stop: byPodSecurity, says: "forbidden AppArmor profile"},
		{name: "SELinux type", pod: `{"securityContext":{"seLinuxOptions":{"type":"spc_t"}}}`, stop: byPodSecurity, says: "seLinuxOptions"},
		{name: "sysctls", pod: `{"securityContext":{"sysctls":[{"name":"kernel.msgmax","value":"1"}]}}`, stop: byPodSecurity, says: "forbidden sysctls"},
		{name: "hostPath", pod: `{"volumes":[{"name":"v","hostPath":{"path":"/"}}]}`, stop: byPodSecurity, says: "hostPath"},
		{name: "NFS", pod: `{"volumes":[{"name":"v","nfs":{"server":"10.0.0.1","path":"/"}}]}`, stop: byPodSecurity, says: "restricted volume types"},
		{name: "hostNetwork", pod: `{"hostNetwork":true}`, stop: byPodSecurity, says: "hostNetwork=true"},
		{name: "hostPID", pod: `{"hostPID":true}`, stop: byPodSecurity, says: "hostPID=true"},
		{name: "hostIPC", pod: `{"hostIPC":true}`, stop: byPodSecurity, says: "hostIPC=true"},
		{name: "hostPort", container: `{"ports":[{"containerPort":80,"hostPort":80}]}`, stop: byPodSecurity, says: "hostPort"},
		{name: "a probe of another host", container: `{"livenessProbe":{"httpGet":{"host":"169.254.169.254","port":80}}}`, stop: byPodSecurity, says: "probe or lifecycle host"},
		{name: "a lifecycle hook to another host", container: `{"lifecycle":{"preStop":{"httpGet":{"host":"169.254.169.254","port":80}}}}`, stop: byPodSecurity, says: "probe or lifecycle host"},
		{name: "Windows, where nothing is restricted", pod: `{"os":{"name":"windows"},"securityContext":{"windowsOptions":{"hostProcess":true}},"hostNetwork":true}`, stop: byPodSecurity, says: "hostProcess"},
		{name: "an ephemeral container", pod: `{"ephemeralContainers":[{"name":"debug","image":"i"}]}`, stop: byTheJobsRules, says: "ephemeral containers not allowed"},
		{name: "a subPath out of the volume", pod: `{"volumes":[{"name":"v","emptyDir":{}}]}`, container: `{"volumeMounts":[{"name":"v","mountPath":"/v","subPath":"../../etc"}]}`, stop: byTheJobsRules, says: "must not contain '..'"},
		{name: "a subPathExpr out of the volume", pod: `{"volumes":[{"name":"v","emptyDir":{}}]}`, container: `{"volumeMounts":[{"name":"v","mountPath":"/v","subPathExpr":"../$(LIVESTREAM_STREAM)"}]}`, stop: byTheJobsRules, says: "must not contain '..'"},
		{name: "a projected path out of the volume", pod: `{"volumes":[{"name":"v","secret":{"secretName":"css","items":[{"key":"k","path":"../k"}]}}]}`, stop: byTheJobsRules, says: "must not contain '..'"},
		{name: "a Secret of another namespace, which is looked for in this one", pod: `{"volumes":[{"name":"v","secret":{"secretName":"kube-system/admin"}}]}`, stop: asTheirOwn},
		{name: "a priority class that there is not", pod: `{"priorityClassName":"most-important"}`, stop: byPodSecurity, says: `no PriorityClass with name most-important`},
		{name: "a priority number", pod: `{"priority":2000001000}`, stop: byPodSecurity, says: "the integer value of priority"},
		{name: "a runtime class that there is not", pod: `{"runtimeClassName":"trusted"}`, stop: byPodSecurity, says: `RuntimeClass "trusted" not found`},
		{name: "no token unless asked", stop: byRestriction, check: func(t *testing.T, job *batchv1.Job) {
			t.Helper()
			if mounts := job.Spec.Template.Spec.AutomountServiceAccountToken; mounts == nil || *mounts {
				t.Error("the token is mounted")
			}
		}},
		{name: "the token is asked for", pod: `{"automountServiceAccountToken":true}`, stop: asTheirOwn},
		{name: "a service account", pod: `{"serviceAccountName":"admin"}`, stop: asTheirOwn},
		{name: "the operator's service account is looked for here, not there", pod: `{"serviceAccountName":"livestream-reconciler"}`, stop: asTheirOwn},
		{name: "a projected token", pod: `{"serviceAccountName":"default","volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"audience":"vault","path":"t"}}]}}]}`, stop: asTheirOwn},
		{name: "a Secret volume", pod: `{"volumes":[{"name":"v","secret":{"secretName":"css"}}]}`, stop: asTheirOwn},
		{name: "a ConfigMap volume", pod: `{"volumes":[{"name":"v","configMap":{"name":"settings"}}]}`, stop: asTheirOwn},
		{name: "a Secret as environment", container: `{"envFrom":[{"secretRef":{"name":"css"}}]}`, stop: asTheirOwn},
		{name: "a key as environment", container: `{"env":[{"name":"K","valueFrom":{"secretKeyRef":{"name":"css","key":"callbackKey"}}}]}`, stop: asTheirOwn},
		{name: "pull secrets", pod: `{"imagePullSecrets":[{"name":"css"}]}`, stop: asTheirOwn},
		{name: "a node", pod: `{"nodeName":"control-plane-1"}`, stop: asTheirOwn},
		{name: "tolerations", pod: `{"tolerations":[{"operator":"Exists"}]}`, stop: asTheirOwn},
		{name: "a scheduler", pod: `{"schedulerName":"mine"}`, stop: asTheirOwn},
		{name: "a lifecycle hook", container: `{"lifecycle":{"postStart":{"exec":{"command":["sh"]}}}}`, stop: asTheirOwn},
		{name: "a sidecar", pod: `{"initContainers":[{"name":"s","image":"i","restartPolicy":"Always"}]}`, stop: asTheirOwn},
		{name: "shared processes", pod: `{"shareProcessNamespace":true}`, stop: asTheirOwn},
		{name: "another command", container: `{"command":["sh","-c","id"]}`, stop: asTheirOwn},
		{name: "a claim", pod: `{"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"others"}}]}`, stop: asTheirOwn},
		{name: "variables of ours", container: `{"env":[{"name":"LIVESTREAM_PLAYBACK_URL","value":"file:///etc/passwd"}]}`, stop: asTheirOwn},
		{name: "another namespace and name", jobMeta: `{"namespace":"kube-system","name":"coredns"}`, podMeta: `{"namespace":"kube-system","name":"coredns"}`, stop: byRestriction, check: func(t *testing.T, job *batchv1.Job) {
			t.Helper()
			if job.Namespace == "kube-system" || job.Name == "coredns" {
				t.Errorf("the Job is %s/%s", job.Namespace, job.Name)
			}
		}},
		{name: "owner references", jobMeta: `{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"u","controller":true}]}`, stop: byRestriction, check: func(t *testing.T, job *batchv1.Job) {
			t.Helper()
			if len(job.OwnerReferences) != 1 || job.OwnerReferences[0].Kind != "LiveStream" {
				t.Errorf("the owners are %v", job.OwnerReferences)
			}
		}},
		{name: "finalizers of the Job", jobMeta: `{"finalizers":["example.com/never"]}`, stop: byRestriction, check: func(t *testing.T, job *batchv1.Job) {
			t.Helper()
			if len(job.Finalizers) > 0 {
				t.Errorf("the finalizers are %v", job.Finalizers)
			}
		}},
		{name: "labels and annotations of ours", jobMeta: `{"labels":{"livestream-operator.io/run":"AfterEnd","livestream-operator.io/stop-by":"Signal","livestream-operator.io/livestream":"other","app.kubernetes.io/managed-by":"x"},"annotations":{"` + stopNote + `":"x"}}`,
			podMeta: `{"labels":{"livestream-operator.io/stop-by":"Signal"},"annotations":{"` + stopNote + `":"x"}}`, stop: byRestriction, check: func(t *testing.T, job *batchv1.Job) {
				t.Helper()
				runs := workload.Runs([]batchv1.Job{*job}, nil)
				if len(runs) != 1 || runs[0].AfterEnd || runs[0].Signals || job.Labels[v1alpha1.LabelLiveStream] != "show" || job.Annotations[stopNote]+job.Spec.Template.Annotations[stopNote] != "" {
					t.Errorf("the Job is read as %+v", runs)
				}
			}},
		{name: "labels of the Job controller", podMeta: `{"labels":{"batch.kubernetes.io/controller-uid":"another","batch.kubernetes.io/job-name":"another"}}`, stop: byTheJobsRules, says: "controller-uid"},
		{name: "a selector for the Pods of others", job: `{"manualSelector":true,"selector":{"matchLabels":{"app":"api"}}}`, podMeta: `{"labels":{"app":"api"}}`, stop: byRestriction, check: func(t *testing.T, job *batchv1.Job) {
			t.Helper()
			if job.Spec.ManualSelector != nil || job.Spec.Selector != nil {
				t.Errorf("the selector is %v", job.Spec.Selector)
			}
		}},
		{name: "a thousand Pods", job: `{"parallelism":1000,"completions":1000}`, stop: byRestriction, check: func(t *testing.T, job *batchv1.Job) {
			t.Helper()
			if *job.Spec.Parallelism != 1 || *job.Spec.Completions != 1 {
				t.Errorf("%d Pods at once, %d in all", *job.Spec.Parallelism, *job.Spec.Completions)
			}
		}},
		{name: "another controller's Job", job: `{"managedBy":"example.com/mine"}`, stop: asTheirOwn},
	}
}

// tenant may edit LiveStreams in a namespace that enforces the restricted profile.
func newTenant(t *testing.T) *user {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if err := env.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	u := impersonate(t, "user-of-"+namespace.Name, namespace.Name)
	u.grant(namespace.Name, rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"livestreams", "pushdomains"}, Verbs: []string{"create", "get", "patch", "update"},
	})
	u.enforce()
	return u
}

func TestNobodyGetsMoreThroughALiveStreamThanTheyHave(t *testing.T) {
	without, with := newTenant(t), newTenant(t)
	with.mayCreateJobs(with.namespace)
	with.grant(with.namespace, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
	if all := len(attempts()); all < 50 {
		t.Fatalf("there are %d attempts only", all)
	}
	for _, a := range attempts() {
		t.Run(a.name, func(t *testing.T) {
			w := a.workload(t)
			without.isRefused(without.Create(t.Context(), without.stream(w), client.DryRunAll), recordRefused)
			stream := with.stream(w)
			if err := with.Create(t.Context(), stream, client.DryRunAll); err != nil {
				t.Fatalf("who may create Jobs may write it into a LiveStream: %v", err)
			}
			stream.UID = "6f1c9d52-0000-4000-8000-000000000001"
			a.stopped(t, stream)
		})
	}
}

// stopped makes the Job as the operator does, and a Pod of it as the Job controller does.
func (a attempt) stopped(t *testing.T, stream *v1alpha1.LiveStream) {
	t.Helper()
	asked := stream.Spec.Workloads[0]
	job := workload.Job(stream, asked, workload.Broadcast{ID: "abcdefghij", StartTime: time.Unix(1767225600, 0), PlaybackURL: "https://play.example.com/live/show.flv"}, 1)
	made := job.DeepCopy()
	err := env.Client.Create(t.Context(), made, client.DryRunAll)
	if a.stop == byTheJobsRules {
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), a.says) {
			t.Errorf("the Job is answered with %v, want a refusal with %q", err, a.says)
		}
		return
	}
	if err != nil {
		t.Fatalf("the Job is refused: %v", err)
	}
	pod := &corev1.Pod{ObjectMeta: *made.Spec.Template.ObjectMeta.DeepCopy(), Spec: *made.Spec.Template.Spec.DeepCopy()}
	pod.Name, pod.Namespace = made.Name+"-x", made.Namespace
	err = env.Client.Create(t.Context(), pod, client.DryRunAll)
	switch a.stop {
	case byPodSecurity:
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), a.says) {
			t.Errorf("the Pod is answered with %v, want a refusal with %q", err, a.says)
		}
	case byRestriction:
		if err != nil {
			t.Errorf("the Pod is refused: %v", err)
		}
		a.check(t, job)
	case asTheirOwn:
		if err != nil {
			t.Errorf("the Pod is refused: %v", err)
		}
		if diff := gocmp.Diff(asked.Job.Spec.Template.Spec, withoutOurs(asked.Job.Spec.Template.Spec, job.Spec.Template.Spec)); diff != "" {
			t.Errorf("the Pod differs from that of a Job of their own in more than what restricts and informs it:\n%s", diff)
		}
	}
}

// withoutOurs takes from a Pod what the operator adds to every one: the profile and the variables.
func withoutOurs(asked, pod corev1.PodSpec) corev1.PodSpec {
	pod = *pod.DeepCopy()
	pod.SecurityContext, pod.RestartPolicy = asked.SecurityContext, asked.RestartPolicy
	if asked.AutomountServiceAccountToken == nil && pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken {
		pod.AutomountServiceAccountToken = nil
	}
	for _, containers := range [][2][]corev1.Container{{asked.InitContainers, pod.InitContainers}, {asked.Containers, pod.Containers}} {
		for i := range containers[1] {
			theirs, c := containers[0][i], &containers[1][i]
			c.SecurityContext, c.TerminationMessagePolicy = theirs.SecurityContext, theirs.TerminationMessagePolicy
			c.Env = c.Env[len(c.Env)-len(theirs.Env):]
			if len(c.Env) == 0 {
				c.Env = nil
			}
		}
	}
	return pod
}

// setting is a field of a LiveStream or a PushDomain that leads somewhere; it is refused by everybody's API server.
func TestNoFieldLeadsOutOfWhereItBelongs(t *testing.T) {
	u := newTenant(t)
	u.mayCreateJobs(u.namespace)
	u.mayScale(u.namespace, "apps", "deployments")
	const storage = `{"spec":{"recording":{"storage":{"s3":{"bucket":"b","endpoint":%q,"credentialsSecretRef":{"name":"c"}},"prefix":%q}}}}`
	const target = `{"spec":{"workloads":[{"name":"p","scale":{"apiVersion":%q,"kind":%q,"name":%q}}]}}`
	bucket := func(endpoint, prefix string) string { return fmt.Sprintf(storage, endpoint, prefix) }
	scales := func(apiVersion, kind, name string) string { return fmt.Sprintf(target, apiVersion, kind, name) }
	for _, row := range []struct{ name, kind, patch, says string }{
		{"a prefix that climbs", "LiveStream", bucket("s3.example.com", "../other"), "prefix must be names"},
		{"a prefix that climbs further in", "LiveStream", bucket("s3.example.com", "a/../../b"), "prefix must be names"},
		{"a prefix from the root", "LiveStream", bucket("s3.example.com", "/etc"), "prefix must be names"},
		{"a prefix with a blank", "LiveStream", bucket("s3.example.com", "a b"), "prefix must be names"},
		{"an endpoint with credentials", "LiveStream", bucket("https://user:password@s3.example.com", "a"), "endpoint must be a host"},
		{"an endpoint with a path", "LiveStream", bucket("https://s3.example.com/admin", "a"), "endpoint must be a host"},
		{"an endpoint with a query", "LiveStream", bucket("https://s3.example.com?x=1", "a"), "endpoint must be a host"},
		{"an endpoint that is a file", "LiveStream", bucket("file:///etc", "a"), "endpoint must be a host"},
		{"a bucket with a path", "LiveStream", `{"spec":{"recording":{"storage":{"s3":{"bucket":"../b","endpoint":"e","credentialsSecretRef":{"name":"c"}}}}}}`, "bucket must be"},
		{"a push to a path", "LiveStream", `{"spec":{"transcoding":{"renditions":[{"name":"a","height":360,"videoBitrateKbps":800}],"output":{"push":{"domain":"a/../b"}}}}}`, "domain must be a host"},
		{"a push with credentials", "LiveStream", `{"spec":{"transcoding":{"renditions":[{"name":"a","height":360,"videoBitrateKbps":800}],"output":{"push":{"domain":"u:p@b"}}}}}`, "domain must be a host"},
		{"a push to another app by path", "LiveStream", `{"spec":{"transcoding":{"renditions":[{"name":"a","height":360,"videoBitrateKbps":800}],"output":{"push":{"domain":"b","appName":"../x"}}}}}`, "appName must be"},
		{"a GPU that is another resource", "LiveStream", `{"spec":{"transcoding":{"gpu":{"resourceName":"cpu"},"renditions":[{"name":"a","height":360,"videoBitrateKbps":800}],"output":{"push":{"domain":"b"}}}}}`, "resourceName must be"},
		{"a kind that is a path", "LiveStream", scales("apps/v1", "Deployment/../secrets", "x"), "kind must be a kind"},
		{"a group that is a path", "LiveStream", scales("apps/../../v1", "Deployment", "x"), "apiVersion must be"},
		{"a target that is a Secret", "LiveStream", scales("v1", "Secret", "css"), "needs the right to update secrets/scale"},
		{"a target that is a node", "LiveStream", scales("v1", "Node", "n"), "needs the right to update nodes/scale"},
		{"a target that is a role", "LiveStream", scales("rbac.authorization.k8s.io/v1", "ClusterRole", "admin"), "needs the right to update clusterroles/scale"},
		{"a million replicas", "LiveStream", `{"spec":{"workloads":[{"name":"p","scale":{"apiVersion":"apps/v1","kind":"Deployment","name":"x","replicasWhileLive":1000000}}]}}`, "less than or equal to 10000"},
		{"an API endpoint with a path", "PushDomain", `{"spec":{"api":{"credentialsSecretRef":{"name":"c"},"endpoint":"live.tencentcloudapi.com/x"}}}`, "endpoint must be a host"},
		{"an API endpoint with credentials", "PushDomain", `{"spec":{"api":{"credentialsSecretRef":{"name":"c"},"endpoint":"https://u:p@live.tencentcloudapi.com"}}}`, "endpoint must be a host"},
		{"a playback domain with credentials", "PushDomain", `{"spec":{"playback":{"domain":"u:p@play.example.com"}}}`, "domain must be a host"},
		{"a playback domain with a path", "PushDomain", `{"spec":{"playback":{"domain":"play.example.com/x"}}}`, "domain must be a host"},
		{"a playback scheme that is a file", "PushDomain", `{"spec":{"playback":{"domain":"play.example.com","scheme":"file"}}}`, "Unsupported value"},
		{"a template with a recording out of its bucket", "PushDomain", strings.Replace(strings.Replace(bucket("s3.example.com", "../x"), `{"spec":`, `{"spec":{"template":{"spec":`, 1), `}}}}`, `}}}}}}`, 1), "prefix must be names"},
		{"a template with a Secret to scale", "PushDomain", `{"spec":{"template":{"spec":{"workloads":[{"name":"p","scale":{"apiVersion":"v1","kind":"Secret","name":"css"}}]}}}}`, "needs the right to update secrets/scale"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var object client.Object = written(t, named(u.stream(), "s-"))
			if row.kind == "PushDomain" {
				object = written(t, named(u.domain(), "d-"))
			}
			err := u.Patch(t.Context(), object, merge(row.patch), client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("the answer is %v, want a refusal with %q", err, row.says)
			}
		})
	}
}

func named[T client.Object](object T, prefix string) T {
	object.SetName("")
	object.SetGenerateName(prefix)
	return object
}

// A stream may be called almost anything; none of it becomes an option of ffmpeg, another protocol, or another host.
func TestStreamNamesStayNames(t *testing.T) {
	u := newTenant(t)
	for _, name := range []string{"-i", "-protocol_whitelist", "file:", "concat:a|b", "..", "$(LIVESTREAM_NAME)", "`id`", ";id", "@evil.example.com", "a#b", "%2e%2e%2f", "\\", "a&txTime=0"} {
		stream := u.stream()
		stream.Spec.StreamName, stream.Spec.AppName = name, name
		if err := u.Create(t.Context(), stream, client.DryRunAll); err != nil {
			// Refused is as good.
			continue
		}
		address := tencent.PlaybackURL(v1alpha1.Playback{Domain: "play.example.com"}, name, name, "key", time.Unix(1767225600, 0))
		arguments, err := ffmpeg.PullParts(address, "/spool/%07d.ts", time.Second)
		if err != nil {
			continue
		}
		i := slices.Index(arguments, "-i")
		if !strings.HasPrefix(arguments[i+1], "https://play.example.com/") || slices.Contains(arguments[i+2:], name) {
			t.Errorf("%q becomes %q", name, arguments)
		}
	}
	for _, name := range []string{"../x", "a/b", "a?b", "a b", "a\nb", "ä", ""} {
		stream := u.stream()
		stream.Spec.StreamName = name
		if err := u.Create(t.Context(), stream, client.DryRunAll); !apierrors.IsInvalid(err) {
			t.Errorf("the stream %q is answered with %v", name, err)
		}
	}
}
