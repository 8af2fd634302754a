package sumdb

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const dbName = "sums.example.com"

// origin is a real checksum database behind a proxy, which can be made to lie.
type origin struct {
	t          testing.TB
	key, vkey  string
	db         *sumdb.TestServer
	url, gosum string // the proxy, and GOSUMDB for the database
	// sums are those of real modules; others are made up.
	sums map[module.Version][2]string

	mu       sync.Mutex
	requests map[string]int
	// lie changes the answer to a path; nil says the truth.
	lie func(path string, status int, body []byte) (int, []byte)
	// fork replaces the database.
	fork *sumdb.TestServer
}

// newOrigin starts a database with n modules.
func newOrigin(t testing.TB, n int) *origin {
	t.Helper()
	key, vkey, err := note.GenerateKey(rand.Reader, dbName)
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{t: t, key: key, vkey: vkey, gosum: vkey, requests: make(map[string]int)}
	o.db = o.newDB(n, "")
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

// newDB makes a database, signed with the origin's key, whose sums depend on salt.
func (o *origin) newDB(n int, salt string) *sumdb.TestServer {
	o.t.Helper()
	db := sumdb.NewTestServer(o.key, func(path, version string) ([]byte, error) {
		if !strings.HasPrefix(path, "corp.example.com/") && path != toolchain {
			return nil, &fs.PathError{Op: "not found:", Path: path + "@" + version, Err: fs.ErrNotExist}
		}
		m := module.Version{Path: path, Version: version}
		if sums, ok := o.sums[m]; ok {
			return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, sums[0], path, version, sums[1]), nil
		}
		return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, sumOf(m, "zip"+salt), path, version, sumOf(m, "mod"+salt)), nil
	})
	o.grow(db, 0, n)
	return db
}

// grow adds modules from to to.
func (o *origin) grow(db *sumdb.TestServer, from, to int) {
	o.t.Helper()
	for i := from; i < to; i++ {
		if _, err := db.Lookup(context.Background(), mod(i)); err != nil {
			o.t.Fatal(err)
		}
	}
}

func mod(i int) module.Version {
	return module.Version{Path: fmt.Sprintf("corp.example.com/Lib%d", i), Version: fmt.Sprintf("v1.%d.0", i)}
}

// sumOf returns a hash that looks like those of go.sum.
func sumOf(m module.Version, what string) string {
	sum := sha256.Sum256([]byte(m.String() + what))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// goModSum is the hash of a go.mod file as go.sum has it.
func goModSum(t *testing.T, data []byte) string {
	t.Helper()
	sum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests[r.URL.Path]++
	lie, db := o.lie, o.db
	if o.fork != nil {
		db = o.fork
	}
	o.mu.Unlock()
	answer := httptest.NewRecorder()
	path, ok := strings.CutPrefix(r.URL.Path, "/sumdb/"+dbName)
	switch {
	case !ok:
		answer.WriteHeader(http.StatusNotFound)
	case path != "/supported":
		r.URL.Path = path
		sumdb.NewServer(db).ServeHTTP(answer, r)
	}
	status, body := answer.Code, answer.Body.Bytes()
	if lie != nil {
		status, body = lie(path, status, body)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// asked returns the requests since the last call.
func (o *origin) asked() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.requests
	o.requests = make(map[string]int)
	return was
}

// lies makes the origin lie.
func (o *origin) lies(lie func(path string, status int, body []byte) (int, []byte)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lie = lie
}

func (o *origin) forks(db *sumdb.TestServer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fork = db
}

// open opens a client of the origin.
func (o *origin) open(dir string, change ...func(*Options)) *DB {
	o.t.Helper()
	opt := Options{Name: o.gosum, Upstreams: o.url, Dir: dir, Transport: http.DefaultTransport}
	for _, c := range change {
		c(&opt)
	}
	d, err := New(opt)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = d.Close() })
	return d
}

func offline(o *Options) { o.Offline = true }

func check(d *DB, i int) error {
	return d.Check(context.Background(), mod(i), sumOf(mod(i), "zip"), sumOf(mod(i), "mod"))
}

func mustCheck(t *testing.T, d *DB, indexes ...int) {
	t.Helper()
	for _, i := range indexes {
		if err := check(d, i); err != nil {
			t.Errorf("module %d: %v", i, err)
		}
	}
}

// wantFault fails unless err has the code and says all of the texts.
func wantFault(t *testing.T, err error, code fault.Code, texts ...string) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("code %q, want %q: %v", fault.CodeOf(err), code, err)
		return
	}
	for _, text := range texts {
		if said := err.Error() + "\n" + fault.HintOf(err); !strings.Contains(said, text) {
			t.Errorf("%q is not in: %s", text, said)
		}
	}
}

// peer is a client of a served database: golang.org/x/mod's own.
type peer struct {
	vkey   string
	handle http.Handler

	mu       sync.Mutex
	files    map[string][]byte
	requests []string
	security string
}

func (p *peer) ReadRemote(path string) ([]byte, error) {
	p.mu.Lock()
	p.requests = append(p.requests, path)
	p.mu.Unlock()
	w := httptest.NewRecorder()
	p.handle.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/sumdb/"+dbName+path, nil))
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %s", path, w.Code, w.Body)
	}
	return io.ReadAll(w.Body)
}

func (p *peer) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(p.vkey), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.files[file], nil
}

func (p *peer) WriteConfig(file string, old, new []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !bytes.Equal(p.files[file], old) {
		return sumdb.ErrWriteConflict
	}
	p.files[file] = new
	return nil
}

func (p *peer) ReadCache(string) ([]byte, error) { return nil, fs.ErrNotExist }
func (p *peer) WriteCache(string, []byte)        {}
func (p *peer) Log(string)                       {}

func (p *peer) SecurityError(msg string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.security += msg
}

func newPeer(o *origin, h http.Handler) *peer {
	return &peer{vkey: o.vkey, handle: h, files: make(map[string][]byte)}
}

// lookUp asks as a go command would that knows the tree that p knows.
func (p *peer) lookUp(t *testing.T, indexes ...int) {
	t.Helper()
	client := sumdb.NewClient(p)
	for _, i := range indexes {
		m := mod(i)
		lines, err := client.Lookup(m.Path, m.Version)
		if want := []string{m.Path + " " + m.Version + " " + sumOf(m, "zip")}; err != nil || !slices.Equal(lines, want) {
			t.Errorf("module %d: %q, %v", i, lines, err)
		}
	}
	if p.security != "" {
		t.Error(p.security)
	}
}
