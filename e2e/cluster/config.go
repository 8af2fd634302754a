package cluster

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Config says what a cluster is made of. The zero Config is the smallest control
// plane: etcd and kube-apiserver.
type Config struct {
	// Name, if set, is a DNS label by which other processes find the cluster; no two
	// that run have the same.
	Name string `json:"name,omitempty"`
	// Dir is the directory in which the cluster's files are: data, logs, images. It
	// needs a file system that overlayfs can write to. Empty: with the programs.
	Dir string `json:"dir,omitempty"`
	// FullControlPlane adds kube-controller-manager and kube-scheduler. Nodes and
	// SimulatedNodes imply it.
	FullControlPlane bool `json:"fullControlPlane,omitempty"`
	// Nodes is the number of real nodes, node-1 and so on, at most 100. They need
	// Linux and root, and a program that has called Main.
	Nodes int `json:"nodes,omitempty"`
	// SimulatedNodes is the number of nodes of kwok, fake-0 and so on: pods on them
	// become ready without being run.
	SimulatedNodes int `json:"simulatedNodes,omitempty"`
	// Kubectl builds kubectl too.
	Kubectl bool `json:"kubectl,omitempty"`
	// APIServerFlags, ControllerFlags, SchedulerFlags and KubeletFlags add to the
	// programs' flags or replace them, by name without dashes.
	APIServerFlags  map[string]string `json:"apiServerFlags,omitempty"`
	ControllerFlags map[string]string `json:"controllerFlags,omitempty"`
	SchedulerFlags  map[string]string `json:"schedulerFlags,omitempty"`
	KubeletFlags    map[string]string `json:"kubeletFlags,omitempty"`
	// Runtimes are more OCI runtimes of the nodes, by the handler that a RuntimeClass
	// names (a DNS label): each a directory of this machine with the program "runtime"
	// in it, which the nodes see as /opt/runtimes/HANDLER. Their own runc is
	// /opt/gopherwood/runc.
	Runtimes map[string]string `json:"runtimes,omitempty"`
	// Progress takes what happens.
	Progress Progress `json:"-"`
}

const (
	maxNodes     = 100
	maxSimulated = 20000
)

// check finds what is wrong with the configuration.
func (c *Config) check() error {
	wrong := func(format string, args ...any) error {
		return &fault.Error{Code: fault.Usage, Op: "configure cluster", Input: c.Name, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case c.Name != "" && !validName(c.Name):
		return wrong("a name has up to 32 of a-z, 0-9 and -")
	case c.Nodes < 0 || c.Nodes > maxNodes:
		return wrong("%d nodes: there can be 0 to %d", c.Nodes, maxNodes)
	case c.SimulatedNodes < 0 || c.SimulatedNodes > maxSimulated:
		return wrong("%d simulated nodes: there can be 0 to %d", c.SimulatedNodes, maxSimulated)
	case c.Nodes > 0 && runtime.GOOS != "linux":
		return unsupportedNodes()
	}
	for handler, dir := range c.Runtimes {
		if !validName(handler) || handler == "runc" {
			return wrong("runtime %q: a handler has up to 32 of a-z, 0-9 and -, and is not runc", handler)
		}
		if _, err := os.Stat(filepath.Join(dir, runtimeProgram)); err != nil {
			return wrong("runtime %s: %w", handler, err)
		}
	}
	return nil
}

// runtimeProgram is the program of one of Config's Runtimes in its directory.
const runtimeProgram = "runtime"

func unsupportedNodes() error {
	return &fault.Error{
		Code: fault.Unsupported, Op: "make nodes",
		Err:  fmt.Errorf("nodes are namespaces of Linux, this is %s", runtime.GOOS),
		Hint: "use a control plane without nodes, or a Linux machine",
	}
}

// full says whether the whole control plane is wanted.
func (c *Config) full() bool { return c.FullControlPlane || c.Nodes > 0 || c.SimulatedNodes > 0 }

// Components returns the programs that the cluster needs.
func (c *Config) Components() Components {
	all := APIServer
	if c.full() {
		all |= Controllers
	}
	if c.Kubectl {
		all |= Kubectl
	}
	if c.Nodes > 0 {
		all |= Nodes
	}
	if c.SimulatedNodes > 0 {
		all |= Kwok
	}
	return all
}

// flags returns the command line of defaults and what a user adds or replaces.
func flags(defaults, more map[string]string) []string {
	all := maps.Clone(defaults)
	maps.Copy(all, more)
	args := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "--"+name+"="+all[name])
	}
	return args
}
