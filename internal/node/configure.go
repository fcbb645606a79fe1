package node

import (
	"context"
	"fmt"
	"os"
)

// containerdConfig is containerd's. Without restrict_oom_score_adj runc fails where this process lacks CAP_SYS_RESOURCE.
const containerdConfig = `version = 2
root = "%[1]s/containerd"
state = "%[1]s/run"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "%[1]s/containerd.sock"
[ttrpc]
  address = "%[1]s/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[2]s"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "%[3]s"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "%[1]s/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "%[1]s/cni"
`

const network = `{"cniVersion": "0.4.0", "name": "%s", "plugins": [
  {"type": "bridge", "bridge": "%s", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "%s/ipam", "ranges": [[{"subnet": "%s", "gateway": "%s"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /
enforceNodeAllocatable: []
containerRuntimeEndpoint: unix://%[1]s/containerd.sock
podLogsDir: %[1]s/pods
port: %[2]d
healthzPort: 0
address: 127.0.0.1
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
clusterDomain: cluster.local
resolvConf: ""
evictionHard: {memory.available: 0%%, nodefs.available: 0%%, imagefs.available: 0%%}
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
`

func (n *Node) configure(ctx context.Context) error {
	for _, name := range []string{"", "logs", "cni", "pods", "pki", "kubelet"} {
		if err := os.MkdirAll(n.path(name), 0o750); err != nil {
			return fmt.Errorf("making the node's folder: %w", err)
		}
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"containerd.toml": fmt.Sprintf(containerdConfig, n.dir, pauseImage, snapshotter(ctx, n.dir)),
		"cni/10.conflist": fmt.Sprintf(network, networkName, bridge, n.dir, subnet, gateway),
		"kubelet.yaml":    fmt.Sprintf(kubeletConfig, n.dir, port),
	} {
		if err := os.WriteFile(n.path(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("configuring the node: %w", err)
		}
	}
	return nil
}
