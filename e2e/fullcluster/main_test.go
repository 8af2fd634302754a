//go:build e2e

package fullcluster

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

	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
	"github.com/gopherwood-dev/gopherwood/e2e/gotool"
)

// lab is what the tests of this package share: a cluster with one node, a
// registry, and the programs.
var lab laboratory

func TestMain(m *testing.M) {
	cluster.Main()
	ctrllog.SetLogger(ctrllog.Log.WithSink(ctrllog.NullLogSink{})) // the client's library asks for one
	if err := usable(); err != nil {
		fmt.Fprintln(os.Stderr, "fullcluster:", err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

// usable says what this machine lacks for the tests.
func usable() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the images are made for amd64 and run on nodes of this machine: use an amd64 Debian machine, not %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if os.Getuid() != 0 {
		return errors.New("nodes are made with namespaces and mounts: run these tests as root")
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		return fmt.Errorf("%w; run: e2e/setup.sh", err)
	}
	return nil
}

// run keeps the laboratory while the tests run.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	err := lab.open(ctx)
	code := 1
	if err == nil {
		code = m.Run()
	}
	if err := errors.Join(err, lab.close()); err != nil {
		fmt.Fprintln(os.Stderr, "fullcluster:", err)
		return 1
	}
	return code
}

// laboratory is made by open and removed by close.
type laboratory struct {
	dir string
	// root is the directory of this repository.
	root string
	// gopherwood is the program under test, helm is Helm's.
	gopherwood, helm string
	cluster          *cluster.Cluster
	registry         *registryServer
	api              *apiClient
	audit            auditLog
	// image is gopherwood's own image in the registry.
	image    string
	programs programs
	// installed is true while the release of the tests is in the cluster.
	installed bool
}

const (
	helmVersion         = "v4.3.1"
	distributionVersion = "v3.1.2"
)

// open makes everything. What it has made is removed by close, also after an error.
func (l *laboratory) open(ctx context.Context) (err error) {
	if l.dir, err = os.MkdirTemp("", "gopherwood-fullcluster-"); err != nil {
		return err
	}
	if l.root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	if l.helm, err = gotool.Install(ctx, "helm.sh/helm/v4/cmd/helm", helmVersion); err != nil {
		return err
	}
	distribution, err := gotool.Install(ctx, "github.com/distribution/distribution/v3/cmd/registry", distributionVersion)
	if err != nil {
		return err
	}
	l.gopherwood = filepath.Join(l.dir, "gopherwood")
	if err := l.goBuild(ctx, l.gopherwood, "./cmd/gopherwood"); err != nil {
		return err
	}
	if l.audit, err = newAuditLog(l.dir); err != nil {
		return err
	}
	oldCPU, err := l.oldCPU(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	l.cluster, err = cluster.Start(ctx, cluster.Config{Nodes: 1, Kubectl: true, APIServerFlags: l.audit.flags(), Progress: progress,
		Runtimes: map[string]string{oldCPUHandler: oldCPU}})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "a cluster with one node after %v\n", time.Since(began).Round(time.Millisecond))
	if l.registry, err = startRegistry(distribution, filepath.Join(l.dir, "registry"), l.cluster.HostAddress()); err != nil {
		return err
	}
	if err := l.cluster.AddRegistry(cluster.Registry{Host: l.registry.host, URL: "http://" + l.registry.host}); err != nil {
		return err
	}
	if l.api, err = newAPIClient(l.cluster.Kubeconfig()); err != nil {
		return err
	}
	return l.buildImage(ctx)
}

func progress(e cluster.Event) {
	if e.What == "build" && (!e.Done || e.Took > time.Second) {
		fmt.Fprintln(os.Stderr, e.What, e.Name, e.Took.Round(time.Millisecond))
	}
}

// oldCPUHandler is the handler of the runtime whose containers have a processor of
// x86-64-v2.
const oldCPUHandler = "old-cpu"

// oldCPU makes the directory of that runtime.
func (l *laboratory) oldCPU(ctx context.Context) (string, error) {
	dir, unpacked := filepath.Join(l.dir, "oldcpu"), filepath.Join(l.dir, "qemu")
	if err := l.goBuild(ctx, filepath.Join(dir, "runtime"), "./e2e/fullcluster/oldcpu"); err != nil {
		return "", err
	}
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return "", err
	}
	if err := unpackDebian(ctx, unpacked, "bookworm", "qemu-user-static"); err != nil {
		return "", err
	}
	return dir, os.Rename(filepath.Join(unpacked, "usr/bin/qemu-x86_64-static"), filepath.Join(dir, "qemu"))
}

