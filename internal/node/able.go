package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrUnable means that this machine cannot be a node.
var ErrUnable = errors.New("this machine cannot be a node")

// Able tries what a node needs of the machine and its kernel. Each try takes away what it made.
func Able(ctx context.Context) error {
	if _, err := os.Stat("/etc/debian_version"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%w: it takes root on Debian", ErrUnable)
	}
	if missing := Missing(); len(missing) > 0 {
		return fmt.Errorf("%w: not installed: %s", ErrUnable, strings.Join(missing, " "))
	}
	for _, try := range []struct{ what, command string }{
		{"bridges", "ip link add lvsprobe0 type bridge && ip link delete lvsprobe0"},
		{"pairs of network devices", "ip link add lvsprobe0 type veth peer name lvsprobe1 && ip link delete lvsprobe0"},
		{"namespaces", "unshare --net --pid --mount --fork true"},
		{"translation of addresses", "iptables -w 10 -t nat -N LVSPROBE && iptables -w 10 -t nat -A LVSPROBE -m comment --comment probe -j MASQUERADE; e=$?; iptables -w 10 -t nat -F LVSPROBE; iptables -w 10 -t nat -X LVSPROBE; exit $e"},
		{"control groups of memory, processor and processes", `mkdir ` + controls + `/lvsprobe 2>/dev/null && grep -q memory ` + controls + `/lvsprobe/cgroup.controllers 2>/dev/null; e=$?; rmdir ` + controls + `/lvsprobe 2>/dev/null; [ $e = 0 ] && exit
			for g in memory cpu pids; do mkdir ` + controls + `/$g/lvsprobe && rmdir ` + controls + `/$g/lvsprobe || exit 1; done`},
	} {
		if output, err := exec.CommandContext(ctx, "sh", "-c", try.command).CombinedOutput(); err != nil { //nolint:gosec // from above
			return fmt.Errorf("%w: %s: %w: %s", ErrUnable, try.what, err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}

// snapshotter is that of containerd for a folder: one that copies whole images where file systems cannot be laid over one another, as
// within a container.
func snapshotter(ctx context.Context, dir string) string {
	probe, err := os.MkdirTemp(dir, "probe-")
	if err != nil {
		return "native"
	}
	defer func() { _ = os.RemoveAll(probe) }()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if os.Mkdir(filepath.Join(probe, name), 0o700) != nil {
			return "native"
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", probe)
	if exec.CommandContext(ctx, "mount", "-t", "overlay", "overlay", "-o", options, filepath.Join(probe, "merged")).Run() != nil { //nolint:gosec // our folder
		return "native"
	}
	_ = exec.CommandContext(ctx, "umount", filepath.Join(probe, "merged")).Run() //nolint:gosec // our folder
	return "overlayfs"
}
