package proxy

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// on answers requests whose path has a suffix by f.
func on(suffix string, f func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		f(w, r)
		return true
	}
}

// rawZip is a zip whose entries no go command would make.
func rawZip(t testing.TB, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, "package lib\n")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestFaults fetches a version from upstreams with every defect, and expects a
// clear error and nothing in the directory.
func TestFaults(t *testing.T) {
	good := upstreamtest.PublishLib(t)
	zipPath := "/corp.example.com/lib/@v/v1.0.0.zip"
	write := func(s string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	status := func(code int, text string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }
	}
	html := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Log in</title>")
	}
	abort := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "PK")
		panic(http.ErrAbortHandler)
	}
	chunkedAbort := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, good[zipPath][:20])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	slow := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, good[zipPath][:20])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	length := func(n int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, good[zipPath])
			_ = conn.Close()
		}
	}
	damaged := []byte(good[zipPath])
	damaged[30+len("corp.example.com/lib@v1.0.0/go.mod")+3] ^= 0x55 // in the content of the first file
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}
	huge := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999999999") }
	const prefix = "corp.example.com/lib@v1.0.0/"
	for name, c := range map[string]struct {
		suffix string
		handle func(http.ResponseWriter, *http.Request)
		code   fault.Code
		words  []string
	}{
		"info absent":            {".info", status(404, "not found: unknown revision v1.0.0"), fault.NotFound, []string{"404 Not Found: not found: unknown revision", "v1.0.0.info"}},
		"gone":                   {".zip", status(410, "gone for good"), fault.NotFound, []string{"410 Gone: gone for good"}},
		"unauthorized":           {".zip", status(401, ""), fault.Denied, []string{"401", "GOPHERWOOD_UPSTREAM_TOKEN_"}},
		"forbidden":              {".mod", status(403, "blocked by policy"), fault.Denied, []string{"403 Forbidden: blocked by policy"}},
		"legal":                  {".mod", status(451, ""), fault.Denied, []string{"451"}},
		"down":                   {".zip", status(503, "maintenance"), fault.Unavailable, []string{"503", "maintenance", "later"}},
		"odd status":             {".zip", status(418, ""), fault.Invalid, []string{"418"}},
		"a part":                 {".zip", status(206, "PK"), fault.Invalid, []string{"206"}},
		"message of controls":    {".zip", status(404, "\x1b[2Jboo"), fault.NotFound, []string{"404 Not Found"}},
		"HTML by its type":       {".zip", html, fault.Invalid, []string{"HTML", "module proxy's"}},
		"HTML info":              {".info", write("<html>"), fault.Invalid, []string{"HTML"}},
		"HTML mod":               {".mod", write("\n <!DOCTYPE html>"), fault.Invalid, []string{"HTML"}},
		"not JSON":               {".info", write("v1.0.0"), fault.Invalid, []string{"not an .info document"}},
		"another version":        {".info", write(upstreamtest.InfoOf("v1.0.1")), fault.Invalid, []string{"instead of v1.0.0"}},
		"truncated":              {".zip", abort, fault.Unavailable, []string{"broke"}},
		"truncated chunks":       {".zip", chunkedAbort, fault.Unavailable, []string{"broke"}},
		"truncated info":         {".info", abort, fault.Unavailable, []string{"broke"}},
		"slow":                   {".zip", slow, fault.Unavailable, []string{"nothing more for 300ms"}},
		"silent":                 {".zip", silent, fault.Unavailable, []string{"v1.0.0.zip"}},
		"length too small":       {".zip", length(len(good[zipPath]) - 10), fault.Invalid, []string{"not a valid zip"}},
		"length too large":       {".zip", length(len(good[zipPath]) + 10), fault.Unavailable, []string{"broke"}},
		"endless":                {".zip", endless, fault.Limit, []string{"more than 1048576 bytes"}},
		"endless info":           {".info", endless, fault.Limit, []string{"more than 1048576 bytes"}},
		"endless mod":            {".mod", endless, fault.Limit, []string{"more than 16777216 bytes"}},
		"huge":                   {".zip", huge, fault.Limit, []string{"more than 1048576 bytes"}},
		"no zip":                 {".zip", write("PK\x03\x04 or not"), fault.Invalid, []string{"not a valid zip"}},
		"empty":                  {".zip", write(""), fault.Invalid, []string{"not a valid zip"}},
		"damaged zip":            {".zip", write(string(damaged)), fault.Invalid, []string{"damaged", "go.mod"}},
		"another version's zip":  {".zip", write(rawZip(t, "corp.example.com/lib@v1.0.1/a.go")), fault.Invalid, []string{"prefix"}},
		"zip out of the tree":    {".zip", write(rawZip(t, prefix+"../../../etc/passwd")), fault.Invalid, []string{"malformed file path"}},
		"zip with absolute path": {".zip", write(rawZip(t, "/etc/passwd", "/etc/shadow")), fault.Invalid, []string{"prefix", "and 1 more"}},
		"zip with a backslash":   {".zip", write(rawZip(t, prefix+`a\..\b.go`)), fault.Invalid, []string{"invalid char"}},
		"zip of two cases":       {".zip", write(rawZip(t, prefix+"a.go", prefix+"A.go")), fault.Invalid, []string{"case-insensitive"}},
		"zip with a nested mod":  {".zip", write(rawZip(t, prefix+"sub/go.mod")), fault.Invalid, []string{"go.mod"}},
		"zip of a device":        {".zip", write(rawZip(t, prefix+"con")), fault.Invalid, []string{"con"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeouts := upstreamtest.Timeouts
			if name == "silent" {
				timeouts.Header = 100 * time.Millisecond
			}
			server := upstreamtest.ServeProxy(t, good, on(c.suffix, c.handle))
			dir := t.TempDir()
			s := newSource(t, server.URL, Options{Timeouts: timeouts, MaxZip: 1 << 20})
			_, err := s.Fetch(ctx, upstreamtest.Lib, dir, upstream.Known{})
			upstreamtest.CheckCode(t, err, c.code, append(c.words, server.URL[len("http://"):])...)
			upstreamtest.CheckEmpty(t, dir)
			if err != nil && (len(err.Error()) > 1000 || strings.Contains(err.Error(), "\x1b")) {
				t.Errorf("an error of %d bytes: %.2000q", len(err.Error()), err.Error())
			}
		})
	}
}

