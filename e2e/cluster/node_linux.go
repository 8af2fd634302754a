package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// nodeWait is the most that a node may take to become Ready; it takes seconds.
const nodeWait = 90 * time.Second

// node is a real node, as this machine sees it.
type node struct {
	index int
	name  string
	dir   string // of its log and its root
	proc  *process
}

func (n *node) root() string { return filepath.Join(n.dir, "root") }

// canHaveNodes finds what making nodes lacks.
func canHaveNodes() error {
	if os.Geteuid() != 0 {
		return &fault.Error{
			Code: fault.Denied, Op: "make nodes", Err: errors.New("namespaces, mounts and network links need root"),
			Hint: "run it as root (sudo -E), or use a control plane without nodes (--control-plane-only)",
		}
	}
	if !mainCalled() {
		return &fault.Error{Code: fault.Usage, Op: "make nodes", Err: errors.New("this program does not call cluster.Main first thing")}
	}
	var missing []string
	for tool, pack := range map[string]string{"ip": "iproute2", "nft": "nftables", "mount": "mount"} {
		if _, err := lookTool(tool); err != nil {
			missing = append(missing, pack)
		}
	}
	if err := missingPackages("make nodes", missing); err != nil {
		return err
	}
	if !hasFileSystem("overlay") {
		return &fault.Error{Code: fault.Unsupported, Op: "make nodes", Err: errors.New("this kernel has no overlay file system"), Hint: "modprobe overlay"}
	}
	return nil
}

// startNodes adds n nodes at once.
func (c *Cluster) startNodes(ctx context.Context, n int) error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		added, err := c.newNode()
		if err != nil {
			errs[i] = err
			break
		}
		group.Go(func() { errs[i] = c.startNode(ctx, added) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// AddNode adds a node and waits until it is Ready. The cluster must have been
// started with a node.
func (c *Cluster) AddNode(ctx context.Context) (NodeInfo, error) {
	if c.net == nil {
		return NodeInfo{}, &fault.Error{Code: fault.Usage, Op: "add node", Err: errors.New("the cluster was started without nodes")}
	}
	n, err := c.newNode()
	if err != nil {
		return NodeInfo{}, err
	}
	if err := c.startNode(ctx, n); err != nil {
		return NodeInfo{}, err
	}
	return c.nodeInfo(n), nil
}

// Nodes returns the real nodes that were not stopped.
func (c *Cluster) Nodes() []NodeInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []NodeInfo
	for _, n := range c.nodes {
		if n.proc != nil {
			all = append(all, c.nodeInfo(n))
		}
	}
	return all
}

func (c *Cluster) nodeInfo(n *node) NodeInfo {
	return NodeInfo{Name: n.name, Address: c.net.nodeIP(n.index).String(), Alive: !n.proc.ended(), PID: n.proc.handle.PID}
}

// newNode takes the next number.
func (c *Cluster) newNode() (*node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastNode++
	if c.lastNode > maxNodes {
		return nil, &fault.Error{Code: fault.Limit, Op: "add node", Err: fmt.Errorf("a cluster numbers %d nodes in its life", maxNodes)}
	}
	n := &node{index: c.lastNode, name: "node-" + strconv.Itoa(c.lastNode)}
	n.dir = filepath.Join(c.dir, "nodes", n.name)
	c.nodes = append(c.nodes, n) // Without a process yet.
	return n, nil
}

// startNode starts a node and waits until it is Ready.
func (c *Cluster) startNode(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeoutCause(ctx, nodeWait, &fault.Error{
		Code: fault.Unavailable, Op: "start node", Input: n.name, Err: fmt.Errorf("not Ready after %s", nodeWait),
	})
	defer cancel()
	logs := filepath.Join(c.LogDir(), n.name)
	if err := errors.Join(os.MkdirAll(logs, 0o755), os.MkdirAll(n.root(), 0o755)); err != nil {
		return err
	}
	boot, err := c.writeNode(n)
	if err != nil {
		return err
	}
	err = c.reg.update(func(s *state) {
		s.Links, s.Cgroups = append(s.Links, c.net.veth(n.index)), append(s.Cgroups, boot.Cgroup)
	})
	if err != nil {
		return err
	}
	release, err := c.spawnNode(n, logs)
	if err != nil {
		return err
	}
	err = c.connect(ctx, n)
	err = errors.Join(err, json.NewEncoder(release).Encode(boot), release.Close())
	if err != nil {
		return n.proc.failure("start", err)
	}
	done := c.config.Progress.step("start", n.name)
	err = poll(ctx, 20*time.Millisecond, n.proc.done, func() error {
		var status nodeStatus
		if err := c.Do(ctx, http.MethodGet, "/api/v1/nodes/"+n.name, nil, &status); err != nil {
			return err
		}
		return status.ready()
	})
	if err != nil {
		return n.failure(logs, err)
	}
	done()
	return nil
}

// failure is the error of a node that does not become Ready, with the ends of its
// logs.
func (n *node) failure(logs string, err error) error {
	for _, name := range []string{"containerd", "kubelet"} {
		if end := logTail(filepath.Join(logs, name+".log"), 5); end != "" {
			err = fmt.Errorf("%w; the end of the log of %s:\n%s", err, name, end)
		}
	}
	return n.proc.failure("start", err)
}

// spawnNode starts the node's process 1 in namespaces of its own. It waits for
// what is written into the returned file.
func (c *Cluster) spawnNode(n *node, logs string) (*os.File, error) {
	start, err := self(roleNode)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	p, err := c.spawn.startProcess(logs, n.name, start.Path, nil, func(cmd *exec.Cmd) {
		cmd.Args, cmd.Stdin = start.Args, read
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	})
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	c.mu.Lock()
	n.proc = p
	c.mu.Unlock()
	err = c.reg.update(func(s *state) {
		s.Nodes = append(s.Nodes, nodeRecord{Name: n.name, Address: c.net.nodeIP(n.index).String(), Process: p.handle})
	})
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	return write, nil
}

// connect gives the node its link to the bridge, and this machine the route to
// its pods.
func (c *Cluster) connect(ctx context.Context, n *node) error {
	veth := c.net.veth(n.index)
	return ipBatch(ctx,
		"link add "+veth+" type veth peer name eth0 netns "+strconv.Itoa(n.proc.handle.PID),
		"link set "+veth+" master "+c.net.bridge()+" up",
		"route replace "+c.net.pods(n.index)+" via "+c.net.nodeIP(n.index).String()+" dev "+c.net.bridge())
}

// node returns the node called name.
func (c *Cluster) node(name string) (*node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		if n.name == name && n.proc != nil {
			return n, nil
		}
	}
	return nil, &fault.Error{Code: fault.NotFound, Op: "find node", Input: name, Err: errors.New("the cluster has no such real node")}
}

