//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
)

// workshop builds programs. C code is compiled against unpacked development
// packages of a named suite, whatever this machine runs.
type workshop struct {
	archive  *debian.Archive
	sysroots map[string]string
	// upx starts the packer.
	upx []string
}

// muslLibc stands for musl in place of a suite whose glibc is linked with.
const muslLibc = "musl"

func newWorkshop(t *testing.T, archive *debian.Archive) *workshop {
	t.Helper()
	w := &workshop{archive: archive, sysroots: map[string]string{}}
	for _, suite := range []string{bullseye, bookworm, trixie} {
		w.sysroots[suite] = sysroot(t, archive, suite)
	}
	tools := tempDir(t)
	mergeUsr(t, tools)
	unpack(t, archive, tools, debian.Source{Suite: trixie, Arch: amd64}, "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libucl1", "upx-ucl")
	w.upx = []string{
		filepath.Join(tools, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
		"--library-path", filepath.Join(tools, libDir), filepath.Join(tools, "usr/bin/upx-ucl"),
	}
	return w
}

// sysroot returns a directory with suite's C library and what compiling with it
// needs. It stays where it is between runs, so that the go command finds what it
// built with it before.
func sysroot(t *testing.T, archive *debian.Archive, suite string) string {
	t.Helper()
	dir := filepath.Join(cacheDir(t), "sysroots", suite)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	fresh := tempDir(t)
	mergeUsr(t, fresh)
	unpack(t, archive, fresh, debian.Source{Suite: suite, Arch: amd64},
		"libc6", "libc6-dev", "linux-libc-dev", "zlib1g", "zlib1g-dev")
	relativeLinks(t, fresh)
	makeDir(t, filepath.Dir(dir), ".")
	command(t, nil, "mv", fresh, dir)
	return dir
}

// cc is the C compiler that links with the C library libc: a suite or muslLibc.
func (w *workshop) cc(libc string) []string {
	if libc == muslLibc {
		return []string{"musl-gcc"}
	}
	// --sysroot alone still prefers the machine's own start files and libraries.
	own := filepath.Join(w.sysroots[libc], "usr", libDir)
	return []string{"gcc", "--sysroot=" + w.sysroots[libc], "-B" + own, "-L" + own}
}

// builder fills one program's layer.
type builder struct {
	*workshop
	t   *testing.T
	dir string
}

// build says how a Go program is built.
type build struct {
	// libc is what cgo code is linked with; "" builds without cgo.
	libc string
	// env holds further settings of the go command, flags further flags.
	env   []string
	flags []string
	// cflags and ldflags are for the C compiler and linker.
	cflags  string
	ldflags string
}

// compile builds the program in testdata/source to the file name in the layer.
func (b builder) compile(name, source string, how build) {
	b.t.Helper()
	env := []string{"GOFLAGS=", "GOOS=linux", "GOARCH=" + amd64, "GOAMD64=v1", "CGO_ENABLED=0"}
	flags := how.flags
	if how.libc != "" {
		env = append(env, "CGO_ENABLED=1", "CC="+strings.Join(b.cc(how.libc), " "),
			"CGO_CFLAGS=-O2 "+how.cflags, "CGO_LDFLAGS="+how.ldflags)
	}
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(b.dir, name)}, flags...)
	command(b.t, append(env, how.env...), "go", append(args, "./testdata/"+source)...)
}

// library compiles C sources of testdata/greetlib to the shared library name in
// the layer and returns its directory.
func (b builder) library(libc, name, source string, flags ...string) string {
	b.t.Helper()
	file := filepath.Join(b.dir, name)
	makeDir(b.t, b.dir, filepath.Dir(name))
	cc := append(b.cc(libc), "-shared", "-fPIC", "-O2", "-Wl,-soname="+filepath.Base(name), "-o", file, "testdata/greetlib/"+source)
	command(b.t, nil, cc[0], append(cc[1:], flags...)...)
	return filepath.Dir(file)
}

// greeter builds the program greet at opt/greet/bin against a whole libgreet and
// then puts the library that flags describe at opt/greet/lib in its place.
func (b builder) greeter(libc, ldflags string, flags ...string) {
	b.t.Helper()
	whole := builder{b.workshop, b.t, tempDir(b.t)}
	link := whole.library(libc, "libgreet.so", "greet.c", versionFlags(flags, "versions.map")...)
	b.compile(greetProgram, "greet", build{
		libc:    libc,
		flags:   []string{"-ldflags=-linkmode=external"},
		ldflags: "-L" + link + " " + ldflags,
	})
	b.library(libc, greetLib+"/libgreet.so", "greet.c", flags...)
}

// versionFlags returns the version script map when flags ask for any.
func versionFlags(flags []string, script string) []string {
	for _, f := range flags {
		if strings.HasPrefix(f, versionScript) {
			return []string{versionScript + script}
		}
	}
	return nil
}

const versionScript = "-Wl,--version-script=testdata/greetlib/"

// Where the program greet and its library are in the layer.
const (
	greetProgram = "opt/greet/bin/greet"
	greetLib     = "opt/greet/lib"
)

// inner puts libinner beside libgreet and returns the flags that make libgreet
// need it.
func (b builder) inner(libc string) []string {
	b.t.Helper()
	dir := b.library(libc, greetLib+"/libinner.so", "inner.c")
	return []string{"-DCALLS_INNER", "-L" + dir, "-linner"}
}

// copyFile puts a file of the machine into the layer.
func (b builder) copyFile(from, name string) {
	b.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		b.t.Fatal(err)
	}
	writeFile(b.t, b.dir, name, 0o755, string(data))
}
