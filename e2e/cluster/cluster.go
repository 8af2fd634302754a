package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Cluster is a running Kubernetes. It ends with Down, and with this process.
type Cluster struct {
	config  Config
	bin     string
	dir     string // the files that nobody looks for after the cluster's end
	reg     *register
	spawn   *spawner
	reaper  *reaper
	pki     pkiDir
	address string // on which the API server listens
	port    int
	server  string
	etcdURL string
	client  *http.Client
	admin   pair
	net     *network // nil without nodes

	mu    sync.Mutex
	procs map[string]*process
	nodes []*node
	// lastNode is the number of the last node that was made.
	lastNode int
	// registries are how nodes reach registries, by host.
	registries map[string]registryFiles
	// relays forward to registries on this machine's loopback addresses.
	relays []net.Listener

	down func() error
}

// Start builds what is not built yet and starts a cluster; it returns when the API
// server is ready, with a full control plane when the default namespace takes
// pods, and with nodes when these are Ready. It first removes what killed
// processes have left.
//
// Errors: those of Build; Usage for a wrong configuration, or nodes in a program
// that has not called Main; Denied for nodes without root; Unavailable, with the
// end of its log, if a program does not become ready; and the context's.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.Nodes > 0 {
		if err := canHaveNodes(); err != nil {
			return nil, err
		}
	}
	bin, err := Build(ctx, config.Components(), config.Progress)
	if err != nil {
		return nil, err
	}
	if err := Clean(); err != nil {
		// What cannot be removed is no reason not to start: it keeps its names.
		config.Progress.step("leave behind", err.Error())
	}
	c, err := create(config, bin)
	if err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Down())
	}
	return c, nil
}

// create makes the directories and the state of a cluster that has nothing yet.
func create(config Config, bin string) (*Cluster, error) {
	root, err := runRoot()
	if err != nil {
		return nil, err
	}
	id := config.Name
	if id == "" {
		random := make([]byte, 4)
		_, _ = rand.Read(random) // Never fails.
		id = "unnamed-" + hex.EncodeToString(random)
	}
	r := &register{dir: filepath.Join(root, id)}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	if r.lock, err = lockName(r.dir); err != nil {
		return nil, err
	}
	c := &Cluster{config: config, bin: bin, reg: r, procs: map[string]*process{}, spawn: newSpawner()}
	c.down = sync.OnceValue(c.remove)
	if err := c.prepare(id); err != nil {
		return nil, errors.Join(err, c.Down())
	}
	return c, nil
}

// lockName takes the name of a cluster, for which one that is just being removed
// is waited.
func lockName(dir string) (*fileLock, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 3*time.Second, errLocked)
	defer cancel()
	lock, err := lockFile(ctx, lockPath(dir), nil)
	if errors.Is(err, errLocked) {
		err = &fault.Error{Code: fault.Usage, Op: "start cluster", Input: filepath.Base(dir), Err: errors.New("there is one of this name already")}
	}
	return lock, err
}

