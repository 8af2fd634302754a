//go:build e2e

package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
)

// root is a root file system that programs are started in.
type root struct {
	name string
	// suite's packages are laid into an empty directory, which then has a
	// merged /usr if that is asked for.
	suite    string
	packages []string
	merged   bool
	// finish changes the directory after the packages.
	finish func(t *testing.T, archive *debian.Archive, dir string)
	// env and user are what an image with this root sets for every program.
	env  []string
	user string
	// corrupt is true when a file in it cannot be measured.
	corrupt bool
}

// The packages of a small Debian image, without and with libz.
var (
	debianBase = []string{"libc6", "libgcc-s1", "libstdc++6", "dash", "busybox"}
	debianFull = append([]string{"zlib1g"}, debianBase...)
)

const (
	libDir = "lib/x86_64-linux-gnu"
	zlib   = "libz.so.1"
	// defaultPath is the PATH that images set when their authors do not.
	defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// roots are the file systems of the cross product.
var roots = []root{
	{name: "scratch", finish: emptyRoot},
	{name: "bullseye", suite: bullseye, packages: debianFull, finish: debianRoot},
	{name: "bookworm", suite: bookworm, packages: debianFull, merged: true, finish: debianRoot},
	{name: "trixie", suite: trixie, packages: debianFull, merged: true, finish: debianRoot},
	{name: "musl", suite: bookworm, packages: []string{"musl", "busybox-static"}, finish: shellRoot},
	{name: "musl-compat", suite: trixie, packages: []string{"musl", "busybox-static"}, merged: true, finish: muslCompatRoot},
	{name: "without-libz", suite: bookworm, packages: debianBase, merged: true, finish: debianRoot},
	{name: "without-cache", suite: bookworm, packages: debianFull, finish: shellRoot},
	{name: "libz-by-env", suite: bookworm, packages: debianFull, merged: true, finish: libraryByEnv, env: []string{"LD_LIBRARY_PATH=/nowhere:/opt/lib"}},
	{name: "libz-by-conf", suite: bookworm, packages: debianFull, merged: true, finish: libraryByConf},
	{name: "libz-v3-only", suite: bookworm, packages: debianFull, merged: true, finish: libraryByLevel},
	{name: "i386-first", suite: bookworm, packages: debianFull, merged: true, finish: otherArchFirst("i386", "lib/i386-linux-gnu"), env: []string{"LD_LIBRARY_PATH=/opt/foreign"}},
	{name: "arm64-first", suite: bookworm, packages: debianFull, merged: true, finish: otherArchFirst("arm64", "lib/aarch64-linux-gnu"), env: []string{"LD_LIBRARY_PATH=/opt/foreign"}},
	{name: "broken-libz", suite: bookworm, packages: debianFull, merged: true, finish: brokenLibrary, corrupt: true},
	{name: "stale-cache", suite: bookworm, packages: debianFull, merged: true, finish: staleCache},
	{name: "nonroot", suite: bookworm, packages: debianFull, merged: true, finish: debianRoot, user: "app"},
	{name: "unknown-user", suite: bookworm, packages: debianBase, merged: true, finish: debianRoot, user: "nobody-here"},
}

// build makes the root file system in a new directory.
func (r root) build(t *testing.T, archive *debian.Archive) string {
	t.Helper()
	dir := tempDir(t)
	if r.merged {
		mergeUsr(t, dir)
	}
	if len(r.packages) > 0 {
		unpack(t, archive, dir, debian.Source{Suite: r.suite, Arch: amd64}, r.packages...)
		for _, ballast := range []string{"usr/share", "usr/" + libDir + "/gconv"} {
			remove(t, dir, ballast)
		}
	}
	r.finish(t, archive, dir)
	return dir
}

// mergeUsr makes the links of a merged /usr.
func mergeUsr(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		makeDir(t, dir, "usr/"+name)
		symlink(t, dir, "usr/"+name, name)
	}
}

func emptyRoot(*testing.T, *debian.Archive, string) {}

// shellRoot adds what packages' installation scripts would: users and the
// programs that are links to busybox.
func shellRoot(t *testing.T, _ *debian.Archive, dir string) {
	t.Helper()
	writeFile(t, dir, "etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n")
	writeFile(t, dir, "etc/group", 0o644, "root:x:0:\napp:x:1000:\nservice:x:2000:app\n")
	busybox := "/bin/busybox"
	if _, err := os.Stat(filepath.Join(dir, "usr", busybox)); err == nil {
		busybox = "/usr" + busybox
	}
	makeDir(t, dir, "usr/bin")
	symlink(t, dir, busybox, "usr/bin/env")
	if _, err := os.Lstat(filepath.Join(dir, "bin/sh")); err != nil {
		symlink(t, dir, busybox, "bin/sh")
	}
}

