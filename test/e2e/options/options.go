// Package options is what the environment asks of `make test-e2e`, and what it refuses. It is pure.
package options

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// Options say on which cluster the tests run, and what may be done there.
type Options struct {
	// Kubeconfig is that of a cluster of yours. Without it this machine becomes a node, and all else is empty.
	Kubeconfig string
	// HostAddress is where Pods reach this machine, when it is not to be found out.
	HostAddress string
	// CallbackURL is where this machine reaches the receiver, without a / at its end; a port is forwarded when it is empty.
	CallbackURL string
	// ImageLoad is a command of the shell that takes the path of an image archive. It makes those that are not named here.
	ImageLoad                 string
	ManagerImage, WorkerImage string
	// StorageClass is that of a spool that outlives its Pod; the cluster's default when empty.
	StorageClass string
	MayDrain     bool
}

// From reads the environment. The error tells all that is wrong with it.
func From(environment func(string) string) (Options, error) {
	o := Options{
		Kubeconfig: environment("E2E_KUBECONFIG"), HostAddress: environment("E2E_HOST_ADDRESS"), CallbackURL: strings.TrimRight(environment("E2E_CALLBACK_URL"), "/"),
		ImageLoad: environment("E2E_IMAGE_LOAD"), ManagerImage: environment("E2E_MANAGER_IMAGE"), WorkerImage: environment("E2E_WORKER_IMAGE"),
		StorageClass: environment("E2E_STORAGE_CLASS"),
	}
	if o.Kubeconfig == "" {
		for _, name := range []string{"E2E_HOST_ADDRESS", "E2E_CALLBACK_URL", "E2E_IMAGE_LOAD", "E2E_MANAGER_IMAGE", "E2E_WORKER_IMAGE", "E2E_STORAGE_CLASS", "E2E_MAY_DRAIN"} {
			if environment(name) != "" {
				return o, fmt.Errorf("%s is of a cluster of yours, and E2E_KUBECONFIG does not say which", name)
			}
		}
		return o, nil
	}
	switch drain := environment("E2E_MAY_DRAIN"); drain {
	case "1":
		o.MayDrain = true
	case "", "0":
	default:
		return o, fmt.Errorf("E2E_MAY_DRAIN=%s: it is 1 or not set", drain)
	}
	return o, errors.Join(o.images(), o.hostAddress(), o.callbackURL())
}

func (o Options) images() error {
	if o.ImageLoad != "" || o.ManagerImage != "" && o.WorkerImage != "" {
		return nil
	}
	return errors.New("the cluster needs two images: set E2E_IMAGE_LOAD to a command that takes the path of an archive to all nodes, such as " +
		"'kind load image-archive', or E2E_MANAGER_IMAGE and E2E_WORKER_IMAGE to the images that were pushed")
}

func (o Options) hostAddress() error {
	if o.HostAddress == "" {
		return nil
	}
	ip := net.ParseIP(o.HostAddress)
	switch {
	case ip == nil && strings.ContainsAny(o.HostAddress, ":/"), ip != nil && ip.To4() == nil:
		return fmt.Errorf("E2E_HOST_ADDRESS=%s: it is an IPv4 address or a name, without a port", o.HostAddress)
	case ip != nil && (ip.IsLoopback() || ip.IsUnspecified()), o.HostAddress == "localhost":
		return fmt.Errorf("E2E_HOST_ADDRESS=%s: to a Pod that is itself; it is an address under which Pods reach this machine", o.HostAddress)
	}
	return nil
}

func (o Options) callbackURL() error {
	if o.CallbackURL == "" {
		return nil
	}
	u, err := url.Parse(o.CallbackURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("E2E_CALLBACK_URL=%s: it is what comes before /callbacks/..., such as https://callbacks.example.com", o.CallbackURL)
	}
	return nil
}

