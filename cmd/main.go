// Command manager is the operator: it receives callbacks on every replica and reconciles on one. Flags make it a process that does
// one of the two, with the rights of that alone.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/livestream-operator/livestream-operator/internal/operator"
)

// version is set when the binary is built.
var version = "dev"

// defaultProgressInterval makes 34 writes a second of 10,000 streams on air.
const defaultProgressInterval = 5 * time.Minute

func main() {
	var options operator.Options
	flag.StringVar(&options.CallbackAddress, "callback-bind-address", ":9080", "Address that callbacks are received on; 0 receives none.")
	flag.IntVar(&options.ConnectionsPerSource, "callback-connections-per-source", 0, "How many connections one address, or one IPv6 /64, may have open at the callback address; more are closed at once. 0 is no limit: behind a proxy or a load balancer, or a Service that hides the senders' addresses, all have one.")
	flag.DurationVar(&options.ShutdownDelay, "shutdown-delay", operator.DefaultShutdownDelay, "How long callbacks are received after SIGTERM, as those who send them need a moment to hear of it; /readyz fails meanwhile, and nothing is reconciled. The Pod's grace period has to be longer by 21 s.")
	flag.StringVar(&options.MetricsAddress, "metrics-bind-address", ":8080", "Address that Prometheus metrics are served on; 0 serves none.")
	flag.StringVar(&options.ProbeAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz; 0 serves none.")
	flag.BoolVar(&options.Reconcile, "reconcile", true, "Reconcile: run workloads, and write what they do. When false, callbacks are received and nothing else is done.")
	flag.StringVar(&options.ProfilingAddress, "pprof-bind-address", "", "Address of this machine, such as 127.0.0.1:6060, that Go's profiles are served on; none when empty.")
	flag.BoolVar(&options.LeaderElect, "leader-elect", false, "Elect a leader among replicas; only it reconciles, all of them receive.")
	flag.StringVar(&options.LeaderElectionNamespace, "leader-election-namespace", "", "Namespace of the leader's Lease. When empty, that of the operator's pod, or default outside a cluster.")
	flag.StringVar(&options.WorkerImage, "worker-image", "ghcr.io/livestream-operator/worker:"+version, "Image of the worker that spec.recording and spec.transcoding run.")
	flag.DurationVar(&options.ProgressInterval, "progress-interval", defaultProgressInterval, "How often workers are asked how they get on, for status.workloads[].message; each answer is a write. 0 is never.")
	hosts := flag.String("css-api-hosts", "", "Hosts, with commas between, that spec.api.endpoint of a PushDomain may name besides those of tencentcloudapi.com. Callback keys are sent there.")
	logging := zap.Options{}
	logging.BindFlags(flag.CommandLine)
	flag.Parse()
	if *hosts != "" {
		options.APIHosts = strings.Split(*hosts, ",")
	}
	logging.ZapOpts = append(logging.ZapOpts, lazily())
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logging)))
	ctrl.Log.Info("Starting livestream-operator", "version", version)

	if err := operator.Run(ctrl.SetupSignalHandler(), options); err != nil {
		fmt.Fprintln(os.Stderr, "livestream-operator:", err)
		os.Exit(1)
	}
}
