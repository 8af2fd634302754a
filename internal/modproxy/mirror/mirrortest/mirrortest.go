// Package mirrortest is an upstream for tests: a module proxy whose modules the
// test makes, which remembers every request and can be told to misbehave.
package mirrortest

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// Epoch is when the first version was made; the others follow by the hour.
var Epoch = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// Upstream is a module proxy on this machine. Its methods are safe for concurrent
// use.
type Upstream struct {
	// URL is where it is.
	URL string

	mu       sync.Mutex
	versions map[module.Version]*version
	queries  map[module.Version]string
	requests []string
	hook     func(http.ResponseWriter, *http.Request) bool
}

type version struct{ info, mod, zip []byte }

// New starts an upstream without modules, which ends with the test.
func New(t testing.TB) *Upstream {
	u := &Upstream{versions: map[module.Version]*version{}, queries: map[module.Version]string{}}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	u.URL = server.URL
	return u
}

// Add publishes a version with these files; a go.mod is made unless it is one of
// them. It replaces what is there.
func (u *Upstream) Add(t testing.TB, name, v string, files map[string]string) {
	t.Helper()
	m := module.Version{Path: name, Version: v}
	mod, ok := files["go.mod"]
	if !ok {
		mod = "module " + name + "\n\ngo 1.21\n"
	}
	list := []modzip.File{file{"go.mod", mod}}
	if strings.HasSuffix(v, "+incompatible") && !ok {
		list = nil // such versions have none
	}
	for name, content := range files {
		if name != "go.mod" {
			list = append(list, file{name, content})
		}
	}
	slices.SortFunc(list, func(a, b modzip.File) int { return strings.Compare(a.Path(), b.Path()) })
	var packed bytes.Buffer
	if err := modzip.Create(&packed, m, list); err != nil {
		t.Fatal(err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	made := Epoch.Add(time.Duration(len(u.versions)) * time.Hour)
	if at, err := module.PseudoVersionTime(v); err == nil {
		made = at
	}
	info, err := json.Marshal(map[string]any{"Version": v, "Time": made})
	if err != nil {
		t.Fatal(err)
	}
	u.versions[m] = &version{info, []byte(mod), packed.Bytes()}
}

// Remove withdraws a version.
func (u *Upstream) Remove(path, v string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.versions, module.Version{Path: path, Version: v})
}

// Point lets a query, such as the name of a branch, mean a version.
func (u *Upstream) Point(path, query, v string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.queries[module.Version{Path: path, Version: query}] = v
}

// Hook lets f see every request first, and answer it instead if it returns true.
func (u *Upstream) Hook(f func(http.ResponseWriter, *http.Request) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hook = f
}

// Requests returns the paths that were asked for since the last call.
func (u *Upstream) Requests() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.requests
	u.requests = nil
	return all
}

// ServeHTTP implements http.Handler.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.requests = append(u.requests, r.URL.Path)
	hook := u.hook
	u.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	data, ok := u.answer(strings.TrimPrefix(r.URL.Path, "/"))
	if !ok {
		http.Error(w, "not found: "+r.URL.Path+": there is no such thing upstream", http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (u *Upstream) answer(url string) ([]byte, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if escaped, ok := strings.CutSuffix(url, "/@latest"); ok {
		return u.latest(unescape(escaped))
	}
	escaped, name, ok := strings.Cut(url, "/@v/")
	path := unescape(escaped)
	if !ok {
		return nil, false
	}
	if name == "list" {
		return u.list(path)
	}
	i := strings.LastIndexByte(name, '.')
	v, err := module.UnescapeVersion(name[:max(i, 0)])
	if err != nil {
		return nil, false
	}
	m := module.Version{Path: path, Version: v}
	if to, ok := u.queries[m]; ok && name[i:] == ".info" {
		m.Version = to
	}
	found, ok := u.versions[m]
	if !ok {
		return nil, false
	}
	switch name[i:] {
	case ".info":
		return found.info, true
	case ".mod":
		return found.mod, true
	case ".zip":
		return found.zip, true
	}
	return nil, false
}

func unescape(escaped string) string {
	path, _ := module.UnescapePath(escaped) // nothing has the path ""
	return path
}

func (u *Upstream) list(path string) ([]byte, bool) {
	var b bytes.Buffer
	known := false
	for m := range u.versions {
		known = known || m.Path == path
		if m.Path == path && !module.IsPseudoVersion(m.Version) {
			fmt.Fprintln(&b, m.Version)
		}
	}
	return b.Bytes(), known
}

func (u *Upstream) latest(path string) ([]byte, bool) {
	best := ""
	for m := range u.versions {
		if m.Path == path && (best == "" || better(m.Version, best)) {
			best = m.Version
		}
	}
	if best == "" {
		return nil, false
	}
	return u.versions[module.Version{Path: path, Version: best}].info, true
}

func better(a, b string) bool {
	if ra, rb := semver.Prerelease(a) == "", semver.Prerelease(b) == ""; ra != rb {
		return ra
	}
	return semver.Compare(a, b) > 0
}

// file is a file of a module.
type file struct{ name, content string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return f, nil }
func (f file) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.content)), nil }

func (f file) Name() string       { return path.Base(f.name) }
func (f file) Size() int64        { return int64(len(f.content)) }
func (f file) Mode() os.FileMode  { return 0o644 }
func (f file) ModTime() time.Time { return time.Time{} }
func (f file) IsDir() bool        { return false }
func (f file) Sys() any           { return nil }

// GoSum returns the lines of go.sum for a version, as a checksum database has them.
func (u *Upstream) GoSum(name, v string) ([]byte, error) {
	u.mu.Lock()
	found, ok := u.versions[module.Version{Path: name, Version: v}]
	u.mu.Unlock()
	if !ok {
		return nil, fs.ErrNotExist
	}
	z, err := zip.NewReader(bytes.NewReader(found.zip), int64(len(found.zip)))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	sum, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return z.Open(name) })
	if err != nil {
		return nil, err
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(found.mod)), nil })
	return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", name, v, sum, name, v, mod), err
}
