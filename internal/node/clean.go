package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// networkName tells our containers from those of others in what the network's plugins remember.
	networkName = "livestream-node"
	results     = "/var/lib/cni/results"
	controls    = "/sys/fs/cgroup"
	// endWithin is how long what was killed may take to be gone.
	endWithin = 10 * time.Second
)

// takeMachine waits until no other node of ours is on this machine: they share a bridge and its addresses. The lock ends with the
// process, however that ends.
func takeMachine(ctx context.Context, log io.Writer) (*os.File, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for first := true; ; first = false {
		lock, err := tryMachine()
		if !errors.Is(err, errTaken) {
			return lock, err
		}
		if first {
			_, _ = fmt.Fprintln(log, "node: another one is up on this machine; waiting until it is down")
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}

var errTaken = errors.New("another node is up on this machine")

func tryMachine() (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), networkName+".lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of this machine's node: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errTaken, err), lock.Close())
	}
	return lock, nil
}

// ErrNotOurs means that what is in a folder may be another user's.
var ErrNotOurs = errors.New("not a folder that is this user's, and that nobody else may write to")

// Ours looks whether what is in a folder is to be believed: in one like /tmp anybody makes folders of any name.
func Ours(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("looking whose folder it is: %w", err)
	}
	if stat, is := info.Sys().(*syscall.Stat_t); !is || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: %w", dir, ErrNotOurs)
	}
	return nil
}

// Clean ends what runs on the node in a folder, and takes away what it left on this machine outside of that, whether or not whoever
// started it lives: mounts, control groups, network namespaces, addresses' translation. Where another node is up by now, the network
// is that one's. Where the folder is not Ours, nothing is done.
func Clean(ctx context.Context, dir string) error {
	if err := Ours(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lock, err := tryMachine()
	if errors.Is(err, errTaken) {
		return clean(ctx, dir)
	}
	if err != nil {
		return err
	}
	return errors.Join(clean(ctx, dir), dropNetwork(ctx), lock.Close())
}

func clean(ctx context.Context, dir string) error {
	pods := podsOf(dir)
	// First those who would start others.
	ended := errors.Join(End(ctx, dir), endAll(ctx, func(p process) bool { return p.isShimOf(dir) || p.isIn(pods) }))
	err := unmount(ctx, dir)
	dropGroups(pods)
	dropLinks(dir)
	return errors.Join(ended, err)
}

// dropNetwork takes away the bridge and all that belongs to it. It is for who holds the machine.
func dropNetwork(ctx context.Context) error {
	err := dropNamespaces()
	_ = exec.CommandContext(ctx, "ip", "link", "delete", bridge).Run()
	dropRules(ctx)
	return err
}

// End ends all processes that log into files of a folder.
func End(ctx context.Context, dir string) error {
	return endAll(ctx, func(p process) bool { return p.logsInto(dir) })
}

// process is one of this machine.
type process int

func (p process) file(name string) string { return filepath.Join("/proc", strconv.Itoa(int(p)), name) }

func (p process) logsInto(dir string) bool {
	for _, descriptor := range []string{"fd/1", "fd/2"} {
		if into, err := os.Readlink(p.file(descriptor)); err == nil && strings.HasPrefix(into, dir+"/") {
			return true
		}
	}
	return false
}

func (p process) isShimOf(dir string) bool {
	line, err := os.ReadFile(p.file("cmdline"))
	return err == nil && strings.Contains(string(line), dir+"/containerd.sock") && strings.Contains(string(line), "shim")
}

func (p process) isIn(pods []string) bool {
	if len(pods) == 0 {
		return false
	}
	groups, err := os.ReadFile(p.file("cgroup"))
	return err == nil && slices.ContainsFunc(pods, func(uid string) bool { return strings.Contains(string(groups), "/pod"+uid+"/") })
}

// endAll kills until there is none, as one may start another before it is gone.
func endAll(ctx context.Context, which func(process) bool) error {
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return fmt.Errorf("listing processes: %w", err)
		}
		var left []process
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if p := process(pid); err == nil && pid != os.Getpid() && which(p) {
				left = append(left, p)
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v do not end: %w", left, ctx.Err())
		case <-tick.C:
		}
	}
}

// podsOf are the UIDs of the Pods that the kubelet has folders of.
func podsOf(dir string) []string {
	entries, _ := os.ReadDir(filepath.Join(dir, "kubelet", "pods"))
	uids := make([]string, 0, len(entries))
	for _, e := range entries {
		uids = append(uids, e.Name())
	}
	return uids
}

// sandbox is how the plugins remember a network namespace.
var sandbox = regexp.MustCompile(`"sandbox":"/var/run/netns/(cni-[0-9a-f-]+)"`)

