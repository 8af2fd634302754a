package cluster

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// nodeBoot is what a node's process 1 is told.
type nodeBoot struct {
	Name string `json:"name"`
	Root string `json:"root"`
	Bin  string `json:"bin"`
	// Runtimes are directories of this machine by the handler.
	Runtimes map[string]string `json:"runtimes,omitempty"`
	Logs     string            `json:"logs"`
	Cgroup   string            `json:"cgroup"`
	Network  []string          `json:"network"` // commands of ip(8)
	Kubelet  []string          `json:"kubelet"`
	Proxy    []string          `json:"proxy"`
	// Environ is containerd's, besides PATH.
	Environ []string `json:"environ,omitempty"`
}

const (
	containerdSocket = "/run/containerd/containerd.sock"
	containerdConfig = "/etc/containerd/config.toml"
	registryHosts    = "/etc/containerd/certs.d"
	cniConfig        = "/etc/cni/net.d/10-gopherwood.conflist"
	kubeletConfig    = "/etc/kubernetes/kubelet.json"
	kubeletClient    = "/etc/kubernetes/kubelet.kubeconfig"
	proxyClient      = "/etc/kubernetes/proxy.kubeconfig"
	pauseFile        = "/etc/kubernetes/pause.tar"
	pauseImage       = "gopherwood.internal/pause:1"
)

// writeNode writes the node's own files below its root, and returns how it boots.
func (c *Cluster) writeNode(n *node) (nodeBoot, error) {
	ip := c.net.nodeIP(n.index)
	etc := func(path string) string { return filepath.Join(n.root(), path) }
	server, err := c.pki.writeKubeconfig(etc(kubeletClient), "cluster", c.server, nodeIdentity(n.name, ip))
	if err != nil {
		return nodeBoot{}, err
	}
	if _, err := c.pki.writeKubeconfig(etc(proxyClient), "cluster", c.server, proxyIdentity()); err != nil {
		return nodeBoot{}, err
	}
	pause, err := imageArchive(filepath.Join(c.bin, "pause"), pauseImage)
	if err != nil {
		return nodeBoot{}, err
	}
	machine := sha256.Sum256([]byte(c.net.tag + n.name))
	kubelet, err := json.MarshalIndent(kubeletConfiguration(c.cgroup(n)), "", "  ")
	if err != nil {
		return nodeBoot{}, err
	}
	for path, content := range map[string][]byte{
		containerdConfig:                  []byte(containerdConfiguration(c.config.Runtimes)),
		cniConfig:                         []byte(cniConfiguration(c.net.pods(n.index))),
		kubeletConfig:                     kubelet,
		pauseFile:                         pause,
		"/etc/kubernetes/ca.crt":          c.pki.ca.pem,
		"/etc/kubernetes/kubelet.crt":     server.cert,
		"/etc/kubernetes/kubelet.key":     server.key,
		"/etc/kubernetes/manifests/.keep": nil,
		"/etc/hosts":                      []byte("127.0.0.1 localhost\n" + ip.String() + " " + n.name + "\n"),
		"/etc/hostname":                   []byte(n.name + "\n"),
		"/etc/machine-id":                 []byte(hex.EncodeToString(machine[:16]) + "\n"),
		"/etc/os-release":                 []byte("ID=gopherwood\nPRETTY_NAME=\"Gopherwood test node\"\n"),
		"/etc/passwd":                     []byte("root:x:0:0:root:/root:/bin/sh\n"),
		"/etc/group":                      []byte("root:x:0:\n"),
		"/etc/resolv.conf":                []byte("nameserver 127.0.0.1\n"),
		registryHosts + "/.keep":          nil,
	} {
		if err := writeAtomically(etc(path), content, modeOf(path)); err != nil {
			return nodeBoot{}, err
		}
	}
	if err := c.writeRegistries(n); err != nil {
		return nodeBoot{}, err
	}
	return nodeBoot{
		Name: n.name, Root: n.root(), Bin: c.bin, Runtimes: c.config.Runtimes, Logs: filepath.Join(c.LogDir(), n.name), Cgroup: c.cgroup(n),
		Network: c.nodeNetwork(n),
		Kubelet: flags(map[string]string{
			"config": kubeletConfig, "kubeconfig": kubeletClient, "hostname-override": n.name, "node-ip": ip.String(),
		}, c.config.KubeletFlags),
		Proxy: flags(map[string]string{
			"proxy-mode": "nftables", "kubeconfig": proxyClient, "hostname-override": n.name, "cluster-cidr": c.net.block(),
			// The machine's own table of connections stays as it is.
			"conntrack-max-per-core": "0", "conntrack-tcp-timeout-established": "0", "conntrack-tcp-timeout-close-wait": "0",
		}, nil),
	}, nil
}

