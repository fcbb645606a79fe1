//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/fakecss"
	"github.com/livestream-operator/livestream-operator/internal/image"
	"github.com/livestream-operator/livestream-operator/test/e2e/options"
)

// cluster is one of yours. It is left as it was, but for the images on its nodes.
type cluster struct {
	options.Options
	// known says how the address of this machine was found.
	known string
	// shell says whether the worker's image has one.
	shell bool
	// noClass says why there are no claims.
	noClass string
}

func (c *cluster) up(ctx context.Context, s *stage) (w where, err error) {
	for _, program := range []string{"kubectl", "ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(program); err != nil {
			return w, fmt.Errorf("%s is needed on this machine: %w", program, err)
		}
	}
	if _, err := fakecss.NginxProgram(); err != nil {
		return w, err
	}
	kubeconfig := c.Kubeconfig
	if !filepath.IsAbs(kubeconfig) {
		kubeconfig = filepath.Join(s.root, kubeconfig)
	}
	w.kubectl = "kubectl"
	if w.kubeconfig, err = s.pin(kubeconfig); err != nil {
		return w, fmt.Errorf("E2E_KUBECONFIG: %w", err)
	}
	w.address, err = c.address(w)
	if err == nil {
		err = refuseInstalled(ctx, s, w)
	}
	if err == nil {
		err = installed{Run: s.namespace}.write(s.dir)
	}
	if err != nil {
		// There is nothing to take away with those credentials.
		return w, errors.Join(err, os.Remove(w.kubeconfig))
	}
	s.ends = append(s.ends, func() {
		say("taking away what was installed")
		if err := uninstall(context.Background(), s.dir); err != nil {
			s.left = err
		}
	})
	return w, lock(ctx, s, w)
}

// address is where Pods are to reach this machine.
func (c *cluster) address(w where) (address string, err error) {
	config, err := clientcmd.BuildConfigFromFlags("", w.kubeconfig)
	if err != nil {
		return "", fmt.Errorf("reading E2E_KUBECONFIG: %w", err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		return "", err
	}
	port := server.Port()
	if port == "" {
		port = "443"
	}
	// 192.0.2.0/24 is nobody's: what goes there goes to the world.
	if address, c.known, err = c.Address(addressTowards(net.JoinHostPort(server.Hostname(), port)), addressTowards("192.0.2.1:9")); err == nil {
		say("the cluster is that of %s; its Pods are to reach this machine at %s, %s", server.Host, address, c.known)
	}
	return address, err
}

// addressTowards is the one of this machine from which packets go there; nothing is sent.
func addressTowards(to string) string {
	connection, err := net.Dial("udp4", to)
	if err != nil {
		return ""
	}
	defer func() { _ = connection.Close() }()
	return connection.LocalAddr().(*net.UDPAddr).IP.String()
}

func (c *cluster) images(ctx context.Context, s *stage) (manager, worker string, err error) {
	manager, worker = c.ManagerImage, c.WorkerImage
	if manager == "" {
		if manager, err = c.load(ctx, s, "manager", s.managerFiles()); err != nil {
			return "", "", err
		}
	}
	if worker == "" {
		// As the published one has them.
		files, err := s.workerFiles(ctx, "sh", "cat", "sleep")
		if err != nil {
			return "", "", err
		}
		if worker, err = c.load(ctx, s, "worker", files); err != nil {
			return "", "", err
		}
	}
	return manager, worker, nil
}

// load gives the archive of an image to the command. The tag is of its content: some loaders leave a tag that is there as it is.
func (c *cluster) load(ctx context.Context, s *stage, name string, i image.Image) (string, error) {
	sum := sha256.New()
	if err := i.Write(sum); err != nil {
		return "", err
	}
	i.Name = "livestream.test/" + name + ":" + hex.EncodeToString(sum.Sum(nil))[:12]
	archive := filepath.Join(s.dir, name+".tar")
	file, err := os.Create(archive)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(archive) }()
	if err := errors.Join(i.Write(file), file.Close()); err != nil {
		return "", err
	}
	say("loading %s: %s %s", i.Name, c.ImageLoad, archive)
	command := exec.CommandContext(ctx, "sh", "-c", c.ImageLoad+` "$0"`, archive)
	command.Dir = s.root
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("loading an image by E2E_IMAGE_LOAD: %w: %s", err, output)
	}
	return i.Name, nil
}

