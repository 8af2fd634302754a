//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
	"github.com/gopherwood-dev/gopherwood/e2e/gotool"
)

// The suites whose packages the tests use, oldest first, and the architecture
// of the machine.
const (
	bullseye = "bullseye" // glibc 2.31
	bookworm = "bookworm" // glibc 2.36
	trixie   = "trixie"   // glibc 2.41
	amd64    = "amd64"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(containerSpec); spec != "" {
		enterContainer(spec)
	}
	if err := usable(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// usable says what this machine lacks for the tests.
func usable() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != amd64 {
		return fmt.Errorf("these tests run programs in Linux root file systems: use an amd64 Debian machine, not %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("these tests mount and chroot: run them as root")
	}
	for _, tool := range []string{"gcc", "aarch64-linux-gnu-gcc", "musl-gcc", "readelf", "dpkg-deb", "ldconfig"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w; run: e2e/setup.sh", err)
		}
	}
	return nil
}

// cacheDir is where downloads are kept between runs.
func cacheDir(t *testing.T) string {
	t.Helper()
	dir, err := gotool.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// openArchive returns the packages that the tests share between runs.
func openArchive(t *testing.T) *debian.Archive {
	t.Helper()
	archive, err := debian.Open(t.Context(), cacheDir(t))
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// unpack fetches packages and lays them into dir.
func unpack(t *testing.T, archive *debian.Archive, dir string, src debian.Source, packages ...string) {
	t.Helper()
	files, err := archive.Fetch(t.Context(), src, packages...)
	if err == nil {
		err = debian.Unpack(t.Context(), dir, files...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tempDir is a directory that any user may search, as a root directory must be.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gopherwood-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs a program and returns its standard output; a failure ends the test.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := output(t.Context(), env, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// output runs a program and returns its standard output; an error carries its
// standard error.
func output(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return string(out), nil
}
