//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/image"
)

// site is the cluster of a stage, and what can be done to it: this machine as its node, or a cluster of yours.
type site interface {
	// up has a cluster that takes Pods. Whatever it begins, it ends in stage.ends, or removes in stage.takeAway.
	up(ctx context.Context, s *stage) (where, error)
	// images makes the images of the operator and of the worker known to all nodes, and says how they are called.
	images(ctx context.Context, s *stage) (manager, worker string, err error)
	// ready looks whether Pods have what they need, once there are images.
	ready(ctx context.Context, s *stage) error
	// patch is for the operator's Deployment, as operations of JSON Patch.
	patch(s *stage) (string, error)
	// receiver is the URL before /callbacks/..., under which this machine reaches a replica that is ready.
	receiver(ctx context.Context, s *stage) (string, error)
	// cannot says why something is not done here; empty where it is.
	cannot(what disturbance) string
	// kill is kill -9.
	kill(ctx context.Context, s *stage, pod string, what disturbance) error
	// plainStart is how long a Pod takes from its creation until its process runs.
	plainStart(ctx context.Context, s *stage, name string) (time.Duration, error)
	// claim makes a claim, and returns what gets a file of it to this machine once nobody writes it any more.
	claim(ctx context.Context, s *stage, name string) (fetch func(ctx context.Context, inClaim string) (file string, err error), err error)
}

// where a site is.
type where struct {
	// kubectl is the program, kubeconfig that of the stage, address that under which Pods reach this machine.
	kubectl, kubeconfig, address string
}

// disturbance is what goes wrong in a test.
type disturbance string

const (
	killRecorder  disturbance = "kill -9 of the recorder"
	killContainer disturbance = "kill -9 of the container's first process"
	killFFmpeg    disturbance = "kill -9 of ffmpeg"
	drainNode     disturbance = "kubectl drain"
	keepSpool     disturbance = "a spool that outlives its Pod"
)

const kubeconfigFile = "kubeconfig"

// pin writes the stage's own kubeconfig: the current context of another, in the tests' namespace, with all that it refers to. Whatever
// becomes of that file, what is installed is taken away from where it was installed.
func (s *stage) pin(kubeconfig string) (file string, err error) {
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if config.Contexts[config.CurrentContext] == nil {
		return "", fmt.Errorf("%s has no current context", kubeconfig)
	}
	if err := errors.Join(clientcmd.ResolveLocalPaths(config), clientcmdapi.MinifyConfig(config), clientcmdapi.FlattenConfig(config)); err != nil {
		return "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.Contexts[config.CurrentContext].Namespace = s.namespace
	file = filepath.Join(s.dir, kubeconfigFile)
	return file, clientcmd.WriteToFile(*config, file)
}

func (s *stage) connect() error {
	rest, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return err
	}
	s.client, err = client.New(rest, client.Options{})
	return err
}

func (s *stage) kubectl(ctx context.Context, arguments ...string) (string, error) {
	return s.run(ctx, "", arguments...)
}

func (s *stage) apply(ctx context.Context, objects string) error {
	_, err := s.run(ctx, objects, "apply", "-f", "-")
	return err
}

// command is kubectl in that cluster.
func (w where) command(ctx context.Context, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, w.kubectl, arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfig)
	return command
}

// run has the input, where there is any, be on kubectl's standard input.
func (w where) run(ctx context.Context, input string, arguments ...string) (string, error) {
	command := w.command(ctx, arguments...)
	var problems strings.Builder
	command.Stdin, command.Stderr = strings.NewReader(input), &problems
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s%s", strings.Join(arguments, " "), err, output, problems.String())
	}
	return strings.TrimSpace(string(output)), nil
}

// managerFiles and workerFiles are what the images are made of where there is no registry: the programs, and Debian's ffmpeg.
func (s *stage) managerFiles() image.Image {
	return image.Image{
		Entrypoint: []string{"/manager"}, User: "65532",
		Files: map[string]string{"/manager": filepath.Join(s.root, "bin", "manager")}, Texts: map[string]string{"/etc/passwd": "manager:x:65532:65532::/:/\n"},
	}
}

// The other programs are some of /usr/bin.
func (s *stage) workerFiles(ctx context.Context, others ...string) (image.Image, error) {
	files := map[string]string{"/worker": filepath.Join(s.root, "bin", "worker")}
	for _, name := range append([]string{"ffmpeg", "ffprobe"}, others...) {
		program, err := exec.LookPath(name)
		if err != nil {
			return image.Image{}, err
		}
		files["/usr/bin/"+name] = program
		libraries, err := image.Libraries(ctx, program)
		if err != nil {
			return image.Image{}, err
		}
		for _, l := range libraries {
			files[l] = l
		}
	}
	return image.Image{
		Entrypoint: []string{"/worker"}, User: "65532", Env: []string{"PATH=/usr/bin"}, Files: files,
		Texts: map[string]string{"/etc/passwd": "worker:x:65532:65532::/:/\n"}, Folders: []string{"/tmp"},
	}, nil
}
