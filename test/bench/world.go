package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
	"github.com/livestream-operator/livestream-operator/internal/installation"
)

// world is a control plane of our own with the operator's kinds in it, and what the benchmarks share.
type world struct {
	installed *installation.Installation
	etcd      *etcd
	// admin has all rights, bare those of a service account like the operator's.
	admin rest.Interface
	bare  *bare
	// dir is for files of the run, profiles is where profiles stay.
	dir, profiles string
	manager       string
	// environment is a variable that the operator is given besides those of config/manager; empty is none.
	environment string
	bareConf    string
	quick       bool
	seed        uint64
	models      map[kind]model
	running     []*process
	// populated are the namespaces that streams were put into and not taken out of again.
	populated map[string]bool
	report    *report
	// costAt100 is what an event costs while there are few streams, once that was measured.
	costAt100 *eventCost
	// grows says that what an event costs among many streams is asked for, too.
	grows bool
	// crowd is the large population, which several benchmarks share.
	crowd *population
}

// fakeNodes are enough for the Pods of the largest population: a node takes 10,000.
const fakeNodes = 4

// rights of the reference are as narrow as the operator's.
const rights = `apiVersion: v1
kind: ServiceAccount
metadata: {name: bench-reference, namespace: livestream-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: bench-reference}
rules:
- {apiGroups: [bench.livestream-operator.io], resources: [livestreams], verbs: [get, list, watch]}
- {apiGroups: [bench.livestream-operator.io], resources: [livestreams/status], verbs: [patch]}
- {apiGroups: [livestream-operator.io], resources: [livestreams], verbs: [get, list, watch]}
- {apiGroups: [batch], resources: [jobs], verbs: [get, list, watch, create, delete, deletecollection]}
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bench-reference}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: bench-reference}
subjects: [{kind: ServiceAccount, name: bench-reference, namespace: livestream-system}]
`

const referenceAccount = "bench-reference"

func newWorld(ctx context.Context, quick bool) (*world, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	w := &world{dir: dir, quick: quick, seed: 1, populated: map[string]bool{}, bareConf: filepath.Join(dir, "bare.kubeconfig")}
	// etcd waits for the disk, as in a cluster: what is acknowledged is on it. What the API server checks every five minutes would be beside one side or the
	// other, as it happens.
	w.installed, err = installation.Up(ctx, controlplane.Options{Dir: filepath.Join(dir, "controlplane"), FakeNodes: fakeNodes, Durable: true, Unchecked: true, Progress: os.Stderr})
	if err != nil {
		return w, err
	}
	w.manager = filepath.Join(w.installed.Root, "bin", "manager")
	w.profiles = filepath.Join(w.installed.Root, "out", "bench")
	if err := os.MkdirAll(w.profiles, 0o755); err != nil {
		return w, fmt.Errorf("making a folder for profiles: %w", err)
	}
	w.etcd = newEtcd(w.installed.Cluster.Etcd())
	if err := w.installReference(ctx); err != nil {
		return w, err
	}
	if err := w.connect(ctx); err != nil {
		return w, err
	}
	return w, w.newModels(ctx)
}

// installReference installs the LiveStream's schema under another group, and the account of the reference; and the priority of callbacks.
func (w *world) installReference(ctx context.Context) error {
	crd, err := os.ReadFile(filepath.Join(w.installed.Root, "config", "crd", "bases", "livestream-operator.io_livestreams.yaml"))
	if err != nil {
		return fmt.Errorf("reading the CRD: %w", err)
	}
	text := strings.NewReplacer("name: livestreams.livestream-operator.io", "name: livestreams."+bareGroup.Group,
		"group: livestream-operator.io", "group: "+bareGroup.Group, "    - lvs\n", "    - barelvs\n").Replace(string(crd))
	text += "\n---\n" + rights
	path := filepath.Join(w.dir, "reference.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the reference's manifests: %w", err)
	}
	for _, arguments := range [][]string{{"-f", path}, {"-k", filepath.Join(w.installed.Root, "config", "priority")}} {
		if output, err := w.installed.Kubectl(ctx, append([]string{"apply", "--server-side"}, arguments...)...); err != nil {
			return fmt.Errorf("installing the reference: %w: %s", err, output)
		}
	}
	return until(ctx, scrapeEvery, "the reference's kind is served", func() (bool, error) {
		output, err := w.installed.Kubectl(ctx, "get", "livestreams."+bareGroup.Group, "-A")
		if err != nil {
			err = errors.New(output)
		}
		return err == nil, err
	})
}

func (w *world) connect(ctx context.Context) error {
	cluster := w.installed.Cluster
	err := w.installed.MakeToken(ctx, referenceAccount)
	if err != nil {
		return err
	}
	if err := w.installed.WriteConfig(w.bareConf, referenceAccount, cluster.Server(), cluster.CA()); err != nil {
		return err
	}
	if w.bare, err = newBare(w.bareConf); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", cluster.Kubeconfig())
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	w.admin = clientset.RESTClient()
	return nil
}

// clear ends what a benchmark that failed left behind, for the next one to find nothing of it.
func (w *world) clear(ctx context.Context) error {
	for _, p := range w.running {
		p.kill()
	}
	w.running, w.crowd = nil, nil
	var failed error
	for namespace := range maps.Clone(w.populated) {
		failed = errors.Join(failed, w.remove(ctx, namespace))
	}
	return failed
}

// close ends all that runs and removes all that was made, also after an interrupt.
func (w *world) close(ctx context.Context) error {
	for _, p := range w.running {
		p.kill()
	}
	_, err := controlplane.Down(context.WithoutCancel(ctx), filepath.Join(w.dir, "controlplane"))
	return errors.Join(err, os.RemoveAll(w.dir))
}

// say tells whoever waits how far it is.
func (w *world) say(format string, arguments ...any) {
	_, _ = fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}

// pick is the number for a quick run, or for a whole one.
func (w *world) pick(quick, whole int) int {
	if w.quick {
		return quick
	}
	return whole
}

// uidOf is a UID for the which-th object of the i-th stream.
func uidOf(namespace string, i, which int) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(namespace))
	return fmt.Sprintf("%08x-be4c-4000-8%03x-%012x", hash.Sum32(), which, i)
}

func apiUID(uid string) types.UID { return types.UID(uid) }
