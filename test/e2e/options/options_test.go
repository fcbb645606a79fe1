package options

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTheEnvironmentSaysWhichClusterAndHow(t *testing.T) {
	for name, row := range map[string]struct {
		environment map[string]string
		want        Options
		err         []string
	}{
		"nothing set makes this machine a node": {},
		"archives are loaded": {
			environment: map[string]string{"E2E_KUBECONFIG": "k", "E2E_IMAGE_LOAD": "kind load image-archive"},
			want:        Options{Kubeconfig: "k", ImageLoad: "kind load image-archive"},
		},
		"images were pushed, and all else is said": {
			environment: map[string]string{
				"E2E_KUBECONFIG": "k", "E2E_MANAGER_IMAGE": "m:1", "E2E_WORKER_IMAGE": "w:1", "E2E_HOST_ADDRESS": "192.0.2.7",
				"E2E_CALLBACK_URL": "https://callbacks.example.com/", "E2E_STORAGE_CLASS": "fast", "E2E_MAY_DRAIN": "1",
			},
			want: Options{
				Kubeconfig: "k", ManagerImage: "m:1", WorkerImage: "w:1", HostAddress: "192.0.2.7",
				CallbackURL: "https://callbacks.example.com", StorageClass: "fast", MayDrain: true,
			},
		},
		"one was pushed, the other is loaded": {
			environment: map[string]string{"E2E_KUBECONFIG": "k", "E2E_WORKER_IMAGE": "w:1", "E2E_IMAGE_LOAD": "load"},
			want:        Options{Kubeconfig: "k", WorkerImage: "w:1", ImageLoad: "load"},
		},
		"a name is an address": {
			environment: map[string]string{"E2E_KUBECONFIG": "k", "E2E_IMAGE_LOAD": "load", "E2E_HOST_ADDRESS": "host.docker.internal"},
			want:        Options{Kubeconfig: "k", ImageLoad: "load", HostAddress: "host.docker.internal"},
		},
		"no images": {
			environment: map[string]string{"E2E_KUBECONFIG": "k"},
			err:         []string{"E2E_IMAGE_LOAD", "E2E_MANAGER_IMAGE and E2E_WORKER_IMAGE"},
		},
		"half of the images": {
			environment: map[string]string{"E2E_KUBECONFIG": "k", "E2E_MANAGER_IMAGE": "m:1"},
			err:         []string{"the cluster needs two images"},
		},
		"all that is wrong is told at once": {
			environment: map[string]string{"E2E_KUBECONFIG": "k", "E2E_HOST_ADDRESS": "127.0.0.1", "E2E_CALLBACK_URL": "callbacks.example.com"},
			err:         []string{"E2E_IMAGE_LOAD", "E2E_HOST_ADDRESS=127.0.0.1: to a Pod that is itself", "E2E_CALLBACK_URL=callbacks.example.com"},
		},
		"an address with a port": {
			environment: map[string]string{"E2E_KUBECONFIG": "k", "E2E_IMAGE_LOAD": "load", "E2E_HOST_ADDRESS": "192.0.2.7:80"},
			err:         []string{"without a port"},
		},
		"an address of IPv6": {
			environment: map[string]string{"E2E_KUBECONFIG": "k", "E2E_IMAGE_LOAD": "load", "E2E_HOST_ADDRESS": "2001:db8::1"},
			err:         []string{"IPv4"},
		},
		"a drain that is neither allowed nor not": {
			environment: map[string]string{"E2E_KUBECONFIG": "k", "E2E_IMAGE_LOAD": "load", "E2E_MAY_DRAIN": "please"},
			err:         []string{"E2E_MAY_DRAIN=please"},
		},
		"a forgotten kubeconfig makes no node of this machine": {
			environment: map[string]string{"E2E_IMAGE_LOAD": "kind load image-archive"},
			err:         []string{"E2E_IMAGE_LOAD", "E2E_KUBECONFIG does not say which"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := From(func(name string) string { return row.environment[name] })
			expect(t, err, row.err)
			if diff := gocmp.Diff(row.want, got); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// expect has an error that says all of it, and none where nothing is to be said.
func expect(t *testing.T, err error, says []string) {
	t.Helper()
	if (err == nil) != (len(says) == 0) {
		t.Fatalf("error = %v, want one that says %q", err, says)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error = %v, want it to say %q", err, part)
		}
	}
}

func TestPodsAreToldAnAddressThatIsNotTheirOwn(t *testing.T) {
	for name, row := range map[string]struct {
		set, toServer, toWorld, want, known string
		err                                 []string
	}{
		"as it was said":          {set: "192.0.2.7", toServer: "192.0.2.2", want: "192.0.2.7", known: "E2E_HOST_ADDRESS"},
		"towards the API server":  {toServer: "192.0.2.2", toWorld: "198.51.100.2", want: "192.0.2.2", known: "this machine's address towards the API server"},
		"a server on the machine": {toServer: "127.0.0.1", toWorld: "198.51.100.2", want: "198.51.100.2", known: "this machine's address towards the world, as the API server is on this machine"},
		"a machine without any":   {toServer: "127.0.0.1", err: []string{"set E2E_HOST_ADDRESS"}},
	} {
		t.Run(name, func(t *testing.T) {
			address, known, err := Options{HostAddress: row.set}.Address(row.toServer, row.toWorld)
			expect(t, err, row.err)
			if address != row.want || known != row.known {
				t.Errorf("%q by %q, want %q by %q", address, known, row.want, row.known)
			}
		})
	}
}

func TestAClusterWithAnOperatorIsLeftAlone(t *testing.T) {
	for name, row := range map[string]struct {
		found []Found
		err   []string
	}{
		"none": {},
		"of its user": {
			found: []Found{{Kind: "Namespace", Name: "livestream-system"}, {Kind: "ClusterRole", Name: "livestream-scaler"}},
			err:   []string{"a livestream-operator already", "Namespace/livestream-system, ClusterRole/livestream-scaler"},
		},
		"of a run that was killed": {
			found: []Found{{Kind: "Namespace", Name: "livestream-system", Run: "e2e-a"}, {Kind: "ClusterRole", Name: "livestream-scaler", Run: "e2e-a"}},
			err:   []string{"another run of these tests, e2e-a", "-l livestream-operator.io/e2e=e2e-a"},
		},
		"of both": {
			found: []Found{{Kind: "Namespace", Name: "livestream-system", Run: "e2e-a"}, {Kind: "ClusterRole", Name: "livestream-scaler"}},
			err:   []string{"a livestream-operator already"},
		},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Refuse(row.found), row.err) })
	}
}

