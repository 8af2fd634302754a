package sumdb

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/tlog"
	modzip "golang.org/x/mod/zip"
)

func ask(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestAnswers(t *testing.T) {
	o := newOrigin(t, 300)
	d := o.open(t.TempDir(), func(opt *Options) { opt.Skip = "corp.example.com/private" })
	base := "/sumdb/" + dbName
	for _, tc := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", base + "/supported", 200, ""},
		{"GET", base + "/latest", 200, "go.sum database tree\n300\n"},
		{"GET", base + "/lookup/corp.example.com/!lib5@v1.5.0", 200, "5\ncorp.example.com/Lib5 v1.5.0 h1:"},
		{"HEAD", base + "/lookup/corp.example.com/!lib5@v1.5.0", 200, ""},
		{"GET", base + "/lookup/corp.example.com/private/x@v1.5.0", 403, "GOPRIVATE"},
		{"GET", base + "/lookup/other.example.com/x@v1.5.0", 404, "not found: other.example.com/x@v1.5.0"},
		{"GET", base + "/lookup/corp.example.com/!lib5", 400, ""},
		{"GET", base + "/lookup/corp.example.com/!lib5@main", 400, ""},
		{"GET", base + "/lookup/corp.example.com/!lib5@v1.5", 400, "canonical"},
		{"GET", base + "/lookup/corp.example.com/Lib5@v1.5.0", 400, ""},
		{"GET", base + "/lookup/../../x@v1.5.0", 400, ""},
		{"GET", base + "/lookup/", 400, ""},
		{"GET", base + "/tile/8/0/000", 200, ""},
		{"GET", base + "/tile/8/0/001.p/44", 200, ""},
		{"GET", base + "/tile/8/0/001.p/45", 404, "no such tile"},
		{"GET", base + "/tile/8/9/000", 404, "no such tile"},
		{"GET", base + "/tile/30/63/000", 404, ""},
		{"GET", base + "/tile/8/0/x999/x999/x999/x999/x999/x999/x999/x999/999", 400, ""},
		{"GET", base + "/tile/8/0/0", 400, ""},
		{"GET", base + "/tile", 400, ""},
		{"GET", base + "/key", 404, ""},
		{"GET", base, 404, dbName},
		{"GET", "/sumdb/sums.example.org/supported", 404, dbName},
		{"POST", base + "/supported", 405, ""},
	} {
		w := ask(d, tc.method, tc.path)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.text) {
			t.Errorf("%s %s: %d %.200q", tc.method, tc.path, w.Code, w.Body)
		}
		if w.Code != 200 && (w.Body.Len() > 648 || strings.Count(w.Body.String(), "\n") > 8) {
			t.Errorf("%s: the go command would not print all of %q", tc.path, w.Body)
		}
	}
	for path := range o.asked() {
		if strings.Contains(path, "private") || strings.Contains(path, "..") {
			t.Errorf("asked for %s", path)
		}
	}
	off := o.open("", func(opt *Options) { opt.Name = "off" })
	if w := ask(off, "GET", "/sumdb/off/supported"); w.Code != 404 {
		t.Errorf("without a database: %d", w.Code)
	}
}

// Tiles are those of the database itself, whatever their height and width.
func TestTiles(t *testing.T) {
	o := newOrigin(t, 700)
	d := o.open(t.TempDir())
	tiles := tlog.NewTiles(8, 0, 700)
	tiles = append(tiles, tlog.NewTiles(8, 0, 300)...)
	tiles = append(tiles, tlog.NewTiles(3, 0, 700)...)
	for _, n := range []int64{0, 1, 2} {
		w := min(full, 700-int(n)*full)
		tiles = append(tiles, tlog.Tile{H: 8, L: -1, N: n, W: w}, tlog.Tile{H: 8, L: -1, N: n, W: w / 2})
	}
	for range 2 { // from the database, and from what is kept
		for _, tile := range tiles {
			want := ask(o, "GET", "/sumdb/"+dbName+"/"+tile.Path())
			got := ask(d, "GET", "/sumdb/"+dbName+"/"+tile.Path())
			if got.Code != 200 || !bytes.Equal(got.Body.Bytes(), want.Body.Bytes()) {
				t.Errorf("%s: %d, %d bytes, want %d", tile.Path(), got.Code, got.Body.Len(), want.Body.Len())
			}
		}
	}
	o.lies(on("/tile/8/data/", flip(20)))
	fresh := o.open("")
	if w := ask(fresh, "GET", "/sumdb/"+dbName+"/tile/8/data/000"); w.Code != 502 || !strings.Contains(w.Body.String(), "not the one that is in the tree") {
		t.Errorf("a wrong record: %d %s", w.Code, w.Body)
	}
	o.lies(on("/tile/8/data/", func(b []byte) []byte { return b[:len(b)/2] }))
	if w := ask(fresh, "GET", "/sumdb/"+dbName+"/tile/8/data/000"); w.Code != 502 || !strings.Contains(w.Body.String(), "lacks") {
		t.Errorf("half a tile: %d %s", w.Code, w.Body)
	}
}