// prepare writes the first state, then makes the directories, and starts the
// reaper.
func (c *Cluster) prepare(id string) error {
	owner, err := handleOf("owner", os.Getpid())
	if err != nil {
		return err
	}
	c.dir = c.reg.dir
	var dirs []string
	if c.config.Dir != "" {
		parent, err := filepath.Abs(c.config.Dir)
		if err != nil {
			return err
		}
		c.dir = filepath.Join(parent, "gopherwood-cluster-"+id)
		dirs = []string{c.dir}
	}
	err = c.reg.update(func(s *state) {
		*s = state{Schema: 1, ID: id, Name: c.config.Name, Boot: bootID(), Owner: owner, Dirs: dirs, Bin: c.bin}
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.LogDir(), 0o755); err != nil {
		return err
	}
	if mainCalled() {
		c.reaper, err = startReaper(c.reg)
	}
	return err
}

// start starts everything.
func (c *Cluster) start(ctx context.Context) error {
	c.address = "127.0.0.1"
	if c.config.Nodes > 0 {
		if err := c.startNetwork(ctx); err != nil {
			return err
		}
		c.address = c.net.host.String()
	}
	if err := c.startControlPlane(ctx); err != nil {
		return err
	}
	if err := c.startNodes(ctx, c.config.Nodes); err != nil {
		return err
	}
	if c.config.SimulatedNodes > 0 {
		if err := c.startKwok(ctx); err != nil {
			return err
		}
	}
	return c.reg.update(func(s *state) { s.Ready = true })
}

// Down ends the cluster and removes everything that it was; nothing is left when
// it returns nil. It may be called again, and answers the same.
func (c *Cluster) Down() error { return c.down() }

func (c *Cluster) remove() error {
	c.mu.Lock()
	for _, l := range c.relays {
		_ = l.Close()
	}
	c.mu.Unlock()
	err := c.reg.remove()
	c.spawn.close()
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
	if c.reaper != nil {
		c.reaper.end()
	}
	return err
}

// ID returns the name of the cluster, or what stands for it.
func (c *Cluster) ID() string { return c.reg.view().ID }

// Kubeconfig returns the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.reg.dir, "kubeconfig") }

// APIServerURL returns the base URL of the API server.
func (c *Cluster) APIServerURL() string { return c.server }

// HostAddress returns the address of this machine that the API server, this
// machine's processes and, in a cluster with nodes, the nodes and pods reach it
// by: what a test's own servers should listen on.
func (c *Cluster) HostAddress() string { return c.address }

// BinDir returns the directory of the programs.
func (c *Cluster) BinDir() string { return c.bin }

// Kubectl returns the path of kubectl; the configuration must have asked for it.
func (c *Cluster) Kubectl() string {
	return filepath.Join(c.bin, program{name: "kubectl"}.executable())
}

// LogDir returns the directory of the logs of the control plane, NAME.log; those
// of the nodes are in directories below, by the node's name.
func (c *Cluster) LogDir() string { return filepath.Join(c.dir, "log") }

// CA returns the certificate of the cluster's authority, in PEM.
func (c *Cluster) CA() []byte { return c.pki.ca.pem }

// Issue creates a certificate of the cluster's authority for both sides of a
// connection, and its key, in PEM: for a user (name and group as Kubernetes reads
// them from common name and organization) or a server at hosts (names or
// addresses).
func (c *Cluster) Issue(name, group string, hosts ...string) (cert, key []byte, err error) {
	id := identity{name: name, group: group}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			id.ips = append(id.ips, ip)
		} else {
			id.hosts = append(id.hosts, h)
		}
	}
	p, err := c.pki.ca.issue(id)
	return p.cert, p.key, err
}

// PID returns the process of the control plane's part name ("etcd",
// "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"); 0 if
// that does not run.
func (c *Cluster) PID(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.procs[name]; p != nil && !p.ended() {
		return p.handle.PID
	}
	return 0
}

// run starts a program of the control plane and keeps it in the state.
func (c *Cluster) run(name string, args []string) (*process, error) {
	p, err := c.spawn.startProcess(c.LogDir(), name, filepath.Join(c.bin, program{name: name}.executable()), args, nil)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.procs[name] = p
	c.mu.Unlock()
	return p, c.reg.update(func(s *state) { s.Processes = append(s.Processes, p.handle) })
}

// end ends a part of the control plane.
func (c *Cluster) end(name string) error {
	c.mu.Lock()
	p := c.procs[name]
	delete(c.procs, name)
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	p.kill()
	return c.reg.update(func(s *state) {
		s.Processes = deleteHandle(s.Processes, p.handle)
	})
}

func deleteHandle(all []handle, h handle) []handle {
	var kept []handle
	for _, other := range all {
		if other != h {
			kept = append(kept, other)
		}
	}
	return kept
}

// until waits for ready, as long as the process runs and the context lasts.
func (c *Cluster) until(ctx context.Context, p *process, what string, ready func() error) error {
	done := c.config.Progress.step("wait for", what)
	if err := poll(ctx, 20*time.Millisecond, p.done, ready); err != nil {
		return p.failure("start", fmt.Errorf("%s: %w", what, err))
	}
	done()
	return nil
}
