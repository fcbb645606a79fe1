package controlplane

import (
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	kubeconfigName = "kubeconfig"
	stagesName     = "stages.yaml"
)

//go:embed stages.yaml
var stages []byte

// Options say what to bring up and where.
type Options struct {
	// Dir is the folder of the control plane; it is made when missing. It must be empty, or hold a control plane.
	Dir string
	// Bin is the folder with the commands, as Build returns it.
	Bin string
	// FakeNodes is how many nodes to play, called fake-0 and so on. Those that are there are never removed.
	FakeNodes int
	// APIServerOnly leaves the controller manager, the scheduler and kwok out, for tests that need nothing but an API.
	// FakeNodes are not made then.
	APIServerOnly bool
	// Durable has etcd wait for the disk. Without it a power cut may lose data; a killed etcd loses none.
	Durable bool
	// GOGC is the percentage of garbage that the components let lie, as Go's runtime knows it: more takes memory, and spares the cores.
	// Zero is Go's own, 100. Components that run keep theirs.
	GOGC int
	// Unchecked has the API server not compare its caches with etcd, for which it reads all objects every five minutes or so: a core or more for a minute
	// among 100,000 LiveStreams, at times of its own (its feature gate DetectCacheInconsistency).
	Unchecked bool
	// Progress is told what happens, a line at a time. Nil is for nobody.
	Progress io.Writer
}

// Cluster is a control plane that Up has brought up or Load has found. Its methods may be called from several goroutines, but
// Start, Stop and Kill of one component must not overlap each other or Up.
type Cluster struct {
	dir    string
	state  state
	token  string
	ca     []byte
	client *http.Client
}

// Load is the control plane in dir, whether or not its components are running. The error is ErrNoControlPlane if dir holds none.
func Load(dir string) (*Cluster, error) {
	dir, err := absolute(dir)
	if err != nil {
		return nil, err
	}
	s, err := loadState(dir)
	if err != nil {
		return nil, err
	}
	return newCluster(dir, s)
}

// newCluster needs the credentials to be there.
func newCluster(dir string, s state) (*Cluster, error) {
	c := &Cluster{dir: dir, state: s}
	var err error
	if c.ca, err = os.ReadFile(c.pki(caCertificate)); err != nil {
		return nil, fmt.Errorf("reading the credentials of the control plane: %w", err)
	}
	token, err := os.ReadFile(c.pki(tokenFile))
	if err != nil {
		return nil, fmt.Errorf("reading the credentials of the control plane: %w", err)
	}
	c.token = string(token)
	c.client, err = newClient(c.ca)
	return c, err
}

// Dir is the folder of the control plane, absolute and without links.
func (c *Cluster) Dir() string { return c.dir }

// Bin is the folder with the commands, kubectl among them.
func (c *Cluster) Bin() string { return c.state.Bin }

// Kubeconfig is the path of a kubeconfig with all rights.
func (c *Cluster) Kubeconfig() string { return c.path(kubeconfigName) }

// Server is the URL of the API server.
func (c *Cluster) Server() string { return "https://" + address(c.state.Ports.APIServer) }

// Etcd is the URL of etcd, which asks for no password.
func (c *Cluster) Etcd() string { return "http://" + address(c.state.Ports.Etcd) }

// Token is a bearer token of the group system:masters.
func (c *Cluster) Token() string { return c.token }

// CA is the certificate, in PEM, by which to know the API server.
func (c *Cluster) CA() []byte { return c.ca }

// Ports are the ports that the components listen on.
func (c *Cluster) Ports() Ports { return c.state.Ports }

// Log is the path of a component's log file.
func (c *Cluster) Log(component string) string { return filepath.Join(c.dir, "logs", component+".log") }

func (c *Cluster) pidFile(component string) string {
	return filepath.Join(c.dir, "run", component+".pid")
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

func (c *Cluster) pki(name string) string { return filepath.Join(c.dir, "pki", name) }

// writeKubeconfig writes JSON's quoting of strings, which is YAML too.
func (c *Cluster) writeKubeconfig() error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: %q
    certificate-authority-data: %s
users:
- name: admin
  user:
    token: %q
contexts:
- name: local
  context:
    cluster: local
    user: admin
current-context: local
`, c.Server(), base64.StdEncoding.EncodeToString(c.ca), c.token)
	return writeFile(c.Kubeconfig(), []byte(text), 0o600)
}

// Down stops the control plane in dir and removes its data, logs included, so that the next Up there begins anew; use
// Cluster.Stop to keep them. It says whether there was anything to stop or remove: on a folder without a control plane, and
// on one that does not exist, it does nothing.
//
// Components whose folder was removed are stopped too.
func Down(ctx context.Context, dir string) (bool, error) {
	dir, err := absolute(dir)
	if err != nil {
		return false, err
	}
	running, err := processes(dir)
	if err != nil {
		return false, err
	}
	_, missing := os.Stat(filepath.Join(dir, stateName))
	if missing != nil && len(running) == 0 {
		return false, nil
	}
	release, err := lock(ctx, filepath.Join(dir, lockName), io.Discard)
	if err != nil {
		return false, err
	}
	defer release()
	if err := stopAll(ctx, dir, componentNames()); err != nil {
		return false, err
	}
	return true, removeData(dir)
}

// newClient trusts only our own authority, and keeps no connection: the server that it leads to may be killed at any time.
func newClient(ca []byte) (*http.Client, error) {
	roots, err := certificates(ca)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: 5 * time.Second, Transport: transport(roots)}, nil
}
