package rootfs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// openTree makes a directory with the given files and opens it as a root.
func openTree(t *testing.T, files map[string]string) (*Dir, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDir(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, dir
}

func TestDir(t *testing.T) {
	d, dir := openTree(t, map[string]string{"etc/passwd": "root:x:0:0::/:/bin/sh\n", "bin/script": "#!/bin/sh\necho\n", "secret": "x"})
	if err := os.Symlink("/etc/../../../../etc/passwd", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	names, err := d.ReadDir("/")
	if diff := cmp.Diff([]string{"bin", "etc", "out", "secret"}, names); diff != "" || err != nil {
		t.Errorf("ReadDir: %v\n%s", err, diff)
	}
	real, node, err := Resolve(d, User{}, "/", "out")
	if err != nil || real != "/etc/passwd" || !node.Mode.IsRegular() {
		t.Errorf("Resolve(out) = %s, %v, %v: want the passwd of the root itself", real, node.Mode, err)
	}
	file, err := d.File("/etc/passwd")
	if err != nil || string(file.Content) != "root:x:0:0::/:/bin/sh\n" {
		t.Errorf("File(/etc/passwd) = %q, %v", file.Content, err)
	}
	file, err = d.File("/bin/script")
	if err != nil || !bytes.HasPrefix(file.Head, []byte("#!/bin/sh")) || file.Content != nil {
		t.Errorf("File(/bin/script) = %+v, %v: want its head only", file, err)
	}
	if _, err := d.Lstat("/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat of a missing file: %v, want fs.ErrNotExist", err)
	}
	if _, err := d.File("/bin"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("File of a directory: %v, want code invalid", err)
	}
}

func TestDirMeasuresWithinItsLimit(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	small, err := OpenDir(filepath.Dir(program), 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	name := "/" + filepath.Base(program)
	if _, err := small.File(name); fault.CodeOf(err) != fault.Limit || fault.HintOf(err) == "" {
		t.Errorf("File over the limit: %v, want code limit and a hint", err)
	}
	large, err := OpenDir(filepath.Dir(program), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	file, err := large.File(name)
	if err != nil || file.Object == nil || file.Object.Facts.Platform.Arch != runtime.GOARCH {
		t.Errorf("File(%s) = %+v, %v: want an object for %s", name, file, err, runtime.GOARCH)
	}
}

func TestDirRefusesLargeKeptFile(t *testing.T) {
	d, _ := openTree(t, map[string]string{"etc/passwd": string(make([]byte, maxKept+1))})
	if _, err := d.File("/etc/passwd"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("File of %d bytes: %v, want code invalid", maxKept+1, err)
	}
}

func TestOverlay(t *testing.T) {
	d, _ := openTree(t, map[string]string{"usr/bin/old": "x"})
	placed := File{Head: []byte("new")}
	o := Overlay(d, "/usr/local/bin/app", Node{Mode: 0o755}, placed)
	if _, _, err := Resolve(o, User{UID: 1}, "/", "/usr/local/bin/app"); err != nil {
		t.Errorf("the placed file is not found: %v", err)
	}
	if file, err := o.File("/usr/local/bin/app"); err != nil || string(file.Head) != "new" {
		t.Errorf("File = %q, %v", file.Head, err)
	}
	names, err := o.ReadDir("/usr")
	if diff := cmp.Diff([]string{"bin", "local"}, names); diff != "" || err != nil {
		t.Errorf("ReadDir(/usr): %v\n%s", err, diff)
	}
	if _, err := o.Lstat("/usr/local/bin/other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat beside the placed file: %v", err)
	}
	if node, err := o.Lstat("/usr/bin/old"); err != nil || !node.Mode.IsRegular() {
		t.Errorf("what was there is gone: %v", err)
	}
}
