// Package testenv starts etcd and kube-apiserver with our CRDs for the tests of a package. It asserts nothing.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// Env is a running API server.
type Env struct {
	Config *rest.Config
	Scheme *runtime.Scheme
	// Client reads from and writes to the API server itself.
	Client client.WithWatch
}

const startPatience = 2 * time.Minute

// Run starts the API server, runs the tests of the package, and stops it. It is for TestMain: the result is the exit code.
// The binaries come from KUBEBUILDER_ASSETS, or else from what hack/controlplane has built.
func Run(m *testing.M, env *Env) int {
	environment, err := start(env)
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server for tests:", err)
		return 1
	}
	code := m.Run()
	if err := environment.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the API server for tests:", err)
	}
	return code
}

func start(env *Env) (*envtest.Environment, error) {
	root, err := controlplane.Root(".")
	if err != nil {
		return nil, err
	}
	assets, err := assets(root)
	if err != nil {
		return nil, err
	}
	env.Scheme = runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(env.Scheme), v1alpha1.AddToScheme(env.Scheme)); err != nil {
		return nil, err
	}
	environment := &envtest.Environment{
		Scheme:                env.Scheme,
		BinaryAssetsDirectory: assets,
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
		// On a busy machine the API server takes longer than envtest's 20 s.
		ControlPlaneStartTimeout: startPatience,
	}
	if env.Config, err = environment.Start(); err != nil {
		return nil, err
	}
	env.Config.QPS = -1
	if env.Client, err = client.NewWithWatch(env.Config, client.Options{Scheme: env.Scheme}); err != nil {
		return nil, errors.Join(err, environment.Stop())
	}
	return environment, nil
}

func assets(root string) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	dir := controlplane.BinDir(root)
	if _, err := os.Stat(filepath.Join(dir, controlplane.APIServer)); err != nil {
		return "", errors.New("no kube-apiserver; run the tests with make test, or build one with go run ./hack/controlplane build")
	}
	return dir, nil
}

// Namespace makes a namespace for one test, so that tests can run side by side.
func (e *Env) Namespace(tb testing.TB) string {
	tb.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}
	if err := e.Client.Create(tb.Context(), namespace); err != nil {
		tb.Fatalf("creating a namespace: %v", err)
	}
	tb.Cleanup(func() { _ = e.Client.Delete(context.Background(), namespace) })
	return namespace.Name
}
