package modproxy_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	xsumdb "golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/access"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror/mirrortest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/sumdb"
)

// gopher runs the real go command, with a module cache of its own.
type gopher struct {
	t testing.TB
	// dir is the main module, bin where programs are installed.
	dir, bin string
	env      []string
}

// newGopher returns a go command whose GOPROXY is list; env is further environment.
func newGopher(t testing.TB, list string, env ...string) *gopher {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatalf("the go command is needed: %v", err)
	}
	home := hometest.New(t)
	g := &gopher{t: t, dir: t.TempDir(), bin: filepath.Join(home, "bin")}
	g.env = append([]string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GOENV=off", "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS=-mod=mod -modcacherw",
		"GOCACHE=" + strings.TrimSpace(string(cache)), "GOMODCACHE=" + filepath.Join(home, "cache"), "GOBIN=" + g.bin,
		"GOPROXY=" + list, "GOSUMDB=off", "GOVCS=*:off",
	}, env...)
	g.write("go.mod", "module main.example.com/app\n\ngo 1.21\n")
	return g
}

func (g *gopher) write(name, content string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(content), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// try runs a program and returns all that it prints.
func (g *gopher) try(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(g.t.Context(), name, args...)
	cmd.Dir, cmd.Env = g.dir, g.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ok runs the go command and fails the test unless it succeeds and prints want.
func (g *gopher) ok(want string, args ...string) {
	g.t.Helper()
	out, err := g.try("go", args...)
	if err != nil || !regexp.MustCompile(want).MatchString(out) {
		g.t.Errorf("go %s: %v, want %s\n%s", strings.Join(args, " "), err, want, out)
	}
}

// fails runs the go command and fails the test unless it fails and prints want.
func (g *gopher) fails(want string, args ...string) {
	g.t.Helper()
	out, err := g.try("go", args...)
	if err == nil || !strings.Contains(out, want) {
		g.t.Errorf("go %s: %v, want %s\n%s", strings.Join(args, " "), err, want, out)
	}
}

// database serves a checksum database of what is upstream, and returns its name
// and key as GOSUMDB has them.
func database(t *testing.T, up *mirrortest.Upstream) string {
	t.Helper()
	const name = "sum.corp.example.com"
	signer, verifier, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	server := xsumdb.NewServer(xsumdb.NewTestServer(signer, up.GoSum))
	up.Hook(func(w http.ResponseWriter, r *http.Request) bool {
		rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/"+name)
		switch {
		case !ok:
			return false
		case rest != "/supported":
			r.URL.Path = rest
			server.ServeHTTP(w, r)
		}
		return true
	})
	return verifier
}

// openSumdb opens the checksum database behind an upstream.
func openSumdb(t *testing.T, opt sumdb.Options) *sumdb.DB {
	t.Helper()
	db, err := sumdb.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestGoCommand does with the real go command what people do; then again, with
// nothing left in its cache and the proxy cut off from everything.
func TestGoCommand(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	switched := map[string]string{"bin/go": "#!/bin/sh\necho this is go version 1.99.0\n", "pkg/tool/vet": "x", "lib/x": "x", "bin/gofmt": "x"}
	p.up.Add(t, toolchain, "v0.0.1-go1.99.0.linux-amd64", switched)
	p.up.Add(t, toolchain, fmt.Sprintf("v0.0.1-go1.99.0.%s-%s", runtime.GOOS, runtime.GOARCH), switched)
	p.up.Add(t, "corp.example.com/tool", "v0.1.0", map[string]string{
		"go.mod":  "module corp.example.com/tool\n\ngo 1.21\n\nrequire corp.example.com/lib v1.0.0\n",
		"main.go": "package main\n\nimport (\n\t\"os\"\n\n\t\"corp.example.com/lib\"\n)\n\nfunc main() { os.Stdout.WriteString(\"tool with lib \" + lib.Version) }\n",
	})
	key, files := database(t, p.up), t.TempDir()
	online := p.another(t, func(s *settings) {
		db := openSumdb(t, sumdb.Options{Name: key, Upstreams: p.up.URL, Dir: files})
		s.mirror.DB, s.server.Sums = db, db
	})
	t.Run("online", func(t *testing.T) { session(t, online.url, key, true) })
	for online.mirror.Pending() > 0 {
		time.Sleep(time.Millisecond)
	}
	p.up.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("a proxy that is offline asked for %s", r.URL.Path)
		return false
	})
	offline := p.another(t, func(s *settings) {
		db := openSumdb(t, sumdb.Options{Name: key, Upstreams: p.up.URL, Dir: files, Offline: true})
		s.mirror.DB, s.server.Sums, s.mirror.Source = db, db, nil
	})
	t.Run("offline", func(t *testing.T) { session(t, offline.url, key, false) })
}

// session is what people do with the go command.
func session(t *testing.T, url, key string, online bool) {
	g := newGopher(t, url, "GOSUMDB="+key)
	g.ok(`"Sum": "h1:.*=",\n\s*"GoModSum": "h1:.*="`, "mod", "download", "-json", lib+"@v1.0.0")
	versions := `v1.0.0 v1.2.0 v1.3.0-rc.1 v1.4.0 v2.5.0\+incompatible`
	if !online { // nobody has asked for the others yet
		versions = `v1.0.0 v1.4.0`
	}
	g.ok("corp.example.com/lib "+versions+"\n", "list", "-m", "-versions", lib)
	g.ok(`corp.example.com/lib v1.1.0 \(retracted\) It was a mistake`, "list", "-m", "-retracted", "-f", "{{.}} {{join .Retracted \" \"}}", lib+"@v1.1.0")
	g.ok(`added corp.example.com/lib v1.4.0`, "get", lib+"@latest")
	g.ok(`downgraded corp.example.com/lib v1.4.0 => v1.0.0`, "get", lib+"@v1.0.0")
	if online { // offline nobody knows what a branch is
		g.ok(`upgraded corp.example.com/lib v1.0.0 => v1.2.1-0.20250401120000-0123456789ab`, "get", lib+"@main")
	} else {
		g.fails("offline", "get", lib+"@main")
		g.ok(`upgraded corp.example.com/lib v1.0.0 => v1.2.1-0.20250401120000-0123456789ab`, "get", lib+"@0123456789ab")
	}
	g.ok(`added corp.example.com/SHOUT/Lib v1.0.0-RC1`, "get", shouting)
	g.ok(`added corp.example.com/lib/v3 v3.0.0`, "get", lib+"/v3")
	g.ok(`added gopkg.in/yaml.v2 v2.4.0`, "get", "gopkg.in/yaml.v2")
	g.ok(`added corp.example.com/untagged v0.0.0-20250301120000-aaaaaaaaaaaa`, "get", "corp.example.com/untagged")
	g.ok("", "mod", "download")
	g.ok("all modules verified", "mod", "verify")
	g.ok("", "install", "corp.example.com/tool@latest")
	if out, err := g.try(filepath.Join(g.bin, "tool")); err != nil || out != "tool with lib v1.0.0" {
		t.Errorf("%q, %v", out, err)
	}
	g.fails("server response:", "get", lib+"@v1.0.0-nothing")
	if runtime.GOOS != "windows" { // the toolchain is a script
		g.env = append(g.env, "GOTOOLCHAIN=go1.99.0")
		g.ok("this is go version 1.99.0", "version")
	}
}

// TestProxyList is what the go command does with several proxies: after 404 it asks
// the next one, after what was refused or failed only behind a "|".
func TestProxyList(t *testing.T) {
	p := newProxy(t, nil)
	second := mirrortest.New(t)
	second.Add(t, "corp.example.com/second", "v1.0.0", nil)
	second.Add(t, "corp.example.com/broken", "v1.0.0", nil)
	second.Add(t, "corp.example.com/refused", "v1.0.0", nil)
	p.up.Hook(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasPrefix(r.URL.Path, "/corp.example.com/broken/"):
			http.Error(w, "the disk is full", http.StatusInternalServerError)
		case strings.HasPrefix(r.URL.Path, "/corp.example.com/refused/"):
			http.Error(w, "the lawyers say no", http.StatusForbidden)
		default:
			return false
		}
		return true
	})
	comma, pipe := newGopher(t, p.url+","+second.URL), newGopher(t, p.url+"|"+second.URL)
	comma.ok("added corp.example.com/second v1.0.0", "get", "corp.example.com/second@v1.0.0")
	comma.fails("the disk is full", "get", "corp.example.com/broken@v1.0.0")
	comma.fails("the lawyers say no", "get", "corp.example.com/refused@v1.0.0")
	for _, name := range []string{"second", "broken", "refused"} {
		pipe.ok("added corp.example.com/"+name+" v1.0.0", "get", "corp.example.com/"+name+"@v1.0.0")
	}
}

