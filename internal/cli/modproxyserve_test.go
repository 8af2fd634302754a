package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/cli"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror/mirrortest"
)

// serviceLog is standard error of a command that runs.
type serviceLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *serviceLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *serviceLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// line returns the first line of JSON whose msg is the given one.
func (l *serviceLog) line(msg string) map[string]any {
	for text := range strings.Lines(l.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == msg {
			return line
		}
	}
	return nil
}

// serve runs the command until stop, which returns its exit code, is called.
func serve(t *testing.T, args ...string) (url string, stderr *serviceLog, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l, ended := &serviceLog{}, make(chan int, 1)
	args = append([]string{"modproxy", "serve", "--listen", "127.0.0.1:0", "--drain-delay", "0s"}, args...)
	home := hometest.New(t)
	go func() {
		ended <- cli.Run(ctx, args, cli.IO{
			Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: l,
			Getenv: func(name string) string {
				if name == "HOME" {
					return home
				}
				return ""
			},
			Environ: []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")},
		})
	}()
	stop = sync.OnceValue(func() int { cancel(); return <-ended })
	t.Cleanup(func() { stop() })
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if line := l.line("module proxy listens"); line != nil {
			return "http://" + line["address"].(string), l, stop
		}
	}
	t.Fatalf("it does not listen:\n%s", l)
	return "", nil, nil
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestModproxyServe serves what is upstream, and then, offline, what is stored; with
// rules, a log of requests and metrics.
func TestModproxyServe(t *testing.T) {
	up := mirrortest.New(t)
	up.Add(t, "corp.example.com/lib", "v1.0.0", nil)
	up.Add(t, "new.example.com/lib", "v1.0.0", nil)
	dir := t.TempDir()
	requests := filepath.Join(dir, "requests.log")
	common := []string{"--store", filepath.Join(dir, "store"), "--sumdb", "off", "--private", "corp.example.com", "--private-upstream", up.URL}
	url, stderr, stop := serve(t, append(common, "--upstream", up.URL, "--cooldown", "72h", "--access-log", requests)...)
	for path, want := range map[string]int{
		"/corp.example.com/lib/@v/v1.0.0.zip": 200, "/corp.example.com/lib/@v/list": 200, "/new.example.com/lib/@v/v1.0.0.zip": 403,
		"/corp.example.com/lib/@v/v1.1.0.zip": 404, "/readyz": 200, "/sumdb/sum.golang.org/supported": 404,
	} {
		if status, body := fetch(t, url+path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if _, body := fetch(t, url+"/metrics"); !strings.Contains(body, "gopherwood_modproxy_requests_total{") {
		t.Errorf("metrics: %s", body)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
	if line := stderr.line("audit"); line["module"] != "new.example.com/lib@v1.0.0" || line["decision"] != "refused" {
		t.Errorf("no line of audit in\n%s", stderr)
	}
	data, err := os.ReadFile(requests)
	if err != nil || strings.Count(string(data), `"msg":"request"`) != 5 || strings.Contains(stderr.String(), `"request"`) {
		t.Errorf("%v: log of requests\n%s", err, data)
	}

	up.Requests()
	url, stderr, stop = serve(t, append(common, "--offline")...)
	for path, want := range map[string]int{"/corp.example.com/lib/@v/v1.0.0.zip": 200, "/corp.example.com/lib/@latest": 200, "/corp.example.com/lib/@v/v1.1.0.zip": 404} {
		if status, body := fetch(t, url+path); status != want {
			t.Errorf("offline: %s: %d %s", path, status, body)
		}
	}
	if code := stop(); code != 0 || len(up.Requests()) != 0 {
		t.Errorf("exit code %d, upstream was asked:\n%s", code, stderr)
	}
	if line := stderr.line("request"); line == nil {
		t.Errorf("no log of requests in\n%s", stderr)
	}
}
