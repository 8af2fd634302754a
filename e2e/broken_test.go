//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

// handler answers a request itself or passes it on.
type handler func(w http.ResponseWriter, r *http.Request, next http.Handler)

// isUpload says whether a request brings the content of a blob.
func isUpload(r *http.Request) bool {
	return strings.Contains(r.URL.Path, "/blobs/uploads/") && (r.Method == http.MethodPatch || r.Method == http.MethodPut && r.ContentLength != 0)
}

// dropped reads n bytes of an upload and then closes the connection.
func dropped(t *testing.T, w http.ResponseWriter, r *http.Request, n int64) {
	_, _ = io.CopyN(io.Discard, r.Body, n)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	conn.Close()
}

// TestBrokenRegistry pushes to a registry that goes wrong on the way. A build
// that fails leaves no tag, and says what to do.
func TestBrokenRegistry(t *testing.T) {
	host := startRegistry(t, openArchive(t), false)
	g := newTool(t, helloModule(t, "broken"))
	for _, test := range []struct {
		name string
		// handle is made for one build.
		handle func(t *testing.T) handler
		// says are words of the message of a build that must fail; nil when it must not.
		says []string
		// least is the least time that the build takes.
		least time.Duration
	}{
		{"busy for a moment", func(*testing.T) handler { return tooMany(2) }, nil, time.Second},
		{"busy for ever", func(*testing.T) handler { return tooMany(1 << 30) }, []string{"429"}, time.Second},
		{"connection dropped once", func(t *testing.T) handler { return dropping(t, 1) }, nil, 0},
		{"connection dropped always", func(t *testing.T) handler { return dropping(t, 1<<30) }, []string{"try again"}, 0},
		{"mount refused", func(*testing.T) handler { return refusedMount }, nil, 0},
		{"blob lost", func(*testing.T) handler { return losing }, []string{"blob"}, 0},
		{"upload denied", func(*testing.T) handler { return denying }, []string{"403", "hint"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(test.name, " ", "-")
			proxy := before(t, host, test.handle(t))
			temporary := t.TempDir()
			start := time.Now()
			g := g.with("TMPDIR="+temporary, "GOPHERWOOD_CACHE_DIR="+t.TempDir())
			r := g.run("build", "--plain-http", "--push", proxy+"/broken/"+name+":v1")
			spent := time.Since(start)
			requireEnd(t, r, host+"/broken/"+name+":v1", test.says)
			if spent < test.least || spent > time.Minute {
				t.Errorf("it took %s, want %s to a minute", spent, test.least)
			}
			if left := filesBelow(t, temporary); len(left) > 0 {
				t.Errorf("temporary files are left: %q", left)
			}
		})
	}
}

// requireEnd holds a build against what it must end like: with a whole image, or
// with a message and without a tag.
func requireEnd(t *testing.T, r ran, ref string, says []string) {
	t.Helper()
	if says == nil {
		if r.code != 0 {
			t.Fatalf("exit code %d: %s", r.code, r.stderr)
		}
		if got := subjects(t, ref, facts.Options{PlainHTTP: true}); len(got) != 1 {
			t.Errorf("%s holds %d images", ref, len(got))
		}
		return
	}
	if r.code != 1 {
		t.Errorf("exit code %d, want 1: %s%s", r.code, r.stdout, r.stderr)
	}
	if exists(t, ref) {
		t.Errorf("a push that failed left the tag %s", ref)
	}
	for _, word := range says {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("the message does not say %q: %s", word, r.stderr)
		}
	}
	t.Log(r.stderr)
}

