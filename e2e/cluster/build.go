package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Event is a step of work that takes a while.
type Event struct {
	// What is being done, for example "build", "start".
	What string `json:"what"`
	// Name is what it is done to: a program, a node.
	Name string `json:"name"`
	// Done says that the step has ended, after Took; until then it has begun.
	Done bool          `json:"done,omitempty"`
	Took time.Duration `json:"took,omitempty"`
}

// Progress takes events, one at a time; nil drops them.
type Progress func(Event)

// step tells p that a step begins, and returns what tells that it has ended.
func (p Progress) step(what, name string) func() {
	if p == nil {
		return func() {}
	}
	p(Event{What: what, Name: name})
	began := time.Now()
	return func() { p(Event{What: what, Name: name, Done: true, Took: time.Since(began)}) }
}

// kwokModule is what simulated nodes are made of; its stages say how they live.
const kwokModule = "sigs.k8s.io/kwok"

// keepBuilds is how long programs of other versions are kept unused.
const keepBuilds = 14 * 24 * time.Hour

// Built says whether all programs of components are there, so that nothing would
// have to be built. It looks at names and sizes; Build looks at the content.
func Built(components Components) bool {
	s, err := openStore(context.Background())
	if err != nil {
		return false
	}
	m, err := s.manifest()
	if err != nil {
		return false
	}
	for _, p := range wanted(components) {
		info, err := os.Stat(filepath.Join(s.bin(), p.executable()))
		if err != nil || info.Size() != m.Files[p.executable()].Size {
			return false
		}
	}
	return true
}

// Build builds the programs of components that are not there yet, and returns the
// directory that holds them. What is there is used if its content is still what
// was built. Processes that build at the same time wait for each other.
//
// Errors: NotFound where the go command or what it needs besides is missing,
// Unsupported on a system that cannot have the components, Unavailable for
// modules that could not be fetched, and the context's.
func Build(ctx context.Context, components Components, progress Progress) (string, error) {
	if components&Nodes != 0 && runtime.GOOS != "linux" {
		return "", unsupportedNodes()
	}
	s, err := openStore(ctx)
	if err != nil {
		return "", err
	}
	if missing, err := s.missing(components); err == nil && len(missing) == 0 {
		s.touch()
		return s.bin(), nil
	}
	lock, err := lockFile(ctx, filepath.Join(s.root, "build.lock"), func() {
		progress.step("wait", "another process that builds")
	})
	if err != nil {
		return "", err
	}
	defer lock.unlock()
	missing, err := s.missing(components)
	if err != nil {
		return "", err
	}
	if err := needTools(missing); err != nil {
		return "", err
	}
	for _, p := range missing {
		done := progress.step("build", p.name)
		if err := s.build(ctx, p); err != nil {
			return "", err
		}
		done()
	}
	s.touch()
	s.prune()
	return s.bin(), nil
}

// store holds the programs of one version: root/KEY/bin and its manifest.
type store struct{ root, dir string }

// openStore finds the directory of what the go command here builds.
func openStore(ctx context.Context) (*store, error) {
	root, err := cacheRoot()
	if err != nil {
		return nil, err
	}
	version, err := goVersion(ctx)
	if err != nil {
		return nil, err
	}
	return &store{root: root, dir: filepath.Join(root, key(version))}, nil
}

// cacheRoot returns the directory of everything that outlives a process.
func cacheRoot() (string, error) {
	dir := os.Getenv("GOPHERWOOD_CACHE_DIR")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", &fault.Error{Code: fault.Usage, Op: "find the cache directory", Err: err, Hint: "set GOPHERWOOD_CACHE_DIR"}
		}
		dir = filepath.Join(user, "gopherwood")
	}
	dir, err := filepath.Abs(filepath.Join(dir, "cluster"))
	if err != nil {
		return "", err
	}
	return dir, nil
}

func (s *store) bin() string { return filepath.Join(s.dir, "bin") }

// touch marks the directory as used.
func (s *store) touch() {
	now := time.Now()
	_ = os.Chtimes(s.dir, now, now) // Only says when it may be pruned.
}

// prune removes the programs of other versions that nothing has used for long.
func (s *store) prune() {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := filepath.Join(s.root, e.Name())
		if dir == s.dir || !isKey(e.Name()) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > keepBuilds {
			_ = os.RemoveAll(dir) // The next build tries again.
		}
	}
}

func isKey(name string) bool {
	return len(name) == 24 && strings.Trim(name, "0123456789abcdef") == ""
}