// goModule is a module as a proxy serves it.
type goModule struct {
	module.Version
	mod, zip []byte
}

func newGoModule(t *testing.T, path, version string) goModule {
	t.Helper()
	dir := t.TempDir()
	m := goModule{Version: module.Version{Path: path, Version: version}, mod: []byte("module " + path + "\n\ngo 1.21\n")}
	for name, data := range map[string][]byte{"go.mod": m.mod, "x.go": []byte("package x\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var zip bytes.Buffer
	if err := modzip.CreateFromDir(&zip, m.Version, dir); err != nil {
		t.Fatal(err)
	}
	m.zip = zip.Bytes()
	return m
}

func (m goModule) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch filepath.Ext(r.URL.Path) {
	case ".info":
		_, _ = w.Write([]byte(`{"Version":"` + m.Version.Version + `"}`))
	case ".mod":
		_, _ = w.Write(m.mod)
	case ".zip":
		_, _ = w.Write(m.zip)
	}
}

// goDownload downloads a module with the real go command, whose checksum database
// is o through d, and returns what it prints.
func goDownload(t *testing.T, o *origin, d *DB, m goModule) string {
	t.Helper()
	path, err := module.EscapePath(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/sumdb/", d)
	mux.Handle("/"+path+"/", m)
	server := httptest.NewServer(mux)
	defer server.Close()
	cache := t.TempDir()
	cmd := exec.Command("go", "mod", "download", "-json", m.Version.String())
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOPROXY="+server.URL, "GOSUMDB="+o.vkey, "GONOSUMDB=", "GOPRIVATE=", "GONOPROXY=", "GOWORK=off",
		"GOPATH="+cache, "GOMODCACHE="+cache, "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "NO_PROXY=127.0.0.1")
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return string(out)
}

// The real go command believes what it is told, downloads what is right, and
// prints our texts.
func TestTheGoCommand(t *testing.T) {
	good := newGoModule(t, mod(5).Path, mod(5).Version)
	hidden := newGoModule(t, "corp.example.com/private", "v1.0.0")

	o := newOrigin(t, 300) // whose sums are not those of the module
	d := o.open(t.TempDir(), func(opt *Options) { opt.Skip = hidden.Path })
	if out := goDownload(t, o, d, good); !strings.Contains(out, "SECURITY ERROR") || !strings.Contains(out, sumOf(good.Version, "mod")) {
		t.Errorf("a wrong sum: %s", out)
	}
	if out := goDownload(t, o, d, hidden); !strings.Contains(out, "403 Forbidden") || !strings.Contains(out, "set GONOSUMDB or GOPRIVATE to a pattern that matches corp.example.com/private") {
		t.Errorf("a private module: %s", out)
	}

	zipFile := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(zipFile, good.zip, 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := dirhash.HashZip(zipFile, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	o = newOrigin(t, 0)
	o.sums = map[module.Version][2]string{good.Version: {sum, goModSum(t, good.mod)}}
	o.grow(o.db, 0, 300)
	d = o.open(t.TempDir())
	if out := goDownload(t, o, d, good); !strings.Contains(out, `"Sum": "`+sum+`"`) || strings.Contains(out, "Error") {
		t.Errorf("a right sum: %s", out)
	}
	if err := d.Check(context.Background(), good.Version, sum, goModSum(t, good.mod)); err != nil {
		t.Error(err)
	}
}
