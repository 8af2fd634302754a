//go:build e2e

package e2e

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// TestCross builds for arm64, with and without cgo, and starts what was built on
// an imitated processor.
func TestCross(t *testing.T) {
	archive := openArchive(t)
	host := inProcess(t, true)
	base := pushArmBase(t, archive, host)
	emulator := emulatorLayer(t, archive, "aarch64")
	for _, test := range []struct {
		name string
		// files are the module's, base is what the image must be on.
		files map[string]string
		base  string
		cgo   bool
	}{
		{"go", map[string]string{"main.go": helloProgram("arm64")}, builtIn, false},
		{"cgo", map[string]string{"main.go": cgoProgram}, base, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := module(t, test.files)
			writeFile(t, dir, ".gopherwood.yaml", 0o644, "schemaVersion: gopherwood/v1\nkind: Config\nbuild:\n  bases:\n    glibc: "+base+"\n")
			ref := host + "/cross/" + test.name + ":v1"
			built := newTool(t, dir).build("--plain-http", "--push", ref, "--platform", "linux/arm64", ".")
			image := built.Images[0]
			if image.Base.Ref != test.base || image.Build.CGO.Enabled != test.cgo {
				t.Errorf("base %s, cgo %+v", image.Base.Ref, image.Build.CGO)
			}
			if c := image.Build.CGO.Compiler; test.cgo && (c == nil || c.Target != "aarch64-linux-gnu") {
				t.Errorf("the C compiler is %+v", c)
			}
			if got := image.Facts.Platform; got.Arch != "arm64" {
				t.Errorf("the program is for %s", got)
			}
			c := imageContainer(t, pulled(t, ref))
			if real, err := c.run(t.Context()); err != nil || real.Rule != start.Arch {
				t.Errorf("without emulation: %s %s: %v", orStarts(real.Rule), real.Detail, err)
			}
			c = imageContainer(t, pulled(t, ref))
			c.Layers = append(c.Layers, emulator)
			c.Emulator, c.CPU = emulatorPath, "max"
			if real, err := c.run(t.Context()); err != nil || real.Rule != "" {
				t.Errorf("on an arm64 processor: %s %s: %v", orStarts(real.Rule), real.Detail, err)
			}
		})
	}
}

// TestCrossWithoutCompiler builds a program with C code for a processor that no C
// compiler is installed for: the message names the package to install.
func TestCrossWithoutCompiler(t *testing.T) {
	r := newTool(t, module(t, map[string]string{"main.go": cgoProgram})).run("build", "--platform", "linux/s390x", "-o", "oci:"+t.TempDir())
	requireEnd(t, r, "127.0.0.1:1/nothing/there:v1", []string{"gcc-s390x-linux-gnu"})
}

// pushArmBase puts a base with glibc for arm64 and returns its reference.
func pushArmBase(t *testing.T, archive *debian.Archive, host string) string {
	t.Helper()
	dir := tempDir(t)
	unpack(t, archive, dir, debian.Source{Suite: bookworm, Arch: "arm64"}, "libc6", "libgcc-s1")
	remove(t, dir, "usr/share")
	makeDir(t, dir, "tmp")
	img := forArch(t, imageOf(t, v1.Config{Env: []string{defaultPath}}, layerOf(t, dir)), "arm64")
	ref := host + "/base/arm64:v1"
	if err := remote.Write(reference(t, ref), img); err != nil {
		t.Fatal(err)
	}
	return ref
}
