package keep

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/ziphash"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// memFile is a file of a module.
type memFile struct{ name, content string }

func (f memFile) Path() string                { return f.name }
func (f memFile) Lstat() (os.FileInfo, error) { return memInfo{f}, nil }
func (f memFile) Open() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewBufferString(f.content)), nil
}

type memInfo struct{ memFile }

func (i memInfo) Name() string       { return filepath.Base(i.name) }
func (i memInfo) Size() int64        { return int64(len(i.content)) }
func (i memInfo) Mode() os.FileMode  { return 0o644 }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return false }
func (i memInfo) Sys() any           { return nil }

// makeVersion makes a version whose content depends on body, as an upstream would.
func makeVersion(t testing.TB, dir string, m module.Version, body string) *upstream.Download {
	t.Helper()
	mod := "module " + m.Path + "\n"
	files := []modzip.File{memFile{"go.mod", mod}, memFile{"a.go", "package a // " + body + "\n"}}
	f, err := os.CreateTemp(dir, "module-*.zip")
	if err != nil {
		t.Fatal(err)
	}
	if err := modzip.Create(f, m, files); err != nil {
		t.Fatal(err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := ziphash.HashZip(t.Context(), f, size)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return &upstream.Download{
		Version: store.Version{
			Version: m, Mod: []byte(mod), Sum: sum, GoModSum: artifact.GoModSum([]byte(mod)), ZipSize: size, Origin: "https://upstream.example.com",
			Info: fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-02T03:04:05Z"}`, m.Version),
		},
		Path: f.Name(),
	}
}

// dated is a store that takes a moment for now.
type dated struct {
	store.Store
	now time.Time
}

// openStore opens a store in a new directory.
func openStore(t testing.TB) *dated {
	t.Helper()
	return reopen(t, t.TempDir())
}

func reopen(t testing.TB, dir string) *dated {
	t.Helper()
	s := &dated{now: day}
	var err error
	s.Store, err = layouts.Open(dir, layouts.Options{Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// put stores versions, "path@version" each, stored at a moment.
func put(t testing.TB, s *dated, stored time.Time, names ...string) {
	t.Helper()
	s.now = stored
	for _, name := range names {
		m := version(t, name)
		d := makeVersion(t, s.Staging(), m, "body")
		if _, err := s.Put(t.Context(), d.Version, d.Path); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func version(t testing.TB, name string) module.Version {
	t.Helper()
	m, ok, err := ParseVersion(name)
	if err != nil || !ok {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// origin is an upstream that makes the versions it is asked for.
type origin struct {
	t testing.TB
	// body is what its versions have in them, missing those that it does not have.
	body    string
	missing map[module.Version]bool
}

func (o *origin) Fetch(_ context.Context, m module.Version, dir string, _ upstream.Known) (*upstream.Download, error) {
	if o.missing[m] {
		return nil, &fault.Error{Code: fault.NotFound, Op: "get", Input: m.String()}
	}
	return makeVersion(o.t, dir, m, o.body), nil
}

// proxy gets versions from an origin into a store.
type proxy struct {
	store store.Store
	*origin
}

func (p *proxy) Get(ctx context.Context, m module.Version) (*store.Entry, error) {
	d, err := p.Fetch(ctx, m, p.store.Staging(), upstream.Known{})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return p.store.Put(ctx, d.Version, d.Path)
}

// database is a checksum database that knows some sums.
type database struct {
	sums map[module.Version]string
	err  error
}

func (d *database) Check(_ context.Context, m module.Version, sum, _ string) error {
	if d.err != nil {
		return d.err
	}
	if want := d.sums[m]; want != "" && want != sum {
		return invalid(m, "", "the database says %s", want)
	}
	return nil
}

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
