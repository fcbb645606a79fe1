package controlplane

import (
	"path/filepath"
	"strconv"
)

// The components, by the names of their commands.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

const (
	serviceRange = "10.96.0.0/16"
	// ServiceIP is the first of serviceRange, which the Service called kubernetes gets.
	ServiceIP = "10.96.0.1"
	// podRange is kwok's; its own default has room for 254 pods.
	podRange = "10.244.0.0/16"
	// fakeNodeAnnotation makes a node kwok's. Other nodes are left to their own kubelets.
	fakeNodeAnnotation = "kwok.x-k8s.io/node"
	fakeNodeValue      = "fake"
)

// componentNames are all components in the order in which they are started.
func componentNames() []string {
	return []string{Etcd, APIServer, ControllerManager, Scheduler, Kwok}
}

// names are the components that this control plane has.
func (s state) names() []string {
	if s.APIServerOnly {
		return []string{Etcd, APIServer}
	}
	return componentNames()
}

// arguments is the command line that a component should be running with. It holds all that the component depends on, ports
// of others included, so that a process with another command line is one to be replaced.
func (c *Cluster) arguments(component string) []string {
	command := []string{filepath.Join(c.state.Bin, component)}
	switch component {
	case Etcd:
		return append(command, c.etcdArguments()...)
	case APIServer:
		return append(command, c.apiServerArguments()...)
	case ControllerManager:
		return append(append(command, c.clientArguments(c.state.Ports.ControllerManager)...), c.controllerArguments()...)
	case Scheduler:
		return append(command, c.clientArguments(c.state.Ports.Scheduler)...)
	default:
		return append(command, c.kwokArguments()...)
	}
}

func (c *Cluster) etcdArguments() []string {
	client, peer := c.Etcd(), "http://"+address(c.state.Ports.EtcdPeer)
	arguments := []string{
		"--name=local",
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=local=" + peer,
		// 100,000 LiveStreams are a gigabyte, and each change is one more copy until it is compacted: when its own 2 GiB are full it takes no write any more.
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	}
	if !c.state.Durable {
		arguments = append(arguments, "--unsafe-no-fsync=true")
	}
	return arguments
}

func (c *Cluster) apiServerArguments() []string {
	arguments := []string{
		"--etcd-servers=" + c.Etcd(),
		"--bind-address=" + localhost,
		"--secure-port=" + strconv.Itoa(c.state.Ports.APIServer),
		// No pod of a fake node talks to the Service called kubernetes, and a loopback address is refused as its endpoint.
		"--advertise-address=" + localhost,
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + c.pki(servingCert),
		"--tls-private-key-file=" + c.pki(servingKey),
		"--client-ca-file=" + c.pki(caCertificate),
		"--token-auth-file=" + c.pki(tokensFile),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + c.pki(accountsKey),
		"--service-account-key-file=" + c.pki(accountsKey),
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC",
		"--allow-privileged=true",
		// Ends watches when it is told to stop; by default it waits a minute for clients to close them.
		"--shutdown-watch-termination-grace-period=1s",
	}
	if c.state.Unchecked {
		arguments = append(arguments, "--feature-gates=DetectCacheInconsistency=false")
	}
	if c.state.APIServerOnly {
		// It refuses pods until the controller manager has made their service account.
		arguments = append(arguments, "--disable-admission-plugins=ServiceAccount")
	}
	return arguments
}

// clientArguments are what the controller manager and the scheduler share. The server is named besides the kubeconfig so that
// they are restarted when it moves.
func (c *Cluster) clientArguments(port int) []string {
	return []string{
		"--kubeconfig=" + c.Kubeconfig(),
		"--master=" + c.Server(),
		"--bind-address=" + localhost,
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + c.pki(servingCert),
		"--tls-private-key-file=" + c.pki(servingKey),
		"--leader-elect=false",
		// With the defaults, 20 and 30, a cluster makes the pods of about ten Jobs a second, whatever else is fast.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}
}

// controllerArguments leave all controllers that are on by default on.
func (c *Cluster) controllerArguments() []string {
	return []string{
		"--service-account-private-key-file=" + c.pki(accountsKey),
		"--root-ca-file=" + c.pki(caCertificate),
		"--cluster-signing-cert-file=" + c.pki(caCertificate),
		"--cluster-signing-key-file=" + c.pki(caKey),
		"--concurrent-job-syncs=20",
	}
}

func (c *Cluster) kwokArguments() []string {
	return []string{
		"--kubeconfig=" + c.Kubeconfig(),
		"--master=" + c.Server(),
		"--config=" + c.path(stagesName),
		"--manage-nodes-with-annotation-selector=" + fakeNodeAnnotation + "=" + fakeNodeValue,
		"--node-ip=" + localhost,
		"--cidr=" + podRange,
		"--server-address=" + address(c.state.Ports.Kwok),
	}
}

// healthURL is where a component says that it is ready.
func (c *Cluster) healthURL(component string) string {
	ports := c.state.Ports
	switch component {
	case Etcd:
		return "http://" + address(ports.Etcd) + "/health"
	case APIServer:
		return c.Server() + "/readyz"
	case ControllerManager:
		return "https://" + address(ports.ControllerManager) + "/healthz"
	case Scheduler:
		return "https://" + address(ports.Scheduler) + "/readyz"
	default:
		return "http://" + address(ports.Kwok) + "/healthz"
	}
}