// tooMany answers the first n uploads that there are too many.
func tooMany(n int64) handler {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isUpload(r) && seen.Add(1) <= n {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// dropping cuts the connections of the first n uploads in their middle.
func dropping(t *testing.T, n int64) handler {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isUpload(r) && seen.Add(1) <= n {
			dropped(t, w, r, 1000)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// refusedMount mounts nothing.
func refusedMount(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Method == http.MethodPost && r.URL.Query().Has("mount") {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	next.ServeHTTP(w, r)
}

// losing says that it has every blob, and keeps none.
func losing(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Method == http.MethodPut && r.URL.Query().Has("digest") {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Docker-Content-Digest", r.URL.Query().Get("digest"))
		w.WriteHeader(http.StatusCreated)
		return
	}
	next.ServeHTTP(w, r)
}

// denying lets nobody write.
func denying(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	next.ServeHTTP(w, r)
}

// TestBaseVanishes builds for a base that is there when the build asks for it
// first, and gone when it is read.
func TestBaseVanishes(t *testing.T) {
	host := inProcess(t, true)
	pushBase(t, host)
	var asked atomic.Int64
	proxy := before(t, host, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.URL.Path, "/v2/base/") && asked.Add(1) > 1 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	})
	ref := proxy + "/team/hello:v1"
	r := newTool(t, helloModule(t, "vanishes")).run("build", "--plain-http", "--base", proxy+"/base/static:v1", "--push", ref)
	requireEnd(t, r, host+"/team/hello:v1", []string{proxy + "/base/static:v1", "hint"})
}

// TestInterrupted interrupts a build whose upload does not end.
func TestInterrupted(t *testing.T) {
	host := inProcess(t, true)
	uploading, end := make(chan struct{}, 100), make(chan struct{})
	defer close(end)
	proxy := before(t, host, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isUpload(r) {
			uploading <- struct{}{}
			<-end
			return
		}
		next.ServeHTTP(w, r)
	})
	temporary := t.TempDir()
	g := newTool(t, helloModule(t, "interrupted")).with("TMPDIR=" + temporary)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := g.command(ctx, "build", "--plain-http", "--push", proxy+"/team/hello:v1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-uploading:
	case <-ctx.Done():
		t.Fatalf("the build uploads nothing: %s", &stderr)
	}
	start := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code is looked at
	if code, spent := cmd.ProcessState.ExitCode(), time.Since(start); code != 130 || spent > 5*time.Second {
		t.Errorf("exit code %d after %s, want 130 at once: %s", code, spent, &stderr)
	}
	if exists(t, host+"/team/hello:v1") {
		t.Error("an interrupted push left a tag")
	}
	if left := filesBelow(t, temporary); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

// TestInterruptedCompiler interrupts a build that compiles.
func TestInterruptedCompiler(t *testing.T) {
	temporary, own, compiled := t.TempDir(), t.TempDir(), t.TempDir()
	g := newTool(t, helloModule(t, "compiling")).with("TMPDIR="+temporary, "GOPHERWOOD_CACHE_DIR="+own, "GOCACHE="+compiled)
	cmd := g.command(t.Context(), "build", "-o", "oci:"+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !slices.ContainsFunc(filesBelow(t, own), isTemporary) {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	left := slices.DeleteFunc(filesBelow(t, own), func(name string) bool { return !isTemporary(name) })
	if left = append(left, filesBelow(t, temporary)...); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

// isTemporary reports whether a file of gopherwood's cache is the go command's
// for one run.
func isTemporary(name string) bool { return strings.Contains(name, "/tmp-") }

// TestFullDisk writes an image to file systems that have no room for it.
func TestFullDisk(t *testing.T) {
	g := newTool(t, helloModule(t, "full"))
	for _, test := range []struct{ name, output string }{
		{"layout", "oci:%/layout:v1"},
		{"archive", "docker-archive:%/image.tar"},
	} {
		t.Run(test.name, func(t *testing.T) {
			disk := smallDisk(t)
			temporary := t.TempDir()
			r := g.with("TMPDIR="+temporary).run("build", "-o", strings.ReplaceAll(test.output, "%", disk))
			if r.code != 1 || !strings.Contains(r.stderr, "no space left on device") {
				t.Errorf("exit code %d: %s", r.code, r.stderr)
			}
			t.Log(r.stderr)
			for _, name := range filesBelow(t, disk) {
				if info, err := os.Stat(filepath.Join(disk, name)); err == nil && !info.IsDir() && filepath.Base(name) != "oci-layout" {
					t.Errorf("%s is left", name)
				}
			}
			if left := filesBelow(t, temporary); len(left) > 0 {
				t.Errorf("temporary files are left: %q", left)
			}
		})
	}
	t.Run("cache", func(t *testing.T) {
		r := g.with("GOPHERWOOD_CACHE_DIR="+smallDisk(t)).run("build", "-o", "oci:"+t.TempDir()+":v1")
		if r.code != 1 || !strings.Contains(r.stderr, "no space left on device") || !strings.Contains(r.stderr, "cache") {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	})
}

// smallDisk mounts a file system of half a megabyte.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestTwoBuilds pushes two programs to one tag at the same time: the tag is one
// of them, whole, and what travels with each is there.
func TestTwoBuilds(t *testing.T) {
	for _, kind := range registries {
		t.Run(kind.name, func(t *testing.T) {
			host := kind.start(t)
			ref := host + "/team/hello:v1"
			g := newTool(t, helloModule(t, "first"))
			tools := []tool{g, g.in(helloModule(t, "second")), g}
			digests := make([]string, len(tools))
			var group sync.WaitGroup
			for i, g := range tools {
				group.Go(func() {
					r := g.run("build", "--format", "json", "--plain-http", "--push", ref, "--platform", "linux/amd64,linux/arm64")
					if r.code != 0 {
						t.Errorf("build %d: exit code %d: %s", i, r.code, r.stderr)
						return
					}
					digests[i] = onlyBuild(t, r).Digest
				})
			}
			group.Wait()
			if t.Failed() {
				return
			}
			if digests[0] != digests[2] || digests[0] == digests[1] {
				t.Errorf("the digests are %q", digests)
			}
			for _, digest := range digests[:2] {
				whole := host + "/team/hello@" + digest
				requirePrograms(t, whole)
				_, index := pulledIndex(t, whole)
				requireAttestations(t, g, whole, index)
			}
		})
	}
}
