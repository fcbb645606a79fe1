// Command controlplane runs a Kubernetes control plane with fake nodes on this machine, for tests and for trying things out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

const usage = `Runs a Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and
kwok, which plays nodes. Needs Go and Linux, but no root, no containers and no cloud. Pods on the fake nodes run until
they are deleted; annotations have them fail.

Usage:
  go run ./hack/controlplane build                            build the components, if they are not up to date
  go run ./hack/controlplane up --dir DIR [flags]             bring the control plane in DIR up; build before if need be
  go run ./hack/controlplane status --dir DIR                 say how the components fare
  go run ./hack/controlplane down --dir DIR                   stop the control plane in DIR and remove its data

Up may be repeated at any time: it starts what is missing and keeps data and ports.
"go run ./hack/controlplane COMMAND -h" lists the flags of a command.

Exit codes: 0 done, and for status: all is well; 1 failed, and for status: something is not well; 2 wrong usage.
`

// errUsage is wrong usage that has been explained to the user already.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, out, progress io.Writer) error {
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"build": build, "up": up, "down": down, "status": status,
	}
	if len(arguments) == 0 {
		fmt.Fprint(progress, usage)
		return errUsage
	}
	name := arguments[0]
	if command, known := commands[name]; known {
		return command(ctx, arguments[1:], out, progress)
	}
	switch name {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(out, usage)
		return nil
	}
	fmt.Fprintf(progress, "controlplane: there is no command %q\n\n%s", name, usage)
	return errUsage
}

// parse reads a command's flags. Commands that work on a control plane get the flag dir, which must be given.
func parse(flags *flag.FlagSet, arguments []string, needsDir bool, out io.Writer) (string, error) {
	dir := new(string)
	if needsDir {
		dir = flags.String("dir", "", "folder of the control plane (required)")
	}
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintf(out, "Flags of %s:\n", flags.Name())
		flags.PrintDefaults()
	}
	err := flags.Parse(arguments)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return "", err
	case err != nil:
		return "", errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(out, "controlplane: %s takes flags only, not %q\n", flags.Name(), strings.Join(flags.Args(), " "))
		return "", errUsage
	case needsDir && *dir == "":
		fmt.Fprintf(out, "controlplane: say which folder: %s --dir DIR\n", flags.Name())
		return "", errUsage
	}
	return *dir, nil
}

func build(ctx context.Context, arguments []string, out, progress io.Writer) error {
	if _, err := parse(flag.NewFlagSet("build", flag.ContinueOnError), arguments, false, progress); err != nil {
		return err
	}
	bin, err := buildHere(ctx, progress)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The control plane is built: %s\n", bin)
	return nil
}

func buildHere(ctx context.Context, progress io.Writer) (string, error) {
	root, err := controlplane.Root(".")
	if err != nil {
		return "", err
	}
	return controlplane.Build(ctx, root, progress)
}

func up(ctx context.Context, arguments []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	options := controlplane.Options{Progress: progress}
	flags.IntVar(&options.FakeNodes, "fake-nodes", 1, "number of nodes to play")
	flags.BoolVar(&options.APIServerOnly, "api-server-only", false, "leave out the controller manager, the scheduler and the nodes")
	flags.BoolVar(&options.Durable, "durable", false, "let etcd wait for the disk: slower, but a power cut loses nothing")
	var err error
	if options.Dir, err = parse(flags, arguments, true, progress); err != nil {
		return err
	}
	if options.FakeNodes < 0 {
		fmt.Fprintf(progress, "controlplane: --fake-nodes %d: it cannot be less than 0\n", options.FakeNodes)
		return errUsage
	}
	if options.Bin, err = buildHere(ctx, progress); err != nil {
		return err
	}
	cluster, err := controlplane.Up(ctx, options)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The control plane is up. Go on with:\n\n  export KUBECONFIG=%s\n  %s get nodes\n\nStop it with:\n\n  %s\n",
		cluster.Kubeconfig(), filepath.Join(cluster.Bin(), "kubectl"), "go run ./hack/controlplane down --dir "+cluster.Dir())
	return nil
}

func down(ctx context.Context, arguments []string, out, progress io.Writer) error {
	dir, err := parse(flag.NewFlagSet("down", flag.ContinueOnError), arguments, true, progress)
	if err != nil {
		return err
	}
	wasThere, err := controlplane.Down(ctx, dir)
	if err != nil {
		return err
	}
	if wasThere {
		fmt.Fprintf(out, "The control plane in %s is stopped and its data removed.\n", dir)
	} else {
		fmt.Fprintf(out, "There is no control plane in %s: nothing to do.\n", dir)
	}
	return nil
}

func status(ctx context.Context, arguments []string, out, progress io.Writer) error {
	dir, err := parse(flag.NewFlagSet("status", flag.ContinueOnError), arguments, true, progress)
	if err != nil {
		return err
	}
	cluster, err := controlplane.Load(dir)
	if errors.Is(err, controlplane.ErrNoControlPlane) {
		return fmt.Errorf("%w; bring one up with: go run ./hack/controlplane up --dir %s", err, dir)
	}
	if err != nil {
		return err
	}
	components, err := cluster.Status(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tSTATE\tPID\tPORT\tLOG")
	unwell := 0
	for _, component := range components {
		state, pid := "ready", fmt.Sprint(component.PID)
		if component.Unhealthy != nil {
			unwell++
			state = "not ready"
		}
		if component.PID == 0 {
			state, pid = "not running", "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", component.Name, state, pid, component.Port, cluster.Log(component.Name))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	if unwell > 0 {
		return fmt.Errorf("%d of %d components are not ready; start them with: go run ./hack/controlplane up --dir %s",
			unwell, len(components), dir)
	}
	return nil
}