// missing returns the programs of components that are not there or not what was
// built.
func (s *store) missing(components Components) ([]program, error) {
	m, err := s.manifest()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var missing []program
	for _, p := range wanted(components) {
		ok, err := m.holds(s.bin(), p.executable())
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// build builds p and puts it into the manifest.
func (s *store) build(ctx context.Context, p program) error {
	target := filepath.Join(s.bin(), p.executable())
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(s.dir, "build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := writeModule(work, p); err != nil {
		return err
	}
	out := filepath.Join(work, "program")
	if _, err := goCommand(ctx, work, p, p.args(out)...); err != nil {
		return err
	}
	if p.component == Kwok {
		if err := s.copyStages(ctx, work, p); err != nil {
			return err
		}
	}
	if err := os.Rename(out, target); err != nil {
		return err
	}
	return s.record(p.executable())
}

// writeModule writes the module that p is built in: its go.mod and go.sum only,
// since the program is a package of another module.
func writeModule(dir string, p program) error {
	if p.module == "" {
		return errors.Join(
			os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module pause\n\ngo 1.26.0\n"), 0o644),
			os.WriteFile(filepath.Join(dir, "main.go"), read(p.name+".go.txt"), 0o644),
		)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), read(p.module+".mod"), 0o644),
		os.WriteFile(filepath.Join(dir, "go.sum"), read(p.module+".sum"), 0o644),
	)
}

// stages are the files of kwok's module that say how simulated nodes and pods
// live; they are kept beside the programs.
var stages = []string{
	"node/fast/node-initialize.yaml",
	"node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
	"pod/fast/pod-ready.yaml",
	"pod/fast/pod-complete.yaml",
	"pod/fast/pod-delete.yaml",
}

// copyStages copies the stages out of kwok's module, which the go command has
// verified.
func (s *store) copyStages(ctx context.Context, work string, p program) error {
	out, err := goCommand(ctx, work, p, "list", "-m", "-f", "{{.Dir}}", kwokModule)
	if err != nil {
		return err
	}
	from := filepath.Join(strings.TrimSpace(out), "kustomize", "stage")
	for _, name := range stages {
		data, err := os.ReadFile(filepath.Join(from, filepath.FromSlash(name)))
		if err != nil {
			return &fault.Error{Code: fault.Invalid, Op: "read stage", Input: name, Err: err, Hint: "the kwok module has changed its layout"}
		}
		if err := writeAtomically(filepath.Join(s.bin(), "stages", filepath.Base(name)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// goVersion returns the version of the go command, for example "go1.26.1".
func goVersion(ctx context.Context) (string, error) {
	out, err := goCommand(ctx, os.TempDir(), program{}, "env", "GOVERSION")
	return strings.TrimSpace(out), err
}

// goCommand runs the go command in dir with nothing of the user's settings that
// would change what is built, and returns what it printed.
func goCommand(ctx context.Context, dir string, p program, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = buildEnviron(os.Environ(), p.cgo)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return stdout.String(), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return "", &fault.Error{
			Code: fault.NotFound, Op: "run the go command", Err: err,
			Hint: "install Go (https://go.dev/dl), and see that it is in PATH",
		}
	}
	return "", &fault.Error{
		Code: fault.Unavailable, Op: "build", Input: p.pkg,
		Err:  fmt.Errorf("go %s: %w\n%s", args[0], err, tail(&stderr, 20)),
		Hint: "modules come from GOPROXY (see 'go env GOPROXY'); a build needs 3 GB of memory and up to 15 GB in GOCACHE and GOMODCACHE",
	}
}

// buildEnviron returns env for the go command: the system's own platform, and
// no flags, workspace or experiment of the user's.
func buildEnviron(env []string, cgo bool) []string {
	drop := []string{"GOFLAGS", "GOWORK", "GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG", "GOBIN", "GO111MODULE", "CGO_ENABLED", "GOFIPS140"}
	env = slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(drop, name) || strings.HasPrefix(name, "CGO_") && !cgo
	})
	enabled := "0"
	if cgo {
		enabled = "1"
	}
	return append(env,
		"GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off", "GO111MODULE=on", "GOEXPERIMENT=", "GOFIPS140=off",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "CGO_ENABLED="+enabled)
}

// tail returns the last n lines of r.
func tail(r io.Reader, n int) string {
	data, err := io.ReadAll(r)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// needTools finds what building programs needs besides Go.
func needTools(programs []program) error {
	if !slices.ContainsFunc(programs, func(p program) bool { return p.cgo }) {
		return nil
	}
	var missing []string
	for tool, pack := range map[string]string{"gcc": "gcc libc6-dev", "pkg-config": "pkg-config"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, pack)
		}
	}
	if len(missing) == 0 && exec.Command("pkg-config", "--exists", "libseccomp").Run() != nil {
		missing = append(missing, "libseccomp-dev")
	}
	return missingPackages("build runc", missing)
}

// missingPackages is the error that names Debian's packages, nil for none.
func missingPackages(op string, packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	slices.Sort(packages)
	list := strings.Join(packages, " ")
	return &fault.Error{
		Code: fault.NotFound, Op: op,
		Err:  fmt.Errorf("not installed: %s", list),
		Hint: "apt-get install " + list + " (or what your system calls it)",
	}
}
