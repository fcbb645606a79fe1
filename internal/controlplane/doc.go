// Package controlplane builds, starts and stops a Kubernetes control plane on this machine, for tests and for trying things
// out: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok, which plays the nodes and their kubelets.
//
// It needs no container runtime, no root and no download but Go modules. All components are one binary, built from
// hack/controlplane/components, under several names. They run as processes of their own sessions, so they outlive whoever
// started them; the folder given to Up holds all there is to a control plane:
//
//	state.json    ports and options
//	kubeconfig    for an administrator
//	pki/          certificate authority, serving certificate, tokens
//	etcd/         the data
//	logs/         one log file per component
//	run/          one pid file per component, for people and scripts
//
// A process belongs to a folder if its command line says so: its name is a component's, and one of its arguments points into
// the folder. Pid files are not asked, since a pid may be somebody else's by now, and a control plane whose folder was removed
// can still be stopped.
//
// Nothing listens on anything but 127.0.0.1, but etcd does so without a password: whoever may log in to the machine may read
// and write the cluster. It is for tests only, and for Linux only, because it reads /proc.
package controlplane
