package cli_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// startUpstream serves the modules in a directory as a module proxy does, which
// lasts as long as the script, and puts its URL into $UPSTREAM: upstream DIR. The
// directory has one a version, called PATH@VERSION with + for each slash.
func startUpstream(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: upstream DIR")
	}
	dir := ts.MkAbs(args[0])
	entries, err := os.ReadDir(dir)
	ts.Check(err)
	files := map[string][]byte{}
	for _, e := range entries {
		escaped, version, _ := strings.Cut(e.Name(), "@")
		m := module.Version{Path: strings.ReplaceAll(escaped, "+", "/"), Version: version}
		ts.Check(addUpstream(files, m, filepath.Join(dir, e.Name())))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.Error(w, "not found: no such version", http.StatusNotFound)
			return
		}
		_, _ = w.Write(data) // who has gone needs no answer
	}))
	ts.Defer(server.Close)
	ts.Setenv("UPSTREAM", server.URL)
}

// addUpstream adds the files that a module proxy has of a version.
func addUpstream(files map[string][]byte, m module.Version, dir string) error {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	var zip bytes.Buffer
	if err := modzip.CreateFromDir(&zip, m, dir); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	info := fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-02T03:04:05Z"}`, m.Version)
	prefix := "/" + path + "/@v/"
	files[prefix+m.Version+".info"], files[prefix+m.Version+".mod"], files[prefix+m.Version+".zip"] = info, mod, zip.Bytes()
	files[prefix+"list"] = append(files[prefix+"list"], m.Version+"\n"...)
	files["/"+path+"/@latest"] = info
	return nil
}

// damage changes a byte in the largest file below a directory: damage DIR
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damage DIR")
	}
	largest, size := "", int64(-1)
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	}))
	data, err := os.ReadFile(largest)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.Chmod(largest, 0o644))
	ts.Check(os.WriteFile(largest, data, 0o644))
}
