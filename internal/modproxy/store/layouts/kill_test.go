//go:build unix

package layouts_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/storetest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// workerEnv says what this test binary does as a process of its own, and
// workerDir where.
const (
	workerEnv = "GOPHERWOOD_STORE_WORKER"
	workerDir = "GOPHERWOOD_STORE_DIR"
)

// TestWorker is not a test: it is what the other processes of the tests below do.
func TestWorker(t *testing.T) {
	dir := os.Getenv(workerDir)
	switch os.Getenv(workerEnv) {
	case "write":
		write(t, openLayouts(t, dir, layouts.Options{}))
	case "read":
		hold(t, openLayouts(t, dir, layouts.Options{}))
	case "fill":
		fill(t, openLayouts(t, dir, layouts.Options{MaxBytes: fillBytes}))
	}
}

// worker starts this binary to do something with the store in dir.
func worker(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestWorker$")
	cmd.Env = append(os.Environ(), workerEnv+"="+what, workerDir+"="+dir)
	return cmd
}

// The modules and versions that workers write.
var (
	workerModules  = []string{"corp.example.com/a", "corp.example.com/a/b", "corp.example.com/Team/c"}
	workerVersions = []string{"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0", "v1.4.0-RC1"}
)

// write puts, deletes and notes until it is killed.
func write(t *testing.T, s store.Store) {
	ctx := context.Background()
	for {
		m := module.Version{Path: workerModules[rand.IntN(len(workerModules))], Version: workerVersions[rand.IntN(len(workerVersions))]}
		switch rand.IntN(8) {
		case 0:
			if _, err := s.Delete(ctx, m); err != nil && fault.CodeOf(err) != fault.NotFound {
				t.Fatal(err)
			}
		case 1:
			if _, err := s.Seen(ctx, m.Path, []string{m.Version}, time.Now()); err != nil {
				t.Fatal(err)
			}
		default:
			v, path := storetest.Make(t, s.Staging(), m, map[string]string{"x.txt": strings.Repeat(m.String(), 5000)})
			if _, err := s.Put(ctx, v, path); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestKill kills processes that write, by SIGKILL, while others go on: every
// version is whole at any time, and the next writer removes what was left.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	reading := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() { readUntil(t, dir, reading) })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	left, wrote := 0, 0
	for range 25 {
		killWriters(t, dir, random)
		left += len(leftovers(t, dir))
		s := openLayouts(t, dir, layouts.Options{})
		for _, path := range workerModules {
			versions, err := s.Versions(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			wrote += len(versions)
			for _, version := range versions {
				if err := checkVersion(s, module.Version{Path: path, Version: version}); err != nil {
					t.Fatalf("%s@%s: %v", path, version, err)
				}
			}
		}
	}
	close(reading)
	readers.Wait()
	t.Logf("found %d versions, and %d files that killed writers had left", wrote, left)
	if wrote == 0 || left == 0 {
		t.Error("no writer was killed while it wrote")
	}

	s := openLayouts(t, dir, layouts.Options{})
	for _, path := range workerModules {
		v, file := storetest.Make(t, s.Staging(), module.Version{Path: path, Version: "v1.9.0"}, nil)
		if _, err := s.Put(t.Context(), v, file); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Seen(t.Context(), path, []string{"v1.9.0"}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	staged, err := os.ReadDir(filepath.Join(dir, "_staging"))
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(staged, func(e os.DirEntry) bool { return e.Name() != "_lock" }) {
		t.Errorf("left in staging are %v", staged)
	}
}

// killWriters lets two processes write for a while.
func killWriters(t *testing.T, dir string, random *rand.Rand) {
	t.Helper()
	var wg sync.WaitGroup
	for range 2 {
		cmd := worker(t, "write", dir)
		out := &strings.Builder{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait := time.Duration(50+random.IntN(200)) * time.Millisecond
		wg.Go(func() {
			time.Sleep(wait)
			_ = cmd.Process.Kill()
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
				t.Errorf("the writer ended by itself: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
}

// readUntil reads versions until stop is closed.
func readUntil(t *testing.T, dir string, stop chan struct{}) {
	s := openLayouts(t, dir, layouts.Options{})
	reads := 0
	for {
		select {
		case <-stop:
			if reads == 0 {
				t.Error("nothing could be read")
			}
			return
		default:
		}
		for _, path := range workerModules {
			for _, version := range workerVersions {
				switch err := checkVersion(s, module.Version{Path: path, Version: version}); fault.CodeOf(err) {
				case "":
					reads++
				case fault.NotFound:
				default:
					t.Error(err)
				}
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// hold opens a zip and reads it at the end of the input only.
func hold(t *testing.T, s store.Store) {
	e, err := s.Get(t.Context(), module.Version{Path: teamLib, Version: "v1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	z, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if n, err := io.Copy(io.Discard, z); err != nil || n != e.ZipSize {
		t.Fatalf("read %d bytes of %d, %v", n, e.ZipSize, err)
	}
}

// TestReadElsewhere deletes what another process is reading: it is there
// until that is done, or killed.
func TestReadElsewhere(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprintf("kill %v", kill), func(t *testing.T) {
			dir := t.TempDir()
			s := openLayouts(t, dir, layouts.Options{})
			if err := putVersion(t, s, "v1.0.0"); err != nil {
				t.Fatal(err)
			}
			cmd := worker(t, "read", dir)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
				t.Fatalf("%q, %v", line, err)
			}
			m := module.Version{Path: teamLib, Version: "v1.0.0"}
			if ok, err := s.Delete(t.Context(), m); ok || err != nil {
				t.Errorf("deleted while it is read: %v, %v", ok, err)
			}
			if err := checkVersion(s, m); err != nil {
				t.Error(err)
			}
			if kill {
				_ = cmd.Process.Kill()
			}
			_ = in.Close()
			if err := cmd.Wait(); (err != nil) != kill {
				t.Errorf("the reader: %v", err)
			}
			if ok, err := s.Delete(t.Context(), m); !ok || err != nil {
				t.Errorf("when nobody reads it: %v, %v", ok, err)
			}
		})
	}
}

// fillBytes bounds the store that several processes fill.
const fillBytes = 2 << 20

// fill puts many times of what fits.
func fill(t *testing.T, s store.Store) {
	for range 60 {
		m := module.Version{Path: fmt.Sprintf("corp.example.com/m%d", rand.IntN(1e9)), Version: "v1.0.0"}
		v, path := storetest.Make(t, s.Staging(), m, map[string]string{"x.txt": randomText(60_000)})
		e, err := s.Put(t.Context(), v, path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		z, err := e.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBoundOfSeveral fills a store by several processes at once.
func TestBoundOfSeveral(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		cmd := worker(t, "fill", dir)
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	s := openLayouts(t, dir, layouts.Options{MaxBytes: fillBytes})
	if err := putVersion(t, s, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	wantSize(t, dir, fillBytes/2, fillBytes)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkStore(t, dir)
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}
