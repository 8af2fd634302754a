package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const (
	path    = "github.com/gopherwood-dev/gopherwood"
	version = "v0.1.0"
)

// `go install PACKAGE@VERSION` works for who has no clone: no replace directive,
// nothing but what the modules hold. The tree is served as version v0.1.0.
func TestInstall(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	proxy, bin := t.TempDir(), t.TempDir()
	publish(t, proxy, path, root)
	for _, nested := range []string{"sdk", "e2e/cluster"} {
		publish(t, proxy, path+"/"+nested, filepath.Join(root, nested))
	}

	cmd := exec.Command("go", "install", "-modcacherw", path+"/cmd/gopherwood@"+version)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(),
		"GOBIN="+bin,
		"GOWORK=off",
		"GOFLAGS=-trimpath", // equal paths: what 'make build' compiled is not compiled again
		"CGO_ENABLED=0",
		// The tree's modules come from here, and only here, into a cache of
		// their own; all others from where the go command has them.
		"GOMODCACHE="+t.TempDir(),
		"GOPROXY=file://"+filepath.ToSlash(proxy)+",file://"+filepath.ToSlash(goEnv(t, "GOMODCACHE"))+"/cache/download,"+goEnv(t, "GOPROXY"),
		"GOSUMDB=off",
	)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}

	out, err := exec.Command(filepath.Join(bin, "gopherwood"+goEnv(t, "GOEXE")), "version", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Version string }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != version {
		t.Errorf("the installed command says it is %q, want %q", got.Version, version)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// publish puts the module in dir into a proxy's directory, as GOPROXY's
// protocol has it (go.dev/ref/mod#goproxy-protocol).
func publish(t *testing.T, proxy, path, dir string) {
	t.Helper()
	base := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(base, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(base, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := zip.Create(&archive, module.Version{Path: path, Version: version}, sources(t, dir)); err != nil {
		t.Fatal(err)
	}
	write("list", []byte(version+"\n"))
	write(version+".info", []byte(`{"Version":"`+version+`"}`))
	write(version+".mod", mod)
	write(version+".zip", archive.Bytes())
}

// sources returns the files of the module in dir that git knows or would add.
func sources(t *testing.T, dir string) []zip.File {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	var files []zip.File
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		f := file{dir, name}
		if info, err := f.Lstat(); err != nil || !info.Mode().IsRegular() || nested(dir, name) {
			continue // removed, or another module's
		}
		files = append(files, f)
	}
	return files
}

// nested says whether a directory between dir and the file name is a module.
func nested(dir, name string) bool {
	for d := filepath.Dir(name); d != "."; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(dir, d, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

// file implements zip.File.
type file struct{ dir, name string }

func (f file) Path() string                 { return filepath.ToSlash(f.name) }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join(f.dir, f.name)) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(f.dir, f.name)) }