// ready has a Pod ask this machine for something, and looks what the worker's image and the cluster have.
func (c *cluster) ready(ctx context.Context, s *stage) (err error) {
	at, asked, end, err := knocks(s)
	if err != nil {
		return err
	}
	defer end()
	pod := s.plainPod("probe", ask(at)...)
	pod.Spec.Containers[0].Name = "reach"
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "shell", Image: s.workerImage, Command: []string{"sh", "-c", "command -v cat && command -v sleep"}, SecurityContext: restricted()})
	// It takes a moment until a new namespace has its service account.
	if err := within(ctx, 30*time.Second, "a Pod can be made", func() error { return s.client.Create(ctx, pod) }); err != nil {
		return err
	}
	var verdict error
	if err := within(ctx, 3*time.Minute, "the probe of the way from Pods to this machine has ended", func() error {
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		reached := false
		select {
		case <-asked:
			reached = true
		default:
		}
		var done bool
		if done, verdict = options.Probe(*pod, reached, s.address, c.known); !done {
			return fmt.Errorf("the Pod is %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		return nil
	}); err != nil {
		return err
	}
	if verdict != nil {
		logs, _ := s.kubectl(ctx, "logs", pod.Name, "-c", "reach")
		return fmt.Errorf("%w\n%s", verdict, logs)
	}
	c.shell = options.Shell(*pod)
	say("Pods reach this machine at %s; the worker's image has a shell: %t", s.address, c.shell)
	var classes storagev1.StorageClassList
	if err := s.client.List(ctx, &classes); err != nil {
		return err
	}
	c.noClass = options.NoClaims(classes.Items, c.StorageClass)
	return s.client.Delete(ctx, pod, client.GracePeriodSeconds(0))
}

// ask has ffmpeg read something that is no media. What does not answer in 10 s is not reached.
func ask(at string) []string {
	return []string{"-rw_timeout", "10000000", "-f", "data", "-i", at, "-map", "0", "-c", "copy", "-f", "data", "pipe:1"}
}

// knocks listens for the first request for a URL of this machine, as Pods see it, and tells when that came.
func knocks(s *stage) (at string, asked <-chan time.Time, end func(), err error) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		return "", nil, nil, err
	}
	came := make(chan time.Time, 1)
	path := "/" + s.namespace
	var once sync.Once
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		now := time.Now()
		once.Do(func() { came <- now; close(came) })
		_, _ = io.WriteString(w, "here")
	})}
	go func() { _ = server.Serve(listener) }()
	port := listener.Addr().(*net.TCPAddr).Port
	return fmt.Sprintf("http://%s:%d%s", s.address, port, path), came, func() { _ = server.Close() }, nil
}

func (*cluster) patch(*stage) (string, error) { return "", nil }

// receiver is what you say, or a forwarded port. That ends with the Pod that it leads to, and then leads to another.
func (c *cluster) receiver(ctx context.Context, s *stage) (string, error) {
	if c.CallbackURL != "" {
		return c.CallbackURL, nil
	}
	log, err := os.Create(filepath.Join(s.dir, "port-forward.log"))
	if err != nil {
		return "", err
	}
	// The first one chooses the port, those after it take the same.
	port := func() string {
		text, _ := os.ReadFile(log.Name())
		if m := forwarding.FindSubmatch(text); m != nil {
			return string(m[1])
		}
		return ""
	}
	until, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	s.ends = append(s.ends, func() { stop(); <-ended; _ = log.Close() })
	go func() {
		defer close(ended)
		for until.Err() == nil {
			command := s.command(until, "port-forward", "--namespace", operatorNamespace, "service/livestream-callbacks", port()+":80")
			// By its log the guard finds it, where this process is killed.
			command.Stdout, command.Stderr = log, log
			err := command.Run()
			select {
			case <-until.Done():
			case <-time.After(500 * time.Millisecond):
				say("forwarding the receiver's port again: %v", err)
			}
		}
	}()
	var at string
	err = within(ctx, 30*time.Second, "the receiver answers at a forwarded port", func() error {
		p := port()
		if p == "" {
			return errors.New("none is forwarded; see " + log.Name())
		}
		at = "http://127.0.0.1:" + p
		return answers(ctx, at)
	})
	return at, err
}

