package modproxy_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// await waits until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func TestAccess(t *testing.T) {
	p := newProxy(t, func(s *settings) { s.server.Access = rules(t) })
	p.fill(t)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	const untagged = "corp.example.com/untagged/@v/v0.0.0-20250301120000-aaaaaaaaaaaa"
	for range 2 { // the second time all is in memory
		for _, test := range []struct {
			path, authorization string
			status              int
		}{
			{untagged + ".info", "", 200},
			{untagged + ".zip", "", 200},
			{untagged + ".info", basic("ci", secret), 200},
			{untagged + ".info", basic("ci", "wrong"), 401},
			{lib + "/@v/list", "", 401},
			{lib + "/@v/v1.0.0.info", "", 401},
			{lib + "/@v/v1.0.0.zip", "", 401},
			{lib + "/@v/v1.0.0.info", basic("ci", secret), 200},
			{lib + "/@v/v1.0.0.mod", "Bearer " + secret, 200},
			{lib + "/@v/v1.0.0.zip", basic("ci", secret), 200},
			{lib + "/@v/list", basic("ci", secret), 200},
			{lib + "/@latest", "Bearer wrong", 401},
			{lib + "/@v/v1.0.0.info", "Negotiate x", 401},
			{"gopkg.in/yaml.v2/@v/v2.4.0.mod", "", 401},
			{"gopkg.in/yaml.v2/@v/v2.4.0.mod", basic("ci", secret), 403},
			{"gopkg.in/yaml.v2/@v/v2.4.0.zip", basic("ci", secret), 403},
			{"nonsense", "", 404},
		} {
			got := ask(t, http.MethodGet, p.url+"/"+test.path, map[string]string{"Authorization": test.authorization})
			if got.status != test.status {
				t.Errorf("%s with %q: %d %s", test.path, test.authorization, got.status, got.body)
			}
			if challenge := got.header.Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic realm=") != (got.status == 401) {
				t.Errorf("%d with the challenge %q", got.status, challenge)
			}
			if control := got.header.Get("Cache-Control"); got.status == 200 && !strings.HasPrefix(control, "private,") {
				t.Errorf("%s: whoever caches may give it to others: %s", test.path, control)
			}
		}
	}
	p.log.Close()
	if lines := p.lines.String(); strings.Contains(lines, secret) || strings.Contains(lines, "wrong") || !strings.Contains(lines, `"user":"ci"`) {
		t.Errorf("the log:\n%s", lines)
	}
}

func TestAccessLog(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	get(t, p.url+"/"+lib+"/@v/v1.0.0.mod")
	ask(t, http.MethodGet, p.url+"/"+lib+"/@v/v1.0.0.mod", map[string]string{"User-Agent": "quote\" backslash\\ \t ü"})
	get(t, p.url+"/"+lib+"/@v/v9.9.9.zip")
	get(t, p.url+"/corp.example.com/%0a%22,%22evil%22:%22/@v/list")
	p.log.Close()
	var got []map[string]any
	for line := range strings.Lines(p.lines.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, l["time"].(string)); err != nil || l["msg"] != "request" || l["level"] != "INFO" || l["client"] == "" {
			t.Errorf("%s", line)
		}
		got = append(got, l)
	}
	for i, want := range []map[string]any{
		{"method": "GET", "path": "/" + lib + "/@v/v1.0.0.mod", "status": 200., "from": "upstream", "bytes": 37.},
		{"status": 200., "from": "memory", "agent": "quote\" backslash\\ \t ü"},
		{"status": 404., "error": "find \"corp.example.com/lib@v9.9.9\": it is no canonical version of this module"},
		{"status": 404., "path": "/corp.example.com/\n\",\"evil\":\"/@v/list"},
	} {
		for k, v := range want {
			if got[i][k] != v {
				t.Errorf("line %d: %s is %v, want %v", i, k, got[i][k], v)
			}
		}
	}
}

// stuck is a writer that takes nothing.
type stuck struct{ release chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.release
	return len(p), nil
}

// TestAccessLogStuck: requests are answered although nobody takes the log.
func TestAccessLogStuck(t *testing.T) {
	s := stuck{make(chan struct{})}
	l := modproxy.NewAccessLog(s)
	p := newProxy(t, func(x *settings) { x.server.Log = l })
	p.fill(t)
	agent := strings.Repeat("x", 900)
	for l.Dropped() == 0 {
		if got := ask(t, http.MethodGet, p.url+"/"+lib+"/@v/v1.0.0.mod", map[string]string{"User-Agent": agent}); got.status != 200 {
			t.Fatal(got)
		}
	}
	close(s.release)
	l.Close()
}

