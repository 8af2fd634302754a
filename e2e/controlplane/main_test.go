//go:build controlplane || e2e

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// lab is what the tests of this package share: one control plane with the chart
// in it, a registry, and the program.
var lab laboratory

func TestMain(m *testing.M) {
	cluster.Main()
	os.Exit(run(m))
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
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		return 1
	}
	return code
}

// laboratory is made by open and removed by close.
type laboratory struct {
	dir string
	// gopherwood is the program under test.
	gopherwood string
	programs   programs
	cluster    *cluster.Cluster
	registry   listening
	api        *apiClient
	// webhooks is the address that the API server calls.
	webhooks *balancer
	audit    auditLog
}

// open makes everything. What it has made is removed by close, also after an error.
func (l *laboratory) open(ctx context.Context) (err error) {
	if l.dir, err = os.MkdirTemp("", "gopherwood-controlplane-"); err != nil {
		return err
	}
	l.programs.dir = l.dir
	l.gopherwood = filepath.Join(l.dir, "gopherwood")
	if err := goBuild(ctx, l.gopherwood, "./../../cmd/gopherwood"); err != nil {
		return err
	}
	if l.registry, err = listenRegistry("127.0.0.1:0"); err != nil {
		return err
	}
	if l.webhooks, err = newBalancer(); err != nil {
		return err
	}
	if l.audit, err = newAuditLog(l.dir); err != nil {
		return err
	}
	l.cluster, err = cluster.Start(ctx, cluster.Config{
		FullControlPlane: true, Kubectl: true, APIServerFlags: l.audit.flags(),
		// Nobody reports about the nodes that are objects only.
		ControllerFlags: map[string]string{"node-monitor-grace-period": "1h"},
		Progress: func(e cluster.Event) {
			if e.What == "build" {
				fmt.Fprintln(os.Stderr, e.What, e.Name, e.Took)
			}
		},
	})
	if err != nil {
		return err
	}
	if l.api, err = newAPIClient(l.cluster.Kubeconfig()); err != nil {
		return err
	}
	return l.installChart(ctx)
}

func (l *laboratory) close() error {
	var err error
	if l.cluster != nil {
		err = l.cluster.Down()
	}
	if l.webhooks != nil {
		l.webhooks.close()
	}
	if l.registry.server != nil {
		l.registry.close()
	}
	if l.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// goBuild builds a program of this module.
func goBuild(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, said)
	}
	return nil
}

// output is what a program said, and how it ended.
type output struct {
	stdout, stderr string
	code           int
}

// command runs a program in a directory with the administrator's kubeconfig, and without
// anybody's docker login.
func command(t *testing.T, dir, name string, args ...string) output {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+lab.cluster.Kubeconfig(), "DOCKER_CONFIG="+lab.dir,
		"GOPHERWOOD_CACHE_DIR="+filepath.Join(lab.dir, "cache"), "NO_COLOR=1")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// kubectl runs kubectl.
func kubectl(t *testing.T, args ...string) output {
	t.Helper()
	return command(t, lab.dir, lab.cluster.Kubectl(), args...)
}

// gopherwood runs the program under test.
func gopherwood(t *testing.T, args ...string) output {
	t.Helper()
	return command(t, lab.dir, lab.gopherwood, args...)
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