func TestTheProbeTellsAMissingImageFromAMissingWay(t *testing.T) {
	ended := func(name string, code int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}
	}
	running := corev1.ContainerStatus{Name: "reach", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	unpulled := corev1.ContainerStatus{Name: "reach", Image: "w:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such host"}}}
	for name, row := range map[string]struct {
		statuses    []corev1.ContainerStatus
		reached     bool
		done, shell bool
		err         []string
	}{
		"not begun":            {},
		"still asking":         {statuses: []corev1.ContainerStatus{running, ended("shell", 0)}, shell: true},
		"reached":              {statuses: []corev1.ContainerStatus{ended("reach", 0), ended("shell", 0)}, reached: true, done: true, shell: true},
		"reached, and no more": {statuses: []corev1.ContainerStatus{ended("reach", 0), ended("shell", 128)}, reached: true, done: true},
		"not reached":          {statuses: []corev1.ContainerStatus{ended("reach", 1), ended("shell", 0)}, done: true, shell: true, err: []string{"at 192.0.2.2 (a guess)", "set E2E_HOST_ADDRESS"}},
		"no image":             {statuses: []corev1.ContainerStatus{unpulled}, done: true, err: []string{"no image w:1", "no such host", "E2E_IMAGE_LOAD"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: row.statuses}}
			done, err := Probe(pod, row.reached, "192.0.2.2", "a guess")
			expect(t, err, row.err)
			if done != row.done || Shell(pod) != row.shell {
				t.Errorf("done = %t, shell = %t; want %t, %t", done, Shell(pod), row.done, row.shell)
			}
		})
	}
}

func TestASpoolNeedsAStorageClass(t *testing.T) {
	class := func(name, standard string) storagev1.StorageClass {
		return storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{isDefault: standard}}}
	}
	classes := []storagev1.StorageClass{class("slow", "false"), class("fast", "true")}
	for name, row := range map[string]struct {
		classes []storagev1.StorageClass
		wanted  string
		want    string
	}{
		"the default":    {classes: classes},
		"a named one":    {classes: classes, wanted: "slow"},
		"an unknown one": {classes: classes, wanted: "none", want: "the cluster has no StorageClass none, which E2E_STORAGE_CLASS names"},
		"no default":     {classes: classes[:1], want: "the cluster has no default StorageClass, and E2E_STORAGE_CLASS names none"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := NoClaims(row.classes, row.wanted); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}
