//go:build controlplane || e2e

package controlplane

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// process is a gopherwood that serves until it is stopped.
type process struct {
	account string
	cmd     *exec.Cmd
	log     string
	done    chan struct{}
	// serving is the address for the API server, health and metrics those for the
	// kubelet's probes and for Prometheus.
	serving, health, metrics string
}

// memoryLimit is GOMEMLIMIT of the processes, as the chart sets it, and maxRSS
// what one may have in memory at most.
const (
	memoryLimit = "180MiB"
	maxRSS      = 200 << 20
)

// startProcess runs gopherwood with the rights of a service account. Its log is
// shown when the test fails.
func startProcess(t *testing.T, account string, args func(p *process) []string) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{account: account, log: filepath.Join(dir, "log"), done: make(chan struct{}), serving: freePort(t), health: freePort(t), metrics: freePort(t)}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	writeUserKubeconfig(t, account, kubeconfig)
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(lab.gopherwood, slices.Concat(args(p), []string{
		"--kubeconfig", kubeconfig, "--namespace", systemNamespace, "--health", p.health, "--metrics", p.metrics,
		"--plain-http-registry", lab.registry.host, "--cache-dir", filepath.Join(dir, "cache"),
	})...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), "GOMEMLIMIT="+memoryLimit, "TMPDIR="+dir, "DOCKER_CONFIG="+dir)
	endWithTests(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its state
		close(p.done)
	}()
	t.Cleanup(func() {
		p.crash(t)
		if t.Failed() {
			t.Logf("the log of %v:\n%s", p.cmd.Args[1:], tail(p.log))
		}
	})
	return p
}

// writeUserKubeconfig writes a kubeconfig for a service account of the chart.
func writeUserKubeconfig(t *testing.T, account, file string) {
	t.Helper()
	cert, key, err := lab.cluster.Issue("system:serviceaccount:"+systemNamespace+":"+account, "system:serviceaccounts")
	if err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{Server: lab.cluster.APIServerURL(), CertificateAuthorityData: lab.cluster.CA()}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: "user"}
	config.CurrentContext = "lab"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
}

// freePort is a loopback address that nothing listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tail returns the end of a file.
func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-8000):])
}

// ready asks the health check.
func (p *process) ready() error {
	select {
	case <-p.done:
		return fmt.Errorf("it has ended: %v\n%s", p.cmd.ProcessState, tail(p.log))
	default:
	}
	_, err := fetch("http://" + p.health + "/readyz")
	return err
}

// fetch returns what a URL answers.
func fetch(url string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// rss returns the most memory that the process has had, in bytes.
func (p *process) rss(t *testing.T) int64 {
	t.Helper()
	f, err := os.Open("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(text, "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("the system does not say how much memory a process has had")
	return 0
}

// requireRSS holds the process to the memory that it may have.
func (p *process) requireRSS(t *testing.T, what string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Logf("memory of %s: not told by %s", what, runtime.GOOS)
		return
	}
	rss := p.rss(t)
	t.Logf("memory of %s: %d MiB at most", what, rss>>20)
	if rss > maxRSS {
		t.Errorf("%s had %d MiB in memory, more than %d MiB", what, rss>>20, maxRSS>>20)
	}
}

// terminate asks the process to end, as the kubelet does.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// wait waits until the process has ended by itself, and returns its exit code.
func (p *process) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Errorf("%v has not ended after %v", p.cmd.Args[1:], limit)
		return -1
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// replica is one process of the webhook.
type replica struct{ *process }

// drain is how long a replica goes on answering when it is to end.
const drain = 2 * time.Second

// startReplica starts a webhook and waits until it is ready; it is not in the
// balancer.
func startReplica(t *testing.T, flags ...string) replica {
	t.Helper()
	r := launchReplica(t, flags...)
	until(t, 30*time.Second, "webhook is ready", r.ready)
	return r
}

// launchReplica starts a webhook.
func launchReplica(t *testing.T, flags ...string) replica {
	t.Helper()
	return replica{startProcess(t, webhookName, func(p *process) []string {
		return append([]string{
			"webhook", "--listen", p.serving, "--cert-name", "127.0.0.1", "--drain-delay", drain.String(),
		}, flags...)
	})}
}

// join sends requests to the replica until the test ends.
func (r replica) join(t *testing.T) {
	lab.webhooks.add(r.serving)
	t.Cleanup(func() { lab.webhooks.remove(r.serving) })
}

// startWebhooks starts replicas of the webhook that the API server calls.
func startWebhooks(t *testing.T, n int, flags ...string) []replica {
	t.Helper()
	var all []replica
	for range n {
		r := startReplica(t, flags...)
		r.join(t)
		all = append(all, r)
	}
	trusted(t)
	return all
}

// trusted waits until the API server has been told whom to trust.
func trusted(t *testing.T) {
	t.Helper()
	until(t, 20*time.Second, "the webhooks' authority is known", func() error {
		for _, w := range configured(t) {
			if len(w.ClientConfig.CABundle) == 0 {
				return errors.New("a webhook has no caBundle")
			}
		}
		return nil
	})
}

// crash kills the process, and lets another one be elected at once in its place.
func (p *process) crash(t *testing.T) {
	t.Helper()
	p.kill()
	freeLease(t, p.account)
}
