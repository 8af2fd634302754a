package facts

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// testProgram is the running test as a lone executable.
func testProgram(t *testing.T) *Subject {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for s, err := range Open(context.Background(), name, Options{NoDigest: true}) {
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Fatal("no subject")
	return nil
}

func TestPlaceInDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("usr/bin", filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	base, err := OpenBase(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	for at, want := range map[string]string{"/bin/app": "/usr/bin/app", "opt/x/app": "/opt/x/app"} {
		placed, err := base.Place(testProgram(t), at)
		if err != nil {
			t.Fatal(err)
		}
		if got := placed.Process.Args[0]; got != want || placed.Files[0].Path != want || !placed.Files[0].Entrypoint {
			t.Errorf("placed at %s: starts %s, file %s; want %s", at, got, placed.Files[0].Path, want)
		}
		real, _, err := rootfs.Resolve(placed.Root, rootfs.User{UID: 1000}, "/", at)
		if err != nil || real != want {
			t.Errorf("Resolve(%s) = %s, %v", at, real, err)
		}
		file, err := placed.Root.File(want)
		if err != nil || file.Object == nil {
			t.Errorf("File(%s) = %+v, %v: want the measured program", want, file, err)
		}
	}
}

func TestPlaceRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for ref, code := range map[string]fault.Code{
		filepath.Join(dir, "none"): fault.NotFound,
		file:                       fault.Invalid,
		"oci:" + dir:               fault.NotFound,
	} {
		if _, err := OpenBase(context.Background(), ref, Options{}); fault.CodeOf(err) != code {
			t.Errorf("OpenBase(%s): %v, want code %s", ref, err, code)
		}
	}
	base, err := OpenBase(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	if _, err := base.Place(testProgram(t), "/file/app"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("Place below a file: %v, want code invalid", err)
	}
	if _, err := base.Place(&Subject{Ref: "image", Root: base.dir}, ""); fault.CodeOf(err) != fault.Usage {
		t.Errorf("Place of an image: %v, want code usage", err)
	}
}