// TestRetries gets what failed for the moment, and no more often than it must.
func TestRetries(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter, *http.Request){
		"5xx": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"a break": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, "PK\x03\x04")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		p := upstreamtest.PublishLib(t)
		var asked atomic.Int32
		server := upstreamtest.ServeProxy(t, p, func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, ".zip") || asked.Add(1) > 1 {
				return false
			}
			fail(w, r)
			return true
		})
		dir := t.TempDir()
		d, err := newSource(t, server.URL, Options{}).Fetch(ctx, upstreamtest.Lib, dir, upstream.Known{})
		if err != nil || asked.Load() != 2 {
			t.Errorf("%s: %v after %d requests", name, err, asked.Load())
			continue
		}
		data, err := os.ReadFile(d.Path)
		if err != nil || string(data) != p["/corp.example.com/lib/@v/v1.0.0.zip"] {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	for status, want := range map[int]int32{404: 1, 403: 1, 418: 1, 500: 4} {
		var asked atomic.Int32
		server := upstreamtest.ServeProxy(t, nil, func(w http.ResponseWriter, _ *http.Request) bool {
			asked.Add(1)
			w.WriteHeader(status)
			return true
		})
		if _, err := newSource(t, server.URL, Options{}).Mod(ctx, upstreamtest.Lib); err == nil || asked.Load() != want {
			t.Errorf("%d: %d requests, want %d; %v", status, asked.Load(), want, err)
		}
	}
}

// TestUnreachable names the server that cannot be reached, and not what is secret
// in its URL.
func TestUnreachable(t *testing.T) {
	server := upstreamtest.ServeProxy(t, nil, nil)
	server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	_, err := newSource(t, "http://me:hunter22@"+host, Options{}).Mod(ctx, upstreamtest.Lib)
	upstreamtest.CheckCode(t, err, fault.Unavailable, host, "refused")
	if err != nil && strings.Contains(err.Error(), "hunter22") {
		t.Error(err)
	}
}

