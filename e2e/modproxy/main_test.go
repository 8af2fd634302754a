//go:build e2e

package modproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/e2e/gotool"
)

// lab is what the tests share.
var lab laboratory

// laboratory is made by open and removed by close.
type laboratory struct {
	// dir has what a test keeps until its end; fast is in memory where this machine
	// has room for it there: module caches, which are large and soon removed.
	dir, fast string
	// cache is kept from one run to the next.
	cache string
	// gopherwood is the program under test.
	gopherwood string
	// upstream and sumdb are this machine's GOPROXY and GOSUMDB.
	upstream, sumdb string
	island          *island
	ca              *authority
	// goCommand is the go command of this machine.
	goCommand string
}

func TestMain(m *testing.M) {
	if err := usable(); err != nil {
		fmt.Fprintln(os.Stderr, "modproxy:", err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

// usable says what this machine lacks for the tests.
func usable() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the proxy runs in a network namespace, and Debian's registry is for amd64: use an amd64 Debian machine, not %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if os.Getuid() != 0 {
		return errors.New("networks are made with namespaces: run these tests as root")
	}
	for _, tool := range []string{"git", "ssh", "ssh-keygen", sshd, "ip", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w; run: e2e/setup.sh", err)
		}
	}
	return nil
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	err := lab.open(ctx)
	code := 1
	if err == nil {
		code = m.Run()
	}
	if err := errors.Join(err, lab.close()); err != nil {
		fmt.Fprintln(os.Stderr, "modproxy:", err)
		return 1
	}
	return code
}

// open makes everything. What it has made is removed by close, also after an error.
func (l *laboratory) open(ctx context.Context) (err error) {
	if l.dir, err = os.MkdirTemp("", "gopherwood-modproxy-"); err != nil {
		return err
	}
	if l.fast, err = os.MkdirTemp(fastDir(), "gopherwood-modproxy-"); err != nil {
		return err
	}
	cache, err := gotool.CacheDir()
	if err != nil {
		return err
	}
	l.cache = filepath.Join(cache, "modproxy")
	if l.goCommand, err = exec.LookPath("go"); err != nil {
		return err
	}
	settings, err := exec.CommandContext(ctx, l.goCommand, "env", "GOPROXY", "GOSUMDB").Output()
	if err != nil {
		return err
	}
	l.upstream, l.sumdb, _ = strings.Cut(strings.TrimSpace(string(settings)), "\n")
	if l.island, err = newIsland(); err != nil {
		return err
	}
	if l.ca, err = newAuthority(filepath.Join(l.dir, "ca.pem")); err != nil {
		return err
	}
	l.gopherwood = filepath.Join(l.dir, "gopherwood")
	cmd := exec.CommandContext(ctx, l.goCommand, "build", "-trimpath", "-o", l.gopherwood, "./cmd/gopherwood")
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, said)
	}
	return nil
}

// fastDir is a directory in memory, "" if there is none with room.
func fastDir() string {
	const dir, room = "/dev/shm", 4 << 30
	if n, err := freeBytes(dir); err != nil || n < room {
		return ""
	}
	return dir
}

func (l *laboratory) close() error {
	var errs []error
	for _, dir := range []string{l.dir, l.fast} {
		if dir != "" {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

// tempDir is a directory until the end of a test.
func tempDir(t *testing.T, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "t-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// output is what a program said, and how it ended.
type output struct {
	stdout, stderr string
	code           int
}

func (o output) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
}

// finish runs a command on the island to its end.
func finish(cmd *exec.Cmd) output {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := lab.island.run(cmd); err != nil && !errors.As(err, new(*exec.ExitError)) {
		return output{stderr: err.Error(), code: -1}
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// baseEnvironment is that of every program: nothing of the user's but the PATH.
func baseEnvironment(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + lab.dir, "LC_ALL=C", "NO_COLOR=1"}
}

func requireWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in: %s", w, text)
		}
	}
}

// until waits for what must come to pass soon.
func until(t *testing.T, wait time.Duration, what string, ok func() error) {
	t.Helper()
	end := time.Now().Add(wait)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v: %v", what, wait, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

func writeProgram(t *testing.T, file, text string) {
	t.Helper()
	writeFile(t, file, text)
	if err := os.Chmod(file, 0o700); err != nil {
		t.Fatal(err)
	}
}