// goBuild builds a program of this repository.
func (l *laboratory) goBuild(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "e2e", "-o", out, pkg)
	cmd.Dir, cmd.Env = l.root, append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, said)
	}
	return nil
}

// buildImage makes gopherwood's own image with itself.
func (l *laboratory) buildImage(ctx context.Context) error {
	began := time.Now()
	l.image = l.registry.host + "/gopherwood-dev/gopherwood:e2e"
	out := l.build(ctx, l.root, "--cgo", "off", "--plain-http", "--push", l.image, "./cmd/gopherwood")
	if out.code != 0 {
		return fmt.Errorf("gopherwood build of gopherwood: exit code %d: %s", out.code, out.stderr)
	}
	fmt.Fprintf(os.Stderr, "gopherwood's image after %v\n", time.Since(began).Round(time.Millisecond))
	return nil
}

func (l *laboratory) close() error {
	var err error
	if l.cluster != nil {
		err = l.cluster.Down()
	}
	if l.registry != nil {
		l.registry.close()
	}
	if l.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// output is what a program said, and how it ended.
type output struct {
	stdout, stderr string
	code           int
}

// run runs a program with the administrator's kubeconfig, with caches of its own
// and without anybody's docker login.
func (l *laboratory) run(ctx context.Context, name string, args ...string) output {
	return l.feed(ctx, "", name, args...)
}

// feed runs a program with an input.
func (l *laboratory) feed(ctx context.Context, input, name string, args ...string) output {
	return l.finish(exec.CommandContext(ctx, name, args...), input)
}

// build runs `gopherwood build` in a directory.
func (l *laboratory) build(ctx context.Context, dir string, args ...string) output {
	cmd := exec.CommandContext(ctx, l.gopherwood, append([]string{"build"}, args...)...)
	cmd.Dir = dir
	return l.finish(cmd, "")
}

// finish runs a command to its end, in the environment of the tests if it has none.
func (l *laboratory) finish(cmd *exec.Cmd, input string) output {
	if cmd.Env == nil {
		cmd.Env = l.environment()
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		return output{stderr: err.Error(), code: -1}
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (l *laboratory) environment() []string {
	helm := filepath.Join(l.dir, "helm")
	env := append(os.Environ(), "DOCKER_CONFIG="+l.dir, "GOPHERWOOD_CACHE_DIR="+filepath.Join(l.dir, "cache"), "NO_COLOR=1",
		"HELM_CACHE_HOME="+helm, "HELM_CONFIG_HOME="+helm, "HELM_DATA_HOME="+helm)
	if l.cluster != nil {
		env = append(env, "KUBECONFIG="+l.cluster.Kubeconfig())
	}
	return env
}

// must runs a program, which must succeed, and returns its standard output.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	return mustFeed(t, "", name, args...)
}

// mustFeed is must with an input.
func mustFeed(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	out := lab.feed(t.Context(), input, name, args...)
	if out.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", filepath.Base(name), strings.Join(args, " "), out.code, out.stdout, out.stderr)
	}
	return out.stdout
}

// kubectl runs kubectl, which may fail.
func kubectl(t *testing.T, args ...string) output {
	t.Helper()
	return lab.run(t.Context(), lab.cluster.Kubectl(), args...)
}

// mustKubectl runs kubectl, which must succeed.
func mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	return must(t, lab.cluster.Kubectl(), args...)
}

// applyText applies a manifest with kubectl, which may fail.
func applyText(t *testing.T, manifest string, args ...string) output {
	t.Helper()
	return lab.feed(t.Context(), manifest, lab.cluster.Kubectl(), append([]string{"apply", "-f", "-"}, args...)...)
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
		time.Sleep(50 * time.Millisecond)
	}
}

func requireWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in: %s", w, text)
		}
	}
}

// seconds shows a duration for people.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