func modeOf(path string) fs.FileMode {
	if strings.HasSuffix(path, ".key") {
		return 0o600
	}
	return 0o644
}

// nodeNetwork returns the commands that set up the network in the node's
// namespace: its address, and the ways to the pods of all nodes that there can
// be.
func (c *Cluster) nodeNetwork(n *node) []string {
	commands := []string{
		"link set lo up",
		"addr add " + c.net.inHostNetwork(c.net.nodeIP(n.index)) + " dev eth0",
		"link set eth0 up",
		"route add default via " + c.net.host.String(),
	}
	for i := 1; i <= maxNodes; i++ {
		if i != n.index {
			commands = append(commands, "route add "+c.net.pods(i)+" via "+c.net.nodeIP(i).String())
		}
	}
	return commands
}

// kubeletConfiguration returns the KubeletConfiguration.
func kubeletConfiguration(cgroup string) any {
	type object map[string]any
	return object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"failCgroupV1":             false,
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               "/" + cgroup,
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": "/etc/kubernetes/ca.crt"},
		},
		"authorization":       object{"mode": "Webhook"},
		"tlsCertFile":         "/etc/kubernetes/kubelet.crt",
		"tlsPrivateKeyFile":   "/etc/kubernetes/kubelet.key",
		"resolvConf":          "/etc/resolv.conf",
		"volumePluginDir":     "/var/lib/kubelet/plugins-exec",
		"staticPodPath":       "/etc/kubernetes/manifests",
		"failSwapOn":          false,
		"maxPods":             250,
		"serializeImagePulls": false,
		// The disk is the machine's: it is not this node's to clean up.
		"evictionHard":                object{"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
		"imageGCHighThresholdPercent": 100,
	}
}

// containerdConfiguration returns containerd's configuration file, with more
// runtimes than runc.
func containerdConfiguration(runtimes map[string]string) string {
	programs := map[string]string{"runc": nodeBin + "/runc"}
	for handler := range runtimes {
		programs[handler] = nodeRuntimes + handler + "/" + runtimeProgram
	}
	var handlers strings.Builder
	for _, handler := range slices.Sorted(maps.Keys(programs)) {
		fmt.Fprintf(&handlers, `  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.%[1]s]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.%[1]s.options]
      BinaryName = %[2]q
      SystemdCgroup = false
`, handler, programs[handler])
	}
	return `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "` + containerdSocket + `"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "` + pauseImage + `"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "` + registryHosts + `"
[plugins."io.containerd.cri.v1.runtime"]
  # Where root lacks CAP_SYS_RESOURCE, a score cannot be lower than this process's.
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
` + handlers.String() + `[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["` + nodeBin + `/cni"]
  conf_dir = "` + filepath.Dir(cniConfig) + `"
`
}

// cniConfiguration returns the network of the pods of a node.
func cniConfiguration(pods string) string {
	return fmt.Sprintf(`{"cniVersion":"1.0.0","name":"gopherwood","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"/run/cni","ranges":[[{"subnet":%q}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true},"backend":"nftables"}]}
`, pods)
}

// hasFileSystem says whether the kernel has a kind of file system.
func hasFileSystem(kind string) bool {
	table, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false
	}
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 0 && fields[len(fields)-1] == kind {
			return true
		}
	}
	return false
}
