package storetest

import (
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

// Make makes a version of a module with the given files besides go.mod, and its
// zip in a new file in dir. The sums are those that the go command computes.
func Make(t testing.TB, dir string, m module.Version, files map[string]string) (store.Version, string) {
	t.Helper()
	mod := "module " + m.Path + "\n"
	if base := strings.TrimSuffix(m.Version, "+incompatible"); base == m.Version {
		mod += "\ngo 1.21\n"
	}
	all := map[string]string{"go.mod": mod, "doc.go": "package doc // " + m.String() + "\n"}
	maps.Copy(all, files)
	var list []zip.File
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, file{name, all[name]})
	}
	f, err := os.CreateTemp(dir, "*.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := zip.Create(f, m, list); err != nil {
		t.Fatal(err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := dirhash.HashZip(f.Name(), dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(map[string]any{"Version": m.Version, "Time": "2026-01-02T03:04:05Z"})
	if err != nil {
		t.Fatal(err)
	}
	return store.Version{
		Version: m, Info: info, Mod: []byte(mod), Sum: sum, GoModSum: sumOfMod(t, mod),
		ZipSize: size, Origin: "https://proxy.example.com",
	}, f.Name()
}

func sumOfMod(t testing.TB, mod string) string {
	t.Helper()
	sum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(mod)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// file is a file of a module.
type file struct{ name, content string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return fileInfo{f}, nil }
func (f file) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.content)), nil }

type fileInfo struct{ file }

func (i fileInfo) Name() string     { return filepath.Base(i.name) }
func (i fileInfo) Size() int64      { return int64(len(i.content)) }
func (fileInfo) Mode() os.FileMode  { return 0o644 }
func (fileInfo) ModTime() time.Time { return time.Time{} }
func (fileInfo) IsDir() bool        { return false }
func (fileInfo) Sys() any           { return nil }