// TestGoCommandSignsIn reads modules with the credentials in ~/.netrc, over HTTPS.
func TestGoCommandSignsIn(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the go command reads SSL_CERT_FILE on Linux only")
	}
	p := newProxy(t, func(s *settings) { s.server.Access = rules(t) })
	p.fill(t)
	server := httptest.NewTLSServer(p.server)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	netrc := filepath.Join(t.TempDir(), "netrc")
	login := func(password string) {
		host := strings.TrimPrefix(server.URL, "https://")
		if err := os.WriteFile(netrc, []byte("machine "+host+" login ci password "+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login(secret)
	g := newGopher(t, server.URL, "SSL_CERT_FILE="+file, "NETRC="+netrc)
	g.ok("added corp.example.com/lib v1.4.0", "get", lib)
	g.fails("you may not read this module", "get", "gopkg.in/yaml.v2@v2.4.0")
	login("wrong" + secret)
	g.fails("401 Unauthorized", "get", lib+"@v1.0.0")
	g = newGopher(t, server.URL, "SSL_CERT_FILE="+file, "NETRC="+filepath.Join(t.TempDir(), "none"))
	g.fails("put credentials for this proxy into ~/.netrc", "get", lib+"@v1.0.0")
	g.ok("added corp.example.com/untagged", "get", "corp.example.com/untagged")
}

// secret is the token of the user ci.
const secret = "0123456789abcdef0123456789abcdef"

// rules let everybody read untagged, and ci what is of the company.
func rules(t testing.TB) *access.Rules {
	t.Helper()
	sum := sha256.Sum256([]byte(secret))
	return open(t, write(t, "access.yaml", `schemaVersion: gopherwood/v1
kind: ModuleAccess
anonymous: {read: [corp.example.com/untagged]}
users: [{name: ci, tokens: ["sha256:`+hex.EncodeToString(sum[:])+`"], read: [corp.example.com]}]
`))
}

func open(t testing.TB, name string) *access.Rules {
	t.Helper()
	r, err := access.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// write returns the name of a new file.
func write(t testing.TB, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