// debianRoot is shellRoot with the loader's cache.
func debianRoot(t *testing.T, archive *debian.Archive, dir string) {
	t.Helper()
	shellRoot(t, archive, dir)
	command(t, nil, "ldconfig", "-r", dir)
}

// muslCompatRoot lets glibc programs find musl's loader, as images do that hope
// for the best.
func muslCompatRoot(t *testing.T, archive *debian.Archive, dir string) {
	t.Helper()
	shellRoot(t, archive, dir)
	makeDir(t, dir, "lib64")
	symlink(t, dir, "/lib/ld-musl-x86_64.so.1", "lib64/ld-linux-x86-64.so.2")
}

// libraryByEnv moves libz to where only the environment leads.
func libraryByEnv(t *testing.T, archive *debian.Archive, dir string) {
	t.Helper()
	moveLibz(t, dir, "opt/lib")
	debianRoot(t, archive, dir)
}

// libraryByConf moves libz to a directory that only the loader's cache knows.
func libraryByConf(t *testing.T, archive *debian.Archive, dir string) {
	t.Helper()
	moveLibz(t, dir, "opt/lib")
	writeFile(t, dir, "etc/ld.so.conf", 0o644, "/opt/lib\n/usr/"+libDir+"\n")
	debianRoot(t, archive, dir)
}

// libraryByLevel moves libz to where only x86-64-v3 processors look.
func libraryByLevel(t *testing.T, archive *debian.Archive, dir string) {
	t.Helper()
	moveLibz(t, dir, "usr/"+libDir+"/glibc-hwcaps/x86-64-v3")
	shellRoot(t, archive, dir)
}

// moveLibz moves libz from its usual place to a directory.
func moveLibz(t *testing.T, dir, to string) {
	t.Helper()
	makeDir(t, dir, to)
	for _, name := range libzFiles(t, dir) {
		if err := os.Rename(filepath.Join(dir, libDir, name), filepath.Join(dir, to, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// libzFiles names libz's files in libDir.
func libzFiles(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, libDir, zlib+"*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s in %s: %v", zlib, dir, err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

// otherArchFirst puts another architecture's libraries before the right ones.
func otherArchFirst(arch, theirs string) func(*testing.T, *debian.Archive, string) {
	return func(t *testing.T, archive *debian.Archive, dir string) {
		t.Helper()
		foreign := tempDir(t)
		unpack(t, archive, foreign, debian.Source{Suite: bookworm, Arch: arch}, "libc6", "zlib1g")
		makeDir(t, dir, "opt")
		command(t, nil, "cp", "-a", filepath.Join(foreign, theirs), filepath.Join(dir, "opt/foreign"))
		debianRoot(t, archive, dir)
	}
}

// brokenLibrary cuts libz short.
func brokenLibrary(t *testing.T, archive *debian.Archive, dir string) {
	t.Helper()
	debianRoot(t, archive, dir)
	if err := os.Truncate(filepath.Join(dir, libDir, zlib), 20); err != nil {
		t.Fatal(err)
	}
}

// staleCache removes libz after the loader's cache was written.
func staleCache(t *testing.T, archive *debian.Archive, dir string) {
	t.Helper()
	debianRoot(t, archive, dir)
	for _, name := range libzFiles(t, dir) {
		remove(t, dir, libDir+"/"+name)
	}
}

// What follows writes into a directory that becomes a layer; names are relative
// to it.

func makeDir(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, dir, name string, mode fs.FileMode, text string) {
	t.Helper()
	makeDir(t, dir, filepath.Dir(name))
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	chmod(t, dir, name, mode)
}

func chmod(t *testing.T, dir, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, dir, target, name string) {
	t.Helper()
	makeDir(t, dir, filepath.Dir(name))
	if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// relativeLinks makes absolute symbolic links below dir relative to it, so that
// they mean the same when dir is no root directory.
func relativeLinks(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != fs.ModeSymlink {
			return err
		}
		target, err := os.Readlink(file)
		if err != nil || !filepath.IsAbs(target) || strings.HasPrefix(target, dir) {
			return err
		}
		if target, err = filepath.Rel(filepath.Dir(file), filepath.Join(dir, target)); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
		return os.Symlink(target, file)
	})
	if err != nil {
		t.Fatal(err)
	}
}
