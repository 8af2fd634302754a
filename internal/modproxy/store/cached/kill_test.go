//go:build unix

package cached_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/cached"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/registry"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/registrytest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/storetest"
)

// workerRegistry says which registry the process of TestWorker writes to, and
// workerDir from which directory.
const (
	workerRegistry = "GOPHERWOOD_STORE_REGISTRY"
	workerDir      = "GOPHERWOOD_STORE_DIR"
)

// TestWorker is not a test: it is the process that TestKill kills. It
// puts versions into a directory before a registry, and says which are there.
func TestWorker(t *testing.T) {
	ref := os.Getenv(workerRegistry)
	if ref == "" {
		return
	}
	front, err := layouts.Open(os.Getenv(workerDir), layouts.Options{MaxBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	back, err := registry.Open(ref, registry.Options{Timeouts: registrytest.Quick, Dir: front.Staging()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := cached.Open(front, back, cached.Options{Retry: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m := module.Version{Path: lib, Version: fmt.Sprintf("v1.%d.0", rand.IntN(1_000_000))}
		v, path := storetest.Make(t, c.Staging(), m, map[string]string{"a.txt": strings.Repeat(m.Version, 1000)})
		if _, err := c.Put(context.Background(), v, path); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		fmt.Println("put", m.Version, v.Sum)
	}
}

// TestKill kills processes that put versions, by SIGKILL, before a registry
// that fails again and again: whatever Put has taken is in the registry in the
// end, and nothing else than whole versions is.
func TestKill(t *testing.T) {
	s := registrytest.Start(t)
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		switch rand.IntN(50) {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	taken := map[string]string{}
	waited := 0
	for round := range 12 {
		s.Down.Store(round%3 == 2)
		for version, sum := range killCached(t, s, dir, time.Duration(150+random.IntN(250))*time.Millisecond) {
			taken[version] = sum
		}
		waited += len(storetest.FilesIn(t, filepath.Join(dir, "_pending")))
	}
	s.Down.Store(false)
	s.SetHook(nil)
	if len(taken) == 0 || waited == 0 {
		t.Fatalf("%d versions were taken, %d had to wait: nothing was tested", len(taken), waited)
	}
	c := openCached(t, s, dir, layouts.Options{}, cached.Options{})
	flush(t, c)
	if left := storetest.FilesIn(t, filepath.Join(dir, "_pending")); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	r := openRegistry(t, s.Ref(), registry.Options{})
	versions, err := r.Versions(context.Background(), lib)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d versions were taken, %d are there; %d waited when a process was killed", len(taken), len(versions), waited)
	for _, version := range versions {
		e, err := r.Get(context.Background(), module.Version{Path: lib, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := storetest.ReadZip(e); err != nil {
			t.Error(err)
		}
		if sum, ok := taken[version]; ok && sum != e.Sum {
			t.Errorf("%s has the sum %s, and %s was put", version, e.Sum, sum)
		}
		delete(taken, version)
	}
	if len(taken) != 0 {
		t.Errorf("lost are %v", taken)
	}
}

// killCached lets a process put for a while and returns which versions it said
// were there.
func killCached(t *testing.T, s *registrytest.Server, dir string, after time.Duration) map[string]string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestWorker$")
	cmd.Env = append(os.Environ(), workerRegistry+"="+s.Ref(), workerDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	taken := map[string]string{}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if word := strings.Fields(lines.Text()); len(word) == 3 && word[0] == "put" {
			taken[word[1]] = word[2]
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("the process ended by itself: %v\n%s", err, strings.Join(said, "\n"))
	}
	return taken
}