// Address is where Pods are to reach this machine, and how that is known: as the environment says, or else by the address that this
// machine has on its way to the API server, or to the world where the API server is on this machine too. Those are empty where unknown.
func (o Options) Address(toServer, toWorld string) (address, known string, err error) {
	switch {
	case o.HostAddress != "":
		return o.HostAddress, "E2E_HOST_ADDRESS", nil
	case others(toServer):
		return toServer, "this machine's address towards the API server", nil
	case others(toWorld):
		return toWorld, "this machine's address towards the world, as the API server is on this machine", nil
	}
	return "", "", errors.New("this machine has no address but its own loopback: set E2E_HOST_ADDRESS to one under which Pods reach it")
}

// others may reach what is at that address.
func others(address string) bool {
	ip := net.ParseIP(address)
	return ip != nil && !ip.IsLoopback() && !ip.IsUnspecified()
}

// Label is on all that is installed for the tests; its value is the run's, which is the name of their namespace too.
const Label = "livestream-operator.io/e2e"

// Found is an object of the cluster that has the name of one to be installed.
type Found struct {
	Kind, Name string
	// Run is the Label's value; empty on what is not of these tests.
	Run string
}

// Refuse says why a cluster with these objects is left alone. What the tests install they change and take away.
func Refuse(found []Found) error {
	if len(found) == 0 {
		return nil
	}
	var names []string
	run := found[0].Run
	for _, f := range found {
		names = append(names, f.Kind+"/"+f.Name)
		if f.Run != run {
			run = ""
		}
	}
	if run != "" {
		return fmt.Errorf("the cluster has the operator of another run of these tests, %s, which goes on or was killed: wait for its end, or take it away with "+
			"kubectl delete namespace,crd,clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding,flowschema,prioritylevelconfiguration -l %s=%s", run, Label, run)
	}
	return fmt.Errorf("the cluster has a livestream-operator already, which these tests would change and take away: take another cluster, or remove %s", strings.Join(names, ", "))
}

// Probe says what the Pod that looks for this machine has shown: whether that is all, and what is wrong. Its container reach asks this
// machine for something, which it got if reached; its container shell runs one.
func Probe(pod corev1.Pod, reached bool, address, known string) (done bool, err error) {
	asked := false
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && imageMissing[w.Reason] {
			return true, fmt.Errorf("the nodes have no image %s (%s: %s): have E2E_IMAGE_LOAD take it to all of them, or name one with E2E_WORKER_IMAGE that they can pull", c.Image, w.Reason, w.Message)
		}
		if c.State.Terminated == nil {
			return false, nil
		}
		asked = asked || c.Name == "reach"
	}
	if !asked {
		return false, nil
	}
	if reached {
		return true, nil
	}
	return true, Unreached(address, known)
}

// Unreached says what to do where Pods do not reach this machine.
func Unreached(address, known string) error {
	return fmt.Errorf("pods do not reach this machine at %s (%s): set E2E_HOST_ADDRESS to an address of this machine that they reach, and have its firewall let them in", address, known)
}

var imageMissing = map[string]bool{"ErrImagePull": true, "ImagePullBackOff": true, "ErrImageNeverPull": true, "InvalidImageName": true, "ImageInspectError": true}

// Shell says whether the worker's image, by the same Pod, has one.
func Shell(pod corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == "shell" {
			return c.State.Terminated != nil && c.State.Terminated.ExitCode == 0
		}
	}
	return false
}

// NoClaims says why no claim is made in a cluster with these classes; empty where one is.
func NoClaims(classes []storagev1.StorageClass, wanted string) string {
	for _, c := range classes {
		if wanted == c.Name || wanted == "" && c.Annotations[isDefault] == "true" {
			return ""
		}
	}
	if wanted != "" {
		return fmt.Sprintf("the cluster has no StorageClass %s, which E2E_STORAGE_CLASS names", wanted)
	}
	return "the cluster has no default StorageClass, and E2E_STORAGE_CLASS names none"
}

const isDefault = "storageclass.kubernetes.io/is-default-class"
