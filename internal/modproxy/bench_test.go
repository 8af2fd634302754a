package modproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy"
)

// connections is how many clients ask at once.
const connections = 64

// bare answers with constant bytes: what net/http costs at least.
func bare(body string) http.Handler {
	data := []byte(body)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })
}

// BenchmarkInfo asks for .info at 64 connections, of the proxy and of a handler that
// returns constant bytes, in turns, and reports their ratio.
func BenchmarkInfo(b *testing.B) {
	p := benchProxy(b)
	path := "/" + lib + "/@v/v1.0.0.info"
	info := get(b, p.url+path).body
	compare(b, httptest.NewServer(bare(info)), httptest.NewServer(p.server), path)
}

// BenchmarkMod is BenchmarkInfo for go.mod files, of many versions.
func BenchmarkMod(b *testing.B) {
	p := benchProxy(b)
	path := "/" + lib + "/@v/v1.0.0.mod"
	compare(b, httptest.NewServer(bare(get(b, p.url+path).body)), httptest.NewServer(p.server), path)
}

// BenchmarkZip asks for a zip of 1 MiB, of the proxy and of http.ServeFile.
func BenchmarkZip(b *testing.B) {
	p := benchProxy(b)
	path := "/" + lib + "/@v/v9.0.0+incompatible.zip"
	name := filepath.Join(b.TempDir(), "zip")
	if err := os.WriteFile(name, []byte(get(b, p.url+path).body), 0o600); err != nil {
		b.Fatal(err)
	}
	file := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) })
	compare(b, httptest.NewServer(file), httptest.NewServer(p.server), path)
}

// benchProxy is a proxy that logs requests, to nowhere.
func benchProxy(b *testing.B) *proxy {
	p := newProxy(b, func(s *settings) {
		s.server.Log = modproxy.NewAccessLog(io.Discard)
		b.Cleanup(s.server.Log.Close)
	})
	p.fill(b)
	p.up.Add(b, lib, "v9.0.0+incompatible", map[string]string{"noise": noise(1 << 20)})
	return p
}

// compare asks both servers in turns, so that what else the machine does meets both.
func compare(b *testing.B, base, proxy *httptest.Server, path string) {
	defer base.Close()
	defer proxy.Close()
	rounds := max(b.N/20000, 1)
	each := max(b.N/rounds/connections, 1)
	var took [2]time.Duration
	load(b, base.URL, path, 50) // warm
	load(b, proxy.URL, path, 50)
	b.ResetTimer()
	for range rounds {
		for j, url := range []string{base.URL, proxy.URL} {
			took[j] += load(b, url, path, each)
		}
	}
	b.StopTimer()
	n := float64(rounds * each * connections)
	b.ReportMetric(n/took[0].Seconds(), "bare/s")
	b.ReportMetric(n/took[1].Seconds(), "proxy/s")
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

// load asks for path n times on each connection, and returns how long that took.
// The client does as little as it can: it shares the processors with the server.
func load(b testing.TB, url, path string, n int) time.Duration {
	var wg sync.WaitGroup
	begin := time.Now()
	for range connections {
		wg.Go(func() {
			if err := fire(url, path, n); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

func fire(url, path string, n int) error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: proxy\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n")
	r := bufio.NewReaderSize(conn, 64<<10)
	for range n {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		length, err := header(r)
		if err != nil {
			return err
		}
		if _, err := r.Discard(length); err != nil {
			return err
		}
	}
	return nil
}

// header reads the header of an answer, and returns how long its content is.
func header(r *bufio.Reader) (int, error) {
	length := -1
	for i := 0; ; i++ {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return 0, err
		case i == 0 && string(line) != "HTTP/1.1 200 OK\r\n":
			return 0, fmt.Errorf("answer %q", line)
		case len(line) == 2 && length < 0:
			return 0, fmt.Errorf("an answer without a length")
		case len(line) == 2:
			return length, nil
		}
		if len(line) > 16 && strings.EqualFold(string(line[:16]), "content-length: ") {
			length = 0
			for _, c := range line[16 : len(line)-2] {
				length = length*10 + int(c-'0')
			}
		}
	}
}
