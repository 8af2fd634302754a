//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
)

// emulator is qemu's user-mode emulation of one processor.
type emulator struct {
	// layer is a directory that holds qemu at emulatorPath.
	layer string
	// cpu is qemu's name of the processor.
	cpu string
}

// emulatorPath is where qemu is in the root file system.
const emulatorPath = "/emulator"

// processors are qemu's processors of x86-64 levels 1 to 3. It imitates none of
// level 4, which the machine's own processor may have.
var processors = []string{"qemu64", "Nehalem", "Haswell"}

// TestCPULevels starts programs of each x86-64 level on processors of each.
//
// The roots are those whose loader looks at a program's level, which glibc does
// since 2.33.
func TestCPULevels(t *testing.T) {
	archive := openArchive(t)
	s := setStage(t, archive,
		pick(roots, rootName, "bookworm", "trixie", "libz-v3-only"),
		append(pick(programs(), programName, "static", "libz"), leveled...))
	layer := emulatorLayer(t, archive, "x86_64")
	for i, cpu := range processors {
		t.Run(cpu, func(t *testing.T) {
			real := s.allReal(t, &emulator{layer, cpu})
			t.Log("\n" + s.table(real))
			for _, p := range s.pairs() {
				findings, err := s.foretold(t.Context(), p, i+1)
				if err != nil {
					t.Fatal(err)
				}
				s.compare(t, p, real[p], findings)
			}
		})
	}
}

// emulatorLayer unpacks qemu for a kind of processors. It is linked statically.
func emulatorLayer(t *testing.T, archive *debian.Archive, machine string) string {
	t.Helper()
	all, layer := tempDir(t), tempDir(t)
	unpack(t, archive, all, debian.Source{Suite: bookworm, Arch: amd64}, "qemu-user-static")
	if err := os.Rename(filepath.Join(all, "usr/bin/qemu-"+machine+"-static"), filepath.Join(layer, emulatorPath)); err != nil {
		t.Fatal(err)
	}
	return layer
}

// pick returns the members of all that have the given names.
func pick[T any](all []T, name func(T) string, names ...string) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !slices.Contains(names, name(x)) })
}