// dropNamespaces takes away the network namespaces of our containers, and with them their devices.
func dropNamespaces() error {
	files, _ := filepath.Glob(filepath.Join(results, networkName+"-*-eth0"))
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // of our network
		if err != nil {
			continue
		}
		if m := sandbox.FindSubmatch(text); m != nil {
			namespace := filepath.Join("/run/netns", string(m[1]))
			_ = syscall.Unmount(namespace, syscall.MNT_DETACH)
			errs = append(errs, removed(namespace))
		}
		container := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), networkName+"-"), "-eth0")
		errs = append(errs, removed(file), removed(filepath.Join(results, "cni-loopback-"+container+"-lo")))
	}
	return errors.Join(errs...)
}

func removed(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // of our network
		return fmt.Errorf("removing what a container left: %w", err)
	}
	return nil
}

// unmount takes away what containerd and the kubelet mounted below the folder. It fails where any is left: whoever removes the folder
// would remove what is mounted there.
func unmount(ctx context.Context, dir string) error {
	points, err := mounts(dir)
	for _, point := range slices.Backward(points) {
		_ = exec.CommandContext(ctx, "umount", "-l", point).Run() //nolint:gosec // below our folder
	}
	left, errLeft := mounts(dir)
	if len(left) > 0 {
		errLeft = fmt.Errorf("still mounted: %s", strings.Join(left, " "))
	}
	return errors.Join(err, errLeft)
}

// mounts are those below a folder.
func mounts(dir string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	return below(dir, string(text)), nil
}

// escapes are those of the kernel in its list of mounts.
var escapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// below are those of a list of mounts, as proc(5) has it, that are below a folder.
func below(dir, list string) []string {
	var points []string
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); len(fields) > 1 {
			if point := escapes.Replace(fields[1]); strings.HasPrefix(point, dir+"/") {
				points = append(points, point)
			}
		}
	}
	return points
}

// dropGroups takes away the control groups of the Pods; those of all Pods too where no other kubelet has any.
func dropGroups(pods []string) {
	hierarchies, _ := filepath.Glob(filepath.Join(controls, "*", "kubepods"))
	for _, top := range append(hierarchies, filepath.Join(controls, "kubepods")) {
		var groups []string
		_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for _, group := range slices.Backward(groups) {
			ours := slices.ContainsFunc(pods, func(uid string) bool { return strings.Contains(group+"/", "/pod"+uid+"/") })
			if ours || !strings.Contains(group, "/pod") && !otherKubelet() {
				// It fails where a group has others in it.
				_ = os.Remove(group)
			}
		}
	}
}

// otherKubelet is one that runs; what has ended, and nobody took note of yet, has no command line.
func otherKubelet() bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	return slices.ContainsFunc(files, func(file string) bool {
		line, err := os.ReadFile(file) //nolint:gosec // of a process
		program, _, _ := strings.Cut(string(line), "\x00")
		return err == nil && filepath.Base(program) == "kubelet"
	})
}

// chain is how the bridge plugin calls those that it makes for a container of our subnet.
var chain = regexp.MustCompile(`^-A POSTROUTING -s (10\.245\.77\.\d+/32) -m comment --comment "(.*)" -j (CNI-[0-9a-f]+)$`)

// dropRules takes away the translation of addresses that the bridge plugin left.
func dropRules(ctx context.Context) {
	nat := func(arguments ...string) []byte {
		output, _ := exec.CommandContext(ctx, "iptables", append([]string{"-w", "10", "-t", "nat"}, arguments...)...).Output() //nolint:gosec // rules as iptables says them
		return output
	}
	for line := range strings.Lines(string(nat("-S", "POSTROUTING"))) {
		if m := chain.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			nat("-D", "POSTROUTING", "-s", m[1], "-m", "comment", "--comment", strings.ReplaceAll(m[2], `\"`, `"`), "-j", m[3])
			nat("-F", m[3])
			nat("-X", m[3])
		}
	}
}

// dropLinks takes away the names under which the kubelet shows logs, and the sockets of containerd's shims.
func dropLinks(dir string) {
	links, _ := filepath.Glob("/var/log/containers/*.log")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir+"/") {
			_ = os.Remove(link)
		}
	}
	addresses, _ := filepath.Glob(filepath.Join(dir, "run", "io.containerd.runtime.v2.task", "*", "*", "address"))
	for _, file := range addresses {
		if text, err := os.ReadFile(file); err == nil { //nolint:gosec // below our folder
			_ = os.Remove(strings.TrimPrefix(strings.TrimSpace(string(text)), "unix://")) //nolint:gosec // as our shim wrote it
		}
	}
}