func TestMetrics(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	get(t, p.url+"/"+lib+"/@v/v1.0.0.mod")
	get(t, p.url+"/"+lib+"/@v/v1.0.0.mod")
	get(t, p.url+"/"+lib+"/@v/v1.0.0.zip")
	get(t, p.url+"/"+lib+"/@v/v1.9.0.mod")
	get(t, p.url+"/x")
	await(t, "the background", func() bool { return p.mirror.Pending() == 0 })
	p.metrics.WatchPending(func() (int, int64) { return 3, 4096 })
	got := scrape(t, p.metrics)
	for _, line := range []string{
		`gopherwood_build_info{version="v1.2.3"} 1`,
		`gopherwood_modproxy_requests_total{code="200",from="upstream",kind="mod"} 1`,
		`gopherwood_modproxy_requests_total{code="200",from="memory",kind="mod"} 1`,
		`gopherwood_modproxy_requests_total{code="404",from="",kind="mod"} 1`,
		`gopherwood_modproxy_requests_total{code="404",from="",kind="other"} 1`,
		`gopherwood_modproxy_response_bytes_total{kind="mod"} `,
		`gopherwood_modproxy_request_duration_seconds_count{kind="mod"} 3`,
		`gopherwood_modproxy_upstream_duration_seconds_bucket{le="+Inf"} `,
		`gopherwood_modproxy_background_pending 0`,
		`gopherwood_modproxy_pushes_pending 3`,
		`gopherwood_modproxy_pushes_pending_bytes 4096`,
		`gopherwood_modproxy_access_log_dropped_total 0`,
		`gopherwood_modproxy_upstream_requests_total{code="404",host="` + strings.TrimPrefix(p.up.URL, "http://") + `",kind="mod"} 1`,
	} {
		if !strings.Contains(got, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	if !strings.Contains(got, `gopherwood_modproxy_fetches_total{background=`) || strings.Contains(got, "\ngopherwood_modproxy_memory_bytes 0\n") {
		t.Error("fetches, or the bytes in memory, are missing")
	}
	if t.Failed() {
		t.Log(got)
	}
}

// scrape returns what Prometheus gets of a server that runs.
func scrape(t *testing.T, m *modproxy.Metrics) string {
	t.Helper()
	r := start(t, modproxy.RunOptions{Metrics: m, Handler: modproxy.NewServer(modproxy.Options{})})
	return get(t, r.url+"/metrics").body
}

// TestDisconnect lets clients go in the middle of a zip: nothing stays open.
func TestDisconnect(t *testing.T) {
	p := newProxy(t, nil)
	p.up.Add(t, lib, "v1.0.0", map[string]string{"noise": noise(8 << 20)})
	path := "/" + lib + "/@v/v1.0.0.zip"
	get(t, p.url+path)
	before, files := runtime.NumGoroutine(), openFiles(t)
	for range 20 {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: proxy\r\n\r\n", path)
		if _, err := io.ReadFull(bufio.NewReader(c), make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "goroutines and files", func() bool { return runtime.NumGoroutine() <= before && openFiles(t) <= files })
}

// TestDisconnectWhileFetching lets clients go while a version is on its way.
func TestDisconnectWhileFetching(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	hold := make(chan struct{})
	p.up.Hook(func(http.ResponseWriter, *http.Request) bool { <-hold; return false })
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/"+lib+"/@v/v1.0.0.zip", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v", err)
		}
		cancel()
	}
	close(hold)
	if got := get(t, p.url+"/"+lib+"/@v/v1.0.0.zip"); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if r := p.up.Requests(); len(r) != 3 {
		t.Errorf("asked upstream %q", r)
	}
	p.log.Close()
	if n := strings.Count(p.lines.String(), `"status":499`); n != 10 {
		t.Errorf("%d clients that did not wait are in the log, want 10:\n%s", n, p.lines.String())
	}
}

// openFiles counts this process's files.
func openFiles(t *testing.T) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestFailureText is what the go command prints of our errors, as its own rules say:
// at most eight lines of 648 bytes, up to a blank one, nothing if a character is odd.
func TestFailureText(t *testing.T) {
	long := strings.Repeat("The module is not what it has to be. ", 100)
	for name, err := range map[string]error{
		"short":   &fault.Error{Code: fault.Denied, Op: "use", Input: "a.example.com/b@v1.0.0", Err: errors.New("no")},
		"hint":    &fault.Error{Code: fault.Denied, Op: "use", Err: errors.New("no"), Hint: "ask again"},
		"long":    &fault.Error{Code: fault.Denied, Op: "use", Err: errors.New(long + "The end."), Hint: long + "The hint."},
		"lines":   &fault.Error{Code: fault.Denied, Op: "use", Err: errors.New("one\n\ntwo\r\n\tthree \x1b[31mred\x00")},
		"no utf8": &fault.Error{Code: fault.Denied, Op: "use", Err: errors.New("\xff\xfe " + strings.Repeat("ü", 2000))},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, func(s *settings) { s.mirror.DB = refusing{err} })
			p.fill(t)
			g := newGopher(t, p.url)
			out, runErr := g.try("go", "mod", "download", lib+"@v1.0.0")
			_, printed, ok := strings.Cut(out, "server response:")
			if runErr == nil || !ok || strings.Contains(printed, "Truncated") {
				t.Fatalf("%v: %s", runErr, out)
			}
			for _, want := range map[string][]string{
				"short": {"use a.example.com/b@v1.0.0: no"}, "hint": {"use: no\n\task again\n"}, "long": {"use: The module", "The end.", "The hint."},
				"lines": {"use: one two three [31mred"}, "no utf8": {"use: ? ü", "üüü"},
			}[name] {
				if !strings.Contains(printed, want) {
					t.Errorf("no %q in %s", want, printed)
				}
			}
		})
	}
}

// refusing is a checksum database that vouches for nothing.
type refusing struct{ error }

func (r refusing) Check(context.Context, module.Version, string, string) error { return r.error }
func (r refusing) CheckMod(context.Context, module.Version, string) error      { return r.error }
func (r refusing) Sums(context.Context, module.Version) (string, string, error) {
	return "", "", r.error
}
