package cluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// sleepVariable makes the test program sleep.
const sleepVariable = "GOPHERWOOD_TEST_SLEEP"

// sleeper starts a process that does nothing.
func sleeper(t *testing.T) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := newSpawner()
	p, err := s.startProcess(t.TempDir(), "sleeper", self, []string{"-test.run=^TestSleeper$"}, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, sleepVariable+"=1")
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(); s.close() })
	return p
}

// TestSleeper is what sleeper runs.
func TestSleeper(*testing.T) {
	if os.Getenv(sleepVariable) != "" {
		time.Sleep(time.Minute)
	}
}

// leave writes the state of a cluster whose owner has been killed.
func leave(t *testing.T, id string, s state) string {
	t.Helper()
	root, err := runRoot()
	if err != nil {
		t.Fatal(err)
	}
	r := &register{dir: filepath.Join(root, id)}
	s.ID, s.Name = id, id
	if err := r.update(func(own *state) { *own = s }); err != nil {
		t.Fatal(err)
	}
	return r.dir
}

func TestCleanEndsWhatIsLeft(t *testing.T) {
	t.Setenv("GOPHERWOOD_CACHE_DIR", t.TempDir())
	left, other := sleeper(t), sleeper(t)
	reused := other.handle
	reused.Start = "1" // The number is the same, the process is not.
	data := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := leave(t, "left", state{Boot: bootID(), Processes: []handle{left.handle, reused}, Dirs: []string{data}})
	if i, err := Find("left"); err != nil || i.Alive {
		t.Errorf("found %+v, %v", i, err)
	}
	if err := Clean(); err != nil {
		t.Fatal(err)
	}
	if left.handle.alive() {
		t.Error("the process that was left still runs")
	}
	if !other.handle.alive() {
		t.Error("a process that was not the cluster's was killed")
	}
	for _, path := range []string{dir, lockPath(dir), data} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) && (runtime.GOOS != "windows" || path != lockPath(dir)) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
	if _, err := Find("left"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("after Clean: %v", err)
	}
}

// After a restart of the system no number of a process means anything.
func TestCleanAfterRestart(t *testing.T) {
	if bootID() == "" {
		t.Log("this system is told from the one before by the date of processes")
		return
	}
	t.Setenv("GOPHERWOOD_CACHE_DIR", t.TempDir())
	other := sleeper(t)
	dir := leave(t, "old", state{Boot: "another", Processes: []handle{other.handle}})
	if err := Clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left (%v)", dir, err)
	}
	if !other.handle.alive() {
		t.Error("a process of another cluster was killed")
	}
}

func TestCleanLeavesTheLiving(t *testing.T) {
	t.Setenv("GOPHERWOOD_CACHE_DIR", t.TempDir())
	p := sleeper(t)
	dir := leave(t, "living", state{Boot: bootID(), Processes: []handle{p.handle}})
	lock, err := tryLock(lockPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.unlock()
	if err := Clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil || !p.handle.alive() {
		t.Errorf("a cluster whose lock is held was removed (%v)", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func TestCleanTakesABrokenState(t *testing.T) {
	t.Setenv("GOPHERWOOD_CACHE_DIR", t.TempDir())
	dir := leave(t, "broken", state{})
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left (%v)", dir, err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lockFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryLock(path); !errors.Is(err, errLocked) {
		t.Errorf("a second lock: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	waited := 0
	if _, err := lockFile(ctx, path, func() { waited++ }); !errors.Is(err, context.DeadlineExceeded) || waited != 1 {
		t.Errorf("waiting for a lock: %v, told %d times", err, waited)
	}
	first.unlock()
	second, err := lockFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	second.unlock()
}

func TestProcessFailureHasItsLog(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := newSpawner()
	defer s.close()
	p, err := s.startProcess(t.TempDir(), "broken", self, []string{"-test.run=("}, nil)
	if err != nil && fault.CodeOf(err) != fault.Unavailable {
		t.Fatal(err)
	}
	if p != nil {
		<-p.done
		err = p.failure("start", errors.New("not ready"))
	}
	if !strings.Contains(err.Error(), "invalid regexp") {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{"dev": true, "a-1": true, "": false, "-a": false, "a-": false, "A": false, "a/b": false, "..": false, strings.Repeat("a", 33): false} {
		if validName(name) != want {
			t.Errorf("validName(%q) = %t", name, !want)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		config Config
		want   Components
	}{
		{Config{}, APIServer},
		{Config{FullControlPlane: true, Kubectl: true}, ControlPlane | Kubectl},
		{Config{SimulatedNodes: 1}, ControlPlane | Kwok},
		{Config{Nodes: 1}, ControlPlane | Nodes},
	} {
		if got := test.config.Components(); got != test.want {
			t.Errorf("%+v needs %b, want %b", test.config, got, test.want)
		}
	}
	for _, config := range []Config{{Name: "A"}, {Nodes: -1}, {Nodes: maxNodes + 1}, {SimulatedNodes: maxSimulated + 1}} {
		if err := config.check(); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%+v: %v", config, err)
		}
	}
	got := flags(map[string]string{"b": "1", "a": "2"}, map[string]string{"b": "3", "c": "4"})
	if want := []string{"--a=2", "--b=3", "--c=4"}; !slices.Equal(got, want) {
		t.Errorf("flags: %q, want %q", got, want)
	}
}