// TestDisk tells a full or absent directory here from a defect there.
func TestDisk(t *testing.T) {
	s := newSource(t, upstreamtest.ServeProxy(t, upstreamtest.PublishLib(t), nil).URL, Options{})
	_, err := s.Fetch(ctx, upstreamtest.Lib, t.TempDir()+"/absent", upstream.Known{})
	if code := fault.CodeOf(err); err == nil || code == fault.Invalid || !strings.Contains(err.Error(), "make a file") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		return
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	_, err = full.Write([]byte("x"))
	upstreamtest.CheckCode(t, upstream.DiskFault(err), fault.Unavailable, "no space left")
}

func TestRedirects(t *testing.T) {
	secret := credential.Login{User: "me", Password: "s3cr3t"}.Basic()
	type hop = func(w http.ResponseWriter, r *http.Request)
	to := func(url string) hop {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusFound) }
	}
	p := upstreamtest.PublishLib(t)
	storage := upstreamtest.ServeProxy(t, p, nil)
	zipPath := "/corp.example.com/lib/@v/v1.0.0.zip"
	for name, c := range map[string]struct {
		handle hop
		code   fault.Code
		words  []string
	}{
		"to a storage": {to(storage.URL + zipPath + "?signature=s3cr3t"), "", nil},
		"loop":         {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, fault.Invalid, []string{"loop"}},
		"on and on": {func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			http.Redirect(w, r, fmt.Sprintf("%s?n=%d", r.URL.Path, n+1), http.StatusFound)
		}, fault.Invalid, []string{"more than 10 times"}},
		"nowhere":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, fault.Invalid, []string{"302 Found"}},
		"to a file":         {to("file:///etc/passwd"), fault.Unavailable, []string{"unsupported protocol"}},
		"to a dead storage": {to("http://127.0.0.1:1/x?signature=s3cr3t"), fault.Unavailable, []string{"refused"}},
	} {
		storage.Forget()
		server := upstreamtest.ServeProxy(t, p, on(".zip", c.handle))
		host := strings.TrimPrefix(server.URL, "http://")
		dir := t.TempDir()
		_, err := newSource(t, "http://me:s3cr3t@"+host, Options{}).Fetch(ctx, upstreamtest.Lib, dir, upstream.Known{})
		upstreamtest.CheckCode(t, err, c.code, c.words...)
		if err != nil {
			upstreamtest.CheckEmpty(t, dir)
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s: a secret is in: %v", name, err)
			}
		}
		for _, r := range storage.Requests() {
			if r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" {
				t.Errorf("%s: another server gets %v", name, r.Header)
			}
		}
		for _, r := range server.Requests() {
			if r.Header.Get("Authorization") != secret {
				t.Errorf("%s: the server itself gets %v", name, r.Header)
			}
		}
	}
}

// TestRedirectRules covers what loopback servers cannot: other schemes, names and
// networks.
func TestRedirectRules(t *testing.T) {
	for _, c := range []struct {
		from, to   string
		ok, secret bool
	}{
		{"https://proxy.example.com/a", "https://proxy.example.com/b", true, true},
		{"https://proxy.example.com/a", "https://storage.example.com/b", true, false},
		{"https://proxy.example.com/a", "https://sub.proxy.example.com/b", true, false},
		{"https://proxy.example.com/a", "https://proxy.example.com:8443/b", true, false},
		{"http://proxy.example.com/a", "https://proxy.example.com/b", true, false},
		{"https://proxy.example.com/a", "http://proxy.example.com/b", false, false},
		{"https://proxy.example.com/a", "https://169.254.169.254/latest", false, false},
		{"https://proxy.example.com/a", "https://localhost/", false, false},
		{"https://10.0.0.1/a", "https://10.0.0.2/b", true, false},
	} {
		first, err := http.NewRequest(http.MethodGet, c.from, nil)
		if err != nil {
			t.Fatal(err)
		}
		next, err := http.NewRequest(http.MethodGet, c.to, nil)
		if err != nil {
			t.Fatal(err)
		}
		next.Header.Set("Authorization", "secret")
		next.Header.Set("Referer", "https://proxy.example.com/private/module")
		err = checkRedirect(next, []*http.Request{first})
		if (err == nil) != c.ok {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
		if err == nil && (next.Header.Get("Authorization") != "") != c.secret || err == nil && next.Header.Get("Referer") != "" {
			t.Errorf("%s to %s takes %v along", c.from, c.to, next.Header)
		}
		var f *fault.Error
		if err != nil && !errors.As(err, &f) {
			t.Errorf("%T", err)
		}
	}
}