// forwarding is what kubectl says of a port that it forwards.
var forwarding = regexp.MustCompile(`(?m)^Forwarding from 127\.0\.0\.1:(\d+) -> `)

// answers asks for what the receiver does not have: it alone refuses it like that.
func answers(ctx context.Context, at string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err
	}
	var answer struct{ Code int }
	if err := json.Unmarshal(text, &answer); err != nil || response.StatusCode != http.StatusNotFound || answer.Code != http.StatusNotFound {
		return fmt.Errorf("what answers at %s is not the receiver: %s: %q", at, response.Status, text)
	}
	return nil
}

func (c *cluster) cannot(what disturbance) string {
	switch {
	case what == killContainer:
		return "in a cluster of yours nothing kills the first process of a container: it is safe from within, and the API has no way from without"
	case (what == killRecorder || what == killFFmpeg) && !c.shell:
		return "the worker's image has no shell to kill from"
	case what == keepSpool && c.noClass != "":
		return c.noClass
	case what == keepSpool && !c.shell:
		return "the worker's image has no shell to read the spool with"
	case what == drainNode && !c.MayDrain:
		return "a node of yours is drained only with E2E_MAY_DRAIN=1, of the test's Pod alone"
	}
	return ""
}

// killYoungest kills the youngest process of a name, from within its container.
const killYoungest = `p=0
for d in /proc/[0-9]*; do
  read -r c 2>/dev/null <$d/comm || continue
  [ "$c" = "$0" ] && [ ${d#/proc/} -gt $p ] && p=${d#/proc/}
done
[ $p -gt 1 ] && kill -9 $p`

func (*cluster) kill(ctx context.Context, s *stage, pod string, what disturbance) error {
	name := map[disturbance]string{killRecorder: "worker", killFFmpeg: "ffmpeg"}[what]
	if name == "" {
		return fmt.Errorf("%s is not done in a cluster of yours", what)
	}
	_, err := s.kubectl(ctx, "exec", pod, "--", "sh", "-c", killYoungest, name)
	return err
}

// plainStart is until the Pod's process has asked this machine for something, which is somewhat later than its begin.
func (*cluster) plainStart(ctx context.Context, s *stage, name string) (time.Duration, error) {
	at, asked, end, err := knocks(s)
	if err != nil {
		return 0, err
	}
	defer end()
	pod := s.plainPod(name, ask(at)...)
	began := time.Now()
	if err := s.client.Create(ctx, pod); err != nil {
		return 0, err
	}
	select {
	case running := <-asked:
		return running.Sub(began), s.client.Delete(ctx, pod, client.GracePeriodSeconds(0))
	case <-time.After(time.Minute):
		return 0, errors.New("the plain Pod has asked for nothing in a minute")
	}
}

// claim is of the cluster's storage. A Pod reads it.
func (c *cluster) claim(ctx context.Context, s *stage, name string) (func(context.Context, string) (string, error), error) {
	class := ""
	if c.StorageClass != "" {
		class = ", storageClassName: " + c.StorageClass
	}
	fetch := func(ctx context.Context, inClaim string) (string, error) {
		if err := s.apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: read-%[1]s}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: read
    image: "%[2]s"
    command: [sleep, "600"]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: claim, mountPath: /claim, readOnly: true}]
  volumes: [{name: claim, persistentVolumeClaim: {claimName: %[1]s}}]
`, name, s.workerImage)); err != nil {
			return "", err
		}
		if _, err := s.kubectl(ctx, "wait", "--for=condition=Ready", "pod/read-"+name, "--timeout=2m"); err != nil {
			return "", err
		}
		file, err := os.Create(filepath.Join(s.dir, filepath.Base(inClaim)))
		if err != nil {
			return "", err
		}
		defer file.Close()
		command := s.command(ctx, "exec", "read-"+name, "--", "cat", "/claim/"+inClaim)
		var problems strings.Builder
		command.Stdout, command.Stderr = file, &problems
		if err := command.Run(); err != nil {
			return "", fmt.Errorf("reading %s of the claim: %w: %s", inClaim, err, problems.String())
		}
		return file.Name(), nil
	}
	return fetch, s.apply(ctx, fmt.Sprintf("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: %s}\nspec: {accessModes: [ReadWriteOnce]%s, resources: {requests: {storage: 1Gi}}}", name, class))
}
