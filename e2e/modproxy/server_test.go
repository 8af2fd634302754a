//go:build e2e

package modproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// proxy is `gopherwood modproxy serve` as a process.
type proxy struct {
	// url is what a go command's GOPROXY is.
	url    string
	cmd    *exec.Cmd
	said   *journal
	client *http.Client
	ended  chan struct{}
}

// journal is what a process has said so far.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// servesPublic are the arguments of a proxy for this machine's own upstream.
func servesPublic(store string) []string {
	return []string{"--store", store, "--upstream", lab.upstream, "--sumdb", lab.sumdb}
}

// serve starts a proxy whose only way out is w, and stops it at the end of the test.
func serve(t *testing.T, w *world, env []string, args ...string) *proxy {
	t.Helper()
	p := startProxy(t, w, env, args...)
	t.Cleanup(func() { p.stop(t) })
	return p
}

// startProxy starts a proxy, which the test has to end.
func startProxy(t *testing.T, w *world, env []string, args ...string) *proxy {
	t.Helper()
	p := launch(t, w, env, args...)
	p.ready(t)
	return p
}

// launch starts a proxy that may not be ready yet.
func launch(t *testing.T, w *world, env []string, args ...string) *proxy {
	t.Helper()
	address, err := lab.island.freePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: "http://" + address, said: &journal{}, client: lab.island.client(), ended: make(chan struct{})}
	args = append([]string{"modproxy", "serve", "--listen", address, "--drain-delay", "0s", "--access-log", ""}, args...)
	p.cmd = exec.Command(lab.gopherwood, args...)
	p.cmd.Env = append(append(baseEnvironment(tempDir(t, lab.dir)), w.environment()...), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := lab.island.start(p.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // stop looks at how it ended
		close(p.ended)
	}()
	return p
}

// ready waits until the proxy says that it is ready.
func (p *proxy) ready(t *testing.T) {
	t.Helper()
	until(t, 20*time.Second, "the proxy is ready", func() error {
		select {
		case <-p.ended:
			t.Fatalf("the proxy has ended: %s", p.said)
		default:
		}
		status, _, err := p.get("/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
}

// get asks the proxy for a path.
func (p *proxy) get(path string) (status int, body string, err error) {
	response, err := p.client.Get(p.url + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, string(data), err
}

// mustGet asks for what must be there.
func (p *proxy) mustGet(t *testing.T, path string) string {
	t.Helper()
	status, body, err := p.get(path)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", path, status, err, body)
	}
	return body
}

// stop ends the proxy as a service manager does, and demands that it ends well.
func (p *proxy) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		return // the test has ended it
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may end right now
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.kill()
		t.Errorf("the proxy does not end: %s", p.said)
		return
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the proxy ended with exit code %d: %s", code, p.said)
	}
	if strings.Contains(p.said.String(), "panic") || strings.Contains(p.said.String(), "goroutine ") {
		t.Errorf("the proxy panicked: %s", p.said)
	}
	p.client.CloseIdleConnections()
}

// kill ends the proxy as a crash does.
func (p *proxy) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	p.client.CloseIdleConnections()
}

// metric is the sum of a metric over its labels.
func (p *proxy) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	text := p.mustGet(t, "/metrics")
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `(\{[^}]*\})? (\S+)$`)
	all := line.FindAllStringSubmatch(text, -1)
	if all == nil {
		t.Fatalf("no metric %s in: %s", name, text)
	}
	sum := 0.0
next:
	for _, m := range all {
		for _, l := range labels {
			if !strings.Contains(m[1], l) {
				continue next
			}
		}
		value, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += value
	}
	return sum
}

// settle waits until nothing is to be fetched in the background, and the registry,
// if there is one, has everything.
func (p *proxy) settle(t *testing.T) {
	t.Helper()
	until(t, time.Minute, "the proxy has nothing to do", func() error {
		_, text, err := p.get("/metrics")
		for _, name := range []string{"background_pending", "pushes_pending"} {
			name = "gopherwood_modproxy_" + name
			if strings.Contains(text, "\n"+name+" ") && !strings.Contains(text, "\n"+name+" 0\n") {
				err = errors.Join(err, fmt.Errorf("%s is not 0", name))
			}
		}
		return err
	})
}

// openFiles are the files that the proxy has open, without sockets.
func (p *proxy) openFiles(t *testing.T) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(target, "/") {
			files = append(files, target)
		}
	}
	return files
}

// command runs `gopherwood modproxy` with arguments.
func command(t *testing.T, w *world, args ...string) output {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), lab.gopherwood, append([]string{"modproxy"}, args...)...)
	cmd.Env = append(baseEnvironment(tempDir(t, lab.dir)), w.environment()...)
	return finish(cmd)
}

// mustCommand runs `gopherwood modproxy` with arguments, which must succeed.
func mustCommand(t *testing.T, w *world, args ...string) output {
	t.Helper()
	out := command(t, w, args...)
	if out.code != 0 {
		t.Fatalf("gopherwood modproxy %s: %s", strings.Join(args, " "), out)
	}
	return out
}

// freeBytes is the room in a file system, in bytes.
func freeBytes(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	if s.Bsize <= 0 {
		return 0, errors.New("no block size")
	}
	return int64(s.Bavail) * s.Bsize, nil
}