// KillNode ends a node at once, with all that runs on it, as a machine that loses
// power. Kubernetes is not told.
func (c *Cluster) KillNode(name string) error {
	n, err := c.node(name)
	if err != nil {
		return err
	}
	n.proc.kill()
	return nil
}

// StopNode ends a node and removes its object and everything that it was.
func (c *Cluster) StopNode(ctx context.Context, name string) error {
	if err := c.KillNode(name); err != nil {
		return err
	}
	n, err := c.node(name)
	if err != nil {
		return err
	}
	err = c.Do(ctx, http.MethodDelete, "/api/v1/nodes/"+name, nil, nil)
	if fault.CodeOf(err) == fault.NotFound {
		err = nil
	}
	veth, cgroup := c.net.veth(n.index), c.cgroup(n)
	err = errors.Join(err,
		removeLinks([]string{veth}), removeCgroups([]string{cgroup}, removeWait), os.RemoveAll(n.dir),
		ipBatch(ctx, "route flush "+c.net.pods(n.index)))
	if err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "stop node", Input: name, Err: err}
	}
	c.mu.Lock()
	c.nodes = slices.DeleteFunc(c.nodes, func(other *node) bool { return other == n })
	c.mu.Unlock()
	return c.reg.update(func(s *state) {
		s.Nodes = slices.DeleteFunc(s.Nodes, func(r nodeRecord) bool { return r.Name == name })
		s.Links = slices.DeleteFunc(s.Links, func(l string) bool { return l == veth })
		s.Cgroups = slices.DeleteFunc(s.Cgroups, func(g string) bool { return g == cgroup })
	})
}

// cgroup returns the name of the node's control group.
func (c *Cluster) cgroup(n *node) string { return "gopherwood-" + c.net.tag + "-" + n.name }
