// Package installation is a local control plane with the operator's kinds, namespace and roles in it, for tests that run the
// operator's binary as an installation does. It asserts nothing.
package installation

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// Accounts are service accounts of the namespace livestream-system. Receiver and Reconciler are those of config/rbac. Both is made here,
// for one process that does both: it has the rights of the two.
const (
	Receiver   = "livestream-receiver"
	Reconciler = "livestream-reconciler"
	Both       = "livestream-both"
)

const namespace = "livestream-system"

// bothAccount is what a test needs besides config/rbac to run both parts in one process.
const bothAccount = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: livestream-both, namespace: livestream-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: livestream-both-receives}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: livestream-receiver}
subjects: [{kind: ServiceAccount, name: livestream-both, namespace: livestream-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: livestream-both-reconciles}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: livestream-reconciler}
subjects: [{kind: ServiceAccount, name: livestream-both, namespace: livestream-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: livestream-both-scales}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: livestream-scaler}
subjects: [{kind: ServiceAccount, name: livestream-both, namespace: livestream-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: livestream-both-elects, namespace: livestream-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: livestream-reconciler}
subjects: [{kind: ServiceAccount, name: livestream-both, namespace: livestream-system}]
`

// kindsPatience is how long the API server may take to serve a kind whose CRD was applied.
const kindsPatience = time.Minute

// Installation is what Up has brought up.
type Installation struct {
	// Root is the repository's root folder.
	Root    string
	Cluster *controlplane.Cluster
	// API has all rights.
	API client.WithWatch
	// tokens are those of the service accounts, by name.
	tokens map[string]string
}

// Up builds a control plane where it is not built, brings it up in dir and installs. What is up is left up where it fails.
func Up(ctx context.Context, o controlplane.Options) (*Installation, error) {
	root, err := controlplane.Root(".")
	if err != nil {
		return nil, err
	}
	i := &Installation{Root: root}
	if o.Bin, err = controlplane.Build(ctx, root, os.Stderr); err != nil {
		return nil, err
	}
	if i.Cluster, err = controlplane.Up(ctx, o); err != nil {
		return nil, err
	}
	if i.API, err = newClient(i.Cluster.Kubeconfig()); err != nil {
		return nil, err
	}
	account := filepath.Join(o.Dir, "both-account.yaml")
	if err := os.WriteFile(account, []byte(bothAccount), 0o600); err != nil {
		return nil, fmt.Errorf("writing the account of a process that does both: %w", err)
	}
	for _, arguments := range [][]string{
		{"apply", "-k", filepath.Join(root, "config", "crd")},
		{"apply", "-f", filepath.Join(root, "config", "manager", "namespace.yaml")},
		{"apply", "-k", filepath.Join(root, "config", "rbac")},
		{"apply", "-f", account},
	} {
		if output, err := i.Kubectl(ctx, arguments...); err != nil {
			return nil, fmt.Errorf("kubectl %s: %w: %s", arguments[0], err, output)
		}
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, kindsPatience, true, func(ctx context.Context) (bool, error) {
		_, notYet := i.Kubectl(ctx, "get", "livestreams,pushdomains", "-A")
		return notYet == nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for the kinds: %w", err)
	}
	i.tokens = map[string]string{}
	for _, name := range []string{Receiver, Reconciler, Both} {
		if err := i.MakeToken(ctx, name); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// MakeToken makes the token that WriteConfig writes for an account, here for one that was installed later. It is not for use beside WriteConfig.
func (i *Installation) MakeToken(ctx context.Context, account string) error {
	token, err := i.Kubectl(ctx, "create", "token", account, "-n", namespace, "--duration=8h")
	if err != nil {
		return fmt.Errorf("making a token of service account %s: %w: %s", account, err, token)
	}
	i.tokens[account] = strings.TrimSpace(token)
	return nil
}

func newClient(kubeconfig string) (client.WithWatch, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}

// BuildManager builds the operator's binary from the repository at root, with further arguments of go build.
func BuildManager(ctx context.Context, root, target string, arguments ...string) error {
	build := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", target}, arguments...), "./cmd")...)
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the operator: %w: %s", err, output)
	}
	return nil
}

// Kubectl is kubectl as the administrator.
func (i *Installation) Kubectl(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(i.Cluster.Bin(), "kubectl"), arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+i.Cluster.Kubeconfig())
	output, err := command.CombinedOutput()
	return string(output), err
}

// WriteOperatorConfig is WriteConfig for the account Both.
func (i *Installation) WriteOperatorConfig(path, server string, ca []byte) error {
	return i.WriteConfig(path, Both, server, ca)
}

// WriteConfig writes a kubeconfig with the rights of one of the accounts, for the API server, or what stands before it.
func (i *Installation) WriteConfig(path, account, server string, ca []byte) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: u, user: {token: %q}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, server, base64.StdEncoding.EncodeToString(ca), i.tokens[account])
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the operator's kubeconfig: %w", err)
	}
	return nil
}
