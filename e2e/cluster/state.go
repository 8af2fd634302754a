package cluster

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// state is what a cluster holds of the machine. It is on disk before any of it
// exists, so that another process can remove what a killed one left.
type state struct {
	Schema int    `json:"schema"`
	ID     string `json:"id"`
	// Name is the name that a user gave; empty for none.
	Name string `json:"name,omitempty"`
	// Boot tells the running system from those before a restart: then no process,
	// link or cgroup in here is this cluster's.
	Boot string `json:"boot"`
	// Owner is the process that the cluster lives in, Reaper the one that removes
	// the cluster when the owner is gone.
	Owner     handle   `json:"owner"`
	Reaper    handle   `json:"reaper,omitzero"`
	Processes []handle `json:"processes,omitempty"`
	// Dirs are the directories besides the cluster's own.
	Dirs    []string `json:"dirs,omitempty"`
	Links   []string `json:"links,omitempty"`
	Subnet  string   `json:"subnet,omitempty"`
	Cgroups []string `json:"cgroups,omitempty"`

	Bin        string       `json:"bin"`
	Ready      bool         `json:"ready"`
	Server     string       `json:"server,omitempty"`
	Kubeconfig string       `json:"kubeconfig,omitempty"`
	Nodes      []nodeRecord `json:"nodes,omitempty"`
}

// nodeRecord is a real node; Process is its process 1.
type nodeRecord struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Process handle `json:"process"`
}

// handle is a process, told from a later one with the same number by when it
// started.
type handle struct {
	Name  string `json:"name,omitempty"`
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

// handleOf returns the handle of a running process.
func handleOf(name string, pid int) (handle, error) {
	start, err := startOf(pid)
	return handle{name, pid, start}, err
}

// alive says whether the process still runs.
func (h handle) alive() bool {
	if h.PID <= 1 || h.Start == "" {
		return false
	}
	start, err := startOf(h.PID)
	return err == nil && start == h.Start
}

// runRoot is the directory that has a directory for each cluster.
func runRoot() (string, error) {
	root, err := cacheRoot()
	return filepath.Join(root, "run"), err
}

// register is the state of one cluster on disk; its owner or who removes the
// cluster holds its lock.
type register struct {
	dir  string // root/run/ID
	lock *fileLock

	mu    sync.Mutex
	state state
}

// stateFile is the name of the state in a cluster's directory.
const stateFile = "state.json"

// update changes the state, in memory and on disk.
func (r *register) update(change func(*state)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state)
	data, err := json.MarshalIndent(&r.state, "", "  ")
	if err != nil {
		return err
	}
	return writeAtomically(filepath.Join(r.dir, stateFile), data, 0o600)
}

// view returns a copy of the state.
func (r *register) view() state {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	s.Processes, s.Nodes = slices.Clone(s.Processes), slices.Clone(s.Nodes)
	s.Links, s.Cgroups, s.Dirs = slices.Clone(s.Links), slices.Clone(s.Cgroups), slices.Clone(s.Dirs)
	return s
}

// readState reads the state in a cluster's directory.
func readState(dir string) (state, error) {
	var s state
	path := filepath.Join(dir, stateFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, &fault.Error{Code: fault.Invalid, Op: "read cluster state", Input: path, Err: err}
	}
	return s, nil
}

// Info is a cluster as another process sees it.
type Info struct {
	ID string
	// Name is the name that it was given; empty for none.
	Name string
	// Alive says that its owner runs; Ready that it has become ready.
	Alive, Ready bool
	// Owner is the process that holds it.
	Owner      int
	Server     string
	Kubeconfig string
	Dir        string
	Nodes      []NodeInfo

	bin string
}

// Kubectl returns the path of the cluster's own kubectl, if that was built.
func (i Info) Kubectl() string {
	return filepath.Join(i.bin, program{name: "kubectl"}.executable())
}

// NodeInfo is a real node as another process sees it.
type NodeInfo struct {
	Name, Address string
	Alive         bool
	// PID is the host's number of its process 1.
	PID int
}

// List returns the clusters of this user on this machine: those that run, and
// what killed processes left.
func List() ([]Info, error) {
	root, err := runRoot()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		s, err := readState(filepath.Join(root, e.Name()))
		if err != nil {
			continue // Being removed, or Clean's to remove.
		}
		all = append(all, infoOf(filepath.Join(root, e.Name()), s))
	}
	return all, nil
}

// Find returns the cluster called name; NotFound when there is none.
func Find(name string) (Info, error) {
	all, err := List()
	if err != nil {
		return Info{}, err
	}
	for _, i := range all {
		if i.Name == name {
			return i, nil
		}
	}
	return Info{}, &fault.Error{Code: fault.NotFound, Op: "find cluster", Input: name, Err: errors.New("there is none of this name")}
}

func infoOf(dir string, s state) Info {
	i := Info{
		ID: s.ID, Name: s.Name, Ready: s.Ready, Owner: s.Owner.PID, Server: s.Server, Kubeconfig: s.Kubeconfig, Dir: dir, bin: s.Bin,
		Alive: s.Boot == bootID() && s.Owner.alive(),
	}
	for _, n := range s.Nodes {
		i.Nodes = append(i.Nodes, NodeInfo{Name: n.Name, Address: n.Address, Alive: i.Alive && n.Process.alive(), PID: n.Process.PID})
	}
	return i
}

// validName says whether name can be a cluster's: a DNS label that leaves room
// for what is made of it.
func validName(name string) bool {
	return name != "" && len(name) <= 32 && name[0] != '-' && name[len(name)-1] != '-' &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
