//go:build e2e

package modproxy

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

// The hosts of a corpus: where its modules are published, and the checksum database
// that vouches for them.
const (
	publisher = "published.example.com"
	vouching  = "sum.example.com"
)

// corpus is an upstream with modules that exist nowhere else, and a checksum
// database for them.
type corpus struct {
	// key is how GOSUMDB names the database.
	key string
	sum http.Handler

	mu       sync.Mutex
	versions map[module.Version]*published
	// answers take the place of what is published, by the path of the request.
	answers map[string]http.Handler
	// queries are the versions that branches stand for, by module@branch.
	queries map[string]string
	asked   map[string]int
}

// published is one version.
type published struct {
	info, mod, zip []byte
	// sum and modSum are the lines of go.sum.
	sum, modSum string
}

func newCorpus(t *testing.T) *corpus {
	t.Helper()
	c := &corpus{versions: map[module.Version]*published{}, answers: map[string]http.Handler{}, queries: map[string]string{}, asked: map[string]int{}}
	signer, verifier, err := note.GenerateKey(rand.Reader, vouching)
	if err != nil {
		t.Fatal(err)
	}
	c.key = verifier
	c.sum = sumdb.NewServer(sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		p := c.versions[module.Version{Path: path, Version: version}]
		if p == nil {
			return nil, fs.ErrNotExist
		}
		return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, p.sum, path, version, p.modSum), nil
	}))
	return c
}

// hosts are those of a world.
func (c *corpus) hosts() map[string]http.Handler {
	return map[string]http.Handler{publisher: c, vouching: c.sum}
}

// servesCorpus are the arguments of a proxy for the corpus.
func (c *corpus) serves(store string) []string {
	return []string{"--store", store, "--upstream", "https://" + publisher, "--sumdb", c.key + " https://" + vouching}
}

// publish adds a version with a zip of about size bytes.
func (c *corpus) publish(t *testing.T, path, version, goMod string, size int) *published {
	t.Helper()
	noise := make([]byte, size)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	p := &published{mod: []byte(goMod)}
	if goMod == "" {
		p.mod = []byte("module " + path + "\n\ngo 1.21\n")
	}
	p.info = fmt.Appendf(nil, `{"Version":%q,"Time":"2024-05-06T07:08:09Z"}`, version)
	var data bytes.Buffer
	z := zip.NewWriter(&data)
	for name, content := range map[string][]byte{"go.mod": p.mod, "lib.go": []byte("package lib\n"), "noise.bin": noise} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: path + "@" + version + "/" + name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	p.zip = data.Bytes()
	p.sum, p.modSum = hashes(t, path, version, p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions[module.Version{Path: path, Version: version}] = p
	return p
}

// hashes are the sums of a version as go.sum has them.
func hashes(t *testing.T, path, version string, p *published) (sum, modSum string) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(p.zip), int64(len(p.zip)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*zip.File{}
	for _, f := range r.File {
		files[f.Name] = f
	}
	if sum, err = dirhash.Hash1(slices.Collect(maps.Keys(files)), func(name string) (io.ReadCloser, error) { return files[name].Open() }); err != nil {
		t.Fatal(err)
	}
	if modSum, err = dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(p.mod)), nil
	}); err != nil {
		t.Fatal(err)
	}
	return sum, modSum
}

// answer lets a request for a path be answered by h; nil for what is published.
func (c *corpus) answer(path string, h http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[path] = h
}

// count is how often a path was asked for.
func (c *corpus) count(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[path]
}

// ServeHTTP implements http.Handler: it is a module proxy.
func (c *corpus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked[r.URL.Path]++
	h := c.answers[r.URL.Path]
	data, ok := c.lookup(r.URL.Path)
	c.mu.Unlock()
	switch {
	case h != nil:
		h.ServeHTTP(w, r)
	case !ok:
		http.Error(w, "not found: nothing is published under this name", http.StatusNotFound)
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// lookup returns what is published; c is locked.
func (c *corpus) lookup(request string) ([]byte, bool) {
	escaped, file, ok := strings.Cut(strings.TrimPrefix(request, "/"), "/@")
	path, err := module.UnescapePath(escaped)
	if !ok || err != nil {
		return nil, false
	}
	var all []string
	for v := range c.versions {
		if v.Path == path {
			all = append(all, v.Version)
		}
	}
	semver.Sort(all)
	switch {
	case len(all) == 0:
		return nil, false
	case file == "v/list":
		all = slices.DeleteFunc(all, module.IsPseudoVersion)
		return []byte(strings.Join(append(all, ""), "\n")), true
	case file == "latest":
		return c.versions[module.Version{Path: path, Version: all[len(all)-1]}].info, true
	}
	name, kind := file[2:], ""
	if dot := strings.LastIndex(name, "."); dot > 0 {
		name, kind = name[:dot], name[dot+1:]
	}
	version, err := module.UnescapeVersion(name)
	if err != nil {
		return nil, false
	}
	if v := c.queries[path+"@"+version]; v != "" && kind == "info" {
		version = v
	}
	p := c.versions[module.Version{Path: path, Version: version}]
	if p == nil {
		return nil, false
	}
	data := map[string][]byte{"info": p.info, "mod": p.mod, "zip": p.zip}[kind]
	return data, data != nil
}

// status is a handler that answers with a status and a text.
func status(code int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, text, code) })
}

// versionOf reads a .info document.
func versionOf(t *testing.T, document string) string {
	t.Helper()
	var i struct{ Version string }
	if err := json.Unmarshal([]byte(document), &i); err != nil {
		t.Fatalf("%v in: %s", err, document)
	}
	return i.Version
}
