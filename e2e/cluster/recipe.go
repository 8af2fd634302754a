package cluster

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Version is the version of Kubernetes.
const Version = "v1.37.2"

// Components says which programs are wanted. They add up: Kubelet without
// APIServer is possible, and builds what the nodes need only.
type Components uint

// The components.
const (
	// APIServer is etcd and kube-apiserver: the smallest control plane.
	APIServer Components = 1 << iota
	// Controllers are kube-controller-manager and kube-scheduler.
	Controllers
	// Kubectl is the command.
	Kubectl
	// Nodes is what runs on a node: kubelet, kube-proxy, containerd with its shim
	// and ctr, runc, and the CNI plugins. Linux only; runc needs a C compiler and
	// libseccomp's headers.
	Nodes
	// Kwok simulates nodes.
	Kwok
)

// ControlPlane is a whole control plane, without nodes.
const ControlPlane = APIServer | Controllers

// recipes are the modules that the programs are built from: tools/NAME.mod and
// tools/NAME.sum, as go.mod and go.sum.
//
//go:embed tools/*.mod tools/*.sum tools/pause.go.txt
var recipes embed.FS

// program is one executable and how it is built.
type program struct {
	name      string // its file, below the directory of programs
	component Components
	module    string // its recipe
	pkg       string
	ldflags   string // besides -s -w
	tags      string
	cgo       bool
}

const (
	kubeFlags = "-X k8s.io/component-base/version.gitVersion=" + Version +
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37" +
		" -X k8s.io/component-base/version.gitTreeState=clean" +
		" -X k8s.io/client-go/pkg/version.gitVersion=" + Version +
		" -X k8s.io/client-go/pkg/version.gitMajor=1 -X k8s.io/client-go/pkg/version.gitMinor=37"
	containerdFlags = "-X github.com/containerd/containerd/v2/version.Version=2.4.2"
	containerdTags  = "no_btrfs no_zfs no_devmapper no_blockfile"
	containerdPath  = "github.com/containerd/containerd/v2/cmd/"
	cniPath         = "github.com/containernetworking/plugins/plugins/"
)

// programs returns every program in the order in which they are built: what
// compiles most of a module comes first.
func programs() []program {
	kube := func(name string, c Components) program {
		return program{name: name, component: c, module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/" + name, ldflags: kubeFlags}
	}
	ctrd := func(name string) program {
		return program{name: name, component: Nodes, module: "containerd", pkg: containerdPath + name, ldflags: containerdFlags, tags: containerdTags}
	}
	cni := func(name, path string) program {
		return program{name: "cni/" + name, component: Nodes, module: "cni", pkg: cniPath + path + "/" + name}
	}
	return []program{
		kube("kube-apiserver", APIServer),
		{name: "etcd", component: APIServer, module: "etcd", pkg: "go.etcd.io/etcd/server/v3"},
		kube("kube-controller-manager", Controllers),
		kube("kube-scheduler", Controllers),
		kube("kubectl", Kubectl),
		kube("kubelet", Nodes),
		kube("kube-proxy", Nodes),
		ctrd("containerd"),
		ctrd("containerd-shim-runc-v2"),
		ctrd("ctr"),
		{
			name: "runc", component: Nodes, module: "runc", pkg: "github.com/opencontainers/runc", cgo: true,
			ldflags: "-X main.version=1.5.2 -linkmode external -extldflags=-static", tags: "seccomp netgo osusergo",
		},
		cni("bridge", "main"),
		cni("loopback", "main"),
		cni("host-local", "ipam"),
		cni("portmap", "meta"),
		{name: "kwok", component: Kwok, module: "kwok", pkg: kwokModule + "/cmd/kwok"},
		{name: "pause", component: Nodes, module: "", pkg: "."},
	}
}

// wanted returns the programs of components.
func wanted(components Components) []program {
	return slices.DeleteFunc(programs(), func(p program) bool { return p.component&components == 0 })
}

// executable returns the file name of the program on this system.
func (p program) executable() string {
	if runtime.GOOS == "windows" {
		return p.name + ".exe"
	}
	return p.name
}

// args returns the arguments of the go command that builds p into the file out.
// The flags are the same everywhere, so that the programs share what is compiled.
func (p program) args(out string) []string {
	args := []string{"build", "-trimpath", "-ldflags", strings.TrimSpace("-s -w " + p.ldflags)}
	if p.tags != "" {
		args = append(args, "-tags", p.tags)
	}
	return append(args, "-o", out, p.pkg)
}

// read returns one file of the recipes.
func read(name string) []byte {
	data, err := recipes.ReadFile("tools/" + name)
	if err != nil {
		panic("cluster: not embedded: " + name) // A file of this package's own.
	}
	return data
}

// key names the directory of what goVersion builds from all the recipes.
func key(goVersion string) string {
	h := sha256.New()
	fmt.Fprintf(h, "layout 1\n%s %s/%s\n", goVersion, runtime.GOOS, runtime.GOARCH)
	for _, p := range programs() {
		fmt.Fprintf(h, "%s %q cgo=%t\n", p.name, p.args(""), p.cgo)
	}
	entries, err := recipes.ReadDir("tools")
	if err != nil {
		panic(err) // As in read.
	}
	for _, e := range entries {
		data := read(e.Name())
		fmt.Fprintf(h, "%s %d\n", e.Name(), len(data))
		_, _ = h.Write(data) // Never fails.
	}
	return hex.EncodeToString(h.Sum(nil))[:24]
}
