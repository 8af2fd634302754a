package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// run runs the command without variables of its own.
func run(ctx context.Context, stdout io.Writer, args ...string) (code int, stderr string) {
	var errs bytes.Buffer
	code = Run(ctx, args, IO{Stdout: stdout, Stderr: &errs, Getenv: func(string) string { return "" }, Environ: os.Environ()})
	return code, errs.String()
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	layout := "oci:" + t.TempDir() + "/layout"
	for _, args := range [][]string{
		{"inspect", "--no-cache", os.Args[0]},
		{"build", "--no-cache", "-o", layout, "../../cmd/gopherwood"},
		{"resolve", "--no-cache", "--push", "127.0.0.1:1/{name}", "-f", "testdata/reference.yaml"},
	} {
		code, stderr := run(ctx, io.Discard, args...)
		if code != exitCanceled || !strings.Contains(stderr, "cancel") {
			t.Errorf("%s: exit code %d, stderr %q", args[0], code, stderr)
		}
	}
}

// A registry that does not tell what is attached is no reason to deny.
func TestUnreadAttachments(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	digest := "sha256:" + strings.Repeat("0", 64)
	got := (&beside{}).differences(ctx, &facts.Subject{Ref: "127.0.0.1:1/team/app@" + digest, Image: &api.Image{Digest: digest}})
	if len(got) != 1 || got[0].Rule != policy.FactsUnread || got[0].Severity != api.Info {
		t.Errorf("got %+v", got)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

func TestBrokenPipeIsSilent(t *testing.T) {
	code, stderr := run(t.Context(), brokenPipe{}, "versions")
	if code != exitFailed || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestWriteErrorIsReported(t *testing.T) {
	code, stderr := run(t.Context(), fullDisk{}, "versions")
	if code != exitFailed || !strings.Contains(stderr, syscall.ENOSPC.Error()) {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

func TestExitCodes(t *testing.T) {
	for err, want := range map[error]int{
		nil:                                         exitOK,
		outcome(exitPartial):                        exitPartial,
		context.Canceled:                            exitCanceled,
		errors.New("x"):                             exitFailed,
		&fault.Error{Code: fault.Usage}:             exitUsage,
		&fault.Error{Code: fault.NotFound}:          exitFailed,
		fmt.Errorf("x: %w", outcome(exitDenied)):    exitDenied,
		fmt.Errorf("x: %w", context.Canceled):       exitCanceled,
		&fault.Error{Err: context.DeadlineExceeded}: exitFailed,
	} {
		if got := (reporter{w: io.Discard}).exit(err); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}

// An error's text cannot steer the terminal.
func TestErrorIsClean(t *testing.T) {
	var b bytes.Buffer
	reporter{w: &b}.print(&fault.Error{Op: "read", Input: "a\x1b[2J\nb", Hint: "x\ny"})
	want := "gopherwood: read a\\x1b[2J\n    b\n  hint: x\\ny\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestWantsJSON(t *testing.T) {
	for line, want := range map[string]bool{
		"inspect -o json x": true, "inspect --output json": true, "inspect -o=json": true, "inspect -ojson": true,
		"inspect --output=json": true, "inspect -o yaml json": false,
		"build --format json": true, "build --format=json": true, "build -o oci:json": false, "inspect -- -o json": false, "inspect -o": false,
	} {
		if got := wantsJSON(strings.Fields(line)); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"1": 1, "10b": 10, "1KiB": 1024, "1.5 MiB": 3 << 19, "2GB": 2_000_000_000, "1tib": 1 << 40,
	} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "-1", "x", "1XiB", "1K", "1.2.3", "99999999TiB", "GiB", "1 KiB x"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("parseSize(%q) = %d", in, got)
		}
	}
}

func TestCacheDir(t *testing.T) {
	abs := t.TempDir()
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"own":      {map[string]string{"GOPHERWOOD_CACHE_DIR": "x", "XDG_CACHE_HOME": abs}, "x"},
		"xdg":      {map[string]string{"XDG_CACHE_HOME": abs}, filepath.Join(abs, "gopherwood")},
		"relative": {map[string]string{"XDG_CACHE_HOME": "x"}, cacheDir(func(string) string { return "" })},
	} {
		if got := cacheDir(func(k string) string { return tc.env[k] }); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestNoColor(t *testing.T) {
	std := IO{Stdout: &bytes.Buffer{}, Getenv: func(string) string { return "" }}
	if terminalLook(std, std.Stdout).Color {
		t.Error("colour where there is no terminal")
	}
}

// Every command says what it is for and has an example whose flags exist.
func TestCommandsAreDocumented(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s has no description or no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			checkExample(t, cmd, line)
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(NewCommand())
}

func checkExample(t *testing.T, cmd *cobra.Command, line string) {
	t.Helper()
	_, line, ok := strings.Cut(strings.TrimSpace(line), "gopherwood ")
	if !ok {
		t.Errorf("%s: example %q does not run gopherwood", cmd.CommandPath(), line)
		return
	}
	found, rest, err := NewCommand().Find(strings.Fields(strings.TrimSuffix(line, ")")))
	if err != nil {
		t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
		return
	}
	if cmd.HasParent() && found.CommandPath() != cmd.CommandPath() && !strings.HasPrefix(found.CommandPath(), cmd.CommandPath()+" ") {
		t.Errorf("%s: example %q is of %s", cmd.CommandPath(), line, found.CommandPath())
	}
	if err := found.ParseFlags(rest); err != nil {
		t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
	}
}
