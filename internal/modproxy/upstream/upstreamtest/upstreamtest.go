// Package upstreamtest has what tests of modules' sources need: module proxies, and
// an internet of hosts and git repositories.
package upstreamtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Timeouts are timeouts under which nothing takes long.
var Timeouts = transport.Timeouts{Header: 2 * time.Second, Idle: 300 * time.Millisecond, Retry: time.Millisecond, RetryMax: 10 * time.Millisecond}

// File is a file of a module.
type File struct{ Name, Content string }

// entry is a File as golang.org/x/mod/zip wants to have it.
type entry struct{ File }

func (e entry) Path() string                { return e.Name }
func (e entry) Lstat() (os.FileInfo, error) { return entryInfo{e.File}, nil }
func (e entry) Open() (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(e.Content)), nil
}

type entryInfo struct{ file File }

func (i entryInfo) Name() string     { return filepath.Base(i.file.Name) }
func (i entryInfo) Size() int64      { return int64(len(i.file.Content)) }
func (entryInfo) Mode() os.FileMode  { return 0o644 }
func (entryInfo) ModTime() time.Time { return time.Time{} }
func (entryInfo) IsDir() bool        { return false }
func (entryInfo) Sys() any           { return nil }

// ZipOf returns the zip of a version.
func ZipOf(t testing.TB, m module.Version, files ...File) []byte {
	t.Helper()
	var b bytes.Buffer
	all := make([]modzip.File, len(files))
	for i, f := range files {
		all[i] = entry{f}
	}
	if err := modzip.Create(&b, m, all); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// InfoOf returns the .info document of a version.
func InfoOf(version string) string {
	return fmt.Sprintf(`{"Version":%q,"Time":"2024-05-06T07:08:09Z"}`, version)
}

// Published is what a module proxy has, by URL path.
type Published map[string]string

// Add publishes a version.
func (p Published) Add(t testing.TB, m module.Version) {
	t.Helper()
	mod := "module " + m.Path + "\n"
	path, err := module.EscapePath(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		t.Fatal(err)
	}
	base := "/" + path + "/@v/"
	p[base+version+".info"] = InfoOf(m.Version)
	p[base+version+".mod"] = mod
	p[base+version+".zip"] = string(ZipOf(t, m, File{"go.mod", mod}, File{"lib.go", "package lib\n"}))
	p[base+"list"] += m.Version + "\n"
}

// ProxyServer is a module proxy that notes what it is asked.
type ProxyServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
}

// ServeProxy starts a module proxy. Where handle does not answer (returns false),
// it gives what is published.
func ServeProxy(t testing.TB, p Published, handle func(http.ResponseWriter, *http.Request) bool) *ProxyServer {
	t.Helper()
	s := &ProxyServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r)
		s.mu.Unlock()
		if handle != nil && handle(w, r) {
			return
		}
		content, ok := p[r.URL.Path]
		if !ok {
			http.Error(w, "not found: no such thing here", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, content)
	}))
	t.Cleanup(s.Close)
	return s
}

// Requests are those that came so far.
func (s *ProxyServer) Requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Paths are the URL paths that were asked for, sorted, each once.
func (s *ProxyServer) Paths() []string {
	var paths []string
	for _, r := range s.Requests() {
		paths = append(paths, r.URL.Path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// Forget lets Requests and Paths begin anew.
func (s *ProxyServer) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = nil
}

// CheckCode expects an error with a code, and words in its text or hint.
func CheckCode(t testing.TB, err error, code fault.Code, words ...string) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("code %q, want %q: %v", fault.CodeOf(err), code, err)
		return
	}
	if err == nil {
		return
	}
	var f *fault.Error
	if !asFault(err, &f) {
		t.Errorf("%T is no fault: %v", err, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error()+" "+fault.HintOf(err), w) {
			t.Errorf("%q is not in: %v (%s)", w, err, fault.HintOf(err))
		}
	}
}

func asFault(err error, f **fault.Error) bool {
	var ok bool
	*f, ok = err.(*fault.Error) //nolint:errorlint // the outermost error must be one itself
	return ok
}

// CheckEmpty expects nothing in a directory.
func CheckEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left", e.Name())
	}
}

// VersionIn returns the version in an .info document.
func VersionIn(t testing.TB, info []byte) string {
	t.Helper()
	var v struct{ Version string }
	if err := json.Unmarshal(info, &v); err != nil {
		t.Fatalf("%q: %v", info, err)
	}
	return v.Version
}

// GOROOT is where the go command's standard library is.
func GOROOT(t testing.TB) string {
	t.Helper()
	return strings.TrimSpace(Run(t, "", nil, "go", "env", "GOROOT"))
}

// Run runs a command that must succeed, and returns what it prints.
func Run(t testing.TB, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output wraps nothing
			exit = e
			t.Fatalf("%s %v: %v\n%s", name, args, err, exit.Stderr)
		}
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// GoModSum is what go.sum says of a go.mod file: the sum of a directory with it.
func GoModSum(t *testing.T, mod string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o666); err != nil {
		t.Fatal(err)
	}
	sum, err := dirhash.HashDir(dir, "", dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// GoMod is a go.mod file with more lines.
func GoMod(path string, more ...string) string {
	return "module " + path + "\n\ngo 1.21\n" + strings.Join(more, "\n")
}

// Lib is the version that PublishLib publishes.
var Lib = module.Version{Path: "corp.example.com/lib", Version: "v1.0.0"}

// PublishLib publishes Lib.
func PublishLib(t testing.TB) Published {
	p := Published{}
	p.Add(t, Lib)
	return p
}
