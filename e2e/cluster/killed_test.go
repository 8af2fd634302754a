//go:build e2e && linux

package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// holding is what a cluster holds of the machine, as its state says.
type holding struct {
	dir   string
	Owner struct{ PID int }
	// Reaper removes the cluster when the owner is gone.
	Reaper    struct{ PID int }
	Processes []struct{ PID int }
	Nodes     []struct {
		Process struct{ PID int }
	}
	Links, Cgroups []string
	// namespaces are the network namespaces of the nodes.
	namespaces []string
}

// holds reads what c holds.
func holds(t *testing.T, c *cluster.Cluster) *holding {
	t.Helper()
	return holdingIn(t, filepath.Dir(c.Kubeconfig()))
}

func holdingIn(t *testing.T, dir string) *holding {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	h := &holding{dir: dir}
	if err := json.Unmarshal(data, h); err != nil {
		t.Fatal(err)
	}
	if len(h.Processes) != 4 || len(h.Nodes) == 0 || len(h.Links) < 2 || len(h.Cgroups) == 0 {
		t.Fatalf("the state does not say what the cluster holds: %s", data)
	}
	for _, n := range h.Nodes {
		ns, err := os.Readlink("/proc/" + strconv.Itoa(n.Process.PID) + "/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		h.namespaces = append(h.namespaces, ns)
	}
	return h
}

// runs says whether a process runs: one that has ended and that its parent has
// not collected yet does not.
func runs(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// left says what is still there.
func (h *holding) left() error {
	var errs []error
	for _, p := range h.Processes {
		if runs(p.PID) {
			errs = append(errs, fmt.Errorf("process %d", p.PID))
		}
	}
	all, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return err
	}
	for _, link := range all {
		ns, err := os.Readlink(link)
		if err != nil {
			continue // It has ended.
		}
		for _, own := range h.namespaces {
			if ns == own {
				errs = append(errs, fmt.Errorf("%s in namespace %s", link, ns))
			}
		}
	}
	paths := []string{h.dir, h.dir + ".lock"}
	for _, l := range h.Links {
		paths = append(paths, "/sys/class/net/"+l)
	}
	for _, g := range h.Cgroups {
		for _, pattern := range []string{"/sys/fs/cgroup/" + g, "/sys/fs/cgroup/*/" + g} {
			found, err := filepath.Glob(pattern)
			if err != nil {
				return err
			}
			paths = append(paths, found...)
		}
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s", path))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), h.dir) {
		errs = append(errs, errors.New("mounts"))
	}
	return errors.Join(errs...)
}

// gone fails the test if anything is left.
func (h *holding) gone(t *testing.T) {
	t.Helper()
	if err := h.left(); err != nil {
		t.Errorf("left behind: %v", err)
	}
}

// holdVariable makes the test program hold a cluster until it is killed.
const holdVariable = "GOPHERWOOD_TEST_HOLD"

// holdIfAsked starts a cluster, says where it is and stays.
func holdIfAsked() {
	if os.Getenv(holdVariable) == "" {
		return
	}
	c, err := cluster.Start(context.Background(), cluster.Config{Nodes: 1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(filepath.Dir(c.Kubeconfig()))
	select {}
}

// startHolder starts a program that holds a cluster.
func startHolder(t *testing.T) (*exec.Cmd, *holding) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holdVariable+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatalf("the program ended: %v", cmd.Wait())
	}
	return cmd, holdingIn(t, lines.Text())
}

// eventuallyGone waits until nothing is left.
func (h *holding) eventuallyGone(t *testing.T) {
	t.Helper()
	began := time.Now()
	for h.left() != nil && time.Since(began) < 20*time.Second {
		time.Sleep(20 * time.Millisecond)
	}
	h.gone(t)
	took(t, began, "gone")
}

// A program that is killed or interrupted takes its cluster with it.
func TestKilled(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		cmd, h := startHolder(t)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		h.eventuallyGone(t)
	}
}

// When what would remove the cluster is killed, too, the next one does.
func TestKilledWithReaper(t *testing.T) {
	cmd, h := startHolder(t)
	if err := errors.Join(syscall.Kill(h.Reaper.PID, syscall.SIGKILL), cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	time.Sleep(200 * time.Millisecond)
	if h.left() == nil {
		t.Fatal("nothing was left: the test proves nothing")
	}
	if err := cluster.Clean(); err != nil {
		t.Fatal(err)
	}
	h.gone(t)
}
